// softmax of a row that its team holds in registers, out of float32 alone (numerics/float32.cuh); columns are owned as in
// staged.cuh. It gives the results of the first tier where the rounding of none is in doubt. Else it writes nothing, and
// says so; so it does for rows without finite results.
#pragma once
#include "held.cuh"
#include "movers.cuh"
#include "numerics/float32_rounding.cuh"
#include "operations.cuh"
#include "staged.cuh"

// The order of float32 as integers; a NaN, whatever its sign, is the largest.
__device__ __forceinline__ int ordered(float value) {
    const int bits = __float_as_int(value);
    return value != value ? 0x7fffffff : bits ^ (bits >> 31 & 0x7fffffff);
}
__device__ __forceinline__ float from_ordered(int value) { return __int_as_float(value ^ (value >> 31 & 0x7fffffff)); }

// How the threads of a team join what they have: as integers, so by one instruction for a warp, in any order.
template <typename TEAM>
struct Joined;

template <int LANES>
struct Joined<WarpTeam<LANES>> {
    __device__ static __forceinline__ float largest(float own) { return WarpTeam<LANES>::template reduce<Maximum>(own); }
    __device__ static __forceinline__ Quanta sum(Quanta own) {
#pragma unroll
        for (int distance = LANES / 2; distance > 0; distance /= 2) {
            own.a += __shfl_xor_sync(ALL_LANES, own.a, distance);
            own.b += __shfl_xor_sync(ALL_LANES, own.b, distance);
            own.c += __shfl_xor_sync(ALL_LANES, own.c, distance);
        }
        return own;
    }
    __device__ static __forceinline__ bool any(bool value) {
        return __ballot_sync(ALL_LANES, value) >> threadIdx.x % 32 / LANES * LANES & ((1u << LANES) - 1);
    }
};

template <>
struct Joined<WarpTeam<32>> {
    __device__ static __forceinline__ float largest(float own) {
        return from_ordered(__reduce_max_sync(ALL_LANES, ordered(own)));
    }
    __device__ static __forceinline__ Quanta sum(Quanta own) {
        return {__reduce_add_sync(ALL_LANES, own.a), __reduce_add_sync(ALL_LANES, own.b),
                __reduce_add_sync(ALL_LANES, own.c)};
    }
    __device__ static __forceinline__ bool any(bool value) { return __any_sync(ALL_LANES, value); }
};

template <int WARPS>
struct Joined<BlockTeam<WARPS>> {
    __device__ static __forceinline__ float largest(float own) {
        __shared__ int of_warps[WARPS];
        const int of_warp = __reduce_max_sync(ALL_LANES, ordered(own));
        if (threadIdx.x % 32 == 0) of_warps[threadIdx.x / 32] = of_warp;
        __syncthreads();
        return from_ordered(__reduce_max_sync(ALL_LANES, of_warps[threadIdx.x % WARPS]));
    }
    __device__ static __forceinline__ Quanta sum(Quanta own) {
        __shared__ uint4 of_warps[WARPS];
        own = Joined<WarpTeam<32>>::sum(own);
        if (threadIdx.x % 32 == 0) of_warps[threadIdx.x / 32] = make_uint4(own.a, own.b, own.c, 0);
        __syncthreads();
        const uint4 of_warp = threadIdx.x % 32 < WARPS ? of_warps[threadIdx.x % 32] : make_uint4(0, 0, 0, 0);
        return Joined<WarpTeam<32>>::sum({of_warp.x, of_warp.y, of_warp.z});
    }
    __device__ static __forceinline__ bool any(bool value) { return __syncthreads_or(value); }
};

template <typename OPERATION, typename TEAM, int CHUNKS, int VECTOR, typename ACCESS, typename VIEW>
__device__ __forceinline__ bool staged_floats(const OPERATION operation, const typename OPERATION::Type* x,
                                              const VIEW& view, long long row, bool wanted) {
    using T = typename OPERATION::Type;
    constexpr int COUNT = CHUNKS * VECTOR;
    const unsigned columns = wanted ? static_cast<unsigned>(view.columns) : 0;

    // Load; meanwhile the table.
    const Mover<ACCESS, TEAM, T, VECTOR, VIEW> mover{view};
    constexpr int UNIT = decltype(mover)::UNIT;
    const T* const from = x + view.template row<0>(row);
    T element[COUNT / UNIT][UNIT];
#pragma unroll
    for (int at = 0; at < COUNT; at += UNIT) {
        const unsigned column = owned_column<TEAM, VECTOR>(at / VECTOR) + at % VECTOR;
        mover.template fetch<0>(element[at / UNIT], from, column, columns);
    }
    load_table<TEAM>(POWERS_OF_TWO);
#pragma unroll
    for (int at = 0; at < COUNT; at += UNIT) mover.settle(element[at / UNIT]);

    // The maximum of the row.
    const T* const own = &element[0][0];
    const float largest = Single<T>::template largest<COUNT>(own);
    const float m = Joined<TEAM>::largest(largest);
    const bool ordinary = fabsf(m) < __uint_as_float(0x7f800000u);
    const Anchor anchor = anchor_for(m, Single<T>::REACH);
    if constexpr (TEAM::SIZE <= 32) __syncthreads();  // the table is complete; else a barrier has just been

    // The terms and their sum.
    const PowerOfTwo* const powers = reinterpret_cast<const PowerOfTwo*>(table_room());
    Floats term[COUNT];
#pragma unroll
    for (int i = 0; i < COUNT; i++) term[i] = Single<T>::term(Element<T>::load(own[i]), anchor, powers);
    const Floats sum = Single<T>::template sum<COUNT>(term, largest, anchor);
    const Floats inverse = inverse_of(Joined<TEAM>::sum(quanta_of(sum)), TEAM::SIZE);

    // Round.
    bool doubt = !ordinary;
    const bool small = Single<T>::template any_small<COUNT>(own, m);
    T result[COUNT];
#pragma unroll
    for (int at = 0; at < COUNT; at += Single<T>::GROUP)
        Single<T>::quotients(result + at, term + at, inverse, small, doubt);
    if (Joined<TEAM>::any(wanted && (doubt || operation.options & ALL_OPEN))) return false;
    if (wanted && TEAM::rank() == 0) operation.open[row] = false;

    T* const to = operation.out + view.template row<1>(row);
#pragma unroll
    for (int at = 0; at < COUNT; at += UNIT) {
        const unsigned column = owned_column<TEAM, VECTOR>(at / VECTOR) + at % VECTOR;
#pragma unroll
        for (int i = 0; i < UNIT; i++) element[0][i] = result[at + i];
        mover.template put<1>(element[0], to, column, columns);
    }
    return true;
}
