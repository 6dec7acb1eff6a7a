// The arithmetic of a softmax of float32 in float64 by a table: a policy beside those of float64.cuh, with a third of their
// operations, for teams that have a table of 1024 powers of two in shared memory. u = 2^-53; bounds are relative.
//
// Anchors are those of float32.cuh: d = x - A is exact in float32, and what lies more than 107 below the maximum counts as
// 107, so that its result is 0.
//
//   n        d 1024 / ln 2 rounded to an integer, |n| < 2^18
//   r        d - n ln 2 / 1024, |r| < 2^-11.52. The first word of the step has 35 bits and d is a multiple of 2^-35 where n is
//            not 0: that difference is exact. Two words miss 2^-99; r is rounded below 2^-11.5                      2^-12 u
//   t        2^(n / 1024) from the table, rounded                                                                       1 u
//   exp(r)   1 + r + r^2 (C + r / 6), C a little above 1 / 2, so that what is left of r^4 / 24 counts                0.85 u
//            two roundings of what is below 2^-11.5                                                                2^-10.5 u
//   result   t + t r (...), rounded                                                                                     1 u
//
// A term misses 2.87 u; a sum 3 u more, for 8 terms go through three additions of one word, and what a thread has then
// into two; the inverse of both words 1.01 u, and the product 1 u: 10.8 u, which DOUBT (rounding.cuh) allows for.
#pragma once
#include "by_table_powers.cuh"
#include "float32.cuh"
#include "float64.cuh"
#include "rare.cuh"

// Room in shared memory for one table of 1024 entries of 8 bytes. A kernel that needs another after it loads that in its
// place, with a barrier between.
constexpr int TABLE_VECTORS = 512;
__device__ __forceinline__ uint4* table_room() {
    __shared__ uint4 room[TABLE_VECTORS];
    return room;
}

// Loads a table; it is complete after the next barrier of the block.
template <typename TEAM, typename ENTRY>
__device__ __forceinline__ void load_table(const ENTRY (&entries)[1024]) {
    static_assert(sizeof(entries) == TABLE_VECTORS * sizeof(uint4));
    uint4* const room = table_room();
#pragma unroll
    for (int at = 0; at < TABLE_VECTORS; at += TEAM::THREADS)
        if (TEAM::THREADS <= TABLE_VECTORS || threadIdx.x < TABLE_VECTORS)
            room[at + threadIdx.x] = reinterpret_cast<const uint4*>(entries)[at + threadIdx.x];
}

// 1024 / ln 2, rounded; ln 2 / 1024 in two words.
constexpr double STEPS_IN_FLOAT64 = 0x1.71547652b82fep+10;
constexpr double STEP_IN_35_BITS = 0x1.62e42fef8p-11;
constexpr double STEP_BELOW = 0x1.1cf79abc9e3b4p-46;
// 1 / 2 + 0.0345 (ln 2 / 2048)^2: the best in place of r^2 / 2 + r^4 / 24 for |r| up to 1.0002 ln 2 / 2048.
constexpr double SQUARE = 0x1.00000021fa5d5p-1;

// exp(d) for |d| <= 171.
template <typename TABLE>
__device__ __forceinline__ double exp_by_table(float difference, const TABLE& table) {
    const double d = widen(difference);
    const double shifted = __fma_rn(d, STEPS_IN_FLOAT64, ROUND_TO_INTEGER);
    const double n = __dsub_rn(shifted, ROUND_TO_INTEGER);
    const double r = __fma_rn(n, -STEP_BELOW, __fma_rn(n, -STEP_IN_35_BITS, d));
    const unsigned steps = static_cast<unsigned>(__double2loint(shifted));
    const unsigned long long entry = table[steps & 1023];
    const double t = __hiloint2double(static_cast<int>(static_cast<unsigned>(entry >> 32) + (steps << 10)),
                                      static_cast<int>(entry));
    const double series = __fma_rn(__fma_rn(r, 1.0 / 6, SQUARE), r, 1.0);
    return __fma_rn(__dmul_rn(t, r), series, t);
}

// 2^k for the k of an anchor, and its inverse.
__device__ __forceinline__ double power_of(Anchor anchor, int sign) {
    const int k = static_cast<int>(__fsub_rn(TO_INTEGER, anchor.to_steps)) >> 10;
    return __hiloint2double((1023 + sign * k) << 20, 0);
}

