// A row that a block keeps in shared memory: read once, and where terms are kept each exponential computed once.
//
// The row lies there in planes of 16 bytes for each vector of elements. A thread looks only at the vectors it owns, dealt as
// in staged.cuh, but warps that move elements SideBySide hand them over in plane 0:
//
//      plane 0         x, in the end the results             (vectors,), up to a multiple of 32
//      FIRST_TERMS ..  terms, if they are kept               the same; they may take the place of x
#pragma once
#include "staged.cuh"

// Terms as they wait in 16 bytes.
template <typename TERM>
struct alignas(16) TermsInPlane {
    static constexpr int COUNT = 16 / sizeof(TERM);
    TERM term[COUNT];
};

// STEPS vectors of each thread are worked on at a time.
template <typename T, typename TEAM, int STEPS, typename ACCESS, typename VIEW>
struct Kept {
    static constexpr int VECTOR = Element<T>::VECTOR;
    static constexpr int COUNT = STEPS * VECTOR;
    using Moves = Mover<ACCESS, TEAM, T, VECTOR, VIEW>;
    static constexpr int UNIT = Moves::UNIT;

    uint4* const planes;
    const Moves mover;
    const int columns;
    const int vectors;
    const int plane;

    __device__ __forceinline__ Kept(uint4* memory, const VIEW& view, long long count)
        : planes(memory), mover{view}, columns(static_cast<int>(count)),
          vectors((columns + VECTOR - 1) / VECTOR), plane((vectors + 31) & ~31) {}

    // Keeps the row, and shows each vector of the thread to `see`.
    template <typename SEE>
    __device__ __forceinline__ void load(const T* from, SEE see) const {
#pragma unroll(VIEW::REDUCED_AXES > 2 ? 1 : UNIT < VECTOR || Moves::HANDS_OVER ? 2 : 4)
        for (int vector = TEAM::rank(); vector < end_of_moves(); vector += TEAM::SIZE) {
            T own[VECTOR];
#pragma unroll
            for (int at = 0; at < VECTOR; at += UNIT) {
                T element[UNIT];
                mover.template fetch<0>(element, from, vector * VECTOR + at, columns);
                mover.settle(element, planes + vector - threadIdx.x % 32);
#pragma unroll
                for (int i = 0; i < UNIT; i++) own[at + i] = element[i];
            }
            if constexpr (!Moves::HANDS_OVER) planes[vector] = as_uint4(packed(own).words);
            see(own);
        }
    }

    // Gives what has taken the place of the elements to memory.
    __device__ __forceinline__ void store(T* to) const {
#pragma unroll(UNIT < VECTOR || Moves::HANDS_OVER ? 1 : 2)
        for (int vector = TEAM::rank(); vector < end_of_moves(); vector += TEAM::SIZE) {
            const Pack<T, VECTOR> whole = {kept_words(planes[vector])};
#pragma unroll
            for (int at = 0; at < VECTOR; at += UNIT) {
                T result[UNIT];
#pragma unroll
                for (int i = 0; i < UNIT; i++) result[i] = whole.get(at + i);
                mover.template put<1>(result, to, vector * VECTOR + at, columns, planes + vector - threadIdx.x % 32);
            }
        }
    }

    // The elements of STEPS vectors of the thread; those of vectors that are not there are -inf.
    __device__ __forceinline__ void get(T (&element)[COUNT], int vector) const {
#pragma unroll
        for (int step = 0; step < STEPS; step++) {
            Pack<T, VECTOR> whole = {};
#pragma unroll
            for (int i = 0; i < VECTOR; i++) whole.set(i, Element<T>::negative_infinity());
            if (is_there(vector, step)) whole = {kept_words(planes[vector + step * TEAM::SIZE])};
#pragma unroll
            for (int i = 0; i < VECTOR; i++) element[step * VECTOR + i] = whole.get(i);
        }
    }
    __device__ __forceinline__ void put(const T (&result)[COUNT], int vector) const {
#pragma unroll
        for (int step = 0; step < STEPS; step++) {
            Pack<T, VECTOR> whole = {};
#pragma unroll
            for (int i = 0; i < VECTOR; i++) whole.set(i, result[step * VECTOR + i]);
            if (is_there(vector, step)) planes[vector + step * TEAM::SIZE] = as_uint4(whole.words);
        }
    }

    // Their terms, in planes from number FIRST on.
    template <int FIRST, typename TERM>
    __device__ __forceinline__ void get_terms(TERM (&term)[COUNT], int vector) const {
        constexpr int EACH = TermsInPlane<TERM>::COUNT;
#pragma unroll
        for (int at = 0; at < COUNT; at += EACH) {
            TermsInPlane<TERM> some = {};
            if (is_there(vector, at / VECTOR)) some = terms_at<TERM>(FIRST + at % VECTOR / EACH, vector, at / VECTOR);
#pragma unroll
            for (int i = 0; i < EACH; i++) term[at + i] = some.term[i];
        }
    }
    template <int FIRST, typename TERM>
    __device__ __forceinline__ void put_terms(const TERM (&term)[COUNT], int vector) const {
        constexpr int EACH = TermsInPlane<TERM>::COUNT;
#pragma unroll
        for (int at = 0; at < COUNT; at += EACH) {
            TermsInPlane<TERM> some;
#pragma unroll
            for (int i = 0; i < EACH; i++) some.term[i] = term[at + i];
            if (is_there(vector, at / VECTOR)) terms_at<TERM>(FIRST + at % VECTOR / EACH, vector, at / VECTOR) = some;
        }
    }

