// The arithmetic of a softmax: float64 throughout. A policy: state, reductions and kernels take it as a template argument
// and ask nothing else about numbers, so that another arithmetic can stand in its place. It gives
//
//   Term, term(x, m)            exp(x - m), in as many words as an element keeps
//   terms(x, m, term)           term of several elements at once
//   push(sum, terms)            terms joined to a sum, which is two words
//   rescaled(sum, from, to)     a sum at the anchor `from` seen from the anchor `to`
//   Share, share(sum, columns)  what the quotient by a sum needs, and its error
//   quotient(term, share, doubt)            a term over the sum, rounded to T; notes whether that was in doubt
//   Log, log(count, rest, columns)          log(count + rest), as an element needs it
//   of_difference(x, m, log, doubt)         x - m - log(l), rounded to T, likewise
//   log_words(count, rest, columns)         log(count + rest) in two words, and a bound of its error
//
//   Float64Arithmetic<T> is    narrow, a term one word good to 1.75 u (u = 2^-53), for results of 16 and 32 bits
//                              wide, a term two words good to 2^-86, times 2^PAIR_LIFT, for float64; for shorter types
//                              where narrow left a long row in doubt (loops.cu)
//   Pairs                      what wide is made of, for the second tier of short types too
//
// term and of_difference are shorter for rows that are NEAR: none of their elements is NaN, more than NEAR_ABOVE above m,
// which may be any of them, or more than NEAR_BELOW below it, where it counts for nothing; m is at most NEAR_SIZE, so that
// this difference is a number of the type they are compared in; and where the type has 32 bits x - m is a float64. quotient is shorter for those in which besides none is more than NORMAL_SPREAD below the maximum.
//
// COUNTS: the maxima are counted apart, and the sum has only what lies below: log(1 + tiny) then keeps all bits of tiny.
#pragma once
#include "exponential.cuh"
#include "pair.cuh"
#include "policy.cuh"
#include "rounding.cuh"

// x - m, exactly, but for 16-bit types in one word: float16 needs no more; bfloat16 misses at most 2^-44 of a term, where
// its result keeps 2^-9.
template <typename T, bool NEAR = false>
__device__ __forceinline__ Two difference(double x, double m) {
    if constexpr (Element<T>::BITS == 16 || NEAR) return {__dsub_rn(x, m), 0.0};
    return two_sum(x, -m);
}

// The sum of numbers in a tree, of which each goes through log2(COUNT) additions.
template <int COUNT>
__device__ __forceinline__ double tree(const double* number) {
    if constexpr (COUNT == 1) return number[0];
    else return __dadd_rn(tree<COUNT / 2>(number), tree<COUNT - COUNT / 2>(number + COUNT / 2));
}

// How often a sum may have moved to another anchor: once for each step of a thread, 32 at most, and once where the team
// joins its states; of a row in parts, 8 and 1, once for each part that a thread merges, 1024 columns each and every 128th
// to one thread, and once where these join. One more makes up for additions: a thread adds 2^8 terms at most, and loses
// 2^-106 times the square of that.
__device__ __forceinline__ double moves(double columns) { return __fma_rn(columns, 0x1p-17, 35.0); }
// The columns to name for a sum that moved so often, or lost as much as that, but not more.
__device__ __forceinline__ double columns_of_moves(double count) { return __dmul_rn(__dsub_rn(count, 35.0), 0x1p+17); }

// Two words, of whatever type the elements are.
struct Pairs {
    struct Share {
        Two inverse;  // 2^PAIR_LIFT over the sum
        double error;
    };

    // The error of a sum, as a share of it: that of its terms, and that of each move.
    __device__ static __forceinline__ double spread(double columns) {
        return __dmul_rn(__dadd_rn(moves(columns), 1.0), PAIR_ERROR);
    }

    // Quotient: the term's error, the sum's, and less than 2^-87 for a product with an inverse of two words.
    __device__ static __forceinline__ Share share(Two sum, double columns) {
        const Two whole = fast_two_sum(sum.hi, sum.lo);
        return {divide({PAIR_LIFTED, 0.0}, whole), __fma_rn(1.5, PAIR_ERROR, spread(columns))};
    }
    template <bool NORMAL = false>
    __device__ static __forceinline__ double quotient(Two term, const Share& share, Format format, bool& sure) {
        const Two product = two_product(term.hi, share.inverse.hi);
        const double low = __fma_rn(term.hi, share.inverse.lo, __fma_rn(term.lo, share.inverse.hi, product.lo));
        return rounded<PAIR_LIFT, NORMAL>(product.hi, low, __dmul_rn(product.hi, share.error), format, sure);
    }

    // In float64 second words may be subnormal, or there are none: then only that a logarithm rounds to 0 can be told.
    __device__ static __forceinline__ LogPair log(double count, Two rest, double columns, Format format) {
        LogPair log = log_pair(count, rest, spread(columns));
        log.zero = rest.hi == 0.0 ? 0.0 : -0.0;
        if (format.digits == 53 && count == 1.0 && rest.hi < LOGS_END) {
            if (rest.hi < LOGS_VANISH) log.value = {0.0, 0.0};
            else log.error = positive_infinity();
        }
        return log;
    }

