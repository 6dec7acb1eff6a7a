// exp(d) for d <= 0, or as far above as NEAR rows need, given as two words, out of IEEE operations and integers only.
//
//   d = k ln 2 + r with |r| <= ln 2 / 2,    exp(d) = 2^k (1 + r + r^2 P(r))
//
// One word out, for results of 32 bits and less; pair.cuh has one of two words.
#pragma once
#include "elements.cuh"
#include "several.cuh"
#include "words.cuh"

// log2(e), rounded to float64.
constexpr double LOG2_E = 0x1.71547652b82fep+0;
// ln 2 in two words: the first with 21 trailing zero bits, so that k times it is exact for |k| < 2^20; the second is the
// rest, rounded. Their sum misses ln 2 by less than 2^-86 (checked in 400-bit arithmetic).
constexpr double LN2_HI = 0x1.62e42feep-1;
constexpr double LN2_LO = 0x1.a39ef35793c76p-33;
// 1.5 * 2^52: adding it rounds to an integer and leaves that integer in the low bits.
constexpr double ROUND_TO_INTEGER = 0x1.8p+52;
// Below this d the term is taken as zero: exp(-700) is a normal number, and 2^63 such terms are still nothing beside the
// smallest float32. Its trace is below every term that counts.
constexpr double NARROW_LOWEST = -700.0;
constexpr double NARROW_TRACE = 0x1p-1015;

// (exp(r) - 1 - r) / r^2 interpolated at 10 Chebyshev nodes of [-ln 2 / 2, ln 2 / 2] in 400-bit ball arithmetic, then
// rounded: with it exp errs by less than 2^-55.7, relatively.
template <typename V>
__device__ __forceinline__ V exp_tail_narrow(const V& r) {
    V p = fused(0x1.af38a9b0ec855p-26, r, 0x1.289185613a3d6p-22);
    p = fused(p, r, 0x1.71de0dae63bb3p-19);
    p = fused(p, r, 0x1.a019b90d2ae7ap-16);
    p = fused(p, r, 0x1.a01a01a7c41d5p-13);
    p = fused(p, r, 0x1.6c16c1788bd90p-10);
    p = fused(p, r, 0x1.11111111109b3p-7);
    p = fused(p, r, 0x1.5555555553d63p-5);
    p = fused(p, r, 0x1.5555555555556p-3);
    return fused(p, r, 0x1.0000000000001p-1);
}

// The relative error is below 1.75 u with u = 2^-53, and there is none for d = 0:
//   u / 4      r, rounded below 1 / 2
//   0.1 u      the tail, rounded, times r^2
//   u / 4      1 + r tail, rounded, times r and over exp(r): r / exp(r) is below 1 / 4 for r > 0, and for r < 0 the
//              rounding is half as large
//   u          the last rounding
//   0.15 u     the polynomial
// -inf gives 0. NaN gives some number: a row that holds a NaN is settled by its maximum. TRACE: what is too small to count
// leaves a trace, so that a sum can be told from one of nothing.
template <bool TRACE = false>
__device__ __forceinline__ double exp_narrow(Two d) {
    const double shifted = __fma_rn(d.hi, LOG2_E, ROUND_TO_INTEGER);
    const double k = __dsub_rn(shifted, ROUND_TO_INTEGER);
    const double reduced = __fma_rn(k, -LN2_HI, d.hi);
    const double r = __dadd_rn(reduced, __fma_rn(k, -LN2_LO, d.lo));
    const double result = scaled(__fma_rn(__fma_rn(exp_tail_narrow(r), r, 1.0), r, 1.0), shifted);
    const double instead = TRACE && d.hi != negative_infinity() ? NARROW_TRACE : 0.0;
    return d.hi < NARROW_LOWEST ? instead : result;
}

// The same for a d of one word that is not below NARROW_LOWEST, or for several: r is rounded once, so not worse.
template <typename V>
__device__ __forceinline__ V exp_near(const V& d) {
    const V shifted = fused(LOG2_E, d, ROUND_TO_INTEGER);
    const V k = less(shifted, ROUND_TO_INTEGER);
    const V r = fused(-LN2_LO, k, fused(-LN2_HI, k, d));
    return scaled(fused(fused(exp_tail_narrow(r), r, 1.0), r, 1.0), shifted);
}
