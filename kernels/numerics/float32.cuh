// The arithmetic of a softmax out of float32 alone, for results of 32 bits: numbers of two words, good to 2^-42, which is
// told to be enough, or not, element by element. u = 2^-24 everywhere; bounds are relative unless they say otherwise, and
// terms of order u^3 are in the rounding up. Every operation is IEEE's, so that a bound holds on every device.
//
// x - m is never formed. A row has an anchor A, so that x - A is exact for all x that matter, and terms are exp(x - A)
// times a power of two:
//
//   A   0 where -64 <= m < 171, else m rounded to an integer. Then d = x - A is exact for m - 107 <= x <= m: nothing is
//       done, or |x| >= 64 is a multiple of 2^-17, and |d| <= 107.5 < 2^24 2^-17.                          |d| <= 171
//   n   d 1024 / ln 2 rounded to an integer, |n| < 2^18; its product with float32's 1024 / ln 2 errs by 2^-7, so
//       r = d - n ln 2 / 1024 is at most 0.508 ln 2 / 1024 < 2^-11.5
//   k   n / 1024, less that of m: the term is 2^(k + LIFT) 2^(j / 1024) exp(r), with j = n mod 1024
//
// What lies below m - 107 counts as m - 107: less than 2^-154 of the sum for each, and its result is 0.
#pragma once
#include "float32_table.cuh"

struct Floats {
    float hi;
    float lo;
};

// Terms are lifted: the least, 2^-154, becomes 2^-73, so that what is 2^-48 of it is a normal number.
constexpr int TERM_LIFT = 81;
// Results are lifted until they are rounded: float32's smallest normal number, 2^-126, is 2^-94 then.
constexpr float RESULT_LOWERED = 0x1p-32f;
constexpr float LEAST_NORMAL = 0x1p-94f;
// Half of the smallest subnormal number, and some: what is below is 0.
constexpr float NOTHING = 0x1p-119f;

// 1024 / ln 2, rounded.
constexpr float STEPS_OF_LN2 = 0x1.715476p+10f;
// ln 2 / 1024 in two words: the first of 21 bits; what both miss is below 2^-63.3.
constexpr float STEP_HIGH = 0x1.62e43p-11f;
constexpr float STEP_LOW = -0x1.05c61p-39f;
// 1.5 * 2^23: adding it rounds to an integer and leaves that integer in the low bits.
constexpr float TO_INTEGER = 0x1.8p+23f;

// What the terms of a row need.
struct Anchor {
    float shift;     // A
    float lowest;    // of d
    float to_steps;  // TO_INTEGER, less 1024 times the k of m
};

// What is more than `reach` below m counts as if it were not.
__device__ __forceinline__ Anchor anchor_for(float m, float reach) {
    const bool near = m >= -64.0f && m < 171.0f;
    const float shift = near ? 0.0f : rintf(m);
    const float d = __fsub_rn(m, shift);
    const int steps = __float_as_int(__fmaf_rn(d, STEPS_OF_LN2, TO_INTEGER)) - __float_as_int(TO_INTEGER);
    return {shift, __fsub_rn(d, reach), __fsub_rn(TO_INTEGER, static_cast<float>(steps & ~1023))};
}

// x - A in steps of ln 2 / 1024: how many, what is left but for n STEP_LOW, and their power of two, lifted, from the table.
struct Steps {
    float n;
    float rest;
    float power;
    float missed;  // power is short of exp(n ln 2 / 1024) by a factor exp(missed)
};

template <typename TABLE>
__device__ __forceinline__ Steps steps_to(float x, Anchor anchor, const TABLE& table) {
    const float d = fmaxf(__fsub_rn(x, anchor.shift), anchor.lowest);
    const float shifted = __fmaf_rn(d, STEPS_OF_LN2, anchor.to_steps);
    const float n = __fsub_rn(shifted, anchor.to_steps);
    const unsigned steps = __float_as_uint(shifted);
    const PowerOfTwo power = table[steps & 1023];
    return {n, __fmaf_rn(n, -STEP_HIGH, d), __uint_as_float(power.bits + (steps << 13)), power.missed};
}