    // x - m - log(l), which is never above 0. In float64 x - m may lie in the middle of two numbers, so that a logarithm
    // which is nothing beside it decides.
    __device__ static __forceinline__ double of_difference(double x, double m, const LogPair& log, Format format,
                                                           bool& sure) {
        const Two d = two_sum(x, -m);
        const Two s = two_sum(-d.hi, log.value.hi);
        sure = true;
        if (!(s.hi < positive_infinity())) return -s.hi;
        const double low = __dadd_rn(s.lo, __dsub_rn(log.value.lo, d.lo));
        double result = rounded<0>(s.hi, low, __fma_rn(s.hi, 0x1p-104, log.error), format, sure);
        if (format.digits == 53 && !sure && log.value.hi < __dmul_rn(s.hi, 0x1p-110)) {
            result = away_from_middle(-d.hi, -d.lo);
            sure = true;
        }
        return __dadd_rn(-result, log.zero);
    }

  private:
    // Sums of terms, with their lift, of which those that are left out have no share, and those that keep two words.
    static constexpr double LOGS_VANISH = 0x1p-830;
    static constexpr double LOGS_END = 0x1p-644;

    // What a >= 0 and a little more than nothing rounds to: a itself, but where it is the middle of two numbers.
    __device__ static __forceinline__ double away_from_middle(double hi, double lo) {
        const double twice = __dmul_rn(2.0, lo);
        const bool middle = lo != 0.0 && __dsub_rn(__dadd_rn(hi, twice), hi) == twice;
        const double after = __longlong_as_double(__double_as_longlong(lo) + (lo < 0.0 ? -1 : 1));
        return __dadd_rn(hi, middle ? after : lo);
    }
};

// Wide, for float64.
template <typename T, bool COUNTING, bool WIDENED>
struct Arithmetic64 : TakesFloat64 {
    static constexpr bool WIDE = true;
    static constexpr bool COUNTS = COUNTING;
    static constexpr double ONE = PAIR_LIFTED;  // what 1 is in a sum
    using Term = Two;
    using Share = Pairs::Share;
    using Log = LogPair;

    // No term overflows with its lift, nor does a sum; with NORMAL_SPREAD no result is subnormal.
    static constexpr double NEAR_ABOVE = 256.0;
    static constexpr double NEAR_BELOW = -PAIR_LOWEST;
    static constexpr double NEAR_SIZE = Element<T>::BITS == 64 ? 0x1p+52 : 0x1p+23;
    static constexpr double NORMAL_SPREAD = 512.0;

    template <bool NEAR = false>
    __device__ static __forceinline__ Two term(double x, double m) {
        return exp_pair<NEAR>(two_sum(x, -m), COUNTING && x > negative_infinity());
    }
    template <bool NEAR, int COUNT>
    __device__ static __forceinline__ void terms(const double (&x)[COUNT], double m, Two (&result)[COUNT]) {
#pragma unroll
        for (int i = 0; i < COUNT; i++) result[i] = term<NEAR>(x[i], m);
    }

    template <int COUNT>
    __device__ static __forceinline__ void push(Two& sum, const Two (&term)[COUNT]) {
#pragma unroll
        for (int i = 0; i < COUNT; i++) accumulate(sum, term[i]);
    }
    __device__ static __forceinline__ Two rescaled(Two sum, double from, double to) {
        return scale(multiply(sum, term(from, to)), PAIR_LOWERED);
    }

    __device__ static __forceinline__ Share share(Two sum, double columns) { return Pairs::share(sum, columns); }
    template <bool NEAR = false, typename DOUBTS>
    __device__ static __forceinline__ T quotient(Two term, const Share& share, DOUBTS& doubt) {
        bool sure;
        const double result = Pairs::quotient<NEAR && Element<T>::BITS == 64>(term, share, format_of<T>(), sure);
        doubt.add(!sure);
        return Element<T>::round(result);
    }

    __device__ static __forceinline__ LogPair log(double count, Two rest, double columns) {
        return Pairs::log(count, rest, columns, format_of<T>());
    }
    __device__ static __forceinline__ LogPair log_words(double count, Two rest, double columns) {
        return log(count, rest, columns);
    }
    template <bool NEAR = false, typename DOUBTS>
    __device__ static __forceinline__ T of_difference(double x, double m, const LogPair& log, DOUBTS& doubt) {
        bool sure;
        const double result = Pairs::of_difference(x, m, log, format_of<T>(), sure);
        doubt.add(!sure);
        return Element<T>::round(result);
    }
};

// Narrow, for results of 16 and 32 bits. In units of u = 2^-53 a term misses 1.75 (exponential.cuh), a sum 4 more where
// each term goes through 4 additions of one word; the second word of sums, and their moves by 2^-86, are nothing beside.
template <typename T, bool COUNTING>
struct Arithmetic64<T, COUNTING, false> : TakesFloat64 {
    static constexpr bool WIDE = false;
    static constexpr bool COUNTS = COUNTING;
    static constexpr double ONE = 1.0;
    using Term = double;
    struct Share {
        double inverse;
    };
    using Log = double;
    // Exponentials whose steps take turns: twice 32 numbers keep a processor busy that has vectors of 8.
    static constexpr int SIDE_BY_SIDE = 2;
    // The terms that go through one word before they join a sum: at most 2^4.
    static constexpr int JOINED = 16;

