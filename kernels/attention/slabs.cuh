// Slabs of 64 rows of 256 bytes, through which keys and values pass on their way into shared memory, by way of registers.
#pragma once
#include "finish.cuh"
#include "softmax/access.cuh"

constexpr int SIDE = 16;
constexpr int THREADS = SIDE * SIDE;
constexpr int KEYS = 64;
constexpr int KEYS_EACH = KEYS / SIDE;
constexpr int CHUNKS = 16;  // vectors of 16 bytes in a row of a slab

template <typename T>
struct Sums { using Type = float; };
template <>
struct Sums<double> { using Type = double; };

// 16 bytes of accumulators.
template <typename A>
struct alignas(16) Chunk {
    static constexpr int SIZE = 16 / sizeof(A);
    A of[SIZE];
};

// Neighbouring rows have their chunks in other banks.
__device__ __forceinline__ int place_in_slab(int row, int chunk) { return row * CHUNKS + (chunk ^ (row & 7)); }

// A slab of 64 rows on its way from T in global memory to A in shared memory; WIDTH elements go at once.
template <typename T, int WIDTH>
struct Courier {
    using A = typename Sums<T>::Type;
    static constexpr int VECTOR = Chunk<A>::SIZE;
    static constexpr int COLUMNS = CHUNKS * VECTOR;
    static constexpr int GROUPS = COLUMNS / WIDTH;
    static constexpr int COUNT = KEYS * GROUPS / THREADS;

    Pack<T, WIDTH> load[COUNT];

    // Rows outside the span, and columns from `columns` on, come as zeros. The steps are those between rows and columns.
    __device__ __forceinline__ void fetch(const T* array, const long long (&step)[2], int first_row, Span wanted,
                                          int first_column, int columns) {
        constexpr int ROWS_AT_ONCE = THREADS / GROUPS;
        const int column = first_column + threadIdx.x % GROUPS * WIDTH;
        const int row = first_row + threadIdx.x / GROUPS;
        const long long first = row * step[0] + column * step[1];
        unsigned long long address = __cvta_generic_to_global(array) + first * static_cast<long long>(sizeof(T));
        const unsigned long long stride = ROWS_AT_ONCE * step[0] * static_cast<long long>(sizeof(T));
        const unsigned above = static_cast<unsigned>(row - wanted.first);
        const unsigned count = column < columns ? static_cast<unsigned>(max(wanted.last - wanted.first, 0)) : 0u;
#pragma unroll
        for (int n = 0; n < COUNT; n++) {
            load[n] = {};
            load[n].words.load(address, above + n * ROWS_AT_ONCE < count);
            address += stride;
        }
    }

    __device__ __forceinline__ void deliver(Chunk<A>* slab) const {
        constexpr int PIECE = WIDTH < VECTOR ? WIDTH : VECTOR;
        struct alignas(PIECE * sizeof(A)) Piece { A of[PIECE]; };
        const int column = threadIdx.x % GROUPS * WIDTH;
#pragma unroll
        for (int n = 0; n < COUNT; n++) {
            const int row = (n * THREADS + threadIdx.x) / GROUPS;
#pragma unroll
            for (int at = 0; at < WIDTH; at += PIECE) {
                Piece piece;
#pragma unroll
                for (int i = 0; i < PIECE; i++) piece.of[i] = number_of<A>(load[n].get(at + i));
                const int place = place_in_slab(row, (column + at) / VECTOR);
                *reinterpret_cast<Piece*>(&slab[place].of[(column + at) % VECTOR]) = piece;
            }
        }
    }
};
