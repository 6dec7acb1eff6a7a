// Reading and writing WIDTH neighbouring elements at once, under a predicate and without a branch.
//
// The accesses are inline PTX for two reasons: a predicate on the instruction instead of a jump around it, and an order
// that the compiler keeps, so that x and out may be the same memory (a thread reads its elements before it writes them).
#pragma once
#include "numerics/elements.cuh"

template <int BYTES>
struct Words;

template <>
struct Words<16> {
    unsigned w[4];
    __device__ __forceinline__ void load(unsigned long long address, bool wanted) {
        asm volatile(
            "{ .reg .pred p; setp.ne.s32 p, %5, 0; @p ld.global.v4.u32 {%0, %1, %2, %3}, [%4]; }"
            : "+r"(w[0]), "+r"(w[1]), "+r"(w[2]), "+r"(w[3])
            : "l"(address), "r"(static_cast<int>(wanted)));
    }
    __device__ __forceinline__ void store(unsigned long long address, bool wanted) const {
        asm volatile("{ .reg .pred p; setp.ne.s32 p, %5, 0; @p st.global.v4.u32 [%4], {%0, %1, %2, %3}; }" ::"r"(w[0]),
                     "r"(w[1]), "r"(w[2]), "r"(w[3]), "l"(address), "r"(static_cast<int>(wanted)));
    }
};

template <>
struct Words<8> {
    unsigned w[2];
    __device__ __forceinline__ void load(unsigned long long address, bool wanted) {
        asm volatile("{ .reg .pred p; setp.ne.s32 p, %3, 0; @p ld.global.v2.u32 {%0, %1}, [%2]; }"
                     : "+r"(w[0]), "+r"(w[1])
                     : "l"(address), "r"(static_cast<int>(wanted)));
    }
    __device__ __forceinline__ void store(unsigned long long address, bool wanted) const {
        asm volatile("{ .reg .pred p; setp.ne.s32 p, %3, 0; @p st.global.v2.u32 [%2], {%0, %1}; }" ::"r"(w[0]),
                     "r"(w[1]), "l"(address), "r"(static_cast<int>(wanted)));
    }
};

template <>
struct Words<4> {
    unsigned w[1];
    __device__ __forceinline__ void load(unsigned long long address, bool wanted) {
        asm volatile("{ .reg .pred p; setp.ne.s32 p, %2, 0; @p ld.global.u32 %0, [%1]; }"
                     : "+r"(w[0])
                     : "l"(address), "r"(static_cast<int>(wanted)));
    }
    __device__ __forceinline__ void store(unsigned long long address, bool wanted) const {
        asm volatile("{ .reg .pred p; setp.ne.s32 p, %2, 0; @p st.global.u32 [%1], %0; }" ::"r"(w[0]), "l"(address),
                     "r"(static_cast<int>(wanted)));
    }
};

template <>
struct Words<2> {
    unsigned short w[1];
    __device__ __forceinline__ void load(unsigned long long address, bool wanted) {
        asm volatile("{ .reg .pred p; setp.ne.s32 p, %2, 0; @p ld.global.u16 %0, [%1]; }"
                     : "+h"(w[0])
                     : "l"(address), "r"(static_cast<int>(wanted)));
    }
    __device__ __forceinline__ void store(unsigned long long address, bool wanted) const {
        asm volatile("{ .reg .pred p; setp.ne.s32 p, %2, 0; @p st.global.u16 [%1], %0; }" ::"h"(w[0]), "l"(address),
                     "r"(static_cast<int>(wanted)));
    }
};

// WIDTH elements of type T as the words they travel in.
template <typename T, int WIDTH>
struct Pack {
    static constexpr int SIZE = sizeof(T);
    Words<SIZE * WIDTH> words;

    __device__ __forceinline__ T get(int i) const {
        if constexpr (SIZE == 8) {
            return __hiloint2double(static_cast<int>(words.w[2 * i + 1]), static_cast<int>(words.w[2 * i]));
        } else if constexpr (SIZE == 4) {
            return __uint_as_float(words.w[i]);
        } else if constexpr (WIDTH == 1) {
            return {words.w[0]};
        } else {
            return {static_cast<unsigned short>(words.w[i / 2] >> (16 * (i % 2)))};
        }
    }

    __device__ __forceinline__ void set(int i, T value) {
        if constexpr (SIZE == 8) {
            words.w[2 * i] = static_cast<unsigned>(__double2loint(value));
            words.w[2 * i + 1] = static_cast<unsigned>(__double2hiint(value));
        } else if constexpr (SIZE == 4) {
            words.w[i] = __float_as_uint(value);
        } else if constexpr (WIDTH == 1) {
            words.w[0] = value.bits;
        } else {
            const unsigned other = i % 2 ? words.w[i / 2] & 0xffffu : words.w[i / 2] & 0xffff0000u;
            words.w[i / 2] = other | static_cast<unsigned>(value.bits) << (16 * (i % 2));
        }
    }
};

// Elements that are not wanted come as -inf, which changes neither a maximum nor a sum.
template <typename T, int WIDTH>
__device__ __forceinline__ Pack<T, WIDTH> load_pack(const T* from, bool wanted) {
    Pack<T, WIDTH> pack = {};
#pragma unroll
    for (int i = 0; i < WIDTH; i++) pack.set(i, Element<T>::negative_infinity());
    pack.words.load(__cvta_generic_to_global(from), wanted);
    return pack;
}

template <typename T, int WIDTH>
__device__ __forceinline__ Pack<T, WIDTH> packed(const T (&element)[WIDTH]) {
    Pack<T, WIDTH> pack = {};
#pragma unroll
    for (int i = 0; i < WIDTH; i++) pack.set(i, element[i]);
    return pack;
}

template <typename T, int WIDTH>
__device__ __forceinline__ void store_pack(const Pack<T, WIDTH>& pack, T* to, bool wanted) {
    pack.words.store(__cvta_generic_to_global(to), wanted);
}

__device__ __forceinline__ Words<16> kept_words(uint4 v) { return {{v.x, v.y, v.z, v.w}}; }
__device__ __forceinline__ uint4 as_uint4(Words<16> words) {
    return make_uint4(words.w[0], words.w[1], words.w[2], words.w[3]);
}
