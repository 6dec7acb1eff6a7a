// Numbers of WORDS float64 words, for the second tier: where a result cancels, it is computed again in these.
//
// The value is the sum of the words, each far below the one before: about 53 bits a word, 2 to 4 of them lost on the way
// through a function. All steps are error-free transformations (words.cuh), a list of numbers being distilled by passes
// of two_sum from its end to its front. Clear rather than fast: it runs for the few rows that need it.
#pragma once
#include "logarithm.cuh"

template <int WORDS>
struct Expansion {
    double w[WORDS];
};

// WORDS words that hold the sum of a list, whose large numbers come first.
template <int WORDS, int COUNT>
__device__ __forceinline__ Expansion<WORDS> distilled(double (&list)[COUNT]) {
#pragma unroll
    for (int front = 0; front < WORDS; front++) {
#pragma unroll
        for (int i = COUNT - 1; i > front; i--) {
            const Two s = two_sum(list[i - 1], list[i]);
            list[i - 1] = s.hi;
            list[i] = s.lo;
        }
    }
    Expansion<WORDS> result;
#pragma unroll
    for (int i = 0; i < WORDS; i++) result.w[i] = list[i];
    return result;
}

// After a cancellation the words overlap; distilled once more, the first is the value rounded but for what it cannot hold.
template <int WORDS>
__device__ __forceinline__ Expansion<WORDS> normalised(Expansion<WORDS> a) {
    a = distilled<WORDS>(a.w);
    return distilled<WORDS>(a.w);
}

// Symmetric bit for bit: pairs are added first, then only their sums and errors are looked at.
template <int WORDS>
__device__ __forceinline__ Expansion<WORDS> add(const Expansion<WORDS>& a, const Expansion<WORDS>& b) {
    double list[2 * WORDS];
#pragma unroll
    for (int i = 0; i < WORDS; i++) {
        const Two s = two_sum(a.w[i], b.w[i]);
        list[2 * i] = s.hi;
        list[2 * i + 1] = s.lo;
    }
    return distilled<WORDS>(list);
}

template <int WORDS>
__device__ __forceinline__ Expansion<WORDS> add(const Expansion<WORDS>& a, double b) {
    double list[WORDS + 1];
    list[0] = b;
#pragma unroll
    for (int i = 0; i < WORDS; i++) list[i + 1] = a.w[i];
    return distilled<WORDS>(list);
}

// Products of words i and j with i + j < WORDS, each with its error; smaller ones do not reach the last word.
template <int WORDS>
__device__ __forceinline__ Expansion<WORDS> multiply(const Expansion<WORDS>& a, const Expansion<WORDS>& b) {
    constexpr int PRODUCTS = WORDS * (WORDS + 1) / 2;
    double list[2 * PRODUCTS];
    int count = 0;
#pragma unroll
    for (int order = 0; order < WORDS; order++) {
#pragma unroll
        for (int i = 0; i <= order; i++) list[count++] = __dmul_rn(a.w[i], b.w[order - i]);
        // Errors of these products are of the next order: behind them.
#pragma unroll
        for (int i = 0; i <= order; i++)
            list[PRODUCTS + count - 1 - i] = two_product(a.w[i], b.w[order - i]).lo;
    }
    return distilled<WORDS>(list);
}

template <int WORDS>
__device__ __forceinline__ Expansion<WORDS> multiply(const Expansion<WORDS>& a, double b) {
    double list[2 * WORDS];
#pragma unroll
    for (int i = 0; i < WORDS; i++) {
        const Two p = two_product(a.w[i], b);
        list[2 * i] = p.hi;
        list[2 * i + 1] = p.lo;
    }
    return distilled<WORDS>(list);
}

template <int WORDS>
__device__ __forceinline__ Expansion<WORDS> scale(Expansion<WORDS> a, double power) {
#pragma unroll
    for (int i = 0; i < WORDS; i++) a.w[i] = __dmul_rn(a.w[i], power);
    return a;
}

