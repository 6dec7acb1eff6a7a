// softmax of a row that a block keeps in shared memory (kept.cuh), out of float32 alone, as staged32.cuh has it: it gives the
// results of the first tier where the rounding of none is in doubt. Else it writes nothing, and says so.
//
// Terms that are kept are two words each for float32. For 16-bit types they are one word, rounded down, which decides nearly
// always; x is kept beside them, for the few elements that two words have to decide.
#pragma once
#include "kept.cuh"
#include "numerics/float32_totals.cuh"
#include "staged32.cuh"

// Terms as they wait, and the results of so many that two words, or one, make of them.
template <typename T>
struct KeptTerms {
    using Term = float;
    static constexpr int FIRST = 1;
    static constexpr int VECTOR = Element<T>::VECTOR;
    // Of pairs of bfloat16: 2^-125. One word does not tell how smaller numbers are rounded.
    static constexpr unsigned NORMAL = 0x0100u;

    __device__ static __forceinline__ Term of(Floats term) { return __fadd_rd(term.hi, term.lo); }
    template <typename TABLE>
    __device__ static __forceinline__ Term of(T x, Anchor anchor, const TABLE& table) {
        return exp_word(Element<T>::load(x), anchor, table);
    }

    // KEPT: terms from of(Floats), not from x. `other` gives the two words of a term, whose quotient misses `fine` at most.
    template <bool KEPT, typename OTHER>
    __device__ static __forceinline__ void results(T (&result)[VECTOR], const Term (&term)[VECTOR], Floats inverse,
                                                   float fine, bool& doubt, OTHER other) {
        const typename Single<T>::OneWord by(inverse, FINE_OF_TOTALS, KEPT ? Single<T>::WIDTH : Single<T>::WIDTH_OF_WORD);
        unsigned different[VECTOR / 2];
        unsigned any = 0;
        unsigned least = ~0u >> 1;
#pragma unroll
        for (int i = 0; i < VECTOR; i += 2) {
            const float below[2] = {__fmul_rd(term[i], by.least), __fmul_rd(term[i + 1], by.least)};
            unsigned pair;
            any |= different[i / 2] = Single<T>::rounded_pair(result + i, below, term + i, by.step, pair);
            if (IS_BFLOAT16<T>) least = i == 0 ? pair : extreme_pair<T, false>(least, pair);
        }
        if (IS_BFLOAT16<T>) any |= (least & 0xffffu) < NORMAL || least >> 16 < NORMAL;
        if (rarely(any != 0)) {
#pragma unroll 1
            for (int i = 0; i < VECTOR; i++) {
                unsigned of_pair = different[0];
                unsigned rounded = result[0].bits;
#pragma unroll
                for (int j = 1; j < VECTOR; j++) {
                    of_pair = i == j ? different[j / 2] >> 16 * (j % 2) : of_pair;
                    rounded = i == j ? result[j].bits : rounded;
                }
                if ((of_pair & 0xffffu) == 0 && !(IS_BFLOAT16<T> && rounded <= NORMAL)) continue;
                const T looked_again = rounded_short<T>(quotient_of(other(i), inverse), fine, doubt);
#pragma unroll
                for (int j = 0; j < VECTOR; j++) result[j] = i == j ? looked_again : result[j];
            }
        }
    }
};

template <>
struct KeptTerms<float> {
    using Term = Floats;
    static constexpr int FIRST = 0;

    __device__ static __forceinline__ Term of(Floats term) { return term; }
    template <typename TABLE>
    __device__ static __forceinline__ Term of(float x, Anchor anchor, const TABLE& table) {
        return exp_floats(x, anchor, table);
    }

    template <bool, int COUNT, typename OTHER>
    __device__ static __forceinline__ void results(float (&result)[COUNT], const Term (&term)[COUNT], Floats inverse,
                                                   float, bool& doubt, OTHER) {
#pragma unroll
        for (int i = 0; i < COUNT; i += Single<float>::GROUP)
            Single<float>::quotients(result + i, term + i, inverse, false, doubt);
    }
};

// Keeps elements; gives the largest of the thread's.
template <typename T, typename ROW>
__device__ __forceinline__ float kept_largest(const ROW& of_block, const T* from) {
    float largest = Element<float>::negative_infinity();
    of_block.load(from, [&](const T(&own)[ROW::VECTOR]) {
        largest = maximum(largest, Single<T>::template largest<ROW::VECTOR>(own));
    });
    return largest;
}

template <typename OPERATION, typename TEAM, bool KEEPS_TERMS, typename ACCESS, typename VIEW>
__device__ __forceinline__ bool kept_floats(const OPERATION operation, const typename OPERATION::Type* x,
                                            const VIEW& view, long long row, uint4* planes) {
    using T = typename OPERATION::Type;
    using Terms = KeptTerms<T>;
    using Term = typename Terms::Term;
    constexpr int STEPS = TOTALS_STEP / Element<T>::VECTOR;
    constexpr int COUNT = TOTALS_STEP;
    constexpr int ROUND = STEPS * TEAM::SIZE;
    using Row = Kept<T, TEAM, STEPS, ACCESS, VIEW>;
    const Row of_block{planes, view, view.columns};

    // Load, keep, and find the maximum.
    load_table<TEAM>(POWERS_OF_TWO);
    const float largest = kept_largest(of_block, x + view.template row<0>(row));
    const float m = Joined<TEAM>::largest(largest);  // and the table is complete
    const bool ordinary = fabsf(m) < __uint_as_float(0x7f800000u);
    const Anchor anchor = anchor_for(m, Single<T>::REACH);
    const PowerOfTwo* const powers = reinterpret_cast<const PowerOfTwo*>(table_room());

    // The sum.
    Totals<T> totals(largest, anchor);
#pragma unroll 1
    for (int vector = TEAM::rank(); vector < of_block.vectors; vector += ROUND) {
        T element[COUNT];
        Floats term[COUNT];
        of_block.get(element, vector);
#pragma unroll
        for (int i = 0; i < COUNT; i++) term[i] = Single<T>::term(Element<T>::load(element[i]), anchor, powers);
        totals.add(term);
        if constexpr (KEEPS_TERMS) {
            Term kept[COUNT];
#pragma unroll
            for (int i = 0; i < COUNT; i++) kept[i] = Terms::of(term[i]);
            of_block.template put_terms<Terms::FIRST>(kept, vector);
        }
    }
    const Floats inverse = totals.template inverse<Joined<TEAM>>(TEAM::SIZE);

    // Results take the place of the elements.
    bool doubt = !ordinary;
#pragma unroll 1
    for (int vector = TEAM::rank(); vector < of_block.vectors; vector += ROUND) {
        T result[COUNT];
        Term term[COUNT];
        const T* const elements = reinterpret_cast<const T*>(planes + vector);
        if constexpr (KEEPS_TERMS) {
            of_block.template get_terms<Terms::FIRST>(term, vector);
        } else {
            of_block.get(result, vector);
#pragma unroll
            for (int i = 0; i < COUNT; i++) term[i] = Terms::of(result[i], anchor, powers);
        }
        Terms::template results<KEEPS_TERMS>(result, term, inverse, FINE_OF_TOTALS, doubt, [&](int i) {
            return Single<T>::term(Element<T>::load(elements[i]), anchor, powers);
        });
        of_block.put(result, vector);
    }
    if (Joined<TEAM>::any(doubt || operation.options & ALL_OPEN)) return false;
    if (TEAM::rank() == 0) operation.open[row] = false;
    of_block.store(operation.out + view.template row<1>(row));
    return true;
}
