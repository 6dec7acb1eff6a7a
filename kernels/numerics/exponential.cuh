// exp(d) for d <= 0, given as two words, out of IEEE operations and integers only.
//
//   d = k ln 2 + r with |r| <= ln 2 / 2,    exp(d) = 2^k (1 + r + r^2 P(r))
//
// narrow: one word out, relative error below 2^-52.7: for results of 32 bits and less.
// wide:   two words out, relative error below 2^-55: for float64. The caller passes a power of two, LIFT, that keeps
//         every term a normal number; ratios do not see it, and logarithms take it off again.
#pragma once
#include "words.cuh"

// log2(e), rounded to float64.
constexpr double LOG2_E = 0x1.71547652b82fep+0;
// ln 2 in two words: the first with 21 trailing zero bits, so that k times it is exact for |k| < 2^20; the second is the
// rest, rounded. Their sum misses ln 2 by less than 2^-86 (checked in 400-bit arithmetic).
constexpr double LN2_HI = 0x1.62e42feep-1;
constexpr double LN2_LO = 0x1.a39ef35793c76p-33;
// 1.5 * 2^52: adding it rounds to an integer and leaves that integer in the low bits.
constexpr double ROUND_TO_INTEGER = 0x1.8p+52;
// Below these d the term is taken as zero. Narrow: exp(-700) is a normal number, and 2^63 such terms are still nothing
// beside the smallest float32. Wide: 2^63 terms of exp(-800) round to nothing beside the smallest float64.
constexpr double NARROW_LOWEST = -700.0;
constexpr double WIDE_LOWEST = -800.0;

// (exp(r) - 1 - r) / r^2 interpolated at 10 Chebyshev nodes of [-ln 2 / 2, ln 2 / 2] in 400-bit ball arithmetic, then
// rounded: with it exp errs by less than 2^-55.7, relatively.
__device__ __forceinline__ double exp_tail_narrow(double r) {
    double p = 0x1.af38a9b0ec855p-26;
    p = __fma_rn(p, r, 0x1.289185613a3d6p-22);
    p = __fma_rn(p, r, 0x1.71de0dae63bb3p-19);
    p = __fma_rn(p, r, 0x1.a019b90d2ae7ap-16);
    p = __fma_rn(p, r, 0x1.a01a01a7c41d5p-13);
    p = __fma_rn(p, r, 0x1.6c16c1788bd90p-10);
    p = __fma_rn(p, r, 0x1.11111111109b3p-7);
    p = __fma_rn(p, r, 0x1.5555555553d63p-5);
    p = __fma_rn(p, r, 0x1.5555555555556p-3);
    return __fma_rn(p, r, 0x1.0000000000001p-1);
}

// The same at 12 nodes: 2^-60.5.
__device__ __forceinline__ double exp_tail_wide(double r) {
    double p = 0x1.61bfaa228dde5p-33;
    p = __fma_rn(p, r, 0x1.1f7f2776cfaf2p-29);
    p = __fma_rn(p, r, 0x1.ae642c82e33d5p-26);
    p = __fma_rn(p, r, 0x1.27e4d41966f2fp-22);
    p = __fma_rn(p, r, 0x1.71de3a5aa7bb7p-19);
    p = __fma_rn(p, r, 0x1.a01a01a9e991bp-16);
    p = __fma_rn(p, r, 0x1.a01a01a0196acp-13);
    p = __fma_rn(p, r, 0x1.6c16c16c15a68p-10);
    p = __fma_rn(p, r, 0x1.1111111111111p-7);
    p = __fma_rn(p, r, 0x1.5555555555557p-5);
    p = __fma_rn(p, r, 0x1.5555555555555p-3);
    return __fma_rn(p, r, 0.5);
}

// -inf gives 0. NaN gives some number: a row that holds a NaN is settled by its maximum.
__device__ __forceinline__ double exp_narrow(Two d) {
    const double shifted = __fma_rn(d.hi, LOG2_E, ROUND_TO_INTEGER);
    const double k = __dsub_rn(shifted, ROUND_TO_INTEGER);
    const double reduced = __fma_rn(k, -LN2_HI, d.hi);
    const double r = __dadd_rn(reduced, __fma_rn(k, -LN2_LO, d.lo));
    const double p = __fma_rn(__fma_rn(exp_tail_narrow(r), r, 1.0), r, 1.0);
    const double result = __longlong_as_double(__double_as_longlong(p) + (__double_as_longlong(shifted) << 52));
    return d.hi < NARROW_LOWEST ? 0.0 : result;
}

template <int LIFT>
__device__ __forceinline__ Two exp_wide(Two d) {
    const double shifted = __fma_rn(d.hi, LOG2_E, ROUND_TO_INTEGER);
    const double k = __dsub_rn(shifted, ROUND_TO_INTEGER);
    const double reduced = __fma_rn(k, -LN2_HI, d.hi);
    const Two r = fast_two_sum(reduced, __fma_rn(k, -LN2_LO, d.lo));
    const double rest = __fma_rn(__dmul_rn(r.hi, r.hi), exp_tail_wide(r.hi), r.lo);
    const Two leading = fast_two_sum(1.0, r.hi);
    const Two p = fast_two_sum(leading.hi, __dadd_rn(leading.lo, rest));
    const long long exponent = (__double_as_longlong(shifted) << 52) + (static_cast<long long>(1023 + LIFT) << 52);
    const Two result = scale(p, __longlong_as_double(exponent));
    const bool nothing = d.hi < WIDE_LOWEST;
    return {nothing ? 0.0 : result.hi, nothing ? 0.0 : result.lo};
}
