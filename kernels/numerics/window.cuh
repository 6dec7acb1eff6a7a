// A window on a sum: 384 bits of it as integers, wherever they lie. Numbers are added without error but for what lies
// below the last bit, and in any order to the same bits; what lies above the first bit is left off.
//
//   bit    383 ...  336 ...                                              0
//          sign     2^level, where terms begin                            last bit: what lies below is cut off and noted
//
// So once the sum is known to be small, a window can be laid lower: the terms may be huge, as long as their sum is not.
#pragma once
#include "power.cuh"

constexpr int LIMBS = 6;
// The bit that stands for 2^level: above it there is room for the sign and 2^43 terms below 8.
constexpr int LEVEL_BIT = 336;
// What is cut off counts less than 2^UNITS last bits: less than one for each number added.
constexpr int UNITS = 45;
// A sum with so many bits has 165 that are true.
constexpr int ENOUGH = UNITS + 165;
// The length up to which a sum is brought where the window is laid lower.
constexpr int LONGEST = 380;

template <int PARTS>
struct Window {
    unsigned long long limb[PARTS][LIMBS];  // least significant first, two's complement
    long long below;                        // not 0 if something was cut off

    // Adds value * 2^shift, the last bit being 2^0. Zero and normal numbers only.
    __device__ __forceinline__ void add(int part, double value, int shift) {
        const long long bits = __double_as_longlong(value);
        const int field = static_cast<int>(bits >> 52) & 0x7ff;
        const long long size = field == 0 ? 0 : (bits & 0xfffffffffffffLL) | 0x10000000000000LL;
        const long long number = bits < 0 ? -size : size;
        const int place = field - 1075 + shift;
        if (place < 0) below |= size != (size >> min(-place, 63)) << min(-place, 63);
        unsigned long long carry = 0;
#pragma unroll
        for (int i = 0; i < LIMBS; i++) {
            const int up = place - 64 * i;
            unsigned long long addend = static_cast<unsigned long long>(number >> min(max(-up, 0), 63));
            if (up >= 0) addend = up < 64 ? static_cast<unsigned long long>(number) << up : 0;
            const unsigned long long sum = limb[part][i] + addend;
            const unsigned long long with_carry = sum + carry;
            carry = (sum < addend) | (with_carry < sum);
            limb[part][i] = with_carry;
        }
    }

    __device__ __forceinline__ bool negative(int part) const { return limb[part][LIMBS - 1] >> 63; }

    // A limb of the absolute value: that of -n is the complement of n - 1.
    __device__ __forceinline__ void magnitude(int part, unsigned long long (&result)[LIMBS]) const {
        unsigned long long carry = negative(part);
        const unsigned long long flip = negative(part) ? ~0ULL : 0ULL;
#pragma unroll
        for (int i = 0; i < LIMBS; i++) {
            result[i] = (limb[part][i] ^ flip) + carry;
            carry = carry & (result[i] == 0);
        }
    }

    // Bits of a part, 0 for a sum that is 0.
    __device__ __forceinline__ int length_of(int part) const {
        unsigned long long size[LIMBS];
        magnitude(part, size);
        int length = 0;
#pragma unroll
        for (int i = 0; i < LIMBS; i++)
            if (size[i] != 0) length = 64 * (i + 1) - __clzll(static_cast<long long>(size[i]));
        return length;
    }

    // Bits of the largest part.
    __device__ __forceinline__ int length() const {
        int longest = 0;
#pragma unroll
        for (int part = 0; part < PARTS; part++) longest = max(longest, length_of(part));
        return longest;
    }

    // The part divided by 2^length.
    template <int WORDS>
    __device__ __forceinline__ Expansion<WORDS> words(int part, int length) const {
        unsigned long long size[LIMBS];
        magnitude(part, size);
        double list[2 * LIMBS];
#pragma unroll
        for (int i = 0; i < LIMBS; i++) {
            const unsigned long long limb_of_size = size[LIMBS - 1 - i];
            const double unit = power_of_two(64 * (LIMBS - 1 - i) - length);
            list[2 * i] = static_cast<double>(limb_of_size >> 32) * 0x1p+32 * unit;
            list[2 * i + 1] = static_cast<double>(limb_of_size & 0xffffffffULL) * unit;
        }
        return scale(normalised(distilled<WORDS>(list)), negative(part) ? -1.0 : 1.0);
    }
};

template <int PARTS>
__device__ __forceinline__ Window<PARTS> add(const Window<PARTS>& a, const Window<PARTS>& b) {
    Window<PARTS> result;
    result.below = a.below | b.below;
#pragma unroll
    for (int part = 0; part < PARTS; part++) {
        unsigned long long carry = 0;
#pragma unroll
        for (int i = 0; i < LIMBS; i++) {
            const unsigned long long sum = a.limb[part][i] + b.limb[part][i];
            const unsigned long long with_carry = sum + carry;
            carry = (sum < a.limb[part][i]) | (with_carry < sum);
            result.limb[part][i] = with_carry;
        }
    }
    return result;
}
