// exp and log in two words to 2^-86: the second tier of short types, the first of float64.
//
//   d = (64 e + j) ln 2 / 64 + r with |r| <= ln 2 / 128 < 2^-7.5,    exp(d) = 2^e T_j (1 + h),    h = exp(r) - 1
//
// Where an error comes from is said beside each step; docs/exactness.md adds them up.
#pragma once
#include "elements.cuh"
#include "logarithm.cuh"
#include "powers.cuh"
#include "rounding.cuh"

// Exponentials are kept times 2^PAIR_LIFT, so that the second word of none is subnormal; below PAIR_LOWEST they count as
// zero: 2^31 times exp(-800) is below 2^-1123, nothing beside the smallest float64.
constexpr int PAIR_LIFT = 256;
constexpr double PAIR_LIFTED = 0x1p+256;
constexpr double PAIR_LOWERED = 0x1p-256;
constexpr double PAIR_LOWEST = -800.0;
// Below every term that counts, exp(-800) being above 2^-1155.
constexpr double PAIR_TRACE = 0x1p-900;
// The relative error of exp_pair.
constexpr double PAIR_ERROR = 0x1p-86;
// 1 / 6 less its rounding.
constexpr double SIXTH_LO = 0x1.5555555555555p-57;

// exp(r) - 1 for |r| < 2^-7.4, to 2^-86.3 and to 2^-60 |r|^3 + 2^-103 |r|:
//   h = r + r^2 w,    w = 1/2 + r u,    u = 1/6 + r q,    q = 1/24 + r / 120 + ... + r^5 / 9!
// q is one word: its last rounding and that of 1/24 miss 2^-57, r q then 2^-64.5 with its own rounding 2^-66; as part of
// h that is times |r|^3 < 2^-22.4: 2^-86.3. The term r^10 / 10! that is left out is below 2^-95; all else is two words.
__device__ __forceinline__ Two exp_less_one(Two r) {
    double q = 1.0 / 362880;
    q = __fma_rn(q, r.hi, 1.0 / 40320);
    q = __fma_rn(q, r.hi, 1.0 / 5040);
    q = __fma_rn(q, r.hi, 1.0 / 720);
    q = __fma_rn(q, r.hi, 1.0 / 120);
    q = __fma_rn(q, r.hi, 1.0 / 24);
    Two u = fast_two_sum(1.0 / 6, __dmul_rn(r.hi, q));
    u.lo = __dadd_rn(u.lo, __fma_rn(r.lo, q, SIXTH_LO));
    const Two ru = two_product(r.hi, u.hi);
    Two w = fast_two_sum(0.5, ru.hi);
    w.lo = __dadd_rn(w.lo, __fma_rn(r.lo, u.hi, __fma_rn(r.hi, u.lo, ru.lo)));
    Two square = two_product(r.hi, r.hi);
    square.lo = __fma_rn(__dmul_rn(2.0, r.hi), r.lo, square.lo);
    const Two bend = two_product(square.hi, w.hi);
    const double bend_lo = __fma_rn(square.lo, w.hi, __fma_rn(square.hi, w.lo, bend.lo));
    const Two h = fast_two_sum(r.hi, bend.hi);
    return {h.hi, __dadd_rn(h.lo, __dadd_rn(r.lo, bend_lo))};
}

// exp(d) for d <= 0, times 2^PAIR_LIFT; -inf gives 0. trace: what is too small to count leaves a trace, so that a sum can be
// told from one of nothing; not told from d, which is -inf for two numbers that are far enough apart. NEAR: no d is below
// PAIR_LOWEST.
template <bool NEAR = false>
__device__ __forceinline__ Two exp_pair(Two d, bool trace = false) {
    const double shifted = __fma_rn(d.hi, STEPS, ROUND_TO_INTEGER);
    const double n = __dsub_rn(shifted, ROUND_TO_INTEGER);
    // n STEP_0 and n STEP_1 are exact, and so is what the first leaves: a multiple of 2^-60 unless n is 0, so of the last
    // place of n STEP_1, which is below 2^-18: then three operations give their sum without error, whichever is larger. What
    // is left of d and n is below 2^-42.9, its roundings below 2^-95; where it is larger than rest.hi, r misses as much once
    // more. n (< 2^17) times what the steps miss of ln 2 / 64 is below 2^-101.
    const Two rest = fast_two_sum(__fma_rn(n, -STEP_0, d.hi), __dmul_rn(n, -STEP_1));
    const Two r = fast_two_sum(rest.hi, __dadd_rn(rest.lo, __fma_rn(n, -STEP_2, d.lo)));
    const Two h = exp_less_one(r);
    const int steps = __double2loint(shifted);
    const TableEntry power = POWERS[steps & 63];
    const Two product = two_product(power.hi, h.hi);
    const Two sum = fast_two_sum(power.hi, product.hi);
    const double small = __fma_rn(power.hi, h.lo, __fma_rn(power.lo, h.hi, power.lo));
    const Two whole = {sum.hi, __dadd_rn(sum.lo, __dadd_rn(product.lo, small))};
    const bool nothing = !NEAR && d.hi < PAIR_LOWEST;
    const double scale_to = __hiloint2double(((steps >> 6) + 1023 + PAIR_LIFT) << 20, 0);
    const double instead = trace ? PAIR_TRACE : 0.0;
    return {nothing ? instead : __dmul_rn(whole.hi, scale_to), nothing ? 0.0 : __dmul_rn(whole.lo, scale_to)};
}

