// Walks over a row for a processor that has caches in the place of registers: its extremes; terms and their sum; results.
//
//      WarpRow      lane 0  1  2 ... 31 | 0  1 ...        the columns of a row
//      LaneRow      lane 0  1  2 ... 31                   rows; each lane has the columns of its own
//
// The extremes tell whether a row is NEAR (float64.cuh), for which the other walks are shorter; the lanes of a warp decide
// that together. Where maxima need not be counted the first two walks are one: it takes the row to be near, and an element
// for the anchor, which serves as well as a maximum that is not far above; where the row is not near, that was in vain.
// Elements too low to count for anything are lifted there to where they still count for nothing, so that masked rows are
// near too.
//
// What is needed later is fetched into the caches meanwhile: what a processor has to do for a term takes longer than memory.
#pragma once
#include "extremes.cuh"
#include "operations.cuh"
#include "views.cuh"

// Terms of a lane that go to one sum: that loses 2^-105 times the square of it, as much as eight moves to another anchor.
constexpr int CHUNK = 2048;
// What a sum of so many columns may have lost, in moves: eight; one for the join of its chunks; and one for each part of the
// row that a lane merges, 2^21 columns of a row in parts, and where these join.
__device__ __forceinline__ double lost(long long columns) { return __fma_rn(static_cast<double>(columns), 0x1p-21, 11.0); }
// Columns, of a row whose elements are apart, after which a lane looks for what is to be fetched.
constexpr int AHEAD = 16;

__device__ __forceinline__ void fetch(const void* place) { asm volatile("prefetch.global.L2 [%0];" ::"l"(place)); }

struct WarpRow {
    using Team = WarpTeam<32>;
    static constexpr int STEP = 32;
    __device__ static __forceinline__ long long row() { return blockIdx.x; }
    __device__ static __forceinline__ int first() { return threadIdx.x; }
    __device__ static __forceinline__ int place_of_term(int column) { return column; }
};
struct LaneRow {
    using Team = WarpTeam<1>;
    static constexpr int STEP = 1;
    __device__ static __forceinline__ long long row() { return static_cast<long long>(blockIdx.x) * 32 + threadIdx.x; }
    __device__ static __forceinline__ int first() { return 0; }
    __device__ static __forceinline__ int place_of_term(int column) { return column * 32 + threadIdx.x; }
};

template <typename OPERATION, typename OWNER, bool KEPT, bool CONTIGUOUS, typename VIEW>
struct Walks {
    using T = typename OPERATION::Type;
    using Arithmetic = typename OPERATION::Arithmetic;
    using Compare = typename Element<T>::Compare;
    using Term = typename Arithmetic::Term;
    using Team = typename OWNER::Team;
    static constexpr int STEP = OWNER::STEP;
    // Whether the columns of a lane are far from each other.
    static constexpr bool APART = STEP == 1 && !CONTIGUOUS;
    // Terms of a lane that are joined before they go to a sum, and results of a turn, where the code stays short.
    static constexpr int JOINED = 2;
    static constexpr int TURN = Arithmetic::WIDE ? 1 : 4;

    const OPERATION& operation;
    const VIEW& view;
    const T* from;
    T* to;  // of operations whose results are ELEMENTS
    Term* terms;
    int begin, end;  // the columns that are walked over

    template <int ARRAY>
    __device__ __forceinline__ long long place(int column) const {
        if constexpr (CONTIGUOUS) return column;
        else return view.template column<ARRAY>(column);
    }
    __device__ __forceinline__ Compare value(int column) const { return Element<T>::load(from[place<0>(column)]); }

    __device__ __forceinline__ void look(Extremes<OPERATION>& seen) const {
#pragma unroll 1
        for (int column = begin + OWNER::first(); column < end; column += STEP) seen.note(value(column));
    }

    // The terms of a lane's next columns. Of a row that is kept, the results' place and the next row are fetched.
    template <bool NEAR, int COUNT, typename SEEN>
    __device__ __forceinline__ void next(int column, double anchor, unsigned& count, SEEN& seen, Term (&term)[COUNT]) const {
        const Compare lowest = static_cast<Compare>(__dsub_rn(anchor, Arithmetic::NEAR_BELOW));
        double x[COUNT];
#pragma unroll
        for (int i = 0; i < COUNT; i++) {
            const int at = column + STEP * i;
            if constexpr (APART) {
                fetch(from + place<0>(at + AHEAD));
            } else if constexpr (KEPT && CONTIGUOUS) {
                fetch(to + at);
                fetch(from + end + at);
            }
            Compare found = value(at);
            seen.note(found);
            if constexpr (NEAR && !Arithmetic::COUNTS) found = higher(found, lowest);
            x[i] = widen(found);
        }
        Arithmetic::template terms<NEAR>(x, anchor, term);
#pragma unroll
        for (int i = 0; i < COUNT; i++) {
            term[i] = but_maxima<Arithmetic>(term[i], x[i], anchor, count);
            if constexpr (KEPT) terms[OWNER::place_of_term(column + STEP * i)] = term[i];
        }
    }

