// exp(a) of any a as a number near 1 times a power of two that is kept apart, so that no exponential overflows or
// vanishes, and a sum of them moves from one power to another without error.
//
//   a = k ln 2 + r,    exp(a) = 2^k exp(r)
//
// The size of a decides how k is written, as a Level:
//
//   |a| < 2^19             near = k
//   2^19 <= |a| < 2^64     far = k / 2, a float64 that is exact, and near what is left to the nearest integer
//   2^64 <= |a|            far = a, near = 0, r = 0: two such numbers are equal or at least 4096 apart, which no weight
//                          makes up for; 2 far orders them among themselves and above all others
//
// exp_two gives two words, for the first tier; exp_words gives an expansion, for the second.
#pragma once
#include "expansion.cuh"
#include "precise.cuh"

// 2^(2 far + near), or exp(far) 2^near where |far| >= LABELS.
struct Level {
    double far;
    long long near;  // an int would do, but for the gap of four bytes after it, which copies carry along
};

constexpr double NEAR_END = 0x1p+19;
constexpr double LABELS = 0x1p+64;
// Farther apart than any float64 is from any other.
constexpr double FARTHEST = 0x1p+28;

// Below all others.
__device__ __forceinline__ Level lowest_level() { return {-0x1.fffffffffffffp+1023, -(1 << 28)}; }

// How many powers of two a lies above b; what is farther than FARTHEST counts as that.
__device__ __forceinline__ int height(Level a, Level b) {
    int steps = static_cast<int>(a.near - b.near);
    if (a.far != b.far) {
        const double far = __dmul_rn(2.0, __dsub_rn(a.far, b.far));
        steps += static_cast<int>(fmin(fmax(far, -FARTHEST), FARTHEST));
    }
    return steps;
}

__device__ __forceinline__ Level higher(Level a, Level b) { return height(a, b) >= 0 ? a : b; }

// 2^k for -1022 <= k <= 1023.
__device__ __forceinline__ double power_of_two(int k) { return __hiloint2double((1023 + k) << 20, 0); }

// 2^k for -2000 <= k <= 1023, as two factors: 0 below the least float64, but without a step between.
__device__ __forceinline__ Two scale_down(Two a, int k) {
    const int half = k / 2;
    return scale(scale(a, power_of_two(half)), power_of_two(k - half));
}

// ln 2 in four words; their sum misses it by 2^-218.
constexpr double LN2_WORD_0 = 0x1.62e42fefa39efp-1;
constexpr double LN2_WORD_1 = 0x1.abc9e3b39803fp-56;
constexpr double LN2_WORD_2 = 0x1.7b57a079a1934p-111;
constexpr double LN2_WORD_3 = -0x1.ace93a4ebe5d1p-165;

// r - k ln 2 for an integer k; where that is near r / ln 2, the leading words cancel without error.
template <int WORDS>
__device__ __forceinline__ Expansion<WORDS> less_multiple(const Expansion<WORDS>& r, double k) {
    const Two first = two_product(-k, LN2_WORD_0);
    const Two second = two_product(-k, LN2_WORD_1);
    const Two third = two_product(-k, LN2_WORD_2);
    const Two leading = two_sum(r.w[0], first.hi);
    double list[WORDS + 7] = {leading.hi, first.lo, leading.lo, second.hi};
#pragma unroll
    for (int i = 1; i < WORDS; i++) list[3 + i] = r.w[i];
    list[WORDS + 3] = second.lo;
    list[WORDS + 4] = third.hi;
    list[WORDS + 5] = third.lo;
    list[WORDS + 6] = __dmul_rn(-k, LN2_WORD_3);
    return normalised(distilled<WORDS>(list));
}

// a = k ln 2 + r with |r| < 0.35. Where float64 is coarser than 1, the first k misses by as much.
template <int WORDS>
__device__ __forceinline__ Expansion<WORDS> reduced(double a, Level& level) {
    const bool label = fabs(a) >= LABELS;
    Expansion<WORDS> r = {};
    r.w[0] = label ? 0.0 : a;
    level = {0.0, 0};
#pragma unroll 1
    for (int step = 0; step < 2; step++) {
        const double k = rint(__dmul_rn(r.w[0], LOG2_E));
        r = less_multiple(r, k);
        if (step == 0 && fabs(a) >= NEAR_END) level.far = label ? a : __dmul_rn(0.5, k);
        else level.near += static_cast<int>(k);
    }
    return r;
}

// The square of what is below is nothing beside it, however many words there are.
constexpr double TINY = 0x1p-200;

// exp(a) = words * 2^level. Of a tiny a, exp(a) - 1 is a.
template <int WORDS>
__device__ __forceinline__ Expansion<WORDS> exp_words(double a, Level& level) {
    Expansion<WORDS> result = exp_near_zero(reduced<WORDS>(a, level));
    if (fabs(a) < TINY) {
        result = {};
        result.w[0] = 1.0;
        result.w[1] = a;
    }
    return result;
}

// exp(a) = words * 2^level. FAR: whether a can be that large.
template <bool FAR>
__device__ __forceinline__ Two exp_two(double a, Level& level) {
    Two d = {a, 0.0};
    level = {0.0, 0};
    if constexpr (FAR) {
        if (fabs(a) >= NEAR_END) {
            const Expansion<2> r = reduced<2>(a, level);
            d = {r.w[0], r.w[1]};
        }
    }
    int exponent;
    const Two result = exp_precise(d, exponent);
    level.near += exponent;
    return result;
}

// The logarithm of that power: ln 2 times its exponent.
template <int WORDS>
__device__ __forceinline__ Expansion<WORDS> log_of_level(Level level) {
    const bool label = fabs(level.far) >= LABELS;
    Expansion<WORDS> result = {};
    if (label) result.w[0] = level.far;
    double exponent = level.near;
#pragma unroll 1
    for (int step = 0; step < 2; step++) {
        result = less_multiple(result, -exponent);
        exponent = label ? 0.0 : __dmul_rn(2.0, level.far);
    }
    return result;
}

// The same in two words, to 2^-105 of it.
__device__ __forceinline__ Two times_ln2(double k) {
    const Two product = two_product(k, LN2_WORD_0);
    return fast_two_sum(product.hi, __fma_rn(k, LN2_WORD_1, product.lo));
}

__device__ __forceinline__ Two log_of_level(Level level) {
    const Two near = times_ln2(static_cast<double>(level.near));
    if (level.far == 0.0) return near;
    const Two label = {level.far, 0.0};
    return add(fabs(level.far) >= LABELS ? label : times_ln2(__dmul_rn(2.0, level.far)), near);
}
