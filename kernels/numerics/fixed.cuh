// Fixed-point numbers of 330 bits after the point: the last tier, where nothing is left to rounding but the last bit.
//
//   value = sum of w[i] 2^(30 (i - 11)),  0 <= w[i] < 2^30:    w[11] . w[10] w[9] ... w[0]
//
// Limbs of 30 bits leave room for the sum of twelve products in 64 bits, so that a product needs no carries between them.
// All indices are known when compiling, so the limbs stay in registers. "Unit" is the last bit, 2^-330.
#pragma once
#include "elements.cuh"

constexpr int FIXED_LIMBS = 12;
constexpr int LIMB_BITS = 30;
constexpr int FRACTION = LIMB_BITS * (FIXED_LIMBS - 1);
constexpr unsigned LIMB_MASK = (1u << LIMB_BITS) - 1;

struct Fixed {
    unsigned w[FIXED_LIMBS];
};

__device__ __forceinline__ Fixed fixed_of(unsigned whole) {
    Fixed a = {};
    a.w[FIXED_LIMBS - 1] = whole;
    return a;
}

__device__ __forceinline__ bool is_zero(const Fixed& a) {
    unsigned any = 0;
#pragma unroll
    for (int i = 0; i < FIXED_LIMBS; i++) any |= a.w[i];
    return any == 0;
}

__device__ __forceinline__ bool operator<(const Fixed& a, const Fixed& b) {
    bool less = false;
#pragma unroll
    for (int i = 0; i < FIXED_LIMBS; i++) less = a.w[i] < b.w[i] || (a.w[i] == b.w[i] && less);
    return less;
}

__device__ __forceinline__ Fixed add(const Fixed& a, const Fixed& b) {
    Fixed sum;
    unsigned carry = 0;
#pragma unroll
    for (int i = 0; i < FIXED_LIMBS; i++) {
        carry += a.w[i] + b.w[i];
        sum.w[i] = carry & LIMB_MASK;
        carry >>= LIMB_BITS;
    }
    return sum;
}

// a - b - borrow for a number that is not below 0.
__device__ __forceinline__ Fixed subtract(const Fixed& a, const Fixed& b, unsigned borrow = 0) {
    Fixed difference;
#pragma unroll
    for (int i = 0; i < FIXED_LIMBS; i++) {
        const unsigned limb = a.w[i] - b.w[i] - borrow;
        difference.w[i] = limb & LIMB_MASK;
        borrow = limb >> 31;
    }
    return difference;
}

// The product, less 0 to 12 units: the products of limbs that lie below the last but one column are left out, and what the
// last but one has is cut off.
__device__ __forceinline__ Fixed multiply(const Fixed& a, const Fixed& b) {
    Fixed product;
    unsigned long long column = 0;
#pragma unroll
    for (int place = FIXED_LIMBS - 2; place < 2 * FIXED_LIMBS - 1; place++) {
#pragma unroll
        for (int i = 0; i < FIXED_LIMBS; i++)
            if (place - i >= 0 && place - i < FIXED_LIMBS)
                column += static_cast<unsigned long long>(a.w[i]) * b.w[place - i];
        if (place >= FIXED_LIMBS - 1) product.w[place - FIXED_LIMBS + 1] = static_cast<unsigned>(column) & LIMB_MASK;
        column >>= LIMB_BITS;
    }
    return product;
}

// Times a whole number below 2^30.
__device__ __forceinline__ Fixed multiply(const Fixed& a, unsigned b) {
    Fixed product;
    unsigned long long carry = 0;
#pragma unroll
    for (int i = 0; i < FIXED_LIMBS; i++) {
        carry += static_cast<unsigned long long>(a.w[i]) * b;
        product.w[i] = static_cast<unsigned>(carry) & LIMB_MASK;
        carry >>= LIMB_BITS;
    }
    return product;
}

// Down by any number of bits >= 0; `cut` is set if a bit was lost that is not 0. Whole limbs move one at a time, which
// keeps the text short.
__device__ __forceinline__ Fixed shift_right(Fixed a, int bits, bool& cut) {
    const int rest = bits % LIMB_BITS;
    unsigned lost = 0;
#pragma unroll 1
    for (int limbs = min(bits / LIMB_BITS, FIXED_LIMBS); limbs > 0; limbs--) {
        lost |= a.w[0];
#pragma unroll
        for (int i = 0; i + 1 < FIXED_LIMBS; i++) a.w[i] = a.w[i + 1];
        a.w[FIXED_LIMBS - 1] = 0;
    }
    lost |= a.w[0] & ((1u << rest) - 1);
    cut |= lost != 0;
#pragma unroll
    for (int i = 0; i + 1 < FIXED_LIMBS; i++) a.w[i] = (a.w[i] >> rest | a.w[i + 1] << (LIMB_BITS - rest)) & LIMB_MASK;
    a.w[FIXED_LIMBS - 1] >>= rest;
    return a;
}

// Up by any number of bits >= 0; what goes beyond the first limb is lost.
__device__ __forceinline__ Fixed shift_left(Fixed a, int bits) {
    const int rest = bits % LIMB_BITS;
#pragma unroll 1
    for (int limbs = min(bits / LIMB_BITS, FIXED_LIMBS); limbs > 0; limbs--) {
#pragma unroll
        for (int i = FIXED_LIMBS - 1; i > 0; i--) a.w[i] = a.w[i - 1];
        a.w[0] = 0;
    }
#pragma unroll
    for (int i = FIXED_LIMBS - 1; i > 0; i--) a.w[i] = (a.w[i] << rest | a.w[i - 1] >> (LIMB_BITS - rest)) & LIMB_MASK;
    a.w[0] = a.w[0] << rest & LIMB_MASK;
    return a;
}

__device__ __forceinline__ Fixed chosen(bool first, const Fixed& a, const Fixed& b) {
    Fixed result;
#pragma unroll
    for (int i = 0; i < FIXED_LIMBS; i++) result.w[i] = first ? a.w[i] : b.w[i];
    return result;
}

// Bits up to the highest that is set; 0 for 0.
__device__ __forceinline__ int length_of(const Fixed& a) {
    unsigned highest = 0;
    int below = -1;
#pragma unroll
    for (int i = 0; i < FIXED_LIMBS; i++) {
        highest = a.w[i] != 0 ? a.w[i] : highest;
        below = a.w[i] != 0 ? LIMB_BITS * i : below;
    }
    return below + 32 - __clz(static_cast<int>(highest | (below < 0)));
}
