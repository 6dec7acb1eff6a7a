// What warps do that have rows of the output of their own: joining what the four lanes of a row found, and sending rows out.
#pragma once
#include "finish.cuh"
#include "tiles.cuh"

constexpr unsigned EVERY_LANE = 0xffffffffu;

// 2^x, in float32 to 2 units in the last place, and 0 below 2^-126: subnormal numbers would take three instructions more.
__device__ __forceinline__ float power_of_two(float x) {
    float result;
    asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(result) : "f"(x));
    return result;
}
__device__ __forceinline__ double power_of_two(double x) { return exp2_of(x); }

// The larger of two numbers, and the sum, over the four lanes that share a row.
template <typename A>
__device__ __forceinline__ A larger(A a, A b) { return a > b ? a : b; }
__device__ __forceinline__ float larger(float a, float b) { return fmaxf(a, b); }
template <typename A>
__device__ __forceinline__ A largest_of_quad(A x) {
    x = larger(x, __shfl_xor_sync(EVERY_LANE, x, 1));
    return larger(x, __shfl_xor_sync(EVERY_LANE, x, 2));
}
template <typename A>
__device__ __forceinline__ A sum_of_quad(A x) {
    x = x + __shfl_xor_sync(EVERY_LANE, x, 1);
    return x + __shfl_xor_sync(EVERY_LANE, x, 2);
}

// Sends the rows of a warp from shared memory to memory, in whole sectors; rows beyond the last one stay.
template <typename T, int WIDTH, int CHUNKS, int ROWS, typename CALL>
__device__ __forceinline__ void send_rows(const uint4* rows, T* to, const CALL& call, int first_row, int columns) {
    constexpr int LANES = CHUNKS % 8 == 0 ? 8 : 4;
    const int lane = threadIdx.x % 32;
#pragma unroll 1
    for (int row = lane / LANES; row < ROWS; row += 32 / LANES) {
        if (first_row + row >= call.q_len) break;
        T* const start = to + call.template row<OUT>(first_row + row);
#pragma unroll
        for (int chunk = lane % LANES; chunk < CHUNKS; chunk += LANES)
            store_row_chunk<T, WIDTH>(start, rows[ByRow<CHUNKS>::place(row, chunk)], 16 / sizeof(T) * chunk, columns,
                                      call.stride[OUT][1]);
    }
}
