// The state of a complex row, or of any part of it: sum of b exp(x), whatever the sizes of b and x.
//
//   level    the highest power of two among the terms
//   sum      sum of the terms times 2^(SUM_LIFT - level), in expansions of two words: about 100 bits
//   size     sums of the sizes of what was added to the two parts, lifted as they are
//   beyond   sum of the terms that are infinite or NaN, 0 if there are none
//
// As in signed_state.cuh a state moves to a higher level without error. Sums of complex terms cancel more often than not:
// 100 bits leave a result where two words would leave none.
#pragma once
#include "numerics/complex.cuh"
#include "signed_state.cuh"

constexpr int STATE_WORDS = 2;

struct Number {
    double re;
    double im;
};

struct ComplexState {
    Level level;
    Complex<STATE_WORDS> sum;
    Number size;
    Number beyond;
};

__device__ __forceinline__ ComplexState nothing_complex() { return {lowest_level(), {}, {0.0, 0.0}, {0.0, 0.0}}; }

__device__ __forceinline__ bool finite(Number a) { return finite(a.re) && finite(a.im); }
__device__ __forceinline__ bool is_zero(Number a) { return a.re == 0.0 && a.im == 0.0; }

__device__ __forceinline__ Number sum_of(Number a, Number b) { return {__dadd_rn(a.re, b.re), __dadd_rn(a.im, b.im)}; }
__device__ __forceinline__ Number product_of(Number a, Number b) {
    return {__dsub_rn(__dmul_rn(a.re, b.re), __dmul_rn(a.im, b.im)),
            __dadd_rn(__dmul_rn(a.re, b.im), __dmul_rn(a.im, b.re))};
}

template <int WORDS>
__device__ __forceinline__ Expansion<WORDS> scale_down(const Expansion<WORDS>& a, int k) {
    const int half = k / 2;
    return scale(scale(a, power_of_two(half)), power_of_two(k - half));
}

// The state seen from a level that is `steps` higher.
__device__ __forceinline__ ComplexState moved(const ComplexState& state, int steps) {
    const int by = max(-steps, -2000);
    const Two size = scale_down(Two{state.size.re, state.size.im}, by);
    return {state.level, {scale_down(state.sum.re, by), scale_down(state.sum.im, by)}, {size.hi, size.lo}, state.beyond};
}

// exp of a number that is infinite or NaN, as C has it (C17, annex G); of a finite one the direction, which is `towards`.
__device__ __forceinline__ Number exp_beyond(Number x, Number towards) {
    const double size = finite(x.re) ? 1.0 : x.re == negative_infinity() ? 0.0 : x.re;
    if (x.im == 0.0) return {size, x.im};
    if (!finite(x.im)) {
        if (x.re == negative_infinity()) return {0.0, 0.0};
        return {x.re == positive_infinity() ? x.re : not_a_number(), not_a_number()};
    }
    return {__dmul_rn(size, towards.re), __dmul_rn(size, towards.im)};
}

// A complex weight as two numbers below 2 and one power.
struct ComplexWeight {
    Number factor;
    int power;
};

template <typename T>
__device__ __forceinline__ ComplexWeight weight_of(Number b) {
    const Weight re = weight_of<T>(b.re);
    const Weight im = weight_of<T>(b.im);
    const int power = re.factor == 0.0 ? im.power : im.factor == 0.0 ? re.power : max(re.power, im.power);
    const auto beside = [&](Weight weight) {
        return weight.factor == 0.0 ? 0.0 : scale_down(Two{weight.factor, 0.0}, max(weight.power - power, -2000)).hi;
    };
    return {{beside(re), beside(im)}, power};
}

// Adds b exp(x), or exp(x) if not WEIGHTED.
template <typename T, bool WEIGHTED>
__device__ __forceinline__ void push(ComplexState& state, Number x, Number b) {
    if (WEIGHTED && is_zero(b)) return;
    const bool nothing = x.re == negative_infinity();
    const bool ordinary = (nothing || finite(x)) && finite(b);
    if (ordinary && nothing) return;
    Level level;
    Complex<STATE_WORDS> term = exp_words<STATE_WORDS>(ordinary ? x.re : 0.0, finite(x.im) ? x.im : 0.0, level);
    if (!ordinary) {
        const Number bare = exp_beyond(x, {term.re.w[0], term.im.w[0]});
        // 0 * inf is no matter without weights.
        state.beyond = sum_of(state.beyond, WEIGHTED ? product_of(b, bare) : bare);
        return;
    }
    const ComplexWeight weight = weight_of<T>(b);
    level.near += weight.power;
    int up = height(level, state.level);
    if (up > 0) {
        state = moved(state, up);
        state.level = level;
        up = 0;
    }
    if (up < LOWEST_TERM) return;
    const double power = power_of_two(up + SUM_LIFT);
    const Number factor = {__dmul_rn(weight.factor.re, power), __dmul_rn(weight.factor.im, power)};
    const Number whole = {fabs(term.re.w[0]), fabs(term.im.w[0])};
    const Number weights = {fabs(factor.re), fabs(factor.im)};
    state.size.re = __fma_rn(whole.re, weights.re, __fma_rn(whole.im, weights.im, state.size.re));
    state.size.im = __fma_rn(whole.re, weights.im, __fma_rn(whole.im, weights.re, state.size.im));
    if constexpr (WEIGHTED) {
        term = {add(multiply(term.re, factor.re), multiply(term.im, -factor.im)),
                add(multiply(term.re, factor.im), multiply(term.im, factor.re))};
    } else {
        term = {scale(term.re, factor.re), scale(term.im, factor.re)};
    }
    state.sum = add(state.sum, term);
}

__device__ __forceinline__ ComplexState merge(ComplexState upper, ComplexState lower) {
    const int up = height(upper.level, lower.level);
    if (up < 0) swap(upper, lower);
    lower = moved(lower, abs(up));
    return {upper.level, add(upper.sum, lower.sum), sum_of(upper.size, lower.size), sum_of(upper.beyond, lower.beyond)};
}
