// 2^x for x <= 0, and tanh, in float32 and float64, out of IEEE operations and integers: the same bits on every machine.
//
//   2^x = 2^k P(r),  k the integer nearest to x, r = x - k exactly        relative error below 2^-23 and 2^-52
//   tanh |x| = -e / (2 + e),  e = exp(-2 |x|) - 1, which keeps its digits where x is small
//
// NaN stays NaN. What would be a subnormal number is 0: beside a largest term of 1 it is nothing.
#pragma once
#include "exponential.cuh"

template <typename A>
struct Machine;

template <>
struct Machine<float> {
    using Bits = int;
    static constexpr int FRACTION = 23;
    static constexpr float ROUND = 0x1.8p+23f;  // adding it rounds to an integer and leaves that in the low bits
    static constexpr Bits ONE = 0x3f800000;
    static constexpr float LOWEST = -126.0f;
    static constexpr float LOG2_E = 0x1.715476p+0f;
    // ln 2 in two words; the first has 15 trailing zero bits, so that k times it is exact for |k| < 2^15.
    static constexpr float LN2_HI = 0x1.62p-1f;
    static constexpr float LN2_LO = 0x1.c85fep-10f;
    static constexpr float TANH_LOWEST = -40.0f;  // beyond that tanh is 1

    __device__ static __forceinline__ Bits bits(float x) { return __float_as_int(x); }
    __device__ static __forceinline__ float number(Bits x) { return __int_as_float(x); }
    // 2^r on [-1/2, 1/2], interpolated at 7 Chebyshev nodes in 400-bit ball arithmetic, then rounded: 2^-25.6.
    __device__ static __forceinline__ float power(float r) {
        float p = 0x1.444p-13f;
        p = __fmaf_rn(p, r, 0x1.5f48cp-10f);
        p = __fmaf_rn(p, r, 0x1.3b2a1cp-7f);
        p = __fmaf_rn(p, r, 0x1.c6aeccp-5f);
        p = __fmaf_rn(p, r, 0x1.ebfbep-3f);
        p = __fmaf_rn(p, r, 0x1.62e43p-1f);
        return __fmaf_rn(p, r, 1.0f);
    }
    // (exp(r) - 1 - r) / r^2 on [-ln 2 / 2, ln 2 / 2], at 6 nodes: exp errs by less than 2^-29.
    __device__ static __forceinline__ float tail(float r) {
        float p = 0x1.a12a42p-13f;
        p = __fmaf_rn(p, r, 0x1.6d492p-10f);
        p = __fmaf_rn(p, r, 0x1.1110ep-7f);
        p = __fmaf_rn(p, r, 0x1.5554e4p-5f);
        p = __fmaf_rn(p, r, 0x1.555556p-3f);
        return __fmaf_rn(p, r, 0.5f);
    }
};

template <>
struct Machine<double> {
    using Bits = long long;
    static constexpr int FRACTION = 52;
    static constexpr double ROUND = ROUND_TO_INTEGER;
    static constexpr Bits ONE = 0x3ff0000000000000LL;
    static constexpr double LOWEST = -1022.0;
    static constexpr double LOG2_E = ::LOG2_E;
    static constexpr double LN2_HI = ::LN2_HI;
    static constexpr double LN2_LO = ::LN2_LO;
    static constexpr double TANH_LOWEST = -80.0;

    __device__ static __forceinline__ Bits bits(double x) { return __double_as_longlong(x); }
    __device__ static __forceinline__ double number(Bits x) { return __longlong_as_double(x); }
    // The same at 12 nodes: 2^-55.4.
    __device__ static __forceinline__ double power(double r) {
        double p = 0x1.e9ec1fcb69a7fp-32;
        p = __fma_rn(p, r, 0x1.e6228acd1c6e5p-28);
        p = __fma_rn(p, r, 0x1.b524ebd13a55fp-24);
        p = __fma_rn(p, r, 0x1.62bfc2c86d700p-20);
        p = __fma_rn(p, r, 0x1.ffcbfc6da6ed1p-17);
        p = __fma_rn(p, r, 0x1.430913112c61bp-13);
        p = __fma_rn(p, r, 0x1.5d87fe78a3f9cp-10);
        p = __fma_rn(p, r, 0x1.3b2ab6fb9f1a5p-7);
        p = __fma_rn(p, r, 0x1.c6b08d704a0c6p-5);
        p = __fma_rn(p, r, 0x1.ebfbdff82c5aep-3);
        p = __fma_rn(p, r, 0x1.62e42fefa39efp-1);
        return __fma_rn(p, r, 1.0);
    }
    __device__ static __forceinline__ double tail(double r) { return exp_tail_narrow(r); }
};

// For code that serves both types; several.cuh has that of float64.
__device__ __forceinline__ float fused(float a, float b, float c) { return __fmaf_rn(a, b, c); }

template <typename A>
__device__ __forceinline__ A exp2_of(A x) {
    using M = Machine<A>;
    const A shifted = x + M::ROUND;
    const A r = x - (shifted - M::ROUND);
    const A power = M::number((M::bits(shifted) << M::FRACTION) + M::ONE);
    return x < M::LOWEST ? A(0) : M::power(r) * power;
}

template <typename A>
__device__ __forceinline__ A tanh_of(A x) {
    using M = Machine<A>;
    const A y = A(-2) * (x < A(0) ? -x : x);
    const A d = y < M::TANH_LOWEST ? M::TANH_LOWEST : y;
    const A shifted = fused(d, M::LOG2_E, M::ROUND);
    const A k = shifted - M::ROUND;
    const A r = fused(k, -M::LN2_LO, fused(k, -M::LN2_HI, d));
    const A power = M::number((M::bits(shifted) << M::FRACTION) + M::ONE);
    const A e = fused(power, fused(r * r, M::tail(r), r), power - A(1));
    const A t = -e / (A(2) + e);
    return x < A(0) ? -t : t;
}
