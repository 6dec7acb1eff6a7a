// The arithmetic of a softmax of float32 by integers of 64 bits and a table of exponentials: a policy beside those of
// float64.cuh and by_table.cuh, for devices whose float64 is slow and whose issue slots are many.
//
// Anchors, n and k are those of float32.cuh; x - A = n C + r with C = ln 2 / 1024 and |r| < 2^-11.5. A term is 2^(k - k of m)
// times a number X from 1 to 2, which is kept in units of 2^-61, with eight bits for the power at its end.
//
//   r1       d - n C1, exact as in float32.cuh; as two integers, of 2^-33 and of 2^-56: where n is not 0 it is a multiple of
//            2^-35, else that is rounded to 2^-57
//   r        r1 + n (C1 - C), in units of 2^-69: of C1 - C an integer of 31 bits, and the rest of it, times n, in float32
//            beside the second integer of r1                                                                      2^-56.7
//   s        r cut off at 2^-42: of r^2 / 2 it is 2^-42 |r|                                                       2^-53.5
//   square   r^2, cut off at 2^-54, of which one half counts                                                        2^-55
//   w        1 / 2 + r / 6 + r^2 / 24, in units of 2^-32, of which 2.4 are missed: times r^2                      2^-53.8
//   P        r + r^2 w: exp(r) - 1, but for r^5 / 120 and a unit of 2^-69
//   X        t + t P with t from the table, half a unit of 2^-61 off; three products cut off at 2^-66. Rounded to eight bits
//            less: 2^-54                                                                                           2^-54
//
// A term misses 1.08 units of 2^-52 of itself, and so does a sum: 2^-78 are cut off of each of 65536 terms, and no sum is
// below 1 - 2^-11. The inverse misses 2^-61 and the quotient 2^-57.9: altogether 2.2 units, that is 35.2 times 2^-32 of the
// last place of a result, and 2 for what is cut off below that: IN_DOUBT.
#pragma once
#include "by_integers_powers.cuh"
#include "by_table.cuh"

// What is added to r1: the last bits of the sums are 2^-33 and 2^-56.
constexpr float TO_R_HIGH = 0x1.8p-10f;
constexpr float TO_R_LOW = 0x1.8p-33f;
// C1 - C in units of 2^-69: an integer, and the rest of it.
constexpr int STEP_LESS = 1097958451;
constexpr float STEP_LESS_REST = -0x1.793c7ap-71f;
// The bits of what r1 was added to, which are taken off.
constexpr unsigned long long BITS_ADDED_TO_R = 0 - (0x3ac00000ULL << 36) - (0x2f400000ULL << 13);
// 1 / 6 of 2^22 and 1 / 24 of 2^10, rounded.
constexpr int SIXTH = 699051;
constexpr unsigned TWENTY_FOURTH = 43;

// Integers of a row or of a part of it, which join in any order: how often 2^-46 is in it, and 2^-78.
struct Whole {
    unsigned long long high;
    unsigned long long low;
};

__device__ __forceinline__ unsigned upper(unsigned long long a) { return static_cast<unsigned>(a >> 32); }
__device__ __forceinline__ unsigned lower(unsigned long long a) { return static_cast<unsigned>(a); }

__device__ __forceinline__ long long product(int a, int b, long long more) {
    long long result;
    asm("mad.wide.s32 %0, %1, %2, %3;" : "=l"(result) : "r"(a), "r"(b), "l"(more));
    return result;
}

// a b / 2^64, too small by less than three.
__device__ __forceinline__ unsigned long long product_of_upper(unsigned long long a, unsigned long long b) {
    return static_cast<unsigned long long>(upper(a)) * upper(b) + __umulhi(upper(a), lower(b)) + __umulhi(lower(a), upper(b));
}

