// The end of a row: from the state (m, l, o) to the output and its logarithm of the sum, or to a part that is merged.
#pragma once
#include "scores.cuh"
#include "softmax/access.cuh"
#include "numerics/logarithm.cuh"

// Where the states of parts wait: o is the sum of weights times values, not divided yet.
template <typename A>
struct PartsOf {
    A* o;  // (batches * rows, parts, value_dim)
    A* m;  // (batches * rows, parts)
    A* l;  // (batches * rows, parts)
};

// Rounded once to T.
template <typename T, typename A>
__device__ __forceinline__ T narrow(A value) {
    if constexpr (sizeof(T) >= 4) {
        return value;
    } else {
        T result;
        if constexpr (SAME<T, Float16>) {
            asm("cvt.rn.f16.f32 %0, %1;" : "=h"(result.bits) : "f"(value));
        } else {
            const unsigned bits = __float_as_uint(value);
            const unsigned nearest = (bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16;
            result.bits = static_cast<unsigned short>(value != value ? 0x7fc0u : nearest);
        }
        return result;
    }
}

// 1 / l; 0 where no key took part.
template <typename A>
__device__ __forceinline__ A reciprocal_of(A l) { return l == A(0) ? A(0) : A(1) / l; }

// natural m + log(l): the natural logarithm of the sum of exponentials, rounded once; -inf where no key took part.
template <typename A>
__device__ __forceinline__ A log_of_sum(A m, A l, double natural) {
    const double sum = widen(l);
    if (!(sum > 0.0) || no_anchor(sum)) return sum == 0.0 ? minus_infinity<A>() : static_cast<A>(sum - sum + sum);
    const Two log = log_two({sum, 0.0}, 0);
    return static_cast<A>(__fma_rn(widen(m), natural, log.hi));
}

// Whether a number is infinite or NaN.
__device__ __forceinline__ bool not_finite(float x) { return (__float_as_uint(x) & 0x7f800000u) == 0x7f800000u; }
__device__ __forceinline__ bool not_finite(double x) {
    return (__double2hiint(x) & 0x7ff00000) == 0x7ff00000;
}

// sum + weight x. An infinity stays one however small its weight: beside a key that leads by far that is 0.
template <typename A>
__device__ __forceinline__ A added_to(A sum, A weight, A x) { return not_finite(x) ? sum + x : fused(weight, x, sum); }

// A chunk of 16 bytes of a row, from `column` on, to memory; nothing beyond `columns`. WIDTH: elements that every row starts
// at a multiple of, 1 where they lie `step` apart.
template <typename T, int WIDTH>
__device__ __forceinline__ void store_row_chunk(T* row, uint4 chunk, int column, int columns, long long step) {
    constexpr int VECTOR = 16 / sizeof(T);
    const Pack<T, VECTOR> whole = {kept_words(chunk)};
#pragma unroll
    for (int at = 0; at < VECTOR; at += WIDTH) {
        T element[WIDTH];
#pragma unroll
        for (int i = 0; i < WIDTH; i++) element[i] = whole.get(at + i);
        const int from = column + at;
        if (from + WIDTH <= columns) {
            store_pack<T, WIDTH>(packed<T, WIDTH>(element), row + from * (WIDTH > 1 ? 1 : step), true);
        } else if constexpr (WIDTH > 1) {
#pragma unroll
            for (int i = 0; i < WIDTH; i++)
                if (from + i < columns) row[from + i] = element[i];
        }
    }
}
