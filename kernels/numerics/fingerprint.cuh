// The fingerprint of a sum of weighted values: equal values with weights that add up to zero leave none, whatever they are.
//
//   sum of b h(x) modulo the primes 2^61 - 1 and 2^31 - 1
//
// A float64 is a whole number times a power of two; modulo 2^k - 1 a product with a power of two turns the k bits. h mixes
// the bits of x to a number that has nothing to do with those of other x. All of it is exact. If some weights do not
// cancel, the fingerprint is zero once in 2^92 times.
#pragma once
#include "wide.cuh"

template <int BITS>
struct Modulo {
    static constexpr unsigned long long PRIME = (1ULL << BITS) - 1;

    __device__ __forceinline__ static unsigned long long of(unsigned long long a) {
        a = (a & PRIME) + (a >> BITS);
        a = (a & PRIME) + (a >> BITS);
        return a == PRIME ? 0 : a;
    }
    __device__ __forceinline__ static unsigned long long product(unsigned long long a, unsigned long long b) {
        const unsigned long long low = a * b;
        if constexpr (2 * BITS <= 64) return of(low);
        return of((low & PRIME) + (__umul64hi(a, b) << (64 - BITS) | low >> BITS));
    }
    __device__ __forceinline__ static unsigned long long term(const Parts& weight, unsigned long long mixed) {
        const int turn = (weight.power + 32 * BITS * BITS) % BITS;
        const unsigned long long size = of(weight.size);
        const unsigned long long turned = of((size << turn & PRIME) | size >> (BITS - turn));
        const unsigned long long value = product(turned, of(mixed));
        return weight.negative && value != 0 ? PRIME - value : value;
    }
};

struct Fingerprint {
    unsigned long long wide;
    unsigned long long narrow;

    __device__ __forceinline__ bool none() const { return wide == 0 && narrow == 0; }
};

struct SumOfFingerprints {
    static constexpr int UNROLL = 1;
    __device__ static __forceinline__ Fingerprint join(const Fingerprint& a, const Fingerprint& b) {
        return {Modulo<61>::of(a.wide + b.wide), Modulo<31>::of(a.narrow + b.narrow)};
    }
};

// Numbers in the order of their keys; both zeros have one.
__device__ __forceinline__ long long key_of(double x) {
    const long long bits = __double_as_longlong(__dadd_rn(x, 0.0));
    return bits < 0 ? bits ^ 0x7fffffffffffffffLL : bits;
}
__device__ __forceinline__ double number_of(long long key) {
    return __longlong_as_double(key < 0 ? key ^ 0x7fffffffffffffffLL : key);
}

// Two rounds of product and shift, by odd numbers without a pattern.
__device__ __forceinline__ Fingerprint fingerprint(double x, double weight) {
    unsigned long long mixed = static_cast<unsigned long long>(key_of(x)) + 0x5bd1e9955bd1e995ULL;
    mixed = (mixed ^ mixed >> 31) * 0xd6e8feb86659fd93ULL;
    mixed = (mixed ^ mixed >> 29) * 0x9fb21c651e98df25ULL;
    mixed ^= mixed >> 32;
    const Parts parts = parts_of(weight);
    return {Modulo<61>::term(parts, mixed), Modulo<31>::term(parts, mixed >> 7)};
}