    // exp(-64) over a sum of 2^30 terms is a normal float32, and a normal bfloat16; float16 ends before.
    static constexpr double NEAR_ABOVE = 256.0;
    static constexpr double NEAR_BELOW = -NARROW_LOWEST;
    static constexpr double NEAR_SIZE = 0x1p+23;
    static constexpr double NORMAL_SPREAD = 64.0;
    static constexpr bool NEAR_IS_NORMAL = Element<T>::LEAST < -126;

    template <bool NEAR = false>
    __device__ static __forceinline__ double term(double x, double m) {
        if constexpr (NEAR) return exp_near(difference<T, true>(x, m).hi);
        else return exp_narrow<COUNTING>(difference<T>(x, m));
    }
    template <bool NEAR, int COUNT>
    __device__ static __forceinline__ void terms(const double (&x)[COUNT], double m, double (&result)[COUNT]) {
        if constexpr (NEAR) {
            constexpr int SIDE = COUNT % SIDE_BY_SIDE == 0 ? SIDE_BY_SIDE : 1;
#pragma unroll
            for (int at = 0; at < COUNT; at += SIDE) {
                Several<SIDE> d;
#pragma unroll
                for (int i = 0; i < SIDE; i++) d.of[i] = difference<T, true>(x[at + i], m).hi;
                d = exp_near(d);
#pragma unroll
                for (int i = 0; i < SIDE; i++) result[at + i] = d.of[i];
            }
        } else {
#pragma unroll
            for (int i = 0; i < COUNT; i++) result[i] = term(x[i], m);
        }
    }

    template <int COUNT>
    __device__ static __forceinline__ void push(Two& sum, const double (&term)[COUNT]) {
        static_assert(COUNT <= JOINED);
        accumulate(sum, tree<COUNT>(term));
    }

    __device__ static __forceinline__ Two rescaled(Two sum, double from, double to) {
        Two result = scale(multiply(sum, exp_pair(two_sum(from, -to))), PAIR_LOWERED);
        // Where maxima are counted no sum is nothing, and none becomes it.
        if constexpr (COUNTING) result.hi = fmax(result.hi, NARROW_TRACE);
        return result;
    }

    // 1.75 for the term, 5.75 for the sum, and a rounding for its two words, for the inverse, for the product: 10.5.
    __device__ static __forceinline__ Share share(Two sum, double) {
        return {__ddiv_rn(1.0, __dadd_rn(sum.hi, sum.lo))};
    }
    template <bool NEAR = false, typename DOUBTS>
    __device__ static __forceinline__ T quotient(double term, Share share, DOUBTS& doubt) {
        const double value = __dmul_rn(term, share.inverse);
        doubt.template note<T, NEAR && NEAR_IS_NORMAL>(value);
        return Element<T>::round(value);
    }

    // 5.75 of the rest is at most as much of the logarithm, which misses 2^-57 itself (u / 16); 1 where the rest is rounded,
    // 1 for the logarithm: 7.8.
    __device__ static __forceinline__ double log(double count, Two rest, double) {
        const Two l = two_sum(count, rest.hi);
        return log_two(fast_two_sum(l.hi, __dadd_rn(l.lo, rest.lo)), 0).hi;
    }

    // Both words of it: 6 units, 2^-50.4, of what is at most itself.
    __device__ static __forceinline__ LogPair log_words(double count, Two rest, double) {
        const Two l = two_sum(count, rest.hi);
        const Two value = log_two(fast_two_sum(l.hi, __dadd_rn(l.lo, rest.lo)), 0);
        return {value, __dmul_rn(value.hi, 0x1p-50), -0.0};
    }

    // 7.8 for the logarithm, 1 for one word of x - m, 1 for the difference, which is not below either: 9.8 for it all. The
    // logarithm may be nothing beside a difference in the middle of two numbers; for x < m it is above 0.
    template <bool NEAR = false, typename DOUBTS>
    __device__ static __forceinline__ T of_difference(double x, double m, double log, DOUBTS& doubt) {
        const Two d = difference<T, NEAR>(x, m);
        double value = __dsub_rn(d.hi, log);
        if (Doubt::of<T>(value)) {
            const long long below = (1LL << (53 - Element<T>::DIGITS)) - 1;
            const bool middle = d.lo == 0.0 && (__double_as_longlong(d.hi) & below) == (below + 1) / 2;
            const bool decided = middle && log < __dmul_rn(d.hi, -0x1p-40);
            if (decided) value = __longlong_as_double(__double_as_longlong(d.hi) + 1);
            doubt.add(!decided);
        }
        return Element<T>::round(value);
    }
};

template <typename T, bool COUNTING = false>
using Float64Arithmetic = Arithmetic64<T, COUNTING, Element<T>::BITS == 64>;
