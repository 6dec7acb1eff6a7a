// Several numbers side by side: each step of a formula on all of them before the next step, so that a processor has other
// work in hand while a number waits for its last step. One number goes through the same formulas.
#pragma once

template <int COUNT>
struct Several {
    double of[COUNT];
};

__device__ __forceinline__ double fused(double a, double b, double c) { return __fma_rn(a, b, c); }
__device__ __forceinline__ double less(double a, double b) { return __dsub_rn(a, b); }
// a times 2^k; k stands in the low bits of `shifted` (exponential.cuh).
__device__ __forceinline__ double scaled(double a, double shifted) {
    return __longlong_as_double(__double_as_longlong(a) + (__double_as_longlong(shifted) << 52));
}

template <int COUNT>
__device__ __forceinline__ double one_of(const Several<COUNT>& a, int i) { return a.of[i]; }
template <int COUNT>
__device__ __forceinline__ double one_of(double a, int) { return a; }

template <int COUNT, typename A, typename C>
__device__ __forceinline__ Several<COUNT> fused(const A& a, const Several<COUNT>& b, const C& c) {
    Several<COUNT> result;
#pragma unroll
    for (int i = 0; i < COUNT; i++) result.of[i] = __fma_rn(one_of<COUNT>(a, i), b.of[i], one_of<COUNT>(c, i));
    return result;
}
template <int COUNT>
__device__ __forceinline__ Several<COUNT> less(const Several<COUNT>& a, double b) {
    Several<COUNT> result;
#pragma unroll
    for (int i = 0; i < COUNT; i++) result.of[i] = __dsub_rn(a.of[i], b);
    return result;
}
template <int COUNT>
__device__ __forceinline__ Several<COUNT> scaled(const Several<COUNT>& a, const Several<COUNT>& shifted) {
    Several<COUNT> result;
#pragma unroll
    for (int i = 0; i < COUNT; i++) result.of[i] = scaled(a.of[i], shifted.of[i]);
    return result;
}