// exp(x - A), lifted, times the power of two that makes that of m lie from 1 to 2 (before the lift).
//
//   r1 = d - n C1      exact: a multiple of 2^-35 (d has no smaller bits where n is not 0), below 2^-11.5
//   C1 + C2            miss ln 2 / 1024 by 2^-63.3, n times: 2^-45.39                                              6.1 u^2
//   r = rh + rl        r1 - n C2. |n C2| < 2^-21, so where |rh| >= 2^-22, r1 - rh is exact and so is the sum but for
//                      2^-60; else it misses 2^-46 (4 u^2), but then what follows is small
//   rl + missed        2^(j / 1024) = T exp(missed), |missed| < 2^-24.08, rounded twice                              1 u^2
//   tail = rl + rh rl + rh^2 / 2 + rh^3 / 6     below 2^-23.04. Roundings: 2^-47.9 of rh^2 / 2, 2^-48.5 of the bracket
//                      times rh, 2^-48 of the tail; left out: rh^4 / 24, rl^2 / 2, rh^2 rl / 2: 2^-47.4             4.4 u^2
//   T (1 + rh)         = hi + (T - hi) + T rh: hi is rounded, T - hi exact, the last fma rounds what is below u hi     1 u^2
//   lo                 that plus T tail: below 2^-22.4 = 3.03 u, rounded                                             3.1 u^2
//
// Altogether below 16 u^2 of the term; |lo| <= 3.03 u hi.
template <typename TABLE>
__device__ __forceinline__ Floats exp_floats(float x, Anchor anchor, const TABLE& table) {
    const Steps of = steps_to(x, anchor, table);
    const float rh = __fmaf_rn(of.n, -STEP_LOW, of.rest);
    const float rl = __fadd_rn(__fmaf_rn(of.n, -STEP_LOW, __fsub_rn(of.rest, rh)), of.missed);
    const float series = __fmaf_rn(__fmaf_rn(rh, 1.0f / 6, 0.5f), rh, rl);
    const float tail = __fmaf_rn(series, rh, rl);
    const float hi = __fmaf_rn(of.power, rh, of.power);
    const float lo = __fmaf_rn(of.power, rh, __fsub_rn(of.power, hi));
    return {hi, __fmaf_rn(of.power, tail, lo)};
}

// The same for results of 16 bits: hi is a power from the table, and lo, one word, the rest of the term, below 2^-11.4 hi.
//
//   r      rounded to 2^-36; 1 + r / 2 to 2^-24, times r: 2^-35.5; left out: r^3 / 6, 2^-37, and missed times r, 2^-35.6
//   lo     rounded twice, to 2^-36 and 2^-35.4
//
// Altogether below 2^-33.2 of the term.
template <typename TABLE>
__device__ __forceinline__ Floats exp_rough(float x, Anchor anchor, const TABLE& table) {
    const Steps of = steps_to(x, anchor, table);
    const float r = __fmaf_rn(of.n, -STEP_LOW, of.rest);
    return {of.power, __fmul_rn(of.power, __fmaf_rn(r, __fmaf_rn(r, 0.5f, 1.0f), of.missed))};
}

// One word of it, rounded down: below the term, but for 2^-34 of it, by 2 u for that rounding and 1 u for r^2 / 2, left out.
template <typename TABLE>
__device__ __forceinline__ float exp_word(float x, Anchor anchor, const TABLE& table) {
    const Steps of = steps_to(x, anchor, table);
    const float r = __fmaf_rn(of.n, -STEP_LOW, of.rest);
    return __fmaf_rd(of.power, __fadd_rn(r, of.missed), of.power);
}

// A power of two that no term of elements up to x reaches, and that is at most twice the largest.
__device__ __forceinline__ float above_terms(float x, Anchor anchor) {
    const float d = fmaxf(__fsub_rn(x, anchor.shift), anchor.lowest);
    const unsigned steps = __float_as_uint(__fmaf_rn(d, STEPS_OF_LN2, anchor.to_steps));
    return __uint_as_float((steps << 13 & 0xff800000u) + (static_cast<unsigned>(127 + TERM_LIFT + 1) << 23));
}

// The sum of two numbers that are not negative, and what it misses, exactly.
__device__ __forceinline__ float sum_of(float a, float b, float& missed) {
    const float more = fmaxf(a, b);
    const float less = fminf(a, b);
    const float s = __fadd_rn(more, less);
    missed = __fsub_rn(less, __fsub_rn(s, more));
    return s;
}

