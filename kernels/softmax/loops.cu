// Rows for a processor that has caches in the place of registers: the simulated device as a fast CPU device. A register of a
// warp is 32 numbers wide there, so what a thread need not hold waits in shared memory, and loops beat unrolled code.
//
//   softmax_loops   a warp a row, or a lane a row      x read once (Softmax, KEPT) or twice, seldom once more
//
//      WarpRow      lane 0  1  2 ... 31 | 0  1 ...        the columns of a row
//      LaneRow      lane 0  1  2 ... 31                   rows; each lane has the columns of its own
//
// Walks over a row: its extremes; terms and their sum; results. The extremes tell whether a row is NEAR (float64.cuh), for
// which the other walks are shorter; the lanes of a warp decide that together. Where maxima need not be counted the first two
// walks are one: it takes the row to be near, and an element for the anchor, which serves as well as a maximum that is not
// far above; where the row is not near, that was in vain. Elements too low to count for anything are lifted there to where
// they still count for nothing, so that masked rows are near too.
//
// Template arguments: OPERATION (operations.cuh); OWNER, WarpRow or LaneRow; KEPT, whether the terms wait in shared memory
// for the results, of operations that KEEPS_TERMS; CONTIGUOUS, whether the elements of a row lie side by side; VIEW
// (views.cuh); OUTPUTS as in rows.cu.
// Shared bytes: dynamic, where KEPT a term for every column (WarpRow), or for every column and lane (LaneRow).
// Numerics: the arithmetic of the operation, so results are those of every other kernel. A row in doubt is left open; unless
// out is x it is written all the same, and to be written again.
#include "online/teams.cuh"
#include "operations.cuh"
#include "views.cuh"

// Terms of a lane that are joined before they go to a sum, and terms that go to one sum: the square of the second, times
// 2^-105, is within what Pairs::spread allows for moves, of which there are none here.
constexpr int JOINED = 2;
constexpr int CHUNK = 4096;

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

struct Larger {
    static constexpr int UNROLL = 5;
    __device__ static __forceinline__ unsigned join(unsigned a, unsigned b) { return max(a, b); }
};

// One instruction of the CPU, which does not look for NaN.
template <typename COMPARE>
__device__ __forceinline__ COMPARE higher(COMPARE a, COMPARE b) { return a > b ? a : b; }

// Between what bounds the elements of a row lie.
template <typename OPERATION>
struct Extremes {
    using Arithmetic = typename OPERATION::Arithmetic;
    using Compare = typename Element<typename OPERATION::Type>::Compare;
    static constexpr bool SIZES = Element<typename OPERATION::Type>::BITS == 32;

    Compare largest = Element<Compare>::negative_infinity();
    Compare least = -Element<Compare>::negative_infinity();
    bool odd = false;            // a NaN is among them
    unsigned less_smallest = 0;  // 2^32 less the bits of the smallest size that is not zero; 0 if there is none

    __device__ __forceinline__ void note(Compare x) {
        largest = higher(x, largest);
        least = x < least ? x : least;
        odd |= x != x;
        if constexpr (SIZES) less_smallest = max(less_smallest, 0u - (__float_as_uint(x) & 0x7fffffffu));
    }
    template <typename TEAM>
    __device__ __forceinline__ void join() {
        largest = TEAM::template reduce<Maximum>(largest);
        least = -TEAM::template reduce<Maximum>(-least);
        odd = TEAM::any(odd);
        if constexpr (SIZES) less_smallest = TEAM::template reduce<Larger>(less_smallest);
    }

    __device__ __forceinline__ double maximum() const { return odd ? not_a_number() : widen(largest); }

    // Whether the row is near, seen from one of its elements. Where maxima are counted no element is lifted: that would hide
    // one that is nothing at all.
    __device__ __forceinline__ bool near(double anchor) const {
        const double high = widen(largest), low = widen(least);
        bool near = !odd && __dsub_rn(high, anchor) <= Arithmetic::NEAR_ABOVE &&
                    fabs(anchor) <= Arithmetic::NEAR_SIZE &&
                    (!Arithmetic::COUNTS || __dsub_rn(anchor, low) <= Arithmetic::NEAR_BELOW);
        if constexpr (SIZES) {
            // Numbers of 24 bits whose exponents differ by 28 at most have a difference of at most 53.
            const double reach = __dmul_rn(0x1p+28, widen(__uint_as_float(0u - less_smallest)));
            const double lowest = Arithmetic::COUNTS ? low : fmax(low, __dsub_rn(anchor, Arithmetic::NEAR_BELOW + 1.0));
            near = near && (less_smallest == 0 || reach >= fmax(fabs(high), fabs(lowest)));
        }
        return near;
    }
    // Whether, besides, the results are no subnormal numbers; a logarithm has no need of that.
    __device__ __forceinline__ bool normal() const {
        return Arithmetic::COUNTS || __dsub_rn(widen(largest), widen(least)) <= Arithmetic::NORMAL_SPREAD;
    }
};
struct Unseen {
    template <typename COMPARE>
    __device__ __forceinline__ void note(COMPARE) {}
};

template <typename OPERATION, typename OWNER, bool KEPT, bool CONTIGUOUS, typename VIEW>
struct Walks {
    using T = typename OPERATION::Type;
    using Arithmetic = typename OPERATION::Arithmetic;
    using Compare = typename Element<T>::Compare;
    using Term = typename Arithmetic::Term;
    using Team = typename OWNER::Team;
    static constexpr int STEP = OWNER::STEP;

    const VIEW& view;
    const T* from;
    Term* terms;
    int columns;

    template <int ARRAY>
    __device__ __forceinline__ long long place(int column) const {
        if constexpr (CONTIGUOUS) return column;
        else return view.template column<ARRAY>(column);
    }
    __device__ __forceinline__ Compare value(int column) const { return Element<T>::load(from[place<0>(column)]); }

