// A block's walk over its keys: what it has to know of them. It waits in shared memory, since registers are scarce on the way.
#pragma once
#include "scores.cuh"

template <typename T, int WARPS>
struct Walk {
    BlockPlace place;
    Span any;         // keys that any row of the block attends to
    Span all[WARPS];  // of each warp: keys that no row leaves out by its place
    const T* keys;
    const T* values;
};

// Sets out, with ROWS rows a warp; what rows need is written to `facts`. A barrier is to follow.
template <typename OPTIONS, int ROWS, typename T, int WARPS, typename CALL>
__device__ __forceinline__ void set_out(Walk<T, WARPS>& walk, RowFacts (&facts)[WARPS * ROWS], const CALL& call, const T* k,
                                        const T* v, const long long* kv_lengths) {
    constexpr int BLOCK_ROWS = WARPS * ROWS;
    const BlockPlace here = BlockPlace::of(call, BLOCK_ROWS);
    const int keys = call.keys(kv_lengths, here.batch), lane = threadIdx.x % 32, warp = threadIdx.x / 32;
    const Span any = call.in_part(call.span_of_any(here.first_row, BLOCK_ROWS, keys), here.part);
    if (threadIdx.x == 0) {
        walk.place = here;
        walk.any = any;
        walk.keys = k + call.template start<K>(here.batch);
        walk.values = v + call.template start<V>(here.batch);
    }
    if (lane == 0) walk.all[warp] = call.span_of_all(here.first_row + warp * ROWS, ROWS, keys);
    for (int row = threadIdx.x; row < BLOCK_ROWS; row += 32 * WARPS)
        facts[row] = facts_of<OPTIONS>(call, any, here.first_row + row, keys, here.batch);
}
