// The two products of attention in float32 and float64, of the rows of a warp and a tile of keys or values.
#pragma once
#include "matrix_wide.cuh"
#include "tiles.cuh"
#include "warp_rows.cuh"

// Chunks of queries and keys, read by eight neighbouring rows four at a time; and those of values, read from every other
// row two at a time: each time all banks once.
template <int CHUNKS>
struct KeyPlaces {
    static_assert(CHUNKS % 8 == 0);
    __device__ static __forceinline__ int place(int row, int chunk) { return row * CHUNKS + (chunk ^ row % 2 * 4); }
};
template <int CHUNKS>
struct ValuePlaces {
    static_assert(CHUNKS % 8 == 0);
    __device__ static __forceinline__ int place(int row, int chunk) { return row * CHUNKS + (chunk ^ row / 2 % 4 * 2); }
};

template <typename A>
struct alignas(16) Vector {
    static constexpr int SIZE = 16 / sizeof(A);
    A of[SIZE];
};
template <typename A>
__device__ __forceinline__ Vector<A> vector_at(const uint4* place) { return *reinterpret_cast<const Vector<A>*>(place); }

// S = Q K'. CAREFUL: a key that is not finite is multiplied by itself, not by its terms.
template <typename UNIT, bool CAREFUL, int HEAD, int TILES, typename A = typename UNIT::Number>
__device__ __forceinline__ void multiply_keys(Square<A> (&s)[TILES], const uint4* queries, const uint4* keys) {
    constexpr int W = Vector<A>::SIZE, CHUNKS = HEAD / W;
    using Places = KeyPlaces<CHUNKS>;
    const int g = threadIdx.x % 32 / 4, t = threadIdx.x % 4;
#pragma unroll(CAREFUL ? 1 : 2)
    for (int chunk = 0; chunk < CHUNKS; chunk += 4) {
        const Vector<A> upper = vector_at<A>(queries + Places::place(g, chunk + t));
        const Vector<A> lower = vector_at<A>(queries + Places::place(g + 8, chunk + t));
        Term<Square<A>, UNIT::PARTS> a[W / 2];
#pragma unroll
        for (int step = 0; step < W / 2; step++)
#pragma unroll
            for (int i = 0; i < 4; i++) {
                const auto terms = UNIT::template split<CAREFUL>((i % 2 == 0 ? upper : lower).of[2 * step + i / 2]);
#pragma unroll
                for (int part = 0; part < UNIT::PARTS; part++) a[step].of[part].of[i] = terms.of[part];
            }
#pragma unroll
        for (int n = 0; n < TILES; n++) {
            const Vector<A> b = vector_at<A>(keys + Places::place(8 * n + g, chunk + t));
#pragma unroll
            for (int step = 0; step < W / 2; step++) {
                const A b0 = b.of[2 * step], b1 = b.of[2 * step + 1];
                if constexpr (CAREFUL && UNIT::PARTS == 2) {
                    const bool odd0 = not_finite(b0), odd1 = not_finite(b1);
                    UNIT::multiply(s[n], a[step], UNIT::template split<true>(odd0 ? A(0) : b0),
                                   UNIT::template split<true>(odd1 ? A(0) : b1));
                    UNIT::once(s[n], a[step].of[0].of, odd0 ? b0 : A(0), odd1 ? b1 : A(0));
                } else {
                    UNIT::multiply(s[n], a[step], UNIT::split(b0), UNIT::split(b1));
                }
            }
        }
    }
}

// O = moved O + P V. P is as terms of A: the keys 2 t, 2 t + 1 at the places t, t + 4. What is rare, as a careful pass is,
// or short of registers is a loop: the weights of a step move up to the first place, and come round.
template <typename UNIT, bool CAREFUL, int VALUE, int STEPS, int GROUPS, typename A = typename UNIT::Number>
__device__ __forceinline__ void multiply_values(Square<A> (&o)[GROUPS][Vector<A>::SIZE],
                                                Term<Square<A>, UNIT::PARTS> (&p)[STEPS], const A (&moved)[2],
                                                const uint4* values, Pass pass) {
    constexpr int W = Vector<A>::SIZE;
    constexpr bool LOOP = CAREFUL || VALUE > (sizeof(A) == 8 ? 64 : 128);
    using Places = ValuePlaces<VALUE / W>;
    const int g = threadIdx.x % 32 / 4, t = threadIdx.x % 4;
#pragma unroll
    for (int group = 0; group < GROUPS; group++) {
        __syncwarp();  // keeps the assembler from reading values too far ahead for its registers
        Square<A> sum[W] = {};
#pragma unroll(LOOP ? 1 : STEPS)
        for (int k = 0; k < STEPS; k++) {
            const Vector<A> v0 = vector_at<A>(values + Places::place(8 * k + 2 * t, 8 * group + g));
            const Vector<A> v1 = vector_at<A>(values + Places::place(8 * k + 2 * t + 1, 8 * group + g));
#pragma unroll
            for (int u = 0; u < W; u++) {
                const A b0 = CAREFUL ? seen_in(pass, v0.of[u]) : v0.of[u];
                const A b1 = CAREFUL ? seen_in(pass, v1.of[u]) : v1.of[u];
                const auto first = UNIT::template split<CAREFUL>(b0), second = UNIT::template split<CAREFUL>(b1);
                if (!LOOP && k == 0) sum[u] = UNIT::product(p[0], first, second);  // with nothing to be added to
                else UNIT::multiply(sum[u], p[LOOP ? 0 : k], first, second);
            }
            if constexpr (LOOP) {
                const auto first = p[0];
#pragma unroll
                for (int next = 1; next < STEPS; next++) p[next - 1] = p[next];
                p[STEPS - 1] = first;
            }
        }
#pragma unroll
        for (int u = 0; u < W; u++)
#pragma unroll
            for (int i = 0; i < 4; i++) o[group][u].of[i] = fused(o[group][u].of[i], moved[i / 2], sum[u].of[i]);
    }
}