// A logarithm in two words, and a bound of what it misses; and the zero that it stands for where it vanishes: -0 less it.
struct LogPair {
    Two value;
    double error;
    double zero;
};

// What log_pair adds to the error of the sum: 2^-76 of a small logarithm, 2^-83 at most.
constexpr double LOG_RELATIVE = 0x1p-76;
constexpr double LOG_ABSOLUTE = 0x1p-83;
// Below this log(1 + z) is z, to z / 2.
constexpr double LOG_IS_LINEAR = 0x1p-200;

// log(count + rest) for an integer count > 0 and a rest times 2^PAIR_LIFT, which misses at most the share `spread` of
// itself. A logarithm y in a word and a half (logarithm.cuh) is good to 2^-57 of itself; one step of Newton's adds
// l exp(-y) - 1, of which only the square, 2^-114, is left out. For l = 1 + z near 1 that is z + h + z h with
// h = exp(-y) - 1, so that no bit of z is lost.
__device__ __forceinline__ LogPair log_pair(double count, Two rest, double spread) {
    const Two z = {__dmul_rn(rest.hi, PAIR_LOWERED), __dmul_rn(rest.lo, PAIR_LOWERED)};
    Two value = z;
    if (count != 1.0 || !(z.hi < LOG_IS_LINEAR)) {
        const Two leading = two_sum(count, z.hi);
        const Two l = fast_two_sum(leading.hi, __dadd_rn(leading.lo, z.lo));
        const Two y = log_two(l, 0);
        const Two less = {-y.hi, -y.lo};
        double step;
        if (count == 1.0 && z.hi < 0x1p-8) {
            const Two h = exp_less_one(less);
            Two both = two_product(z.hi, h.hi);
            both.lo = __fma_rn(z.hi, h.lo, __fma_rn(z.lo, h.hi, both.lo));
            const Two difference = two_sum(z.hi, h.hi);
            const Two near = two_sum(difference.hi, both.hi);
            step = __dadd_rn(near.hi, __dadd_rn(near.lo, __dadd_rn(difference.lo, __dadd_rn(both.lo, __dadd_rn(z.lo, h.lo)))));
        } else {
            const Two product = multiply(l, scale(exp_pair(less), PAIR_LOWERED));
            step = __dadd_rn(__dsub_rn(product.hi, 1.0), product.lo);
        }
        value = fast_two_sum(y.hi, __dadd_rn(y.lo, step));
    }
    const double own = fmin(__dmul_rn(value.hi, LOG_RELATIVE), LOG_ABSOLUTE);
    return {value, __fma_rn(fmin(value.hi, 1.0), spread, own), -0.0};
}

// m + log(l) for finite m, rounded; false in `sure` if that is not known. A cancellation leaves the bound as it is.
__device__ __forceinline__ double rounded_sum(double m, const LogPair& log, Format format, bool& sure) {
    const Two leading = two_sum(m, log.value.hi);
    const Two sum = two_sum(leading.hi, __dadd_rn(leading.lo, log.value.lo));
    const bool negative = sum.hi < 0.0;
    // Where its second word may be missing, a logarithm is below 2^-900.
    const double known = log.error < positive_infinity() ? log.error : 0x1p-880;
    const double error = __fma_rn(__dadd_rn(fabs(leading.hi), log.value.hi), 0x1p-104, known);
    const double size = rounded<0>(negative ? -sum.hi : sum.hi, negative ? -sum.lo : sum.lo, error, format, sure);
    return negative ? -size : size;
}
