// How the rows of a weighted sum are dealt to teams of threads.
#pragma once
#include "online/teams.cuh"

// What a team has: columns begin .. end - 1 of a row; none if it is beyond the last row.
struct Share {
    long long row;
    long long part;
    long long begin;
    long long end;
};

__device__ __forceinline__ Share share_of(long long row, long long part, long long rows, long long columns,
                                          long long part_size) {
    if (row >= rows) return {0, 0, 0, 0};
    return {row, part, part * part_size, min((part + 1) * part_size, columns)};
}

// Teams of threads side by side: one takes part t % parts of row t / parts.
template <typename TEAM>
struct Dealt {
    __device__ static __forceinline__ Share share(long long rows, long long columns, long long part_size,
                                                  long long parts) {
        const long long team = (static_cast<long long>(blockIdx.x) * blockDim.x + threadIdx.x) / TEAM::SIZE;
        return share_of(team / parts, team % parts, rows, columns, part_size);
    }
};

// A block has 32 rows side by side; blocks of a part follow one another.
template <int SIZE>
struct Dealt<ColumnTeam<SIZE>> {
    __device__ static __forceinline__ Share share(long long rows, long long columns, long long part_size, long long) {
        const long long tiles = (rows + 31) / 32;
        return share_of(blockIdx.x % tiles * 32 + threadIdx.x, blockIdx.x / tiles, rows, columns, part_size);
    }
};

template <typename TEAM>
constexpr int THREADS_OF = 128;
template <int SIZE>
constexpr int THREADS_OF<ColumnTeam<SIZE>> = 32 * SIZE;

constexpr int WEIGHTED_WARPS = 4;
