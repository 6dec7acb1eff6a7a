// Rows: the reduced axis is the innermost one, or nothing better is known about the strides.
//
//   softmax_warp    LANES lanes a row, in registers               x read once     up to 32 lanes x CHUNKS vectors
//   softmax_block   a block a row, in registers                   x read once     up to 512 threads x CHUNKS vectors
//   softmax_shared  a block a row, in shared memory (kept.cuh)    x read once     as long as there is room
//   softmax_stream  a block a row, nothing kept                   x read twice (LogSumExp: once)
//   softmax_split   a block a part of a row: its state            x read once     then split_merge (split.cuh)
//   softmax_apply   a block a part of a row: its results          x read once
//
// Who owns what: see staged.cuh. A vector is 16 bytes of x.
// Template arguments: OPERATION (operations.cuh); ACCESS, how elements come and go (movers.cuh); VIEW (views.cuh); OUTPUTS,
// the types of what the operation is made of, in its order.
// Shared bytes: 28 a warp of a block for the reductions, and 16 a thread where elements are moved SideBySide;
// softmax_shared besides the row itself, dynamic, where they also change hands.
// Numerics: the arithmetic of the operation; float64, rounded once, and tested for whether that is the right rounding.
// Rows in doubt are left to `settle` (settle.cu).
#include "held.cuh"
#include "kept.cuh"
#include "split.cuh"

// Threads of the kernels that give a block to a row.
constexpr int STREAM_WARPS = 16;

template <typename OPERATION, int LANES, int CHUNKS, typename ACCESS, typename VIEW, typename... OUTPUTS>
__global__ void __launch_bounds__(WARP_THREADS, VIEW::BLOCKS)
    softmax_warp(const typename OPERATION::Type* x,  // (rows, columns)
                 VIEW view,                          // of x and the first output
                 OUTPUTS... outputs) {               // what the operation is made of
    constexpr int VECTOR = Element<typename OPERATION::Type>::VECTOR;
    using Inside = typename Held<OPERATION, LANES == 32 && (CHUNKS > 1)>::Type;
    const Inside operation{outputs...};
    const long long row = (static_cast<long long>(blockIdx.x) * blockDim.x + threadIdx.x) / LANES;
    const bool wanted = row < view.rows;
    staged<Inside, WarpTeam<LANES>, CHUNKS, VECTOR, ACCESS>(operation, x, view, wanted ? row : 0, wanted);
}

template <typename OPERATION, int WARPS, int CHUNKS, typename ACCESS, typename VIEW, typename... OUTPUTS>
__global__ void __launch_bounds__(32 * WARPS, VIEW::BLOCKS | OPERATION::Arithmetic::WIDE)
    softmax_block(const typename OPERATION::Type* x,  // (rows, columns)
                  VIEW view,                          // of x and the first output
                  OUTPUTS... outputs) {               // what the operation is made of
    constexpr int VECTOR = Element<typename OPERATION::Type>::VECTOR;
    using Inside = typename Held<OPERATION>::Type;
    const Inside operation{outputs...};
    staged<Inside, BlockTeam<WARPS>, CHUNKS, VECTOR, ACCESS>(operation, x, view, blockIdx.x, true);
}

template <typename OPERATION, typename ACCESS, typename VIEW, typename... OUTPUTS>
__global__ void __launch_bounds__(32 * STREAM_WARPS, VIEW::BLOCKS | OPERATION::Arithmetic::WIDE)
    softmax_stream(const typename OPERATION::Type* x,  // (rows, columns)
                   VIEW view,                          // of x and the first output
                   OUTPUTS... outputs) {               // what the operation is made of
    constexpr int VECTOR = Element<typename OPERATION::Type>::VECTOR;
    const OPERATION operation{outputs...};
    streamed<OPERATION, BlockTeam<STREAM_WARPS>, VECTOR, ACCESS>(operation, x, view, blockIdx.x, true);
}

template <typename OPERATION, int WARPS, bool KEEPS_TERMS, typename ACCESS, typename VIEW, typename... OUTPUTS>
__global__ void __launch_bounds__(32 * WARPS, VIEW::BLOCKS | OPERATION::Arithmetic::WIDE)
    softmax_shared(const typename OPERATION::Type* x,  // (rows, columns)
                   VIEW view,                          // of x and the output
                   OUTPUTS... outputs) {               // what the operation is made of
    extern __shared__ uint4 planes[];                  // (planes, vectors of the row up to a multiple of 32)
    using Inside = typename Held<OPERATION>::Type;
    const Inside operation{outputs...};
    kept<Inside, BlockTeam<WARPS>, KEEPS_TERMS, ACCESS>(operation, x, view, blockIdx.x, planes);
}

// Block b has part b % parts of row b / parts: the columns from (b % parts) * part_size on.
template <typename OPERATION, typename ACCESS, typename VIEW>
__global__ void __launch_bounds__(32 * STREAM_WARPS, VIEW::BLOCKS)
    softmax_split(const typename OPERATION::Type* x,  // (rows, columns)
                  VIEW view,                          // of x and the first output
                  long long part_size, long long parts,
                  double* states) {                   // (4, rows, parts)
    using Team = BlockTeam<STREAM_WARPS>;
    constexpr int VECTOR = Element<typename OPERATION::Type>::VECTOR;
    const long long row = blockIdx.x / parts;
    const long long begin = (blockIdx.x - row * parts) * part_size;
    const long long end = min(begin + part_size, view.columns);
    const auto state = fold<OPERATION, Team, VECTOR, ACCESS>(x + view.template row<0>(row), view, begin, end);
    if (Team::rank() == 0) Parts<typename OPERATION::Arithmetic>{states, view.rows * parts}.set(blockIdx.x, state);
}

template <typename OPERATION, typename ACCESS, typename VIEW, typename... OUTPUTS>
__global__ void __launch_bounds__(32 * STREAM_WARPS, VIEW::BLOCKS | OPERATION::Arithmetic::WIDE)
    softmax_apply(const typename OPERATION::Type* x,  // (rows, columns)
                  VIEW view,                          // of x and out
                  long long part_size, long long parts,
                  double* states,                     // (4, rows): merged
                  OUTPUTS... outputs) {               // out, open, options
    using Team = BlockTeam<STREAM_WARPS>;
    constexpr int VECTOR = Element<typename OPERATION::Type>::VECTOR;
    const OPERATION operation{outputs...};
    const long long row = blockIdx.x / parts;
    const long long begin = (blockIdx.x - row * parts) * part_size;
    const long long end = min(begin + part_size, view.columns);
    const auto state = Parts<typename OPERATION::Arithmetic>{states, view.rows}.get(row);
    applied<OPERATION, Team, VECTOR, ACCESS>(operation, state, x, view, row, begin, end);
}
