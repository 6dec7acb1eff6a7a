// How sums are formed and results rounded out of float32 (float32.cuh), and when they are in doubt: if the two ends of the
// interval in which the true value lies round differently. Rounding is monotone, so what both round to is right.
#pragma once
#include "elements.cuh"
#include "float32.cuh"
#include "rare.cuh"

// What a quotient misses at most: its term 16 u^2, the sum 16 + 41 + 1 u^2, the inverse 6 u^2, the quotient 16 u^2, and
// joining its lo with this error 7 u^2: 103 u^2.
constexpr float ERROR_OF_QUOTIENT = 106 * 0x1p-48f;

// q 2^-32 rounded to float32: what both ends of the interval round to, or doubt. The result is a normal number.
__device__ __forceinline__ float rounded_normal(Floats q, bool& doubt) {
    const float below = __fadd_rn(q.hi, __fmaf_rn(q.hi, -ERROR_OF_QUOTIENT, q.lo));
    const float above = __fadd_rn(q.hi, __fmaf_rn(q.hi, ERROR_OF_QUOTIENT, q.lo));
    doubt |= below != above;
    return __fmul_rn(above, RESULT_LOWERED);
}

// The same where the result may be subnormal: beside PLACE the last bit of a sum is that of the smallest subnormal number,
// times 2^32, and what is below it is known exactly.
__device__ __forceinline__ float rounded_small(Floats q, bool& doubt) {
    constexpr float PLACE = 0x1p-94f;
    const bool subnormal = q.hi <= LEAST_NORMAL;
    const float place = subnormal ? PLACE : 0.0f;
    const float nearest = __fadd_rn(q.hi, place);
    const float rest = __fadd_rn(__fsub_rn(q.hi, __fsub_rn(nearest, place)), q.lo);
    const float error = __fmaf_rn(q.hi, ERROR_OF_QUOTIENT, subnormal ? 0x1p-140f : 0.0f);
    const float below = __fadd_rn(nearest, __fsub_rn(rest, error));
    const float above = __fadd_rn(nearest, __fadd_rn(rest, error));
    doubt |= below != above;
    return __fmul_rn(__fsub_rn(above, place), RESULT_LOWERED);
}

template <typename T>
constexpr bool IS_BFLOAT16 = false;
template <>
constexpr bool IS_BFLOAT16<Bfloat16> = true;

// q 2^-32, which misses the truth by `error` of it at most, rounded to 16 bits, or doubt. Beside `place` the last bit of a
// sum is that of T: DIGITS - 1 below the first of q, or that of the smallest subnormal number. `gap` is how far q lies beyond
// the middle between `nearest` and its neighbour; near the middle, where it counts, both differences are exact.
template <typename T>
__device__ __forceinline__ T rounded_short(Floats q, float error, bool& doubt) {
    constexpr int DIGITS = IS_BFLOAT16<T> ? 8 : 11;
    constexpr unsigned NORMAL = (127 + 32 - (IS_BFLOAT16<T> ? 126 : 14)) << 23;
    const float value = __fadd_rn(q.hi, q.lo);
    const float low = __fsub_rn(q.lo, __fsub_rn(value, q.hi));
    const unsigned exponent = max(__float_as_uint(value) & 0x7f800000u, NORMAL);
    const float place = __uint_as_float(exponent + ((24 - DIGITS) << 23));
    const float nearest = __fsub_rn(__fadd_rn(value, place), place);
    const float rest = __fsub_rn(value, nearest);
    const float middle = copysignf(__fmul_rn(place, 0x1p-24f), rest);
    const float gap = __fadd_rn(__fsub_rn(rest, middle), low);
    doubt |= !(fabsf(gap) > __fmul_rn(value, error));
    const bool beyond = (gap > 0.0f) == (middle > 0.0f);
    const float rounded = beyond ? __fmaf_rn(2.0f, middle, nearest) : nearest;
    return Element<T>::round(static_cast<double>(__fmul_rn(rounded, RESULT_LOWERED)));
}

// What differs between results of 32 and of 16 bits.
template <typename T>
struct Single;

// The terms' sum in two words, as a tree over the thread's own: hi exactly joined, and what that misses gathered in lo.
//
// A level misses at most u of the sum of hi, so after level l lo is at most (3.03 + l) u. Two additions a level to lo, each
// rounded by u of it at most: for 16 terms (3.03 + 2 (4.03 + 5.03 + 6.03) + 7.03) u^2 < 41 u^2.
template <int COUNT>
__device__ __forceinline__ Floats sum_of_terms(const Floats* term) {
    if constexpr (COUNT == 1) return term[0];
    else {
        const Floats a = sum_of_terms<COUNT / 2>(term);
        const Floats b = sum_of_terms<COUNT - COUNT / 2>(term + COUNT / 2);
        float missed;
        const float hi = sum_of(a.hi, b.hi, missed);
        return {hi, __fadd_rn(__fadd_rn(a.lo, b.lo), missed)};
    }
}

