// The state of a row, or of any part of it: running maximum and running sum.
//
//   m       maximum of the elements seen, in float64; NaN once a NaN was seen
//   l       sum of exp(x - m) over them, in two words (lifted as the arithmetic says)
//   count   where the arithmetic COUNTS: how many elements are m, and l is the sum over the others; else 0
//
// Identity: (-inf, 0, 0). One merge joins any two states; a team joins many at once (teams.cuh). It gives the same
// bits in either order. Where m is NaN or +inf no sum exists, l holds anything, and whoever finishes a row looks at m.
#pragma once
#include "numerics/float64.cuh"

template <typename ARITHMETIC>
struct State {
    double m;
    typename ARITHMETIC::Total l;
    double count;
};

template <typename ARITHMETIC>
__device__ __forceinline__ State<ARITHMETIC> identity() {
    return {negative_infinity(), {0.0, 0.0}, 0.0};
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

// The term of an element as a sum takes it; where maxima are counted, theirs is 0.
template <typename ARITHMETIC, typename VALUE>
__device__ __forceinline__ typename ARITHMETIC::Term but_maxima(typename ARITHMETIC::Term term, VALUE x,
                                                                typename ARITHMETIC::Anchor anchor, unsigned& count) {
    if constexpr (ARITHMETIC::COUNTS) {
        const bool is_maximum = x == anchor;
        count += is_maximum;
        return is_maximum ? typename ARITHMETIC::Term{} : term;
    } else {
        return term;
    }
}
template <typename ARITHMETIC, typename COMPARE>
__device__ __forceinline__ typename ARITHMETIC::Term counted(COMPARE x, typename ARITHMETIC::Anchor anchor,
                                                             unsigned& count) {
    const auto value = ARITHMETIC::element(x);
    return but_maxima<ARITHMETIC>(ARITHMETIC::term(value, anchor), value, anchor, count);
}

// The sum seen from another anchor, from which all elements are below.
template <typename ARITHMETIC>
__device__ __forceinline__ Two moved(const State<ARITHMETIC>& state, double anchor) {
    if (state.m == negative_infinity()) return {0.0, 0.0};
    Two sum = state.l;
    if constexpr (ARITHMETIC::COUNTS) sum = add({__dmul_rn(state.count, ARITHMETIC::ONE), 0.0}, sum);
    return ARITHMETIC::rescaled(sum, state.m, anchor);
}

template <typename ARITHMETIC>
__device__ __forceinline__ State<ARITHMETIC> merge(State<ARITHMETIC> a, State<ARITHMETIC> b) {
    const bool a_leads = a.m >= b.m;
    const State<ARITHMETIC> upper = a_leads ? a : b;
    const State<ARITHMETIC> lower = a_leads ? b : a;
    // + 0.0 turns -0.0 into 0.0: maxima that compare equal then have equal bits.
    const double m = __dadd_rn(maximum(a.m, b.m), 0.0);
    if constexpr (ARITHMETIC::COUNTS) {
        const bool equal = upper.m == lower.m;
        const Two sum = equal ? lower.l : moved(lower, anchor_of(upper.m));
        return {m, add(upper.l, sum), __dadd_rn(upper.count, equal ? lower.count : 0.0)};
    }
    return {m, add(upper.l, moved(lower, anchor_of(upper.m))), 0.0};
}

// Folds COUNT elements in: first their maximum, and the sum moves to it if it is larger; then their terms.
template <typename ARITHMETIC, typename COMPARE, int COUNT>
__device__ __forceinline__ void push(State<ARITHMETIC>& state, const COMPARE (&x)[COUNT]) {
    COMPARE largest = x[0];
#pragma unroll
    for (int i = 1; i < COUNT; i++) largest = maximum(largest, x[i]);
    const double m = maximum(state.m, widen(largest));
    const double anchor = anchor_of(m);
    if (m != state.m) state = {m, moved(state, anchor), 0.0};
    unsigned count = 0;
    typename ARITHMETIC::Term term[COUNT];
#pragma unroll
    for (int i = 0; i < COUNT; i++) term[i] = counted<ARITHMETIC>(x[i], anchor, count);
    ARITHMETIC::push(state.l, term);
    if constexpr (ARITHMETIC::COUNTS) state.count = __dadd_rn(state.count, count);
}
