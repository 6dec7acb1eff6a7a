// softmax of a row of 16-bit elements in parts, out of float32: each part waits in shared memory until its maximum is known,
// as in kept32.cuh, and is summed there in terms of two words, so that a result in doubt is as rare as for shorter rows,
// whose second look costs less. States of parts are those of float64 (streamed.cuh), and are merged as these are.
#pragma once
#include "kept32.cuh"
#include "streamed.cuh"

// The state of the `count` elements from `from` on, on the first thread of the team.
template <typename OPERATION, typename TEAM, typename ACCESS, typename VIEW>
__device__ __forceinline__ State<typename OPERATION::Arithmetic> kept_state(const typename OPERATION::Type* from,
                                                                            const VIEW& view, long long count,
                                                                            uint4* planes) {
    using T = typename OPERATION::Type;
    using Arithmetic = typename OPERATION::Arithmetic;
    using Row = Kept<T, TEAM, 1, ACCESS, VIEW>;
    const Row of_block{planes, view, count};
    load_table<TEAM>(POWERS_OF_TWO);
    const float largest = kept_largest(of_block, from);
    const float m = Joined<TEAM>::largest(largest);
    const Anchor anchor = anchor_for(m, Single<float>::REACH);
    Totals<float> totals(largest, anchor);
#pragma unroll 1
    for (int vector = TEAM::rank(); vector < of_block.vectors; vector += TEAM::SIZE) {
        T element[TOTALS_STEP];
        Floats term[TOTALS_STEP];
        of_block.get(element, vector);
#pragma unroll
        for (int i = 0; i < TOTALS_STEP; i++)
            term[i] = exp_floats(Element<T>::load(element[i]), anchor, reinterpret_cast<const PowerOfTwo*>(table_room()));
        totals.add(term);
    }
    const Quanta sum = totals.template joined<Joined<TEAM>>();
    State<Arithmetic> state = identity<Arithmetic>();
    state.m = widen(m);
    if (TEAM::rank() == 0 && !no_anchor(state.m) && state.m > negative_infinity()) {
        // a and b need 54 bits.
        Two whole = two_sum(__dmul_rn(static_cast<double>(sum.a), 0x1p-15), __dmul_rn(static_cast<double>(sum.b), 0x1p-37));
        whole.lo = __fma_rn(static_cast<double>(sum.c), 0x1p-58, whole.lo);
        state.l = Arithmetic::rescaled(scale(whole, power_of(anchor, 1)), widen(anchor.shift), state.m);
    }
    return state;
}

// 1 / sum as inverse_of() gives it, from the state of a row. One warp works it out for the block, in float64.
template <typename TEAM, typename ARITHMETIC>
__device__ __forceinline__ Floats shared_inverse(State<ARITHMETIC> state, Anchor anchor) {
    __shared__ Floats inverse;
    if (threadIdx.x < 32) {
        const Two moved = ARITHMETIC::rescaled(state.l, state.m, widen(anchor.shift));
        // In units of 2^-49, as inverse_of_words wants it.
        const Two sum = scale(moved, __dmul_rn(power_of(anchor, -1), 0x1p+49));
        const float high = Element<float>::round(sum.hi);
        const float low = Element<float>::round(__dadd_rn(__dsub_rn(sum.hi, widen(high)), sum.lo));
        if (threadIdx.x == 0) inverse = inverse_of_words(high, low);
    }
    __syncthreads();
    return inverse;
}

// Finish a part of a row whose state is known, in one of the ways that `options` tells; rows without finite results as
// applied() does.
template <typename OPERATION, typename TEAM, typename ACCESS, typename VIEW>
__device__ __forceinline__ void applied_floats(const OPERATION operation,
                                               State<typename OPERATION::Arithmetic> state,
                                               const typename OPERATION::Type* x, const VIEW& view, long long row,
                                               long long begin, long long end) {
    using T = typename OPERATION::Type;
    using Terms = KeptTerms<T>;
    constexpr int VECTOR = Element<T>::VECTOR;
    const float m = static_cast<float>(state.m);
    const bool ordinary = fabsf(m) < __uint_as_float(0x7f800000u);
    if (rarely(!ordinary)) {
        applied<OPERATION, TEAM, VECTOR, ACCESS>(operation, state, x, view, row, begin, end);
        return;
    }
    load_table<TEAM>(POWERS_OF_TWO);
    const Anchor anchor = anchor_for(m, Single<T>::REACH);
    const Floats inverse = shared_inverse<TEAM>(state, anchor);  // and the table is complete
    const PowerOfTwo* const powers = reinterpret_cast<const PowerOfTwo*>(table_room());

    const Mover<ACCESS, TEAM, T, VECTOR, VIEW> mover{view};
    constexpr int UNIT = decltype(mover)::UNIT;
    const T* const from = x + view.template row<0>(row);
    T* const to = operation.out + view.template row<1>(row);
    if (operation.options & ONLY_WRITE && operation.open[row]) end = begin;
    const long long written = operation.options & ONLY_TEST ? begin : end;
    bool doubt = false;
#pragma unroll 1
    for (long long base = begin; base < end; base += TEAM::SIZE * VECTOR) {
        const long long column = base + owned_column<TEAM, VECTOR>(0);
        T element[VECTOR / UNIT][UNIT];
#pragma unroll
        for (int at = 0; at < VECTOR; at += UNIT) mover.template fetch<0>(element[at / UNIT], from, column + at, end);
#pragma unroll
        for (int at = 0; at < VECTOR; at += UNIT) mover.settle(element[at / UNIT]);
        const T* const own = &element[0][0];
        T result[VECTOR];
        float term[VECTOR];
#pragma unroll
        for (int i = 0; i < VECTOR; i++) term[i] = Terms::of(own[i], anchor, powers);
        Terms::template results<false>(result, term, inverse, ERROR_OF_QUOTIENT, doubt, [&](int i) {
            T chosen = own[0];
#pragma unroll
            for (int j = 1; j < VECTOR; j++) chosen = i == j ? own[j] : chosen;
            return exp_floats(Element<T>::load(chosen), anchor, powers);
        });
#pragma unroll
        for (int at = 0; at < VECTOR; at += UNIT) {
#pragma unroll
            for (int i = 0; i < UNIT; i++) element[0][i] = result[at + i];
            mover.template put<1>(element[0], to, column + at, written);
        }
    }
    const bool open = Joined<TEAM>::any(doubt || operation.options & ALL_OPEN);
    if (open && begin < end && TEAM::rank() == 0) atomicOr(operation.open + row, 1);
}