template <>
struct Single<float> {
    // Results are rounded so many at a time.
    static constexpr int GROUP = 4;
    // exp(-107) < 2^-154: such results are 0, and 65536 such terms nothing beside the others.
    static constexpr float REACH = 107.0f;

    template <typename TABLE>
    __device__ static __forceinline__ Floats term(float x, Anchor anchor, const TABLE& table) {
        return exp_floats(x, anchor, table);
    }
    template <int COUNT>
    __device__ static __forceinline__ Floats sum(const Floats* term, float, Anchor) { return sum_of_terms<COUNT>(term); }

    template <int COUNT>
    __device__ static __forceinline__ float largest(const float* element) {
        float result = element[0];
#pragma unroll
        for (int i = 1; i < COUNT; i++) result = maximum(result, element[i]);
        return result;
    }
    // Told for each group, by the quotients themselves.
    template <int COUNT>
    __device__ static __forceinline__ bool any_small(const float*, float) { return false; }

    __device__ static __forceinline__ void quotients(float* result, const Floats* term, Floats inverse, bool small,
                                                     bool& doubt) {
        Floats q[GROUP];
#pragma unroll
        for (int i = 0; i < GROUP; i++) {
            q[i] = quotient_of(term[i], inverse);
            small |= q[i].hi <= LEAST_NORMAL;
        }
        if (rarely(small)) {
#pragma unroll
            for (int i = 0; i < GROUP; i++) result[i] = rounded_small(q[i], doubt);
        } else {
#pragma unroll
            for (int i = 0; i < GROUP; i++) result[i] = rounded_normal(q[i], doubt);
        }
    }
};

// The larger, or the smaller, of two pairs of numbers of 16 bits; NaN if either is.
template <typename T, bool LARGER>
__device__ __forceinline__ unsigned extreme_pair(unsigned a, unsigned b) {
    unsigned result;
    if constexpr (IS_BFLOAT16<T> && LARGER) asm("max.NaN.bf16x2 %0, %1, %2;" : "=r"(result) : "r"(a), "r"(b));
    else if constexpr (IS_BFLOAT16<T>) asm("min.NaN.bf16x2 %0, %1, %2;" : "=r"(result) : "r"(a), "r"(b));
    else if constexpr (LARGER) asm("max.NaN.f16x2 %0, %1, %2;" : "=r"(result) : "r"(a), "r"(b));
    else asm("min.NaN.f16x2 %0, %1, %2;" : "=r"(result) : "r"(a), "r"(b));
    return result;
}

template <int COUNT>
__device__ __forceinline__ float tree_of_lo(const Floats* term) {
    if constexpr (COUNT == 1) return term[0].lo;
    else return __fadd_rn(tree_of_lo<COUNT / 2>(term), tree_of_lo<COUNT - COUNT / 2>(term + COUNT / 2));
}

// Float16 and Bfloat16.
template <typename T>
struct Single {
    static constexpr int GROUP = 4;
    // For float16 exp(-50) < 2^-72 is enough, and no quotient is subnormal then.
    static constexpr float REACH = IS_BFLOAT16<T> ? 107.0f : 50.0f;
    // What two words of a quotient miss: the term 2^-33; the sum, of terms and of words lo, 2^-32.03; the quotient by two
    // roundings and lo times lo 2^-33.6: 2^-31.1.
    static constexpr float FINE = 0x1p-31f;
    // What one word, rounded down, is below the truth at most: 6 u for roundings, 2^-30 for the inverse, and some.
    static constexpr float WIDTH = 6.25f * 0x1p-24f;
    // The same of exp_word(), which leaves out 1 u.
    static constexpr float WIDTH_OF_WORD = 7.25f * 0x1p-24f;
    // Results of bfloat16 are normal numbers where x - m is above this: exp(-77.5) / 8192 > 2^-125.
    static constexpr float LOWEST_NORMAL = IS_BFLOAT16<T> ? -77.5f : -1e9f;

    template <typename TABLE>
    __device__ static __forceinline__ Floats term(float x, Anchor anchor, const TABLE& table) {
        return exp_rough(x, anchor, table);
    }

