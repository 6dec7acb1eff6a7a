// The matrix instructions of float16 and bfloat16: m16n8k16 with sums in float32, and what feeds them.
//
//   lane 4 g + t   A: rows g, g + 8, columns 2 t, 2 t + 1 (and + 8)     B: rows 2 t, 2 t + 1 (and + 8), column g
//                  C: rows g, g + 8, columns 2 t, 2 t + 1
#pragma once
#include "careful.cuh"
#include "numerics/elements.cuh"

struct FragmentA { unsigned of[4]; };
struct FragmentB { unsigned of[2]; };
struct FragmentC { float of[4]; };

// Four tiles of 8 rows of 16 bytes; lane i gives the address of the i-th row of them all.
__device__ __forceinline__ void load_tiles(unsigned (&to)[4], unsigned address) {
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(to[0]), "=r"(to[1]), "=r"(to[2]), "=r"(to[3])
                 : "r"(address)
                 : "memory");
}
__device__ __forceinline__ void load_tiles_transposed(unsigned (&to)[4], unsigned address) {
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(to[0]), "=r"(to[1]), "=r"(to[2]), "=r"(to[3])
                 : "r"(address)
                 : "memory");
}

template <typename T>
struct Matrix16;

template <>
struct Matrix16<Float16> {
    static constexpr unsigned EXPONENT = 0x7c00, FRACTION = 0x03ff, ONE = 0x3c00;
    // Weights are at most 2^SLACK before, and 2^(2 SLACK) where scores are so large that rounding has a say. Multiplied by
    // 2^SHIFT they do not overflow, and stay normal numbers down to 2^-23.
    static constexpr int SHIFT = 9, SLACK = 3;

    __device__ static __forceinline__ void multiply(FragmentC& c, const FragmentA& a, unsigned b0, unsigned b1) {
        asm volatile(
            "mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, "
            "{%0, %1, %2, %3};"
            : "+f"(c.of[0]), "+f"(c.of[1]), "+f"(c.of[2]), "+f"(c.of[3])
            : "r"(a.of[0]), "r"(a.of[1]), "r"(a.of[2]), "r"(a.of[3]), "r"(b0), "r"(b1));
    }
    __device__ static __forceinline__ unsigned pack(float low, float high) {
        unsigned result;
        asm("cvt.rn.f16x2.f32 %0, %1, %2;" : "=r"(result) : "f"(high), "f"(low));
        return result;
    }
};

template <>
struct Matrix16<Bfloat16> {
    static constexpr unsigned EXPONENT = 0x7f80, FRACTION = 0x007f, ONE = 0x3f80;
    static constexpr int SHIFT = 0, SLACK = 8;

    __device__ static __forceinline__ void multiply(FragmentC& c, const FragmentA& a, unsigned b0, unsigned b1) {
        asm volatile(
            "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, "
            "{%0, %1, %2, %3};"
            : "+f"(c.of[0]), "+f"(c.of[1]), "+f"(c.of[2]), "+f"(c.of[3])
            : "r"(a.of[0]), "r"(a.of[1]), "r"(a.of[2]), "r"(a.of[3]), "r"(b0), "r"(b1));
    }
    __device__ static __forceinline__ unsigned pack(float low, float high) {
        unsigned result;
        asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(result) : "f"(high), "f"(low));
        return result;
    }
};

// Both elements of a register, each by itself. Used only where values are not finite.
template <typename FUNCTION>
__device__ __forceinline__ unsigned each_half(unsigned pair, FUNCTION function) {
    return function(pair & 0xffffu) | function(pair >> 16) << 16;
}

// What a careful pass makes of values: of the finite ones themselves, 0 for the others; of those that add +inf (the sign
// bit given: -inf) 1, 0 for the others. NaN adds both.
template <typename T>
__device__ __forceinline__ unsigned seen_in(Pass pass, unsigned pair) {
    using M = Matrix16<T>;
    const unsigned sign = pass == NEGATIVES ? 0x8000u : 0u;
    return each_half(pair, [=](unsigned x) {
        const bool finite = (x & M::EXPONENT) != M::EXPONENT;
        if (pass == FINITE) return finite ? x : 0u;
        return !finite && ((x & M::FRACTION) != 0u || (x & 0x8000u) == sign) ? M::ONE : 0u;
    });
}
// 1 where a weight takes part, 0 where it is -0.
template <typename T>
__device__ __forceinline__ unsigned taking_part(unsigned pair) {
    return each_half(pair, [](unsigned x) { return x == 0x8000u ? 0u : Matrix16<T>::ONE; });
}
