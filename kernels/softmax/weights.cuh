// Weights: brought near 1 by a power of two, and sums of single words.
#pragma once
#include "numerics/elements.cuh"

struct SumOfWords {
    static constexpr int UNROLL = 1;
    __device__ static __forceinline__ double join(double a, double b) { return __dadd_rn(a, b); }
};

// The k with 2^(k-1) <= size < 2^k; at the ends of the range the nearest k whose powers, 2^k and 2^-k, are both normal.
__device__ __forceinline__ int exponent_above(double size) {
    const int field = (__double2hiint(size) >> 20) & 0x7ff;
    return min(max(field - 1022, -1000), 1000);
}

__device__ __forceinline__ double power_of_two(int k) { return __hiloint2double((1023 + k) << 20, 0); }
