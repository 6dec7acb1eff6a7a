// Movers: how the elements that a thread owns come from memory and go back, UNIT neighbours at a time. ACCESS is one of
//
//   Elements          one by one, through any view
//   Vectors<WIDTH>    WIDTH at once, where every row starts at a multiple of so many and has a multiple of so many
//   Ragged<WIDTH>     the same for rows of any length: what is left over at the end goes one by one
//   SideBySide        where a row lies element beside element but starts anywhere: neighbouring lanes move neighbouring
//                     elements, and hand them to their owners, or take them from these, through shared memory
//
//   in memory         0    1    2    3    4    5    6    7   ...        (float32, four elements a vector)
//   owner             lane 0              | lane 1             | ...
//   moved by lane     0    1    2    3    4    5    6    7   ...  31 | 0    1  ...
//
// Who owns a column never depends on how it is moved, and nothing is touched beyond the end of a row.
// SideBySide takes teams of whole warps, which come to every call together. Shared bytes: 16 a thread, unless the caller
// has a place for them.
#pragma once
#include "access.cuh"
#include "online/teams.cuh"
#include "views.cuh"

struct Elements {
    static constexpr int WIDTH = 1;
    static constexpr bool NEIGHBOURS = false;
    static constexpr bool RAGGED = false;
};
template <int N>
struct Vectors {
    static constexpr int WIDTH = N;
    static constexpr bool NEIGHBOURS = true;
    static constexpr bool RAGGED = false;
};
template <int N>
struct Ragged {
    static constexpr int WIDTH = N;
    static constexpr bool NEIGHBOURS = true;
    static constexpr bool RAGGED = true;
};
struct SideBySide {};

// Every thread moves what it owns.
template <typename ACCESS, typename TEAM, typename T, int VECTOR, typename VIEW>
struct Mover {
    static constexpr int UNIT = ACCESS::WIDTH;
    static constexpr bool HANDS_OVER = false;
    // Whether the registers suffice for keeping where elements are between fetch() and put().
    static constexpr bool KEEPS_PLACES = ACCESS::NEIGHBOURS && !ACCESS::RAGGED;

    const VIEW& view;

    // The elements from `column` on; those from `end` on come as -inf, which changes neither a maximum nor a sum.
    template <int ARRAY, typename INDEX>
    __device__ __forceinline__ void fetch(T (&element)[UNIT], const T* from, INDEX column, INDEX end) const {
        from += offset<ARRAY>(column);
        const auto pack = load_pack<T, UNIT>(from, column + UNIT <= end);
#pragma unroll
        for (int i = 0; i < UNIT; i++) element[i] = pack.get(i);
        if (is_rest(column, end)) {
#pragma unroll
            for (int i = 0; i < UNIT - 1; i++) element[i] = load_pack<T, 1>(from + i, column + i < end).get(0);
        }
    }

    // To be called for all that was fetched before the elements are used.
    __device__ __forceinline__ void settle(T (&)[UNIT], uint4* = nullptr) const {}

    template <int ARRAY, typename INDEX>
    __device__ __forceinline__ void put(const T (&element)[UNIT], T* to, INDEX column, INDEX end,
                                        uint4* = nullptr) const {
        to += offset<ARRAY>(column);
        store_pack(packed(element), to, column + UNIT <= end);
        if constexpr (ACCESS::RAGGED) {
            const bool rest = is_rest(column, end);
            // No branch where there are few: around one, the results of other units would be kept, and spill.
            if (sizeof(T) >= 4 || rest) {
#pragma unroll
                for (int i = 0; i < UNIT - 1; i++)
                    store_pack(packed<T, 1>({element[i]}), to + i, rest && column + i < end);
            }
        }
    }

  private:
    template <typename INDEX>
    __device__ static __forceinline__ bool is_rest(INDEX column, INDEX end) {
        return ACCESS::RAGGED && column < end && column + UNIT > end;
    }

    template <int ARRAY, typename INDEX>
    __device__ __forceinline__ long long offset(INDEX column) const {
        if constexpr (ACCESS::NEIGHBOURS) return column;
        return view.template column<ARRAY>(column);
    }
};

// The lanes of a warp own 32 vectors in a row, and move them together.
template <typename TEAM, typename T, int VECTOR, typename VIEW>
struct Mover<SideBySide, TEAM, T, VECTOR, VIEW> {
    static_assert(TEAM::SIZE % 32 == 0);
    static constexpr int UNIT = VECTOR;
    static constexpr bool HANDS_OVER = true;
    static constexpr bool KEEPS_PLACES = false;

    const VIEW& view;

    template <int ARRAY, typename INDEX>
    __device__ __forceinline__ void fetch(T (&element)[UNIT], const T* from, INDEX column, INDEX end) const {
        from += first_of_warp(column);
        const int count = count_of_warp(column, end);
#pragma unroll
        for (int i = 0; i < VECTOR; i++) {
            const int at = 32 * i + lane();
            element[i] = load_pack<T, 1>(from + at, at < count).get(0);
        }
    }

    __device__ __forceinline__ void settle(T (&element)[UNIT], uint4* vectors = of_warp()) const {
        T* const elements = reinterpret_cast<T*>(vectors);
#pragma unroll
        for (int i = 0; i < VECTOR; i++) elements[32 * i + lane()] = element[i];
        __syncwarp();
        const Pack<T, VECTOR> own = {kept_words(vectors[lane()])};
#pragma unroll
        for (int i = 0; i < VECTOR; i++) element[i] = own.get(i);
        __syncwarp();
    }

    template <int ARRAY, typename INDEX>
    __device__ __forceinline__ void put(const T (&element)[UNIT], T* to, INDEX column, INDEX end,
                                        uint4* vectors = of_warp()) const {
        const T* const elements = reinterpret_cast<const T*>(vectors);
        vectors[lane()] = as_uint4(packed(element).words);
        __syncwarp();
        to += first_of_warp(column);
        const int count = count_of_warp(column, end);
#pragma unroll
        for (int i = 0; i < VECTOR; i++) {
            const int at = 32 * i + lane();
            store_pack(packed<T, 1>({elements[at]}), to + at, at < count);
        }
        __syncwarp();
    }

  private:
    __device__ static __forceinline__ int lane() { return threadIdx.x % 32; }

    template <typename INDEX>
    __device__ static __forceinline__ INDEX first_of_warp(INDEX column) {
        return column - lane() * VECTOR;
    }

    template <typename INDEX>
    __device__ static __forceinline__ int count_of_warp(INDEX column, INDEX end) {
        const INDEX left = end - first_of_warp(column);
        if constexpr (sizeof(INDEX) == 4) return static_cast<int>(left);
        return static_cast<int>(min(left, INDEX(32 * VECTOR)));
    }

    // Where the vectors of the warp's lanes change hands.
    __device__ static __forceinline__ uint4* of_warp() {
        __shared__ uint4 of_block[TEAM::THREADS];
        return of_block + threadIdx.x / 32 * 32;
    }
};
