// The arithmetic of a softmax: float64 throughout, sums in two words. A policy: state, reductions and kernels take it as
// a template argument and ask nothing else about numbers, so that another arithmetic can stand in its place.
//
//   narrow (results of 16 and 32 bits): a term is one word, good to 2^-52.7
//   wide   (float64):                   a term is two words, good to 2^-55, times 2^LIFT so that none is subnormal
#pragma once
#include "elements.cuh"
#include "exponential.cuh"
#include "logarithm.cuh"

template <typename T>
struct Float64Arithmetic {
    static constexpr bool WIDE = Element<T>::BITS == 64;
    // The smallest float64 is 2^-1074: lifted it is 2^-818, and a product of two lifted numbers stays far below 2^1024.
    static constexpr int LIFT = WIDE ? 256 : 0;
    static constexpr double LIFTED = WIDE ? 0x1p+256 : 1.0;
    static constexpr double LOWERED = WIDE ? 0x1p-256 : 1.0;

    // x - m. float16 needs one word always. bfloat16 misses at most 2^-44 of a term, where its result keeps 2^-9.
    __device__ static __forceinline__ Two difference(double x, double m) {
        if constexpr (Element<T>::BITS == 16) return {__dsub_rn(x, m), 0.0};
        return two_sum(x, -m);
    }

    // exp(x - m) for x <= m, lifted; 0 where x is -inf.
    __device__ static __forceinline__ Two term(double x, double m) {
        if constexpr (WIDE) return exp_wide<LIFT>(difference(x, m));
        return {exp_narrow(difference(x, m)), 0.0};
    }

    __device__ static __forceinline__ void push(Two& sum, Two term) {
        if constexpr (WIDE) accumulate(sum, term);
        else accumulate(sum, term.hi);
    }

    // A sum moved to another anchor: sum * term, lifted once.
    __device__ static __forceinline__ Two rescaled(Two sum, Two term) {
        if constexpr (WIDE) return scale(multiply(sum, term), LOWERED);
        const Two product = two_product(sum.hi, term.hi);
        return {product.hi, __fma_rn(sum.lo, term.hi, product.lo)};
    }

    // log of a lifted sum.
    __device__ static __forceinline__ Two log(Two sum) { return log_two(fast_two_sum(sum.hi, sum.lo), LIFT); }
};