// A sum as integers, so that it can be joined in any order without error: how often three quanta are in it.
//
//   quantum   2^-17, 2^-37, 2^-58, each times 2^LIFT
//   of hi     hi = a 2^-17 + rest, |rest| <= 2^-18         as the low bits of hi + 1.5 2^6, whose last bit is 2^-17
//   of both   b 2^-37, the rest of hi and lo apart         likewise, |lo| <= 2^-15
//   of rests  c 2^-58, rounded: 2^-59 are missed
//
// Sums of 8192 terms below 2: a < 2^31, |b| < 2^31, |c| < 2^30. The bits of what was added to are taken off at the end.
struct Quanta {
    unsigned a;
    unsigned b;
    unsigned c;
};
constexpr float TO_A = 0x1.8p+6f * 0x1p+81f;
constexpr float TO_B = 0x1.8p-14f * 0x1p+81f;
constexpr float TO_C = 0x1.8p-35f * 0x1p+81f;

__device__ __forceinline__ Quanta quanta_of(Floats sum) {
    const float a = __fadd_rn(sum.hi, TO_A);
    const float rest = __fsub_rn(sum.hi, __fsub_rn(a, TO_A));
    const float b = __fadd_rn(rest, TO_B);
    const float of_lo = __fadd_rn(sum.lo, TO_B);
    const float rests = __fadd_rn(__fsub_rn(rest, __fsub_rn(b, TO_B)), __fsub_rn(sum.lo, __fsub_rn(of_lo, TO_B)));
    const float c = __fadd_rn(rests, TO_C);
    return {__float_as_uint(a), __float_as_uint(b) + __float_as_uint(of_lo), __float_as_uint(c)};
}

// What a quotient by the sum of a row needs: 1 / sum in two words, times 2^(32 - LIFT), from the sum in units of 2^-49.
//
// rcp.approx is a first guess, good to 2 u (PTX manual), which one step makes 1.01 u; `left` is what then is left of 1, below
// 2.1 u, rounded; so is lo. 1 / (1 - left) = 1 + left + left^2 + ...: with 2 u^2 of the sum below 6 u^2 altogether.
__device__ __forceinline__ Floats inverse_of_words(float high, float low) {
    float guess;
    asm("rcp.approx.ftz.f32 %0, %1;" : "=f"(guess) : "f"(high));
    const float inverse = __fmaf_rn(guess, __fmaf_rn(-high, guess, 1.0f), guess);
    const float left = __fmaf_rn(-low, inverse, __fmaf_rn(-high, inverse, 1.0f));
    return {inverse, __fmul_rn(inverse, __fmaf_rn(left, left, left))};
}

// The same from quanta. In units of 2^-49 the sum is an integer below 2^63, of which one is missed: 0.5 u^2, for a sum is
// 1 - 2^-11 at least. Two words hold it to u^2.
__device__ __forceinline__ Floats inverse_of(Quanta sum, int threads) {
    const unsigned a = sum.a - threads * __float_as_uint(TO_A);
    const int b = static_cast<int>(sum.b - 2 * threads * __float_as_uint(TO_B));
    const int c = static_cast<int>(sum.c - threads * __float_as_uint(TO_C));
    const long long whole = (static_cast<long long>(a) << 32) + (static_cast<long long>(b) << 12) + (c >> 9);
    const float high = __ll2float_rn(whole);
    return inverse_of_words(high, __ll2float_rn(whole - __float2ll_rz(high)));
}

// A quotient times 2^32 in two words. q and what it misses are exact where q is no smaller than LEAST_NORMAL. With
// |inverse.lo| < 2.1 u and |term.lo| < 3.03 u two roundings miss 3.1 and 6.2 u^2, and lo times lo is left out: 6.4 u^2.
__device__ __forceinline__ Floats quotient_of(Floats term, Floats inverse) {
    const float q = __fmul_rn(term.hi, inverse.hi);
    const float low = __fmaf_rn(term.hi, inverse.lo, __fmaf_rn(term.hi, inverse.hi, -q));
    return {q, __fmaf_rn(term.lo, inverse.hi, low)};
}
