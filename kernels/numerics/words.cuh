// Numbers of two float64 words: the value is hi + lo, and hi is that sum rounded.
//
// Every operation here is IEEE addition, multiplication or fma, rounded to nearest, written with the intrinsics that no
// compiler may fuse or reorder. Names follow the literature on error-free transformations (Dekker 1971, Knuth TAOCP 2).
#pragma once

struct Two {
    double hi;
    double lo;
};

// The sum of any two words, without error.
__device__ __forceinline__ Two two_sum(double a, double b) {
    const double s = __dadd_rn(a, b);
    const double part_of_b = __dsub_rn(s, a);
    const double part_of_a = __dsub_rn(s, part_of_b);
    return {s, __dadd_rn(__dsub_rn(a, part_of_a), __dsub_rn(b, part_of_b))};
}

// The same in three operations, where a is zero or its exponent is not below that of b.
__device__ __forceinline__ Two fast_two_sum(double a, double b) {
    const double s = __dadd_rn(a, b);
    return {s, __dsub_rn(b, __dsub_rn(s, a))};
}

// The product of two words, without error while nothing underflows.
__device__ __forceinline__ Two two_product(double a, double b) {
    const double p = __dmul_rn(a, b);
    return {p, __fma_rn(a, b, -p)};
}

// Adds are symmetric bit for bit, so that a butterfly of shuffles leaves the same sum in all lanes.
__device__ __forceinline__ Two add(Two a, Two b) {
    const Two s = two_sum(a.hi, b.hi);
    return fast_two_sum(s.hi, __dadd_rn(s.lo, __dadd_rn(a.lo, b.lo)));
}

// Adds one word without renormalising: lo gathers what hi loses, which is what a long running sum wants.
__device__ __forceinline__ void accumulate(Two& sum, double term) {
    const Two s = two_sum(sum.hi, term);
    sum = {s.hi, __dadd_rn(sum.lo, s.lo)};
}

__device__ __forceinline__ void accumulate(Two& sum, Two term) {
    accumulate(sum, term.hi);
    sum.lo = __dadd_rn(sum.lo, term.lo);
}

__device__ __forceinline__ Two multiply(Two a, Two b) {
    const Two p = two_product(a.hi, b.hi);
    const double cross = __fma_rn(a.hi, b.lo, __dmul_rn(a.lo, b.hi));
    return fast_two_sum(p.hi, __dadd_rn(p.lo, cross));
}

// Multiplies by a power of two; exact while nothing underflows.
__device__ __forceinline__ Two scale(Two a, double power) {
    return {__dmul_rn(a.hi, power), __dmul_rn(a.lo, power)};
}

// a / b to about 2^-104: a quotient, its exact remainder, and the quotient of that.
__device__ __forceinline__ Two divide(Two a, Two b) {
    const double q = __ddiv_rn(a.hi, b.hi);
    const double remainder = __fma_rn(-q, b.hi, a.hi);
    const double rest = __dadd_rn(remainder, __fma_rn(-q, b.lo, a.lo));
    return fast_two_sum(q, __ddiv_rn(rest, b.hi));
}