// Joins first words without error, and the others beside them.
struct SumOnGrid {
    static constexpr int UNROLL = 5;
    __device__ static __forceinline__ Two join(Two a, Two b) {
        return {__dadd_rn(a.hi, b.hi), __dadd_rn(a.lo, b.lo)};
    }
};

struct ByTable {
    static constexpr bool WIDE = false;
    static constexpr bool COUNTS = false;
    // Quotients are formed of many terms at a time.
    static constexpr bool TOGETHER = true;
    using Anchor = ::Anchor;
    using Term = double;
    using Total = Two;
    struct Share {
        double inverse;
    };
    // exp(-107) < 2^-154: such results are 0, and 65536 such terms nothing beside the others.
    static constexpr float REACH = 107.0f;
    // Terms that go through one word before they join a sum.
    static constexpr int JOINED = 8;

    template <typename TEAM>
    __device__ static __forceinline__ void prepare() { load_table<TEAM>(POWERS_IN_FLOAT64); }
    // After a barrier that all threads of a block pass; those of smaller teams have none.
    template <typename TEAM>
    __device__ static __forceinline__ void prepared() {
        if constexpr (TEAM::SIZE <= 32) __syncthreads();
    }

    __device__ static __forceinline__ Anchor anchor(double m) { return anchor_for(static_cast<float>(m), REACH); }
    __device__ static __forceinline__ float element(float x) { return x; }
    template <bool = false>
    __device__ static __forceinline__ double term(float x, Anchor anchor) {
        return exp_by_table(fmaxf(__fsub_rn(x, anchor.shift), anchor.lowest),
                            reinterpret_cast<const unsigned long long*>(table_room()));
    }

    // Sums begin at 1.5 2^(k + 16), where the terms of the row lie below 2^(k + 1): what is added to them, below 2^(k + 8) for
    // 128 terms, joins as multiples of 2^(k - 36), without error, and so do the sums of 65536 terms. What is left goes to lo.
    __device__ static __forceinline__ Two nothing(Anchor anchor) {
        return {__dmul_rn(power_of(anchor, 1), 0x1.8p+16), 0.0};
    }
    __device__ static __forceinline__ Two no_sum() { return {not_a_number(), 0.0}; }
    template <int COUNT>
    __device__ static __forceinline__ void push(Two& sum, const double (&term)[COUNT]) {
        constexpr int EACH = COUNT < JOINED ? COUNT : JOINED;
        static_assert(COUNT % EACH == 0);
#pragma unroll
        for (int at = 0; at < COUNT; at += EACH) {
            const double some = tree<EACH>(term + at);
            const Two more = fast_two_sum(sum.hi, some);
            sum = {more.hi, __dadd_rn(sum.lo, more.lo)};
        }
    }
    template <typename TEAM>
    __device__ static __forceinline__ Two joined(Two sum, Anchor anchor) {
        return TEAM::template reduce<SumOnGrid>(Two{__dsub_rn(sum.hi, nothing(anchor).hi), sum.lo});
    }

    __device__ static __forceinline__ Share share(Two sum, double) {
        const Two whole = fast_two_sum(sum.hi, sum.lo);
        const double inverse = __ddiv_rn(1.0, whole.hi);
        const double left = __fma_rn(-inverse, whole.lo, __fma_rn(-inverse, whole.hi, 1.0));
        return {__fma_rn(inverse, left, inverse)};
    }
    // Results are rounded so many at a time; whether one may be subnormal is asked of the smallest.
    template <int COUNT>
    __device__ static __forceinline__ void quotients(float (&result)[COUNT], const double (&term)[COUNT], Share share,
                                                     Doubt& doubt) {
        int least = __double2hiint(term[0]);
#pragma unroll
        for (int i = 1; i < COUNT; i++) least = min(least, __double2hiint(term[i]));
        const double below_all = __dmul_rn(__hiloint2double(least, 0), share.inverse);
        if (rarely(__double2hiint(below_all) < NORMAL_HIGH<float>)) {
#pragma unroll
            for (int i = 0; i < COUNT; i++) result[i] = quotient<false>(term[i], share, doubt);
        } else {
#pragma unroll
            for (int i = 0; i < COUNT; i++) result[i] = quotient<true>(term[i], share, doubt);
        }
    }

    template <typename>
    __device__ static __forceinline__ bool any(Doubt doubt) { return doubt.any<float>(); }

  private:
    template <bool NORMAL>
    __device__ static __forceinline__ float quotient(double term, Share share, Doubt& doubt) {
        const double value = __dmul_rn(term, share.inverse);
        doubt.note<float, NORMAL>(value);
        return Element<float>::round(value);
    }
};
