// An angle of any size, brought to a quarter turn: theta = k pi / 2 + r with |r| <= pi / 4, r to the last of its words.
//
// Payne and Hanek (1983): of the binary digits of 2 / pi only a window matters, since what lies before it gives whole
// turns, and what lies after it is too small. theta = M 2^e with an integer M of 53 bits; the product of M with five
// words of 64 bits of 2 / pi, modulo 2^384, holds k in two bits and 250 bits behind them.
#pragma once
#include "expansion.cuh"

// The first 1216 bits of 2 / pi after the point (from 2000-bit ball arithmetic); the largest exponent needs 1285 less 64.
__constant__ unsigned long long TWO_OVER_PI[19] = {
    0xa2f9836e4e441529ULL, 0xfc2757d1f534ddc0ULL, 0xdb6295993c439041ULL, 0xfe5163abdebbc561ULL,
    0xb7246e3a424dd2e0ULL, 0x06492eea09d1921cULL, 0xfe1deb1cb129a73eULL, 0xe88235f52ebb4484ULL,
    0xe99c7026b45f7e41ULL, 0x3991d639835339f4ULL, 0x9c845f8bbdf9283bULL, 0x1ff897ffde05980fULL,
    0xef2f118b5a0a6d1fULL, 0x6d367ecf27cb09b7ULL, 0x4f463f669e5fea2dULL, 0x7527bac7ebe5f17bULL,
    0x3d0739f78a5292eaULL, 0x6bfb5fb11f8d5d08ULL, 0x56033046fc7b6babULL};
// pi / 2 in three words, from the same source.
constexpr double HALF_PI_0 = 0x1.921fb54442d18p+0;
constexpr double HALF_PI_1 = 0x1.1a62633145c07p-54;
constexpr double HALF_PI_2 = -0x1.f1976b7ed8fbcp-110;
constexpr int WINDOW = 5;

template <int WORDS>
struct Angle {
    Expansion<WORDS> r;
    int quarter;  // k modulo 4
};

// For 0.5 <= theta < 2^1024.
template <int WORDS>
__device__ __forceinline__ Angle<WORDS> reduced_angle(double theta) {
    const long long bits = __double_as_longlong(theta);
    const int e = static_cast<int>(bits >> 52) - 1075;
    const unsigned long long m = (bits & 0xfffffffffffffLL) | 0x10000000000000LL;
    // The window starts where M 2^e times a digit is at least 4, and at the point for small angles.
    const int start = e < 2 ? 0 : (e - 2) / 64;
    unsigned long long product[WINDOW];  // most significant first
    unsigned long long carry = 0;
#pragma unroll
    for (int i = WINDOW - 1; i >= 0; i--) {
        const int word = start + i;
        const unsigned long long digit = word < 19 ? TWO_OVER_PI[min(word, 18)] : 0;
        const unsigned long long low = m * digit;
        product[i] = low + carry;
        carry = __umul64hi(m, digit) + (product[i] < low);
    }
    // The value is (carry, product) * 2^(e - 64 start) / 2^320: shift so that the point lies behind `carry`.
    const int shift = e - 64 * start;  // -54 .. 65
    // k is the integer part, and the fraction is what remains; work on six words with the point after the first.
    unsigned long long whole;
    unsigned long long fraction[WINDOW];
    if (shift >= 64) {
        const int left = shift - 64;
        whole = left ? (product[0] << left) | (product[1] >> (64 - left)) : product[0];
#pragma unroll
        for (int i = 0; i < WINDOW; i++) {
            const unsigned long long high = i + 1 < WINDOW ? product[i + 1] : 0;
            const unsigned long long low = i + 2 < WINDOW ? product[i + 2] : 0;
            fraction[i] = left ? (high << left) | (low >> (64 - left)) : high;
        }
    } else if (shift >= 0) {
        whole = shift ? (carry << shift) | (product[0] >> (64 - shift)) : carry;
#pragma unroll
        for (int i = 0; i < WINDOW; i++) {
            const unsigned long long low = i + 1 < WINDOW ? product[i + 1] : 0;
            fraction[i] = shift ? (product[i] << shift) | (low >> (64 - shift)) : product[i];
        }
    } else {
        const int right = -shift;
        whole = carry >> right;
#pragma unroll
        for (int i = 0; i < WINDOW; i++) {
            const unsigned long long high = i > 0 ? product[i - 1] : carry;
            fraction[i] = (high << (64 - right)) | (product[i] >> right);
        }
    }
    // To the nearest quarter: a fraction of one half or more counts backwards from the next.
    const bool up = fraction[0] >> 63;
    const int quarter = static_cast<int>((whole + up) & 3);
    double list[2 * 4];
#pragma unroll
    for (int i = 0; i < 4; i++) {
        const unsigned long long word = up ? ~fraction[i] : fraction[i];
        const double unit = __hiloint2double((1023 - 64 * (i + 1)) << 20, 0);
        list[2 * i] = static_cast<double>(word >> 32) * 4294967296.0 * unit;
        list[2 * i + 1] = static_cast<double>(word & 0xffffffffULL) * unit;
    }
    const Expansion<WORDS> quarters = scale(distilled<WORDS>(list), up ? -1.0 : 1.0);
    Expansion<WORDS> half_pi;
    half_pi.w[0] = HALF_PI_0;
    half_pi.w[1] = HALF_PI_1;
    if constexpr (WORDS > 2) half_pi.w[2] = HALF_PI_2;
    return {multiply(quarters, half_pi), quarter};
}
