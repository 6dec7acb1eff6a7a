// A row in plain float32 (precision="fast"): its terms, their sum, and what follows from that.
//
// Numerics: x - A is exact (float32.cuh), its multiple of log2(e) is split in an integer and a rest of two words rounded
// once, so that ex2.approx gets numbers within 1/2: its 2 ulp are the term's error but for a rounding. Where logarithms are
// wanted, A is m, and maxima are counted apart from the sum of the others, so that log(1 + tiny) keeps its bits.
// log(sum) is log(factor) + k log(2), with k log(2) in two words: logsumexp adds m to the larger one exactly.
#pragma once
#include "numerics/elements.cuh"
#include "numerics/float32.cuh"

enum class Fast { Softmax, LogSoftmax, LogSumExp };

constexpr float LOG2_E_HIGH = 0x1.715476p+0f;
constexpr float LOG2_E_LOW = 0x1.4ae0cp-26f;
// Times an integer below 2^9 the first is exact.
constexpr float LOG_2_HIGH = 0x1.62e4p-1f;
constexpr float LOG_2_LOW = 0x1.7f7d1cp-20f;
// Terms are lifted, so that none that counts is subnormal.
constexpr int FAST_LIFT = 64;
constexpr float FAST_REACH = 107.0f;
// For logarithms: 65536 times exp(-131), below 2^-172, is nothing. A term so low, lifted, is the least normal number.
constexpr float FAST_LOG_REACH = 131.0f;

__device__ __forceinline__ bool is_finite(float value) { return fabsf(value) <= 0x1.fffffep+127f; }
__device__ __forceinline__ float positive_float_infinity() { return __uint_as_float(0x7f800000u); }
__device__ __forceinline__ float float_nan() { return __uint_as_float(0x7fffffffu); }

struct SumOfFloats {
    static constexpr int UNROLL = 5;
    __device__ static __forceinline__ float join(float a, float b) { return __fadd_rn(a, b); }
};
// For a share: an error of the sum is one of all of a row.
struct SumOfDoubles {
    static constexpr int UNROLL = 5;
    __device__ static __forceinline__ double join(double a, double b) { return __dadd_rn(a, b); }
};

// What the terms of a row need: A, the least x - A, and what makes an integer of a multiple of log2(e), less that of m.
struct FastAnchor {
    float shift;
    float lowest;
    float to_integer;
};

template <Fast FUNCTION>
__device__ __forceinline__ FastAnchor fast_anchor(float m) {
    if constexpr (FUNCTION != Fast::Softmax) {
        // x - m is rounded for the sum only; -inf - -inf is not computed.
        return {m == -positive_float_infinity() ? 0.0f : m, -FAST_LOG_REACH, TO_INTEGER + FAST_LIFT};
    }
    const Anchor exact = anchor_for(m, FAST_REACH);
    const float d = __fadd_rn(exact.lowest, FAST_REACH);
    const float power = __fsub_rn(__fmaf_rn(d, LOG2_E_HIGH, TO_INTEGER), TO_INTEGER);
    return {exact.shift, exact.lowest, __fadd_rn(__fsub_rn(TO_INTEGER, power), FAST_LIFT)};
}

// exp(x - A), lifted; for a softmax times the power of two that brings that of m near 1.
__device__ __forceinline__ float fast_term(float x, FastAnchor anchor) {
    const float d = fmaxf(__fsub_rn(x, anchor.shift), anchor.lowest);
    const float shifted = __fmaf_rn(d, LOG2_E_HIGH, anchor.to_integer);
    const float n = __fsub_rn(shifted, anchor.to_integer);
    const float rest = __fmaf_rn(d, LOG2_E_LOW, __fmaf_rn(d, LOG2_E_HIGH, -n));
    float term;
    asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(term) : "f"(rest));
    return __uint_as_float(__float_as_uint(term) + (__float_as_uint(shifted) << 23));
}

// The sum of numbers in a tree, in which errors grow slowest.
template <int COUNT>
__device__ __forceinline__ float fast_tree(const float* number) {
    if constexpr (COUNT == 1) return number[0];
    else return __fadd_rn(fast_tree<COUNT / 2>(number), fast_tree<COUNT - COUNT / 2>(number + COUNT / 2));
}

// A sum in the making: for logarithms what is below the maximum, and how often that is there.
template <Fast FUNCTION>
struct FastSum {
    float sum = 0.0f;
    float count = 0.0f;
    float sum_low = 0.0f;  // once joined, for a share: what the sum lacks

    template <int COUNT>
    __device__ __forceinline__ void push(const float (&x)[COUNT], float m, FastAnchor anchor, float (&term)[COUNT]) {
        float below[COUNT];
#pragma unroll
        for (int i = 0; i < COUNT; i++) {
            term[i] = fast_term(x[i], anchor);
            below[i] = FUNCTION != Fast::Softmax && x[i] == m ? 0.0f : term[i];
            if constexpr (FUNCTION != Fast::Softmax) count = __fadd_rn(count, x[i] == m ? 1.0f : 0.0f);
        }
        sum = __fadd_rn(sum, fast_tree<COUNT>(below));
    }
    template <typename TEAM>
    __device__ __forceinline__ void join() {
        if constexpr (FUNCTION == Fast::Softmax) {
            const double all = TEAM::template reduce<SumOfDoubles>(static_cast<double>(sum));
            sum = __double2float_rn(all);
            sum_low = __double2float_rn(__dsub_rn(all, static_cast<double>(sum)));
        } else {
            sum = TEAM::template reduce<SumOfFloats>(sum);
            count = TEAM::template reduce<SumOfFloats>(count);
        }
    }
};

