// A weight as a number near 1 and a power of two that is kept apart: see power.cuh.
#pragma once
#include "elements.cuh"
#include "power.cuh"

// b = factor * 2^power with 1 <= abs(factor) < 2; or 0.
struct Weight {
    double factor;
    int power;
};

template <typename T>
__device__ __forceinline__ Weight weight_of(double b) {
    if (b == 0.0) return {0.0, 0};
    // Only float64 has numbers that are subnormal here.
    const bool subnormal = Element<T>::BITS == 64 && fabs(b) < 0x1p-1022;
    const double normal = subnormal ? __dmul_rn(b, 0x1p+64) : b;
    const int high = __double2hiint(normal);
    return {__hiloint2double((high & 0x800fffff) | 0x3ff00000, __double2loint(normal)),
            ((high >> 20) & 0x7ff) - 1023 - (subnormal ? 64 : 0)};
}

// Whether numbers of a type reach beyond NEAR_END.
template <typename T>
constexpr bool FAR = true;
template <>
constexpr bool FAR<Float16> = false;

__device__ __forceinline__ bool finite(double a) { return fabs(a) < positive_infinity(); }
