// The two products of attention in float16 and bfloat16, of the rows of a warp and a tile of keys or values.
#pragma once
#include "matrix16.cuh"
#include "tiles.cuh"

// The places of a warp's tiles in shared memory, for ldmatrix: what differs from lane to lane. A tile begins at a multiple
// of 128 bytes, so the part of an address that depends on both lane and chunk is one exclusive or.
template <int CHUNKS>
struct LanePlace {
    static constexpr int PERIOD = CHUNKS % 8 == 0 ? 8 : 4;  // chunks that change places
    unsigned base;
    __device__ __forceinline__ LanePlace(unsigned tile, int row, int chunk)
        : base(tile + ByRow<CHUNKS>::place(row, chunk) * 16) {}
    // `rows` further, a multiple of 8, and `chunks`, a multiple of 2, for lanes with chunk 0 or 1.
    __device__ __forceinline__ unsigned at(int rows, int chunks) const {
        return (base ^ chunks % PERIOD * 16) + rows * CHUNKS * 16 + chunks / PERIOD * PERIOD * 16;
    }
};

// S = Q K', for the rows of a warp and the keys of a tile.
template <typename T, int HEAD, int BANDS, int TILES>
__device__ __forceinline__ void multiply_keys(FragmentC (&s)[BANDS][TILES], const LanePlace<HEAD / 8>& queries,
                                              const LanePlace<HEAD / 8>& keys) {
#pragma unroll
    for (int k = 0; k < HEAD / 16; k++) {
        if (k % 2 == 0) __syncwarp();  // keeps the assembler from reading too far ahead for its registers
        FragmentA a[BANDS];
#pragma unroll
        for (int band = 0; band < BANDS; band++) load_tiles(a[band].of, queries.at(16 * band, 2 * k));
#pragma unroll
        for (int n = 0; n < TILES; n += 2) {
            unsigned b[4];
            load_tiles(b, keys.at(8 * n, 2 * k));
#pragma unroll
            for (int band = 0; band < BANDS; band++) {
                Matrix16<T>::multiply(s[band][n], a[band], b[0], b[1]);
                Matrix16<T>::multiply(s[band][n + 1], a[band], b[2], b[3]);
            }
        }
    }
}

// O += P V. What is rare, as a careful pass is, is a loop: the weights of a step move up to the first place.
template <typename T, bool CAREFUL, int VALUE, int BANDS, int STEPS>
__device__ __forceinline__ void multiply_values(FragmentC (&o)[BANDS][VALUE / 8], FragmentA (&p)[BANDS][STEPS],
                                                const LanePlace<VALUE / 8>& values, Pass pass) {
#pragma unroll(CAREFUL ? 1 : STEPS)
    for (int k = 0; k < STEPS; k++) {
        FragmentA a[BANDS];
#pragma unroll
        for (int band = 0; band < BANDS; band++) {
            a[band] = p[band][CAREFUL ? 0 : k];
            if constexpr (CAREFUL) {
#pragma unroll
                for (int i = 0; i < 4; i++)
                    if (pass != FINITE) a[band].of[i] = taking_part<T>(a[band].of[i]);
#pragma unroll
                for (int next = 1; next < STEPS; next++) p[band][next - 1] = p[band][next];
            }
        }
#pragma unroll
        for (int n = 0; n < VALUE / 8; n += 2) {
            unsigned b[4];
            load_tiles_transposed(b, values.at(16 * k, n));
#pragma unroll
            for (int i = 0; i < 4; i++)
                if (CAREFUL) b[i] = seen_in<T>(pass, b[i]);
#pragma unroll
            for (int band = 0; band < BANDS; band++) {
                Matrix16<T>::multiply(o[band][n], a[band], b[0], b[1]);
                Matrix16<T>::multiply(o[band][n + 1], a[band], b[2], b[3]);
            }
        }
    }
}
