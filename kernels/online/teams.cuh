// Teams: the threads that share a row, and how they join what each has found.
//
//   WarpTeam<LANES>     LANES neighbouring lanes; 32 / LANES rows a warp          butterfly of shuffles
//   BlockTeam<WARPS>    a whole block of WARPS warps                              butterfly, shared memory, butterfly
//   ColumnTeam<SIZE>    the SIZE threads of one x in a block of (32, SIZE)        tree in shared memory
//
// Every thread of a team ends with the same bits, joined in an order that depends on the team's shape alone. All threads
// of the block must come to each call. Shared memory: up to 28 bytes a warp (BlockTeam), or a thread (ColumnTeam), for maxima, sums and counts.
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
    __device__ static __forceinline__ double join(double a, double b) { return __dadd_rn(a, b); }
};
template <typename V>
__device__ __forceinline__ V from_lane(V value, int distance) {
    return __shfl_xor_sync(ALL_LANES, value, distance);
}
__device__ __forceinline__ Two from_lane(Two value, int distance) {
    return {from_lane(value.hi, distance), from_lane(value.lo, distance)};
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

// How a value waits in shared memory: two words side by side where one access takes both, which spares bank conflicts.
template <typename V>
struct Waiting {
    V value;
};
template <>
struct alignas(16) Waiting<Two> {
    Two value;
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
            if (threadIdx.x % 32 == 0) of_warps[threadIdx.x / 32].value = value;
            __syncthreads();
            value = butterfly<JOIN, WARPS>(of_warps[threadIdx.x % WARPS].value);
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
        of_threads[threadIdx.y][threadIdx.x].value = value;
#pragma unroll JOIN::UNROLL
        for (int half = ROWS / 2; half > 0; half /= 2) {
            __syncthreads();
            if (threadIdx.y < half) {
                value = JOIN::join(value, of_threads[threadIdx.y + half][threadIdx.x].value);
                of_threads[threadIdx.y][threadIdx.x].value = value;
            }
        }
        __syncthreads();
        return of_threads[0][threadIdx.x].value;
    }
    __device__ static __forceinline__ bool any(bool value) { return reduce<Sum>(static_cast<unsigned>(value)) != 0; }
};

// The state of all that the threads of a team have seen: their maximum first, to which each moves its sum once, then the sum.
template <typename TEAM, typename ARITHMETIC>
__device__ __forceinline__ State<ARITHMETIC> joined(State<ARITHMETIC> state) {
    // + 0.0 turns -0.0 into 0.0: maxima that compare equal then have equal bits.
    const double m = __dadd_rn(TEAM::template reduce<Maximum>(state.m), 0.0);
    if (m != state.m) state = {m, moved(state, anchor_of(m)), 0.0};
    state.l = TEAM::template reduce<Sum>(state.l);
    if constexpr (ARITHMETIC::COUNTS) state.count = TEAM::template reduce<Sum>(state.count);
    state.m = m;
    return state;
}
