// Columns: the reduced axis is not the innermost one. Neighbouring lanes take neighbouring rows of the problem (that is,
// neighbouring columns of the array in memory), so that every access of a warp is one stretch of memory; no transpose.
//
//                 lane 0  1  2 ... 31
//   rank 0             .  .  .      .      columns 0, SIZE, 2 SIZE, ...
//   rank 1             .  .  .      .      columns 1, SIZE + 1, ...          (reduced axis downwards)
//    ...
//
//   columns_thread  a thread a row, in registers                 x read once    up to CHUNKS columns
//   columns_block   SIZE threads a row, in registers             x read once    up to SIZE x CHUNKS columns
//   columns_stream  16 threads a row, nothing kept               x read twice (LogSumExp: once)
//   columns_split   16 threads a part of a row: its state        x read once    then split_merge (split.cuh)
//   columns_apply   16 threads a part of a row: its results      x read once
//
// Template arguments as in rows.cu; elements always move one by one, and a thread's vector is one column.
// Shared bytes: for the reductions, at most 32 a thread of a block.
// Numerics: the arithmetic of the operation; float64, rounded once, and tested for whether that is the right rounding.
// Rows in doubt are left to `settle` (settle.cu).
#include "split.cuh"

// Threads of a row in the kernels for long columns.
constexpr int STREAM_SIZE = 16;

// The row of a thread in a block of (32, SIZE); a block has 32 rows.
__device__ __forceinline__ long long row_of_lane(long long tile) { return tile * 32 + threadIdx.x; }

template <typename OPERATION, int CHUNKS, typename VIEW, typename... OUTPUTS>
__global__ void __launch_bounds__(128, VIEW::BLOCKS)
    columns_thread(const typename OPERATION::Type* x,  // (rows, columns)
                   VIEW view,                          // of x and the first output
                   OUTPUTS... outputs) {               // what the operation is made of
    const OPERATION operation{outputs...};
    const long long row = static_cast<long long>(blockIdx.x) * blockDim.x + threadIdx.x;
    const bool wanted = row < view.rows;
    staged<OPERATION, WarpTeam<1>, CHUNKS, 1, Elements>(operation, x, view, wanted ? row : 0, wanted);
}

template <typename OPERATION, int SIZE, int CHUNKS, typename VIEW, typename... OUTPUTS>
__global__ void __launch_bounds__(32 * SIZE, VIEW::BLOCKS | OPERATION::Arithmetic::WIDE)
    columns_block(const typename OPERATION::Type* x,  // (rows, columns)
                  VIEW view,                          // of x and the first output
                  OUTPUTS... outputs) {               // what the operation is made of
    const OPERATION operation{outputs...};
    const long long row = row_of_lane(blockIdx.x);
    const bool wanted = row < view.rows;
    staged<OPERATION, ColumnTeam<SIZE>, CHUNKS, 1, Elements>(operation, x, view, wanted ? row : 0, wanted);
}

template <typename OPERATION, typename VIEW, typename... OUTPUTS>
__global__ void __launch_bounds__(32 * STREAM_SIZE, VIEW::BLOCKS)
    columns_stream(const typename OPERATION::Type* x,  // (rows, columns)
                   VIEW view,                          // of x and the first output
                   OUTPUTS... outputs) {               // what the operation is made of
    const OPERATION operation{outputs...};
    const long long row = row_of_lane(blockIdx.x);
    const bool wanted = row < view.rows;
    streamed<OPERATION, ColumnTeam<STREAM_SIZE>, 1, Elements>(operation, x, view, wanted ? row : 0, wanted);
}

// Block b has part b % parts of the 32 rows from 32 * (b / parts) on. States lie as (parts, rows): lanes write together.
template <typename OPERATION, typename VIEW>
__global__ void __launch_bounds__(32 * STREAM_SIZE, VIEW::BLOCKS)
    columns_split(const typename OPERATION::Type* x,  // (rows, columns)
                  VIEW view,                          // of x and the first output
                  long long part_size, long long parts,
                  double* states) {                   // (4, parts, rows)
    using Team = ColumnTeam<STREAM_SIZE>;
    const long long tile = blockIdx.x / parts;
    const long long part = blockIdx.x - tile * parts;
    const long long row = row_of_lane(tile);
    const bool wanted = row < view.rows;
    const long long begin = part * part_size;
    const long long end = wanted ? min(begin + part_size, view.columns) : begin;
    const auto* const from = x + view.template row<0>(wanted ? row : 0);
    const auto state = fold<OPERATION, Team, 1, Elements>(from, view, begin, end);
    const Parts<typename OPERATION::Arithmetic> of_parts{states, view.rows * parts};
    if (wanted && Team::rank() == 0) of_parts.set(part * view.rows + row, state);
}

template <typename OPERATION, typename VIEW, typename... OUTPUTS>
__global__ void __launch_bounds__(32 * STREAM_SIZE, VIEW::BLOCKS)
    columns_apply(const typename OPERATION::Type* x,  // (rows, columns)
                  VIEW view,                          // of x and out
                  long long part_size, long long parts,
                  double* states,                     // (4, rows): merged
                  OUTPUTS... outputs) {               // out, open, options
    using Team = ColumnTeam<STREAM_SIZE>;
    const OPERATION operation{outputs...};
    const long long tile = blockIdx.x / parts;
    const long long row = row_of_lane(tile);
    const bool wanted = row < view.rows;
    const long long begin = (blockIdx.x - tile * parts) * part_size;
    const long long end = wanted ? min(begin + part_size, view.columns) : begin;
    const long long safe = wanted ? row : 0;
    const auto state = Parts<typename OPERATION::Arithmetic>{states, view.rows}.get(safe);
    applied<OPERATION, Team, 1, Elements>(operation, state, x, view, safe, begin, end);
}