// 1 / n! for n = 1 .. 14, in three words (from 600-bit ball arithmetic).
constexpr int FACTORIALS = 14;
__constant__ double INVERSE_FACTORIAL[FACTORIALS][3] = {
    {0x1.0000000000000p+0, 0.0, 0.0},
    {0x1.0000000000000p-1, 0.0, 0.0},
    {0x1.5555555555555p-3, 0x1.5555555555555p-57, 0x1.5555555555555p-111},
    {0x1.5555555555555p-5, 0x1.5555555555555p-59, 0x1.5555555555555p-113},
    {0x1.1111111111111p-7, 0x1.1111111111111p-63, 0x1.1111111111111p-119},
    {0x1.6c16c16c16c17p-10, -0x1.f49f49f49f49fp-65, -0x1.27d27d27d27d2p-119},
    {0x1.a01a01a01a01ap-13, 0x1.a01a01a01a01ap-73, 0x1.a01a01a01a01ap-133},
    {0x1.a01a01a01a01ap-16, 0x1.a01a01a01a01ap-76, 0x1.a01a01a01a01ap-136},
    {0x1.71de3a556c734p-19, -0x1.c154f8ddc6c00p-73, 0x1.71de3a556c734p-127},
    {0x1.27e4fb7789f5cp-22, 0x1.cbbc05b4fa99ap-76, -0x1.c6d278883e8f5p-132},
    {0x1.ae64567f544e4p-26, -0x1.c062e06d1f209p-80, 0x1.c7880adcbc46ep-136},
    {0x1.1eed8eff8d898p-29, -0x1.2aec959e14c06p-83, 0x1.2fb0073dd2d9ep-139},
    {0x1.6124613a86d09p-33, 0x1.f28e0cc748ebep-87, -0x1.7b2c4c8a840bcp-141},
    {0x1.93974a8c07c9dp-37, 0x1.05d6f8a2efd1fp-92, 0x1.3aa3346236a5dp-147},
};
// ln 2 in four words of 42 bits, so that k times each is exact for |k| < 2^11; their sum misses it by 2^-171.
constexpr double LN2_0 = 0x1.62e42fefa3800p-1;
constexpr double LN2_1 = 0x1.ef35793c76000p-45;
constexpr double LN2_2 = 0x1.cc01f97b57800p-87;
constexpr double LN2_3 = 0x1.03cd0c99ca000p-130;
// The argument of the series is cut by 2^HALVINGS: below 0.9 / 256 (complex.cuh) 14 terms reach 2^-163, and the squarings
// leave 2^-155 of that.
constexpr int HALVINGS = 8;

// Two factors, since 2^k may be beyond the range of normal numbers.
template <int WORDS>
__device__ __forceinline__ Expansion<WORDS> scale_by_exponent(const Expansion<WORDS>& a, int k) {
    const int half = k / 2;
    const double first = __hiloint2double((1023 + half) << 20, 0);
    return scale(scale(a, first), __hiloint2double((1023 + k - half) << 20, 0));
}

// exp(r), |r| < 0.4: the series of exp - 1, squarings in the form (1 + p)^2 - 1 = p (p + 2).
template <int WORDS>
__device__ __forceinline__ Expansion<WORDS> exp_near_zero(const Expansion<WORDS>& r) {
    const Expansion<WORDS> y = scale(r, 1.0 / (1 << HALVINGS));
    Expansion<WORDS> p = {};
#pragma unroll 1
    for (int n = FACTORIALS - 1; n >= 0; n--) {
        Expansion<WORDS> coefficient;
#pragma unroll
        for (int i = 0; i < WORDS; i++) coefficient.w[i] = INVERSE_FACTORIAL[n][i];
        p = multiply(add(p, coefficient), y);
    }
#pragma unroll 1
    for (int i = 0; i < HALVINGS; i++) p = multiply(p, add(p, 2.0));
    return add(p, 1.0);
}

// exp(d), |d| < 800: d = k ln 2 + r.
template <int WORDS>
__device__ __forceinline__ Expansion<WORDS> exp_expansion(Two d) {
    const double k = rint(__dmul_rn(d.hi, LOG2_E));
    double list[] = {d.hi,           __dmul_rn(k, -LN2_0), __dmul_rn(k, -LN2_1), d.lo,
                     __dmul_rn(k, -LN2_2), __dmul_rn(k, -LN2_3)};
    return scale_by_exponent(exp_near_zero(distilled<WORDS>(list)), static_cast<int>(k));
}

// log(l) = y + log1p(z) where y is the logarithm in two words and z = l exp(-y) - 1, below 2^-55.
template <int WORDS>
__device__ __forceinline__ Expansion<WORDS> log_expansion(const Expansion<WORDS>& l) {
    const Two y = log_two(fast_two_sum(l.w[0], l.w[1]), 0);
    const Expansion<WORDS> z = add(multiply(l, exp_expansion<WORDS>({-y.hi, -y.lo})), -1.0);
    // z - z^2 / 2 = z (1 - z / 2); z^3 is below 2^-165.
    const Expansion<WORDS> series = multiply(z, add(scale(z, -0.5), 1.0));
    return add(add(series, y.lo), y.hi);
}
