// exp and log in two words to 2^-66: a sum of such terms may cancel to a thousandth, or be near 1, and its logarithm is
// still good to the last bit of float64. For a tenth more a better first tier spares most second ones.
//
//   d = (64 e + j) ln 2 / 64 + r with |r| <= ln 2 / 128,    exp(d) = 2^e T_j exp(r)
//
// T_j = 2^(j / 64) comes from a table of two words; the series of exp(r) - 1 - r is below 2^-16, so one word holds it.
#pragma once
#include "logarithm.cuh"
#include "powers.cuh"

// exp(d) = result * 2^exponent with 1 <= result < 2, or a little beside; |d| < 2^19. The error is below 2^-66 of it
// (measured: 2^-67.1); below 2^-51 of d^2 for small d: exp(d) - 1 keeps its bits.
__device__ __forceinline__ Two exp_precise(Two d, int& exponent) {
    const double shifted = __fma_rn(d.hi, STEPS, ROUND_TO_INTEGER);
    const double n = __dsub_rn(shifted, ROUND_TO_INTEGER);
    const int steps = __double2loint(shifted);
    const Two rest = two_sum(__fma_rn(n, -STEP_0, d.hi), __dmul_rn(n, -STEP_1));
    const Two r = fast_two_sum(rest.hi, __dadd_rn(rest.lo, __fma_rn(n, -STEP_2, d.lo)));
    double series = 1.0 / 5040;
    series = __fma_rn(series, r.hi, 1.0 / 720);
    series = __fma_rn(series, r.hi, 1.0 / 120);
    series = __fma_rn(series, r.hi, 1.0 / 24);
    series = __fma_rn(series, r.hi, 1.0 / 6);
    series = __fma_rn(series, r.hi, 0.5);
    const double tail = __fma_rn(__dmul_rn(r.hi, r.hi), series, __fma_rn(r.hi, r.lo, r.lo));
    const TableEntry power = POWERS[steps & 63];
    const Two product = two_product(power.hi, r.hi);
    const Two sum = fast_two_sum(power.hi, product.hi);
    const double small = __fma_rn(power.hi, tail, __fma_rn(power.lo, r.hi, power.lo));
    exponent = steps >> 6;
    return fast_two_sum(sum.hi, __dadd_rn(sum.lo, __dadd_rn(product.lo, small)));
}

// log(f) for sqrt(1/2) <= f < sqrt(2), f normalised: to 2^-66, and to 2^-57 of itself near 1. The logarithm in a word and
// a half is y; one step of Newton's adds f exp(-y) - 1, which near 1 is nothing.
__device__ __forceinline__ Two log_precise(Two f) {
    const Two y = log_two(f, 0);
    int exponent;
    const Two inverse = exp_precise({-y.hi, -y.lo}, exponent);
    const Two product = scale(multiply(f, inverse), exponent < 0 ? 0.5 : 1.0);
    const double step = __dadd_rn(__dsub_rn(product.hi, 1.0), product.lo);
    return fast_two_sum(y.hi, __dadd_rn(y.lo, fabs(y.hi) < 0x1p-8 ? 0.0 : step));
}
