// Between what bounds the elements of a row lie, and whether it is NEAR (float64.cuh) therefore.
#pragma once
#include "online/teams.cuh"

struct Larger {
    static constexpr int UNROLL = 5;
    __device__ static __forceinline__ unsigned join(unsigned a, unsigned b) { return max(a, b); }
};

// One instruction of the CPU, which does not look for NaN.
template <typename COMPARE>
__device__ __forceinline__ COMPARE higher(COMPARE a, COMPARE b) { return a > b ? a : b; }

__device__ __forceinline__ unsigned bits_of_size(float x) { return __float_as_uint(x) & 0x7fffffffu; }
__device__ __forceinline__ unsigned long long bits_of_size(double x) {
    return __double_as_longlong(x) & 0x7fffffffffffffffull;
}

// Between what bounds the elements of a row lie.
template <typename OPERATION>
struct Extremes {
    using Arithmetic = typename OPERATION::Arithmetic;
    using Compare = typename Element<typename OPERATION::Type>::Compare;
    using Size = decltype(bits_of_size(Compare{}));
    static constexpr bool OFTEN = true;  // whether walks that look at them are made for most rows
    static constexpr bool SIZES = Element<typename OPERATION::Type>::BITS == 32;

    Compare largest = Element<Compare>::negative_infinity();
    Compare least = -Element<Compare>::negative_infinity();
    Size largest_size = 0;       // the bits of it; those of a NaN are above those of infinity
    bool odd = false;            // once joined: a NaN is among them
    unsigned less_smallest = 0;  // 2^32 less the bits of the smallest size that is not zero; 0 if there is none

    __device__ __forceinline__ void note(Compare x) {
        largest = higher(x, largest);
        least = x < least ? x : least;
        const Size size = bits_of_size(x);
        largest_size = max(largest_size, size);
        if constexpr (SIZES) less_smallest = max(less_smallest, 0u - size);
    }
    __device__ __forceinline__ void note(const Extremes& other) {
        largest = higher(other.largest, largest);
        least = other.least < least ? other.least : least;
        less_smallest = max(less_smallest, other.less_smallest);
    }
    template <typename TEAM>
    __device__ __forceinline__ void join() {
        largest = TEAM::template reduce<Maximum>(largest);
        least = -TEAM::template reduce<Maximum>(-least);
        odd = TEAM::any(largest_size > bits_of_size(Element<Compare>::negative_infinity()));
        if constexpr (SIZES) less_smallest = TEAM::template reduce<Larger>(less_smallest);
    }

    __device__ __forceinline__ double maximum() const { return odd ? not_a_number() : widen(largest); }

    // Whether the row is near, seen from one of its elements. Where maxima are counted no element is lifted: that would hide
    // one that is nothing at all.
    __device__ __forceinline__ bool near(double anchor) const {
        const double high = widen(largest), low = widen(least);
        bool near = !odd && __dsub_rn(high, anchor) <= Arithmetic::NEAR_ABOVE &&
                    fabs(anchor) <= Arithmetic::NEAR_SIZE &&
                    (!Arithmetic::COUNTS || __dsub_rn(anchor, low) <= Arithmetic::NEAR_BELOW);
        if constexpr (SIZES) {
            // Numbers of 24 bits whose exponents differ by 28 at most have a difference of at most 53.
            const double reach = __dmul_rn(0x1p+28, widen(__uint_as_float(0u - less_smallest)));
            const double lowest = Arithmetic::COUNTS ? low : fmax(low, __dsub_rn(anchor, Arithmetic::NEAR_BELOW + 1.0));
            near = near && (less_smallest == 0 || reach >= fmax(fabs(high), fabs(lowest)));
        }
        return near;
    }
    // Whether, besides, the results are no subnormal numbers; a logarithm has no need of that.
    __device__ __forceinline__ bool normal() const {
        return Arithmetic::COUNTS || __dsub_rn(widen(largest), widen(least)) <= Arithmetic::NORMAL_SPREAD;
    }
};
template <bool IN_MOST_ROWS>
struct Unseen {
    static constexpr bool OFTEN = IN_MOST_ROWS;
    template <typename COMPARE>
    __device__ __forceinline__ void note(COMPARE) {}
};
