// Sums of more terms than a thread holds at a time (float32.cuh), of rows of up to 65536 elements and teams of 512 or 1024
// threads: a thread has 128 terms at most, 8 of which join at a time.
//
//   Totals<float>      each 8 terms as a tree, then as quanta, which join without error
//   Totals<T>          16-bit types: every term is added to one word, and what that misses to another
//
// 16 bits: hi and the 8 words lo, summed in a tree, are added to a power of two that is no smaller than any of them, so that
// three operations find exactly what is missed. In 144 such steps of at most u (2 + 1) of the sum each `missed` is rounded by
// 144^2 / 2 times 3 u^2: 2^-33.06. The trees of lo miss 3 u 2^-11.4, the terms 2^-33.2: altogether below 2^-31.7.
#pragma once
#include "float32_rounding.cuh"

// Terms that join at a time.
constexpr int TOTALS_STEP = 8;

// What two words of a quotient of 16 bits miss here: the term 2^-33, the sum 2^-31.7, the quotient 2^-33.6: 2^-31.0.
constexpr float FINE_OF_TOTALS = 0x1.2p-31f;

template <typename T>
struct Totals {
    // Quanta are eight times as large: a thread's sum is below 2^8, that of a block below 2^17. |c| of a thread is at most
    // 2^20 where its sum is no smaller than 2^-10, which cannot be said of none of them, else 2^21.
    static constexpr float LOWERED = 0x1p-3f;

    float start;
    float sum;
    float missed;

    // `largest`: of the thread's elements.
    __device__ __forceinline__ Totals(float largest, Anchor anchor)
        : start(above_terms(largest, anchor)), sum(start), missed(0.0f) {}

    __device__ __forceinline__ void add(const Floats (&term)[TOTALS_STEP]) {
#pragma unroll
        for (int i = 0; i < TOTALS_STEP; i++) add(term[i].hi);
        add(tree_of_lo<TOTALS_STEP>(term));
    }

    // 1 / sum of all threads, as inverse_of() gives it.
    template <typename JOINED>
    __device__ __forceinline__ Floats inverse(int threads) const {
        const float own = __fsub_rn(sum, start);
        const float hi = __fadd_rn(own, missed);
        const Floats both = {hi, __fsub_rn(missed, __fsub_rn(hi, own))};
        const Floats lowered = {__fmul_rn(both.hi, LOWERED), __fmul_rn(both.lo, LOWERED)};
        const Floats inverse = inverse_of(JOINED::sum(quanta_of(lowered)), threads);
        return {__fmul_rn(inverse.hi, LOWERED), __fmul_rn(inverse.lo, LOWERED)};
    }

  private:
    __device__ __forceinline__ void add(float term) {
        const float next = __fadd_rn(sum, term);
        missed = __fadd_rn(missed, __fsub_rn(term, __fsub_rn(next, sum)));
        sum = next;
    }
};

// Eight terms in a tree miss (3.03 + 2 (4.03 + 5.03) + 6.03) u^2 < 28 u^2, their quanta 2^-59 of a sum that is 1 at least, in
// 2^13 steps 4 u^2: 32 u^2 altogether, less than ERROR_OF_QUOTIENT allows for.
//
// Of a thread a < 2^25, |b| < 2^27, |c| < 2^26. What threads join has no signs, and 1024 of them fit into 32 bits:
//
//   a   of 2^-15, of all below 2^32        b   of 2^-37, below 2^22        c   of 2^-58, below 2^21
template <>
struct Totals<float> {
    Quanta quanta;
    unsigned steps;

    __device__ __forceinline__ Totals(float, Anchor) : quanta{0, 0, 0}, steps(0) {}

    __device__ __forceinline__ void add(const Floats (&term)[TOTALS_STEP]) {
        const Quanta more = quanta_of(sum_of_terms<TOTALS_STEP>(term));
        quanta = {quanta.a + more.a, quanta.b + more.b, quanta.c + more.c};
        steps++;
    }

    template <typename JOINED>
    __device__ __forceinline__ Floats inverse(int) const {
        const Quanta all = joined<JOINED>();
        // In units of 2^-37 two words miss 2 u^2 of it; inverse_of_words wants units of 2^-49.
        const long long whole = (static_cast<long long>(all.a) << 22) + all.b;
        const float high = __ll2float_rn(whole);
        const float low = __fmaf_rn(__uint2float_rn(all.c), 0x1p-21f, __ll2float_rn(whole - __float2ll_rz(high)));
        return inverse_of_words(__fmul_rn(high, 0x1p+12f), __fmul_rn(low, 0x1p+12f));
    }

    // The quanta of all threads; their weights as above.
    template <typename JOINED>
    __device__ __forceinline__ Quanta joined() const {
        const int c = static_cast<int>(quanta.c - steps * __float_as_uint(TO_C));
        const int b = static_cast<int>(quanta.b - 2 * steps * __float_as_uint(TO_B)) + (c >> 21);
        const unsigned a = quanta.a - steps * __float_as_uint(TO_A) + (b >> 20);
        return JOINED::sum({a >> 2, (a & 3) << 20 | (b & 0xfffff), static_cast<unsigned>(c & 0x1fffff)});
    }
};
