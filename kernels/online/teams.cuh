// Teams: the threads that share a row, and how they join what each has found.
//
//   WarpTeam<LANES>     LANES neighbouring lanes; 32 / LANES rows a warp          butterfly of shuffles
//   BlockTeam<WARPS>    a whole block of WARPS warps                              butterfly, shared memory, butterfly
//   ColumnTeam<SIZE>    the SIZE threads of one x in a block of (32, SIZE)        tree in shared memory
//
// Every thread of a team ends with the same bits, joined in an order that depends on the team's shape alone. All threads
// of the block must come to each call. Shared memory: up to 40 bytes a warp (BlockTeam), or a thread (ColumnTeam).
#pragma once
#include "state.cuh"

constexpr unsigned ALL_LANES = 0xffffffffu;
// Threads of a block of WarpTeams.
constexpr int WARP_THREADS = 128;

// How to join, and how to fetch from another lane, for the kinds of value that teams share.
struct Maximum {
    static constexpr int UNROLL = 5;
    template <typename V>
    __device__ static __forceinline__ V join(V a, V b) { return maximum(a, b); }
};
struct Sum {
    static constexpr int UNROLL = 5;
    __device__ static __forceinline__ Two join(Two a, Two b) { return add(a, b); }
    __device__ static __forceinline__ unsigned join(unsigned a, unsigned b) { return a + b; }
};
struct Merge {
    static constexpr int UNROLL = 1;  // a merge holds an exponential: one copy of it
    template <typename ARITHMETIC>
    __device__ static __forceinline__ State<ARITHMETIC> join(State<ARITHMETIC> a, State<ARITHMETIC> b) {
        return merge(a, b);
    }
};

template <typename V>
__device__ __forceinline__ V from_lane(V value, int distance) {
    return __shfl_xor_sync(ALL_LANES, value, distance);
}
__device__ __forceinline__ Two from_lane(Two value, int distance) {
    return {from_lane(value.hi, distance), from_lane(value.lo, distance)};
}
template <typename ARITHMETIC>
__device__ __forceinline__ State<ARITHMETIC> from_lane(State<ARITHMETIC> value, int distance) {
    double count = 0.0;
    if constexpr (ARITHMETIC::COUNTS) count = from_lane(value.count, distance);
    return {from_lane(value.m, distance), from_lane(value.l, distance), count};
}

// After the step with distance d, groups of 2 d lanes agree.
template <typename JOIN, int LANES, typename V>
__device__ __forceinline__ V butterfly(V value) {
#pragma unroll JOIN::UNROLL
    for (int distance = LANES / 2; distance > 0; distance /= 2) value = JOIN::join(value, from_lane(value, distance));
    return value;
}

template <int LANES>
struct WarpTeam {
    static constexpr int SIZE = LANES;
    static constexpr int THREADS = WARP_THREADS;
    __device__ static __forceinline__ int rank() { return threadIdx.x % LANES; }
    template <typename JOIN, typename V>
    __device__ static __forceinline__ V reduce(V value) { return butterfly<JOIN, LANES>(value); }
    // Whether it is true of any thread of the team.
    __device__ static __forceinline__ bool any(bool value) {
        const unsigned lanes = __ballot_sync(ALL_LANES, value);
        if constexpr (LANES == 32) return lanes != 0;
        return lanes >> threadIdx.x % 32 / LANES * LANES & ((1u << LANES % 32) - 1);
    }
};

// How a value waits in shared memory: two words side by side where one access takes both, and an odd number of words for
// the rest, which spares bank conflicts.
template <typename V>
struct Waiting {
    V value;
    __device__ __forceinline__ void set(const V& v) { value = v; }
    __device__ __forceinline__ V get() const { return value; }
};
template <>
struct alignas(16) Waiting<Two> {
    Two value;
    __device__ __forceinline__ void set(Two v) { value = v; }
    __device__ __forceinline__ Two get() const { return value; }
};
template <typename ARITHMETIC>
struct Waiting<State<ARITHMETIC>> {
    double words[ARITHMETIC::COUNTS ? 5 : 3];
    __device__ __forceinline__ void set(const State<ARITHMETIC>& v) {
        words[0] = v.m;
        words[1] = v.l.hi;
        words[2] = v.l.lo;
        if constexpr (ARITHMETIC::COUNTS) words[3] = v.count;
    }
    __device__ __forceinline__ State<ARITHMETIC> get() const {
        double count = 0.0;
        if constexpr (ARITHMETIC::COUNTS) count = words[3];
        return {words[0], {words[1], words[2]}, count};
    }
};

template <int WARPS>
struct BlockTeam {
    static constexpr int SIZE = 32 * WARPS;
    static constexpr int THREADS = SIZE;
    __device__ static __forceinline__ int rank() { return threadIdx.x; }
    template <typename JOIN, typename V>
    __device__ static __forceinline__ V reduce(V value) {
        value = butterfly<JOIN, 32>(value);
        if constexpr (WARPS > 1) {
            __shared__ Waiting<V> of_warps[WARPS];
            __syncthreads();  // whoever still reads the values of an earlier call
            if (threadIdx.x % 32 == 0) of_warps[threadIdx.x / 32].set(value);
            __syncthreads();
            value = butterfly<JOIN, WARPS>(of_warps[threadIdx.x % WARPS].get());
        }
        return value;
    }
    __device__ static __forceinline__ bool any(bool value) {
        if constexpr (WARPS == 1) return __ballot_sync(ALL_LANES, value) != 0;
        return __syncthreads_or(value);
    }
};

template <int ROWS>
struct ColumnTeam {
    static constexpr int SIZE = ROWS;
    __device__ static __forceinline__ int rank() { return threadIdx.y; }
    template <typename JOIN, typename V>
    __device__ static __forceinline__ V reduce(V value) {
        __shared__ Waiting<V> of_threads[ROWS][32];
        __syncthreads();  // whoever still reads the values of an earlier call
        of_threads[threadIdx.y][threadIdx.x].set(value);
#pragma unroll JOIN::UNROLL
        for (int half = ROWS / 2; half > 0; half /= 2) {
            __syncthreads();
            if (threadIdx.y < half) {
                value = JOIN::join(value, of_threads[threadIdx.y + half][threadIdx.x].get());
                of_threads[threadIdx.y][threadIdx.x].set(value);
            }
        }
        __syncthreads();
        return of_threads[0][threadIdx.x].get();
    }
    __device__ static __forceinline__ bool any(bool value) { return reduce<Sum>(static_cast<unsigned>(value)) != 0; }
};