// exp(r) - 1 in units of 2^-69, from r in these.
__device__ __forceinline__ long long less_one_of(long long r) {
    const int s = static_cast<int>(r >> 27);
    const unsigned square = static_cast<unsigned>((static_cast<long long>(s) * s) >> 30);
    const unsigned w = 0x80000000u + static_cast<unsigned>(__mulhi(s, SIXTH)) + __umulhi(square, TWENTY_FOURTH);
    return r + static_cast<long long>((static_cast<unsigned long long>(square) * w) >> 17);
}

// A term: X in units of 2^-61, and how far its power is below that of m.
template <typename TABLE>
__device__ __forceinline__ unsigned long long exp_by_integers(float x, Anchor anchor, const TABLE& table) {
    const float d = fmaxf(__fsub_rn(x, anchor.shift), anchor.lowest);
    const float shifted = __fmaf_rn(d, STEPS_OF_LN2, anchor.to_steps);
    const float n = __fsub_rn(shifted, anchor.to_steps);
    const unsigned steps = __float_as_uint(shifted);
    const unsigned long long t = table[steps & 1023];
    const float r1 = __fmaf_rn(n, -STEP_HIGH, d);
    const float high = __fadd_rn(r1, TO_R_HIGH);
    const float rest = __fmaf_rn(n, STEP_LESS_REST, __fsub_rn(r1, __fsub_rn(high, TO_R_HIGH)));
    const float low = __fadd_rn(rest, TO_R_LOW);
    const int whole = __float_as_int(shifted) - __float_as_int(anchor.to_steps);
    long long r = product(whole, STEP_LESS, static_cast<long long>(BITS_ADDED_TO_R));
    r = product(__float_as_int(low), 1 << 13, r);
    r += static_cast<long long>(static_cast<unsigned long long>(__float_as_uint(high)) << 36);
    const long long p = less_one_of(r);
    const int p_high = static_cast<int>(p >> 32);
    const long long more = static_cast<long long>(static_cast<int>(upper(t))) * p_high +
                           __umulhi(upper(t), lower(static_cast<unsigned long long>(p))) +
                           __mulhi(static_cast<int>(lower(t) >> 1), 2 * p_high);
    const unsigned below = (__float_as_uint(TO_INTEGER) >> 10) - (steps >> 10);
    return ((t + static_cast<unsigned long long>(more >> 5)) & ~0xffULL) | below;
}

struct SumOfWhole {
    static constexpr int UNROLL = 5;
    __device__ static __forceinline__ unsigned long long join(unsigned long long a, unsigned long long b) { return a + b; }
};

struct ByIntegers {
    static constexpr bool WIDE = false;
    static constexpr bool COUNTS = false;
    static constexpr bool TOGETHER = true;
    using Anchor = ::Anchor;
    using Term = unsigned long long;
    using Total = Whole;
    // Half of the width of what is in doubt, in units of 2^-32 of the last place.
    static constexpr unsigned IN_DOUBT = 38;
    // 1 / sum, and what the exponents of results start from.
    struct Share {
        unsigned long long inverse;
        int exponent;
        bool none;
    };

    template <typename TEAM>
    __device__ static __forceinline__ void prepare() { load_table<TEAM>(POWERS_AS_INTEGERS); }
    template <typename TEAM>
    __device__ static __forceinline__ void prepared() { ByTable::prepared<TEAM>(); }

    __device__ static __forceinline__ Anchor anchor(double m) { return ByTable::anchor(m); }
    __device__ static __forceinline__ float element(float x) { return x; }
    template <bool = false>
    __device__ static __forceinline__ Term term(float x, Anchor anchor) {
        return exp_by_integers(x, anchor, reinterpret_cast<const unsigned long long*>(table_room()));
    }

