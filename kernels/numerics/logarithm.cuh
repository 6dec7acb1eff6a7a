// log(l) of a positive two-word number, in two words, relative error below 2^-57 also where l is just above 1.
//
//   l = 2^k f with sqrt(1/2) <= f < sqrt(2),  s = (f - 1) / (f + 1),  log l = k ln 2 + 2 s + s^3 Q(s^2)
//
// s is kept as two words, so that 1 + 1e-30 gives 1e-30; Q is the series of atanh, 2/3 + 2/5 z + 2/7 z^2 + ...
#pragma once
#include "exponential.cuh"

// Bits of sqrt(1/2), rounded down: subtracting them from those of a number makes the exponent field its k.
constexpr long long SQRT_HALF_BITS = 0x3fe6a09e667f3bccLL;

// s^2 <= 0.0295, so the first term left out, 2/27 z^12, is below 2^-64.
__device__ __forceinline__ double atanh_tail(double z) {
    double q = 2.0 / 25.0;
    q = __fma_rn(q, z, 2.0 / 23.0);
    q = __fma_rn(q, z, 2.0 / 21.0);
    q = __fma_rn(q, z, 2.0 / 19.0);
    q = __fma_rn(q, z, 2.0 / 17.0);
    q = __fma_rn(q, z, 2.0 / 15.0);
    q = __fma_rn(q, z, 2.0 / 13.0);
    q = __fma_rn(q, z, 2.0 / 11.0);
    q = __fma_rn(q, z, 2.0 / 9.0);
    q = __fma_rn(q, z, 2.0 / 7.0);
    q = __fma_rn(q, z, 2.0 / 5.0);
    return __fma_rn(q, z, 2.0 / 3.0);
}

// l is normalised, positive and a normal number; the logarithm of l / 2^lift is meant.
__device__ __forceinline__ Two log_two(Two l, int lift) {
    const long long k = (__double_as_longlong(l.hi) - SQRT_HALF_BITS) >> 52;
    // Half the power twice: 2^-k alone overflows where l is near the end of the range.
    const double half_power = __longlong_as_double((1023 - k / 2) << 52);
    const double other_half = __longlong_as_double((1023 - (k - k / 2)) << 52);
    const Two f = scale(scale(l, half_power), other_half);
    const Two numerator = two_sum(__dsub_rn(f.hi, 1.0), f.lo);
    const Two sum = two_sum(f.hi, 1.0);
    const Two s = divide(numerator, fast_two_sum(sum.hi, __dadd_rn(sum.lo, f.lo)));
    const double z = __dmul_rn(s.hi, s.hi);
    const double cubic = __dmul_rn(__dmul_rn(z, s.hi), atanh_tail(z));
    const double exponent = static_cast<double>(k - lift);
    const Two leading = two_sum(__dmul_rn(exponent, LN2_HI), __dmul_rn(2.0, s.hi));
    const double small = __fma_rn(exponent, LN2_LO, __fma_rn(2.0, s.lo, cubic));
    return fast_two_sum(leading.hi, __dadd_rn(leading.lo, small));
}
