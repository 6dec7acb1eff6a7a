// The matrix instructions of tf32 and float64 as one: 16 rows, 8 columns, depth 8, and how float32 is made of tf32.
//
//   lane 4 g + t   A: rows g, g + 8, places t, t + 4 of the depth     B: places t, t + 4, column g
//                  C: rows g, g + 8, columns 2 t, 2 t + 1
//
// What lies at which place of the depth is free, as long as A and B agree: so a lane takes neighbours in memory for its
// two places, and the columns 2 t, 2 t + 1 of one product as places of the next.
#pragma once
#include "careful.cuh"

template <typename A>
struct Square { A of[4]; };

// A number as the terms that are multiplied.
template <typename A, int TERMS>
struct Term { A of[TERMS]; };

// TERMS 1: tf32, 11 bits. TERMS 3: three products of two terms, big and small, which leaves out only small times small.
template <int TERMS>
struct Tf32 {
    using Number = float;
    static constexpr int PARTS = TERMS == 1 ? 1 : 2;
    using Split = Term<float, PARTS>;

    // CAREFUL: numbers that would be rounded to infinity are cut off instead.
    template <bool CAREFUL = false>
    __device__ static __forceinline__ Split split(float x) {
        Split parts;
        if constexpr (PARTS == 1) {
            unsigned bits;
            asm("cvt.rna.tf32.f32 %0, %1;" : "=r"(bits) : "f"(x));
            parts.of[0] = __uint_as_float(bits);
        } else {
            // To the nearest of 11 bits in two instructions; the conversion takes five, for NaN, which the rest is then anyway.
            const unsigned bits = __float_as_uint(x);
            const bool cut = CAREFUL && (bits & 0x7fffffffu) >= 0x7f7ff000u;
            parts.of[0] = __uint_as_float((cut ? bits : bits + 0x1000u) & 0xffffe000u);
            // The unit reads 11 bits of the rest, which is exact: an error of 2^-22 of x.
            parts.of[1] = x - parts.of[0];
        }
        return parts;
    }
    __device__ static __forceinline__ void once(Square<float>& c, const float (&a)[4], float b0, float b1) {
        asm volatile(
            "mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, "
            "{%0, %1, %2, %3};"
            : "+f"(c.of[0]), "+f"(c.of[1]), "+f"(c.of[2]), "+f"(c.of[3])
            : "r"(__float_as_uint(a[0])), "r"(__float_as_uint(a[1])), "r"(__float_as_uint(a[2])),
              "r"(__float_as_uint(a[3])), "r"(__float_as_uint(b0)), "r"(__float_as_uint(b1)));
    }
    // The unit cuts off what it adds to: so three products, the small ones first, are summed by themselves, and join the sum
    // in float32 arithmetic.
    __device__ static __forceinline__ Square<float> product(const Term<Square<float>, PARTS>& a, const Split& b0,
                                                            const Split& b1) {
        Square<float> sum = {};
        if constexpr (PARTS == 2) {
            once(sum, a.of[1].of, b0.of[0], b1.of[0]);
            once(sum, a.of[0].of, b0.of[1], b1.of[1]);
        }
        once(sum, a.of[0].of, b0.of[0], b1.of[0]);
        return sum;
    }
    __device__ static __forceinline__ void multiply(Square<float>& c, const Term<Square<float>, PARTS>& a, const Split& b0,
                                                    const Split& b1) {
        if constexpr (PARTS == 2) {
            const Square<float> sum = product(a, b0, b1);
#pragma unroll
            for (int i = 0; i < 4; i++) c.of[i] = c.of[i] + sum.of[i];
        } else {
            once(c, a.of[0].of, b0.of[0], b1.of[0]);
        }
    }
};

struct Float64 {
    using Number = double;
    static constexpr int PARTS = 1;
    using Split = Term<double, 1>;

    template <bool CAREFUL = false>
    __device__ static __forceinline__ Split split(double x) { return {{x}}; }
    __device__ static __forceinline__ void multiply(Square<double>& c, const Term<Square<double>, 1>& terms,
                                                    const Split& b0, const Split& b1) {
        const double(&a)[4] = terms.of[0].of;
#if __CUDA_ARCH__ >= 900
        asm volatile(
            "mma.sync.aligned.m16n8k8.row.col.f64.f64.f64.f64 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, "
            "{%0, %1, %2, %3};"
            : "+d"(c.of[0]), "+d"(c.of[1]), "+d"(c.of[2]), "+d"(c.of[3])
            : "d"(a[0]), "d"(a[1]), "d"(a[2]), "d"(a[3]), "d"(b0.of[0]), "d"(b1.of[0]));
#else
        eight(c.of[0], c.of[1], a[0], b0.of[0]);
        eight(c.of[2], c.of[3], a[1], b0.of[0]);
        eight(c.of[0], c.of[1], a[2], b1.of[0]);
        eight(c.of[2], c.of[3], a[3], b1.of[0]);
#endif
    }
    __device__ static __forceinline__ Square<double> product(const Term<Square<double>, 1>& a, const Split& b0,
                                                             const Split& b1) {
        Square<double> sum = {};
        multiply(sum, a, b0, b1);
        return sum;
    }
    // 8 rows, depth 4.
    __device__ static __forceinline__ void eight(double& c0, double& c1, double a, double b) {
        asm volatile("mma.sync.aligned.m8n8k4.row.col.f64.f64.f64.f64 {%0, %1}, {%2}, {%3}, {%0, %1};"
                     : "+d"(c0), "+d"(c1)
                     : "d"(a), "d"(b));
    }
};

// What a careful pass makes of a value; see careful.cuh.
template <typename A>
__device__ __forceinline__ A seen_in(Pass pass, A x) {
    if (pass == FINITE) return not_finite(x) ? A(0) : x;
    const bool other_sign = pass == POSITIVES ? x < A(0) : x > A(0);
    return not_finite(x) && !other_sign ? A(1) : A(0);
}
// And of a weight.
template <typename A>
__device__ __forceinline__ A taking_part(A weight) {
    return Machine<A>::bits(weight) == Machine<A>::bits(A(-0.0)) ? A(0) : A(1);
}