  private:
    __device__ __forceinline__ bool is_there(int vector, int step) const {
        return step == 0 || vector + step * TEAM::SIZE < vectors;
    }
    template <typename TERM>
    __device__ __forceinline__ TermsInPlane<TERM>& terms_at(int of, int vector, int step) const {
        return reinterpret_cast<TermsInPlane<TERM>*>(planes)[of * plane + vector + step * TEAM::SIZE];
    }
    // Lanes that hand over go on as long as the first of their warp has elements.
    __device__ __forceinline__ int end_of_moves() const { return Moves::HANDS_OVER ? plane : vectors; }
};

// Keeps a row, works it out and stores it, if none of it is in doubt.
template <typename OPERATION, typename TEAM, bool KEEPS_TERMS, typename ACCESS, typename VIEW>
__device__ __forceinline__ void kept(const OPERATION operation, const typename OPERATION::Type* x, const VIEW& view,
                                     long long row, uint4* planes) {
    using T = typename OPERATION::Type;
    using Arithmetic = typename OPERATION::Arithmetic;
    using Compare = typename Element<T>::Compare;
    // Two words a term, or places through many axes, crowd the registers.
    constexpr int STEPS = KEEPS_TERMS ? 8 / Element<T>::VECTOR : 1;
    using Row = Kept<T, TEAM, STEPS, ACCESS, VIEW>;
    constexpr int COUNT = Row::COUNT;
    constexpr int ROUND = STEPS * TEAM::SIZE;
    const Row of_block{planes, view, view.columns};

    // Load, keep, and find the maximum.
    Arithmetic::template prepare<TEAM>();
    Compare largest = Element<Compare>::negative_infinity();
    of_block.load(x + view.template row<0>(row), [&](const T(&own)[Row::VECTOR]) {
#pragma unroll
        for (int i = 0; i < Row::VECTOR; i++) largest = maximum(largest, Compare(Element<T>::load(own[i])));
    });
    State<Arithmetic> state;
    state.m = widen(TEAM::template reduce<Maximum>(largest));
    Arithmetic::template prepared<TEAM>();
    const auto anchor = Arithmetic::anchor(state.m);

    // The sum.
    state.l = Arithmetic::nothing(anchor);
    unsigned count = 0;
#pragma unroll 1
    for (int vector = TEAM::rank(); vector < of_block.vectors; vector += ROUND) {
        T element[COUNT];
        typename Arithmetic::Term term[COUNT];
        of_block.get(element, vector);
#pragma unroll
        for (int i = 0; i < COUNT; i++) term[i] = counted<Arithmetic>(Element<T>::load(element[i]), anchor, count);
        Arithmetic::push(state.l, term);
        if constexpr (KEEPS_TERMS) of_block.template put_terms<0>(term, vector);
    }
    state.l = Arithmetic::template joined<TEAM>(state.l, anchor);
    state.count = Arithmetic::COUNTS ? TEAM::template reduce<Sum>(count) : 0;

    // Results take the place of the elements, and leave it if none is in doubt.
    const auto of_row = operation.row(state, view.columns);
    Doubt doubt;
#pragma unroll 1
    for (int vector = TEAM::rank(); vector < of_block.vectors; vector += ROUND) {
        T result[COUNT];
        if constexpr (KEEPS_TERMS || Arithmetic::TOGETHER) {
            typename Arithmetic::Term term[COUNT];
            if constexpr (KEEPS_TERMS) {
                of_block.template get_terms<0>(term, vector);
            } else {
                of_block.get(result, vector);
#pragma unroll
                for (int i = 0; i < COUNT; i++) term[i] = Arithmetic::term(Element<T>::load(result[i]), anchor);
            }
            if constexpr (Arithmetic::TOGETHER) {
                operation.of_terms(result, term, of_row, doubt);
            } else {
#pragma unroll
                for (int i = 0; i < COUNT; i++) result[i] = operation.of_term(term[i], of_row, doubt);
            }
        } else {
            of_block.get(result, vector);
#pragma unroll
            for (int i = 0; i < COUNT; i++) result[i] = operation.of_value(Element<T>::load(result[i]), of_row, doubt);
        }
        of_block.put(result, vector);
    }
    const bool open = TEAM::any(Arithmetic::template any<T>(doubt) || operation.options & ALL_OPEN) && of_row.ordinary;
    if (TEAM::rank() == 0) operation.open[row] = open;
    if (!open) of_block.store(operation.out + view.template row<1>(row));  // all threads do, or none
}