    template <int COUNT>
    __device__ static __forceinline__ float largest(const T* element) {
        const unsigned pair = extreme<COUNT, true>(element);
        return maximum(Element<T>::load({static_cast<unsigned short>(pair)}),
                       Element<T>::load({static_cast<unsigned short>(pair >> 16)}));
    }

    // Whether a result may be a subnormal number of a type that has as many powers of two as float32.
    template <int COUNT>
    __device__ static __forceinline__ bool any_small(const T* element, float m) {
        if constexpr (!IS_BFLOAT16<T>) return false;
        const unsigned pair = extreme<COUNT, false>(element);
        const float smallest = fminf(Element<T>::load({static_cast<unsigned short>(pair)}),
                                     Element<T>::load({static_cast<unsigned short>(pair >> 16)}));
        return __fsub_rn(smallest, m) < LOWEST_NORMAL;
    }

    template <int COUNT, bool LARGER>
    __device__ static __forceinline__ unsigned extreme(const T* element) {
        unsigned pair = element[0].bits | static_cast<unsigned>(element[1].bits) << 16;
#pragma unroll
        for (int i = 2; i < COUNT; i += 2)
            pair = extreme_pair<T, LARGER>(pair, element[i].bits | static_cast<unsigned>(element[i + 1].bits) << 16);
        return pair;
    }

    // hi is added to a power of two that is no smaller than any of them, so that three operations suffice; what they miss,
    // 3 u of the sum at most each time, is gathered in one word, to 2^-39. The words lo, 2^-11.4 of it, are summed in a
    // tree, to 2^-33.4, and joined, to 2^-35.3: with the terms' own error below 2^-32.03.
    template <int COUNT>
    __device__ static __forceinline__ Floats sum(const Floats* term, float largest, Anchor anchor) {
        const float start = above_terms(largest, anchor);
        float s = start;
        float missed = 0.0f;
#pragma unroll
        for (int i = 0; i < COUNT; i++) {
            const float next = __fadd_rn(s, term[i].hi);
            missed = __fadd_rn(missed, __fsub_rn(term[i].hi, __fsub_rn(next, s)));
            s = next;
        }
        s = __fsub_rn(s, start);
        const float low = __fadd_rn(tree_of_lo<COUNT>(term), missed);
        const float hi = __fadd_rn(s, low);
        return {hi, __fsub_rn(low, __fsub_rn(hi, s))};
    }

    __device__ static __forceinline__ unsigned packed_pair(float low, float high) {
        unsigned pair;
        if constexpr (IS_BFLOAT16<T>) asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(pair) : "f"(high), "f"(low));
        else asm("cvt.rn.f16x2.f32 %0, %1, %2;" : "=r"(pair) : "f"(high), "f"(low));
        return pair;
    }

    // One word decides nearly always: `below`, rounded down throughout and multiplied by a number below the inverse, is below
    // the truth, by three roundings of 2 u; above it is added what that may be. Where both round to the same, so does the truth.
    struct OneWord {
        float least;
        float step;
        __device__ __forceinline__ OneWord(Floats inverse, float fine, float width = WIDTH)
            : least(__fmul_rn(__fadd_rd(inverse.hi, __fmaf_rn(inverse.hi, -2 * fine, inverse.lo)), RESULT_LOWERED)),
              step(__fmul_rn(least, width)) {}
    };
    // Two results, and the bits in which they are in doubt.
    __device__ static __forceinline__ unsigned rounded_pair(T* result, const float* below, const float* term, float step,
                                                            unsigned& below_pair) {
        const unsigned pair = packed_pair(__fmaf_ru(term[0], step, below[0]), __fmaf_ru(term[1], step, below[1]));
        result[0] = {static_cast<unsigned short>(pair)};
        result[1] = {static_cast<unsigned short>(pair >> 16)};
        below_pair = packed_pair(below[0], below[1]);
        return pair ^ below_pair;
    }

    __device__ static __forceinline__ void quotients(T* result, const Floats* term, Floats inverse, bool small,
                                                     bool& doubt) {
        const OneWord by(inverse, FINE);
        unsigned different = 0;
#pragma unroll
        for (int i = 0; i < GROUP; i += 2) {
            float below[2];
            const float hi[2] = {term[i].hi, term[i + 1].hi};
#pragma unroll
            for (int j = 0; j < 2; j++) below[j] = __fmaf_rd(term[i + j].lo, by.least, __fmul_rd(hi[j], by.least));
            unsigned pair;
            different |= rounded_pair(result + i, below, hi, by.step, pair);
        }
        if (rarely(different != 0 || small)) {
#pragma unroll
            for (int i = 0; i < GROUP; i++) result[i] = rounded_short<T>(quotient_of(term[i], inverse), FINE, doubt);
        }
    }
};
