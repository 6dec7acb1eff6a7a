// Tiles of rows in shared memory: how chunks of 16 bytes are placed so that no access meets another in a bank, and how
// rows get there from global memory without passing through registers.
//
//   rows of 64 bytes, or an odd multiple     chunk c of row r at c ^ (r / 2 % 4)       two rows span the banks
//   rows of 128 bytes, or a multiple         chunk c of row r at c ^ (r % 8)
//
// Eight rows of one column of chunks, which is what ldmatrix reads at once, then lie in eight different groups of banks.
#pragma once
#include "call.cuh"
#include "numerics/elements.cuh"
#include "numerics/rare.cuh"

// The rule above. CHUNKS: of a row.
template <int CHUNKS>
struct ByRow {
    static_assert(CHUNKS % 4 == 0);
    __device__ static __forceinline__ int mixed(int row) { return CHUNKS % 8 == 0 ? row % 8 : row / 2 % 4; }
    __device__ static __forceinline__ int place(int row, int chunk) { return row * CHUNKS + (chunk ^ mixed(row)); }
};

__device__ __forceinline__ unsigned shared_address(const void* pointer) {
    return static_cast<unsigned>(__cvta_generic_to_shared(pointer));
}

// A number that the compiler takes for a new one each time, so that what follows from it is not kept in registers.
__device__ __forceinline__ int anew(int number) {
    asm volatile("" : "+r"(number));
    return number;
}
__device__ __forceinline__ int thread_anew() { return anew(threadIdx.x); }

// BYTES of which the first `count` come from memory; the rest are zeros.
template <int BYTES>
__device__ __forceinline__ void copy_later(unsigned to, unsigned long long from, int count) {
    if constexpr (BYTES == 16)
        asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(to), "l"(from), "r"(count) : "memory");
    else
        asm volatile("cp.async.ca.shared.global [%0], [%1], %3, %2;" ::"r"(to), "l"(from), "r"(count), "n"(BYTES)
                     : "memory");
}
__device__ __forceinline__ void end_of_copies() { asm volatile("cp.async.commit_group;" ::: "memory"); }
__device__ __forceinline__ void wait_for_copies() { asm volatile("cp.async.wait_all;" ::: "memory"); }

// An element of memory as its bits.
template <typename T>
__device__ __forceinline__ unsigned long long bits_at(unsigned long long address) {
    if constexpr (sizeof(T) == 2) {
        unsigned short bits;
        asm volatile("ld.global.u16 %0, [%1];" : "=h"(bits) : "l"(address));
        return bits;
    } else if constexpr (sizeof(T) == 4) {
        unsigned bits;
        asm volatile("ld.global.u32 %0, [%1];" : "=r"(bits) : "l"(address));
        return bits;
    } else {
        unsigned long long bits;
        asm volatile("ld.global.u64 %0, [%1];" : "=l"(bits) : "l"(address));
        return bits;
    }
}

// A row of a tile in which something is left out: a chunk may have fewer than WIDTH elements, or nothing to come from.
template <typename T, int WIDTH, int CHUNKS, int LANES>
__device__ __forceinline__ void copy_part_of_row(unsigned to, unsigned long long from, long long between, int columns) {
    constexpr int SIZE = sizeof(T), VECTOR = 16 / SIZE, BYTES = WIDTH * SIZE;
    const int own_chunk = threadIdx.x % LANES;
#pragma unroll(BYTES >= 4 ? CHUNKS / LANES : 1)
    for (int m = 0; m < CHUNKS; m += LANES) {
        const int left = columns - (m + own_chunk) * VECTOR;
        if constexpr (BYTES >= 4) {
#pragma unroll
            for (int at = 0; at < VECTOR; at += WIDTH)
                copy_later<BYTES>(to + m * 16 + at * SIZE, from + (m * VECTOR + at) * between * SIZE,
                                  min(max(left - at, 0), WIDTH) * SIZE);
        } else {
            unsigned long long words[2] = {0, 0};
#pragma unroll
            for (int at = 0; at < VECTOR; at++)
                if (at < left)
                    words[at * SIZE / 8] |= bits_at<T>(from + (m * VECTOR + at) * between * SIZE) << (at * SIZE % 8 * 8);
            asm volatile("st.shared.v2.u64 [%0], {%1, %2};" ::"r"(to + m * 16), "l"(words[0]), "l"(words[1]) : "memory");
        }
    }
}

// Copies ROWS rows of CHUNKS chunks, `step` apart, to an address in shared memory. Rows outside the span, and what is beyond `columns` elements, become
// zeros. WIDTH: elements that every row starts at a multiple of, 1 where they lie step[1] apart: then they pass through
// registers. Neighbouring threads have neighbouring chunks, so that whole sectors are read.
template <typename T, int WIDTH, int ROWS, int CHUNKS, int THREADS, typename PLACES>
__device__ __forceinline__ void copy_tile(unsigned tile, const T* array, const long long (&step)[2], int first_row,
                                          Span wanted, int columns) {
    constexpr int SIZE = sizeof(T), VECTOR = 16 / SIZE, BYTES = WIDTH * SIZE;
    constexpr int LANES = CHUNKS % 8 == 0 ? 8 : 4;
    constexpr int ROWS_AT_ONCE = THREADS / LANES;
    static_assert(ROWS % ROWS_AT_ONCE == 0 && ROWS_AT_ONCE % 8 == 0);
    const int thread = thread_anew();
    const int own_row = thread / LANES, own_chunk = thread % LANES;
    const int row = first_row + own_row;
    const long long between = WIDTH > 1 ? 1 : step[1];
    unsigned long long from = __cvta_generic_to_global(array + row * step[0] + own_chunk * VECTOR * between);
    const unsigned long long stride = ROWS_AT_ONCE * step[0] * SIZE;
    unsigned to = tile + PLACES::place(own_row, own_chunk) * 16;
    const bool whole = first_row >= wanted.first && first_row + ROWS <= wanted.last && columns % WIDTH == 0;
    if (rarely(BYTES < 4 || !whole)) {
        const unsigned above = static_cast<unsigned>(row - wanted.first);
        const unsigned rows = static_cast<unsigned>(wanted.last - wanted.first);
#pragma unroll 1
        for (int n = 0; n < ROWS / ROWS_AT_ONCE; n++) {
            const bool there = above + n * ROWS_AT_ONCE < rows;
            copy_part_of_row<T, WIDTH, CHUNKS, LANES>(to, from, between, there ? columns : 0);
            from += stride;
            to += ROWS_AT_ONCE * CHUNKS * 16;
        }
    } else if constexpr (BYTES >= 4) {
#pragma unroll
        for (int n = 0; n < ROWS / ROWS_AT_ONCE; n++) {
#pragma unroll
            for (int m = 0; m < CHUNKS; m += LANES)
#pragma unroll
                for (int at = 0; at < VECTOR; at += WIDTH) {
                    const bool there = (m + own_chunk) * VECTOR + at < columns;
                    copy_later<BYTES>(to + m * 16 + at * SIZE + n * ROWS_AT_ONCE * CHUNKS * 16,
                                      from + (m * VECTOR + at) * between * SIZE, there ? BYTES : 0);
                }
            from += stride;
        }
    }
}