    __device__ static __forceinline__ Whole nothing(Anchor) { return {0, 0}; }
    __device__ static __forceinline__ Whole no_sum() { return {0, 0}; }
    template <int COUNT>
    __device__ static __forceinline__ void push(Whole& sum, const Term (&term)[COUNT]) {
#pragma unroll
        for (int i = 0; i < COUNT; i++) {
            // Beyond 48 powers below m nothing is left of 2^-46.
            const unsigned below = lower(term[i]) & 0xffu;
            const unsigned within = min(below, 48u);
            const unsigned long long x = (term[i] & ~0xffULL) >> min(below - within, 63u);
            sum.high += x >> (within + 15u);
            sum.low += upper(x << (49u - within));
        }
    }
    template <typename TEAM>
    __device__ static __forceinline__ Whole joined(Whole own, Anchor) {
        return {TEAM::template reduce<SumOfWhole>(own.high + upper(own.low)),
                TEAM::template reduce<SumOfWhole>(own.low & 0xffffffffULL)};
    }

    // 2^127 / s for the sum s, brought between 2^63 and 2^64: from a guess that is too small by 2^-19 at most, by two of Newton's
    // steps, to which what is left of 2^127 is known exactly. The first leaves 2^-38 of it, the second some units.
    __device__ static __forceinline__ Share share(Whole sum, double) {
        const unsigned long long high = sum.high + upper(sum.low);
        const int zeros = __clzll(static_cast<long long>(high | 1));
        const unsigned long long low = (sum.low & 0xffffffffULL) << 31;
        const unsigned long long s = (high << zeros) | (low >> (63 - zeros)) | 1;
        float guess;
        asm("rcp.approx.ftz.f32 %0, %1;" : "=f"(guess) : "f"(__uint2float_rn(upper(s))));
        // It misses 4 u of float32 with its roundings, and is made 2^-20 smaller.
        unsigned long long y = static_cast<unsigned long long>(__float2uint_rd(__fmul_rn(guess, 0x1.ffffep+62f))) << 32;
        unsigned long long left = (1ULL << 63) - __umul64hi(y, s) - (y * s != 0);
        y += __umul64hi(y, left << 1);
        const unsigned long long rest = (((1ULL << 63) - __umul64hi(y, s) - (y * s != 0)) << 32) | upper(0 - y * s);
        y += __umul64hi(y, rest) >> 31;
        return {y, 112 + zeros, high == 0};
    }

    template <int COUNT>
    __device__ static __forceinline__ void quotients(float (&result)[COUNT], const Term (&term)[COUNT], Share share,
                                                     Doubt& doubt) {
        unsigned most = lower(term[0]) & 0xffu;
#pragma unroll
        for (int i = 1; i < COUNT; i++) most = max(most, lower(term[i]) & 0xffu);
        // Of a quotient up to four bits before the first are zero.
        if (rarely(share.exponent - static_cast<int>(most) < 5 || share.none)) {
#pragma unroll
            for (int i = 0; i < COUNT; i++) result[i] = quotient<false>(term[i], share, doubt);
        } else {
#pragma unroll
            for (int i = 0; i < COUNT; i++) result[i] = quotient<true>(term[i], share, doubt);
        }
    }

    template <typename>
    __device__ static __forceinline__ bool any(Doubt doubt) { return doubt.least <= 2 * IN_DOUBT; }

  private:
    template <bool NORMAL>
    __device__ static __forceinline__ float quotient(Term term, Share share, Doubt& doubt) {
        const unsigned long long q = product_of_upper(term & ~0xffULL, share.inverse);
        const int zeros = __clz(static_cast<int>(upper(q)));
        unsigned long long first = q << zeros;
        int exponent = share.exponent - zeros - static_cast<int>(lower(term) & 0xffu);
        // A subnormal number has fewer digits.
        if (!NORMAL && exponent < 1) {
            first >>= min(1 - exponent, 63);
            exponent = 1;
        }
        const unsigned following = static_cast<unsigned>(first >> 8);
        doubt.least = min(doubt.least, following - (0x80000000u - IN_DOUBT));
        const unsigned bits = (static_cast<unsigned>(exponent - 1) << 23) + (upper(first) >> 8) + (following >> 31);
        return __uint_as_float(!NORMAL && share.none ? 0x7fc00000u : bits);
    }
};
