// The state of a row, or of any part of it: running maximum and running sum.
//
//   m   maximum of the elements seen, in float64; NaN once a NaN was seen
//   l   sum of exp(x - m) over them, in two words (lifted as the arithmetic says)
//
// Identity: (-inf, 0). One merge joins any two states; lanes, warps, blocks and splits all use it. It gives the same
// bits in either order. Where m is NaN or +inf no sum exists, l holds anything, and whoever finishes a row looks at m.
#pragma once
#include "numerics/float64.cuh"

template <typename ARITHMETIC>
struct State {
    double m;
    Two l;
};

template <typename ARITHMETIC>
__device__ __forceinline__ State<ARITHMETIC> identity() {
    return {negative_infinity(), {0.0, 0.0}};
}

// The larger of two numbers; NaN if either is.
__device__ __forceinline__ double maximum(double a, double b) { return (a >= b || a != a) ? a : b; }

__device__ __forceinline__ float maximum(float a, float b) {
#if __CUDA_ARCH__ >= 800
    float result;
    asm("max.NaN.f32 %0, %1, %2;" : "=f"(result) : "f"(a), "f"(b));
    return result;
#else
    return (a >= b || a != a) ? a : b;
#endif
}

// What is subtracted from the elements: m, but 0 where all are -inf, so that -inf - -inf is never computed.
__device__ __forceinline__ double anchor_of(double m) { return m == negative_infinity() ? 0.0 : m; }

template <typename ARITHMETIC>
__device__ __forceinline__ State<ARITHMETIC> merge(State<ARITHMETIC> a, State<ARITHMETIC> b) {
    const bool a_leads = a.m >= b.m;
    const State<ARITHMETIC> upper = a_leads ? a : b;
    const State<ARITHMETIC> lower = a_leads ? b : a;
    const Two moved = ARITHMETIC::rescaled(lower.l, ARITHMETIC::term(lower.m, anchor_of(upper.m)));
    // + 0.0 turns -0.0 into 0.0: maxima that compare equal then have equal bits.
    return {__dadd_rn(maximum(a.m, b.m), 0.0), add(upper.l, moved)};
}

// Folds COUNT elements in: first their maximum, and the sum moves to it if it is larger; then their terms.
// SHORT_SUM adds the terms in one word before they join the sum: enough where sums just above 1 do not matter.
template <typename ARITHMETIC, bool SHORT_SUM, typename COMPARE, int COUNT>
__device__ __forceinline__ void push(State<ARITHMETIC>& state, const COMPARE (&x)[COUNT]) {
    COMPARE largest = x[0];
#pragma unroll
    for (int i = 1; i < COUNT; i++) largest = maximum(largest, x[i]);
    const double m = maximum(state.m, widen(largest));
    const double anchor = anchor_of(m);
    if (m != state.m) {
        state.l = ARITHMETIC::rescaled(state.l, ARITHMETIC::term(state.m, anchor));
        state.m = m;
    }
    double short_sum = 0.0;
#pragma unroll
    for (int i = 0; i < COUNT; i++) {
        const Two term = ARITHMETIC::term(widen(x[i]), anchor);
        if constexpr (SHORT_SUM) short_sum = __dadd_rn(short_sum, term.hi);
        else ARITHMETIC::push(state.l, term);
    }
    if constexpr (SHORT_SUM) accumulate(state.l, short_sum);
}
