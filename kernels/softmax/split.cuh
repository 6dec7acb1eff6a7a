// Rows cut into parts: the kernels that join the parts, for rows.cu and columns.cu.
//
//   parts of a row      0   1   2  ...  127   128  129 ...
//   thread              0   1   2  ...  127    0    1  ...      each merges its parts in rising order,
//                                                               then the block merges its threads
#pragma once
#include "streamed.cuh"

constexpr int MERGE_WARPS = 4;

// The state of row r lies at part p at r * row_step + p * part_step: (rows, parts) or (parts, rows).
template <typename ARITHMETIC>
__device__ __forceinline__ State<ARITHMETIC> merged_parts(const Parts<ARITHMETIC> of_parts, long long first,
                                                          long long step, long long parts) {
    using Team = BlockTeam<MERGE_WARPS>;
    State<ARITHMETIC> state = identity<ARITHMETIC>();
#pragma unroll 1
    for (long long part = Team::rank(); part < parts; part += Team::SIZE)
        state = merge(state, of_parts.get(first + part * step));
    return joined<Team>(state);
}

// A block a row. Elementwise operations get the states of their rows, for the kernel that applies them.
template <typename ARITHMETIC>
__global__ void __launch_bounds__(32 * MERGE_WARPS, 1)
    split_merge(double* states,  // (4, rows * parts)
                long long rows, long long parts, long long row_step, long long part_step,
                double* merged,  // (4, rows)
                int* open) {     // (rows,) to be 0 before the results are looked at
    const Parts<ARITHMETIC> of_parts{states, rows * parts};
    const auto state = merged_parts(of_parts, blockIdx.x * row_step, part_step, parts);
    if (threadIdx.x == 0) {
        Parts<ARITHMETIC>{merged, rows}.set(blockIdx.x, state);
        open[blockIdx.x] = 0;
    }
}

// The same for operations that give a result for each row.
template <typename OPERATION, typename VIEW, typename... OUTPUTS>
__global__ void __launch_bounds__(32 * MERGE_WARPS, 1)
    split_finish(double* states,  // (4, rows * parts)
                 VIEW view,       // of x and the first output
                 long long parts, long long row_step, long long part_step,
                 OUTPUTS... outputs) {  // (rows,)
    using Arithmetic = typename OPERATION::Arithmetic;
    const OPERATION operation{outputs...};
    const Parts<Arithmetic> of_parts{states, view.rows * parts};
    const auto state = merged_parts(of_parts, blockIdx.x * row_step, part_step, parts);
    if (threadIdx.x == 0) operation.write(view, blockIdx.x, state);
}