    __device__ __forceinline__ void look(Extremes<OPERATION>& seen) const {
#pragma unroll 1
        for (int column = OWNER::first(); column < columns; column += STEP) seen.note(value(column));
    }

    template <bool NEAR, typename SEEN>
    __device__ __forceinline__ Term term(int column, double anchor, unsigned& count, SEEN& seen) const {
        Compare x = value(column);
        seen.note(x);
        if constexpr (NEAR && !Arithmetic::COUNTS) x = higher(x, static_cast<Compare>(__dsub_rn(anchor, Arithmetic::NEAR_BELOW)));
        const Term term = counted<Arithmetic, NEAR>(x, anchor, count);
        if constexpr (KEPT) terms[OWNER::place_of_term(column)] = term;
        return term;
    }

    // A lane's sum of columns from begin to end: several terms a turn, and what is left one by one.
    template <bool NEAR, typename SEEN>
    __device__ __forceinline__ Two chunk(int begin, int end, double anchor, unsigned& count, SEEN& seen) const {
        Two sum = {0.0, 0.0};
        int column = begin + OWNER::first();
#pragma unroll 1
        for (; column < end - STEP * (JOINED - 1); column += STEP * JOINED) {
            Term each[JOINED];
#pragma unroll
            for (int i = 0; i < JOINED; i++) each[i] = term<NEAR>(column + STEP * i, anchor, count, seen);
            Arithmetic::push(sum, each);
        }
#pragma unroll 1
        for (; column < end; column += STEP) {
            const Term each[1] = {term<NEAR>(column, anchor, count, seen)};
            Arithmetic::push(sum, each);
        }
        return sum;
    }

    // The state of the row, seen from m. Chunks are summed apart, so that the bound of a sum holds for rows of any length.
    template <bool NEAR, typename SEEN>
    __device__ __forceinline__ State<Arithmetic> state(double m, SEEN& seen) const {
        Two sum = {0.0, 0.0};
        unsigned count = 0;
#pragma unroll 1
        for (int begin = 0; begin < columns; begin += STEP * CHUNK)
            sum = add(sum, chunk<NEAR>(begin, min(columns, begin + STEP * CHUNK), anchor_of(m), count, seen));
        const double maxima = Arithmetic::COUNTS ? Team::template reduce<Sum>(count) : 0;
        return {m, Team::template reduce<Sum>(sum), maxima};
    }

    // Every result of the row; writes them, or only tests. Whether one was in doubt.
    template <bool NEAR, bool WRITE, typename ROW>
    __device__ __forceinline__ bool results(const OPERATION& operation, const ROW& of_row, T* to) const {
        Doubt doubt;
#pragma unroll 1
        for (int column = OWNER::first(); column < columns; column += STEP) {
            T result;
            if constexpr (KEPT) result = operation.template of_term<NEAR>(terms[OWNER::place_of_term(column)], of_row, doubt);
            else result = operation.template of_value<NEAR>(widen(value(column)), of_row, doubt);
            if constexpr (WRITE) to[place<1>(column)] = result;
        }
        return Team::any(doubt.any<T>() || operation.options & ALL_OPEN) && of_row.ordinary;
    }
};

template <typename OPERATION, typename OWNER, bool KEPT, bool CONTIGUOUS, typename VIEW, typename... OUTPUTS>
__global__ void __launch_bounds__(32)
    softmax_loops(const typename OPERATION::Type* x,  // (rows, columns)
                  VIEW view,                          // of x and the first output
                  OUTPUTS... outputs) {               // what the operation is made of
    using Arithmetic = typename OPERATION::Arithmetic;
    using Team = typename OWNER::Team;
    extern __shared__ uint4 kept[];
    const OPERATION operation{outputs...};
    const bool wanted = OWNER::row() < view.rows;
    // Lanes that have no row read the first, and write nothing.
    const long long row = wanted ? OWNER::row() : 0;
    Walks<OPERATION, OWNER, KEPT, CONTIGUOUS, VIEW> walks{view, x + view.template row<0>(row),
                                                          reinterpret_cast<typename Arithmetic::Term*>(kept),
                                                          static_cast<int>(view.columns)};
    Extremes<OPERATION> extremes;
    Unseen unseen;
    State<Arithmetic> state;
    bool near = false;
    if constexpr (Arithmetic::COUNTS) {
        walks.look(extremes);
        extremes.template join<Team>();
    } else {
        // Of a row that is masked from some column on, or up to it, one end is an element that counts.
        const double end = widen(higher(walks.value(0), walks.value(walks.columns - 1)));
        state = walks.template state<true>(end, extremes);
        extremes.template join<Team>();
        near = __all_sync(ALL_LANES, extremes.near(end));
    }
    if (!near) {
        const double m = extremes.maximum();
        near = __all_sync(ALL_LANES, extremes.near(m));
        state = near ? walks.template state<true>(m, unseen) : walks.template state<false>(m, unseen);
    }
    near = near && __all_sync(ALL_LANES, extremes.normal());

    if constexpr (OPERATION::ELEMENTS) {
        const auto of_row = operation.row(state, view.columns);
        auto* const to = operation.out + view.template row<1>(row);
        bool open = operation.options & IN_PLACE && walks.template results<false, false>(operation, of_row, to);
        if (open || !wanted) walks.columns = 0;
        open |= near ? walks.template results<true, true>(operation, of_row, to)
                     : walks.template results<false, true>(operation, of_row, to);
        if (wanted && Team::rank() == 0) operation.open[row] = open;
    } else {
        if (wanted && Team::rank() == 0) operation.write(view, row, state);
    }
}
