// The two products of attention by fused multiply-adds, of a block of 16 x 16 threads and a slab.
#pragma once
#include "slabs.cuh"

constexpr unsigned EVERY_LANE = 0xffffffffu;

// The larger of two numbers of a row, over the 16 threads that share it; and the sum.
template <typename A>
__device__ __forceinline__ A larger(A a, A b) { return a > b ? a : b; }
template <typename A>
__device__ __forceinline__ A largest_of_row(A x) {
#pragma unroll
    for (int distance = SIDE / 2; distance > 0; distance /= 2) x = larger(x, __shfl_xor_sync(EVERY_LANE, x, distance));
    return x;
}
template <typename A>
__device__ __forceinline__ A sum_of_row(A x) {
#pragma unroll
    for (int distance = SIDE / 2; distance > 0; distance /= 2) x = x + __shfl_xor_sync(EVERY_LANE, x, distance);
    return x;
}

// Where a block's things lie in shared memory.
template <typename A, int ROWS>
struct Room {
    Chunk<A>* queries;  // (slabs, 16 ROWS, CHUNKS)
    Chunk<A>* slab;     // (KEYS, CHUNKS)
    A* weights;         // (16 ROWS, KEYS)

    // Two rows of a warp write to different banks.
    __device__ __forceinline__ static int place_of_weight(int row, int key) {
        constexpr int VECTOR = Chunk<A>::SIZE;
        return row * KEYS + ((key / VECTOR) ^ (4 * (row / ROWS & 1))) * VECTOR + key % VECTOR;
    }
};

// Adds the products of a slab of queries and keys to the scores.
template <typename A, int ROWS>
__device__ __forceinline__ void multiply_keys(A (&score)[ROWS][KEYS_EACH], const Chunk<A>* queries,
                                              const Chunk<A>* slab, int tx, int ty) {
    A sum[ROWS][KEYS_EACH] = {};
#pragma unroll 1
    for (int chunk = 0; chunk < CHUNKS; chunk++) {
        Chunk<A> q[ROWS], k[KEYS_EACH];
#pragma unroll
        for (int i = 0; i < ROWS; i++) q[i] = queries[place_in_slab(ty * ROWS + i, chunk)];
#pragma unroll
        for (int j = 0; j < KEYS_EACH; j++) k[j] = slab[place_in_slab(tx + SIDE * j, chunk)];
#pragma unroll
        for (int v = 0; v < Chunk<A>::SIZE; v++)
#pragma unroll
            for (int i = 0; i < ROWS; i++)
#pragma unroll
                for (int j = 0; j < KEYS_EACH; j++) sum[i][j] = fused(q[i].of[v], k[j].of[v], sum[i][j]);
    }
#pragma unroll
    for (int i = 0; i < ROWS; i++)
#pragma unroll
        for (int j = 0; j < KEYS_EACH; j++) score[i][j] = score[i][j] + sum[i][j];
}

// The sums of weights times a slab of values. CAREFUL: keys whose weight is -0 take no part.
template <bool CAREFUL, typename A, int ROWS>
__device__ __forceinline__ void multiply_values(Chunk<A> (&sum)[ROWS], const Room<A, ROWS>& room, int tx, int ty) {
    constexpr int VECTOR = Chunk<A>::SIZE;
#pragma unroll 1
    for (int key = 0; key < KEYS; key += VECTOR) {
        Chunk<A> p[ROWS];
#pragma unroll
        for (int i = 0; i < ROWS; i++)
            p[i] = *reinterpret_cast<const Chunk<A>*>(&room.weights[room.place_of_weight(ty * ROWS + i, key)]);
#pragma unroll
        for (int k = 0; k < VECTOR; k++) {
            const Chunk<A> value = room.slab[place_in_slab(key + k, tx)];
#pragma unroll
            for (int i = 0; i < ROWS; i++) {
                const bool takes_part = !CAREFUL || Machine<A>::bits(p[i].of[k]) != Machine<A>::bits(A(-0.0));
#pragma unroll
                for (int v = 0; v < VECTOR; v++) {
                    A& to = sum[i].of[v];
                    if constexpr (!CAREFUL) to = fused(p[i].of[k], value.of[v], to);
                    else to = takes_part ? added_to(to, p[i].of[k], value.of[v]) : to;
                }
            }
        }
    }
}