// log(count + rest) in two words, of which the first is a multiple of log(2) in few bits.
struct FastLog {
    float high;
    float low;
};

__device__ __forceinline__ FastLog fast_log(float count, float rest) {
    if (count == 1.0f && rest < 0.5f) return {0.0f, log1pf(rest)};
    const float sum = __fadd_rn(count, rest);
    const float missed = __fsub_rn(count < rest ? count : rest, __fsub_rn(sum, count < rest ? rest : count));
    // The power of two that leaves a factor from 3/4 to 3/2.
    const int power = static_cast<int>(__float_as_uint(sum) - 0x3f400000u) >> 23;
    const float factor = __uint_as_float(__float_as_uint(sum) - (static_cast<unsigned>(power) << 23));
    const float k = static_cast<float>(power);
    const float low = __fmaf_rn(k, LOG_2_LOW, __fdiv_rn(missed, sum));
    return {__fmul_rn(k, LOG_2_HIGH), __fadd_rn(logf(factor), low)};
}

// What the results of a row need: A, and the inverse of the sum or log(sum of exp(x - m)).
struct FastRow {
    FastAnchor anchor;
    float factor;
    float fine = 0.0f;   // of softmax the sum, else what the factor lacks
    float finer = 0.0f;  // of softmax what the sum lacks
};

template <Fast FUNCTION>
__device__ __forceinline__ FastRow fast_row(float m, FastAnchor anchor, FastSum<FUNCTION> found) {
    const bool ordinary = is_finite(m);
    if constexpr (FUNCTION == Fast::Softmax)
        return {anchor, ordinary ? __fdiv_rn(1.0f, found.sum) : float_nan(), found.sum, found.sum_low};
    // As in log_softmax: maximum +inf: NaN where x is, else -inf; all -inf, or NaN: NaN.
    if (!ordinary) return {{m > 0.0f ? m : float_nan(), 0.0f, 0.0f}, 0.0f};
    const FastLog log = fast_log(found.count, __fmul_rn(found.sum, 0x1p-64f));
    return {anchor, log.high, log.low};
}

template <typename T>
__device__ __forceinline__ T fast_rounded(float value) {
    if constexpr (Element<T>::BITS == 32) return value;
    else return Element<T>::round(static_cast<double>(value));
}
template <>
__device__ __forceinline__ Float16 fast_rounded<Float16>(float value) {
    Float16 result;
    asm("cvt.rn.f16.f32 %0, %1;" : "=h"(result.bits) : "f"(value));
    return result;
}
template <>
__device__ __forceinline__ Bfloat16 fast_rounded<Bfloat16>(float value) {
    const unsigned bits = __float_as_uint(value);
    const unsigned nearest = (bits + 0x7fffu + (bits >> 16 & 1u)) >> 16;
    return {static_cast<unsigned short>(value != value ? 0x7fc0u : nearest)};
}

// a + b and what that misses.
__device__ __forceinline__ float exact_sum(float a, float b, float& missed) {
    const float s = __fadd_rn(a, b);
    const float part = __fsub_rn(s, a);
    missed = __fadd_rn(__fsub_rn(a, __fsub_rn(s, part)), __fsub_rn(b, part));
    return s;
}

template <Fast FUNCTION>
__device__ __forceinline__ float fast_result(float x, float term, const FastRow& row) {
    if constexpr (FUNCTION == Fast::Softmax) {
        const float share = __fmul_rn(term, row.factor);
        const float left = __fmaf_rn(-share, row.finer, __fmaf_rn(-share, row.fine, term));
        return __fmaf_rn(left, row.factor, share);
    }
    float of_difference, of_result;
    const float d = exact_sum(x, -row.anchor.shift, of_difference);
    const float s = exact_sum(d, -row.factor, of_result);
    const float low = __fsub_rn(__fadd_rn(of_difference, of_result), row.fine);
    return low == low ? __fadd_rn(s, low) : s;  // NaN: of infinities
}

// m + log(l): NaN and infinities are their own logarithm.
__device__ __forceinline__ float fast_log_sum(float m, const FastRow& row) {
    if (!is_finite(m)) return m;
    float missed;
    const float sum = exact_sum(m, row.factor, missed);
    return __fadd_rn(sum, __fadd_rn(missed, row.fine));
}

// Moves a sum, of the form that logarithms want, to a maximum that is larger or the same.
__device__ __forceinline__ void move(FastSum<Fast::LogSumExp>& found, float from, float to) {
    if (from == to) return;
    const float factor = __fmul_rn(fast_term(from, fast_anchor<Fast::LogSumExp>(to)), 0x1p-64f);
    found = {__fmul_rn(__fmaf_rn(found.count, 0x1p+64f, found.sum), factor), 0.0f};
}