    // A lane's sum of columns from first to last: several terms a turn, and what is left one by one; walks that are seldom
    // made are short to compile.
    template <bool NEAR, typename SEEN>
    __device__ __forceinline__ Two chunk(int first, int last, double anchor, unsigned& count, SEEN& seen) const {
        Two sum = {0.0, 0.0};
        int column = first + OWNER::first();
        if constexpr (NEAR && SEEN::OFTEN) {
#pragma unroll 1
            for (; column < last - STEP * (JOINED - 1); column += STEP * JOINED) {
                Term each[JOINED];
                next<NEAR>(column, anchor, count, seen, each);
                Arithmetic::push(sum, each);
            }
        }
#pragma unroll 1
        for (; column < last; column += STEP) {
            Term each[1];
            next<NEAR>(column, anchor, count, seen, each);
            Arithmetic::push(sum, each);
        }
        return sum;
    }

    // The state of the columns, seen from m. Chunks are summed apart, so that the bound of a sum holds for rows of any length.
    template <bool NEAR, typename SEEN>
    __device__ __forceinline__ State<Arithmetic> state(double m, SEEN& seen) const {
        Two sum = {0.0, 0.0};
        unsigned count = 0;
#pragma unroll 1
        for (int at = begin; at < end; at += STEP * CHUNK)
            sum = add(sum, chunk<NEAR>(at, min(end, at + STEP * CHUNK), anchor_of(m), count, seen));
        const double maxima = Arithmetic::COUNTS ? Team::template reduce<Sum>(count) : 0;
        return {m, Team::template reduce<Sum>(sum), maxima};
    }

    // The state of the columns, and what they lie between; `near`: whether all rows of the warp are, from where it is seen.
    __device__ __forceinline__ State<Arithmetic> seen(Extremes<OPERATION>& extremes, bool& near) const {
        Unseen<Arithmetic::COUNTS> unseen;
        State<Arithmetic> found;
        near = false;
        if constexpr (Arithmetic::COUNTS) {
            look(extremes);
            extremes.template join<Team>();
        } else {
            // Of a row that is masked from some column on, or up to it, one end is an element that counts.
            const double anchor = widen(higher(value(begin), value(end - 1)));
            found = state<true>(anchor, extremes);
            extremes.template join<Team>();
            near = __all_sync(ALL_LANES, extremes.near(anchor));
        }
        if (!near) {
            const double m = extremes.maximum();
            near = __all_sync(ALL_LANES, extremes.near(m));
            found = near ? state<true>(m, unseen) : state<false>(m, unseen);
        }
        return found;
    }

    // The results of a lane's next columns.
    template <bool NEAR, bool WRITE, int COUNT, typename ROW>
    __device__ __forceinline__ void finish(int column, const ROW& of_row, WholeDoubt& doubt) const {
        if constexpr (APART) {
#pragma unroll
            for (int i = 0; i < COUNT; i++) {
                if constexpr (!KEPT) fetch(from + place<0>(column + i + AHEAD));
                if constexpr (WRITE) fetch(to + place<1>(column + i + AHEAD));
            }
        }
        T result[COUNT];
        if constexpr (OPERATION::KEEPS_TERMS) {
            Term term[COUNT];
            if constexpr (KEPT) {
#pragma unroll
                for (int i = 0; i < COUNT; i++) term[i] = terms[OWNER::place_of_term(column + STEP * i)];
            } else {
                double x[COUNT];
#pragma unroll
                for (int i = 0; i < COUNT; i++) x[i] = widen(value(column + STEP * i));
                Arithmetic::template terms<NEAR>(x, of_row.anchor, term);
            }
#pragma unroll
            for (int i = 0; i < COUNT; i++) result[i] = operation.template of_term<NEAR>(term[i], of_row, doubt);
        } else {
#pragma unroll
            for (int i = 0; i < COUNT; i++)
                result[i] = operation.template of_value<NEAR>(widen(value(column + STEP * i)), of_row, doubt);
        }
        if constexpr (WRITE) {
#pragma unroll
            for (int i = 0; i < COUNT; i++) to[place<1>(column + STEP * i)] = result[i];
        }
    }

    // Every result; writes them, or only tests. Whether one was in doubt.
    template <bool NEAR, bool WRITE, typename ROW>
    __device__ __forceinline__ bool results(const ROW& of_row) const {
        WholeDoubt doubt;
        int column = begin + OWNER::first();
        if constexpr (WRITE && TURN > 1) {
#pragma unroll 1
            for (; column < end - STEP * (TURN - 1); column += STEP * TURN)
                finish<NEAR, WRITE, TURN>(column, of_row, doubt);
        }
#pragma unroll 1
        for (; column < end; column += STEP) finish<NEAR, WRITE, 1>(column, of_row, doubt);
        return Team::any(doubt.any<T>() || operation.options & ALL_OPEN) && of_row.ordinary;
    }
};
