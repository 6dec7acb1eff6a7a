// The state of a weighted row, or of any part of it: sum of b exp(x), whatever the sizes and signs of b and x.
//
//   level    the highest power of two among the terms
//   sum      sum of the terms times 2^(SUM_LIFT - level), in two words
//   error    2^66 times a bound of the error of that sum
//   beyond   sum of the terms that are infinite or NaN, 0 if there are none
//
// A state moves to a higher level by a power of two, without error: so terms do not depend on what came before them, and
// no order of reading or merging costs bits. Identity: no level, and zeros. The merge gives the same bits in either order.
#pragma once
#include "numerics/weight.cuh"

struct SignedState {
    Level level;
    Two sum;
    double error;
    double beyond;
};

// The terms at the level are near 2^512. Those 1500 powers of two below it are still normal numbers; of lower ones only
// what they may weigh is kept, in the error.
constexpr int SUM_LIFT = 512;
constexpr int LOWEST_TERM = -1500;
// Two words of float64 err by 2^-51 of the second, in units of 2^-66 of the first: of three roundings of 2^-53 two are of
// that word, and the third of what it was before and is now.
constexpr double SECOND_WORD = 0x1p+15;
// More than a few times the smallest float64, 2^-1074, in those units.
constexpr double SUBNORMAL_SHARE = 0x1p-990;
// More than a term below LOWEST_TERM, 2^(SUM_LIFT + LOWEST_TERM + 2), in those units.
constexpr double LOWER_TERM = 0x1p-919;
// What is at least so large, and moves by no more, keeps all its bits.
constexpr double MOVES_WHOLE = 0x1p-500;
constexpr int SHORT_MOVE = -400;

__device__ __forceinline__ SignedState nothing_signed() { return {lowest_level(), {0.0, 0.0}, 0.0, 0.0}; }

// The state seen from a level that is `steps` higher. An error that is 0 stays so only where nothing was lost.
__device__ __forceinline__ SignedState moved(const SignedState& state, int steps) {
    const int by = max(-steps, -2000);
    const bool one_word = state.sum.lo == 0.0 && (state.sum.hi == 0.0 || fabs(state.sum.hi) >= MOVES_WHOLE);
    const bool whole = one_word && state.error == 0.0 && (state.sum.hi == 0.0 || by >= SHORT_MOVE);
    const double error = scale_down(Two{state.error, 0.0}, by).hi;
    return {state.level, scale_down(state.sum, by), __dadd_rn(error, whole ? 0.0 : SUBNORMAL_SHARE), state.beyond};
}

// Adds b exp(x).
template <typename T>
__device__ __forceinline__ void push(SignedState& state, double x, double b) {
    const bool ordinary = finite(b) && x < positive_infinity();
    if (!ordinary && b != 0.0) {
        // exp of an infinite or NaN value; that of a finite one only lends its sign.
        const double factor = x == negative_infinity() ? 0.0 : finite(x) ? 1.0 : x;
        state.beyond = __dadd_rn(state.beyond, __dmul_rn(b, factor));
    }
    const bool counts = ordinary && b != 0.0 && x > negative_infinity();
    const Weight weight = weight_of<T>(counts ? b : 0.0);
    const double value = counts ? x : 0.0;
    Level level;
    const Two factor = exp_two<FAR<T>>(value, level);
    level.near += weight.power;
    if (!counts) level = lowest_level();
    int up = height(level, state.level);
    if (up > 0) {
        state = moved(state, up);
        state.level = level;
        up = 0;
    }
    const double power = up < LOWEST_TERM ? 0.0 : power_of_two(max(up, LOWEST_TERM) + SUM_LIFT);
    const Two product = two_product(factor.hi, weight.factor);
    const Two term = scale({product.hi, __fma_rn(factor.lo, weight.factor, product.lo)}, power);
    const Two sum = two_sum(state.sum.hi, term.hi);
    state.sum = {sum.hi, __dadd_rn(state.sum.lo, __dadd_rn(sum.lo, term.lo))};
    // exp errs by 2^-66, and by less for small x, though where x is subnormal, by a last bit of it; not at all at 0.
    const double small = __dmul_rn(value, 0x1p+8);
    const double share = value == 0.0 ? 0.0 : fmax(fmin(__dmul_rn(small, small), 1.0), SUBNORMAL_SHARE);
    const double second = __dadd_rn(fabs(term.lo), fabs(state.sum.lo));
    const double lower = counts && up < LOWEST_TERM ? LOWER_TERM : 0.0;
    state.error = __fma_rn(SECOND_WORD, second, __fma_rn(fabs(term.hi), share, __dadd_rn(state.error, lower)));
}

template <typename V>
__device__ __forceinline__ void swap(V& a, V& b) {
    const V kept = a;
    a = b;
    b = kept;
}

__device__ __forceinline__ SignedState merge(SignedState upper, SignedState lower) {
    const int up = height(upper.level, lower.level);
    if (up < 0) swap(upper, lower);
    lower = moved(lower, abs(up));
    const Two sum = two_sum(upper.sum.hi, lower.sum.hi);
    const double low = __dadd_rn(sum.lo, __dadd_rn(upper.sum.lo, lower.sum.lo));
    const double error = __fma_rn(SECOND_WORD, fabs(low), __dadd_rn(upper.error, lower.error));
    return {upper.level, two_sum(sum.hi, low), error, __dadd_rn(upper.beyond, lower.beyond)};
}
