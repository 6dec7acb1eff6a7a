// Rows held on the chip, whose softmax is worked out in float32 alone: for devices whose float64 would not keep up with
// their memory. The bits are those of rows.cu.
//
//   softmax_warp_floats     a warp a row, in registers             x read once     up to 32 lanes x CHUNKS vectors
//   softmax_block_floats    a block a row, in registers            x read once     up to 512 threads x CHUNKS vectors
//   softmax_shared_floats   a block a row, in shared memory        x read once     up to 65536 elements, if there is room
//   softmax_split_floats    a block a part of a row: its state     x read once     16-bit types; then split_merge
//   softmax_apply_floats    a block a part of a row: its results   x read once     likewise
//
// Who owns what: see staged.cuh and kept.cuh; template arguments: see rows.cu, with Softmax of a type of at most 32 bits.
// Shared bytes: 8192 for the table of powers of two, 20 a warp of a block for the reductions, 16 a thread where elements
// are moved SideBySide; and what staged() takes.
// Numerics: two words of float32 (numerics/float32.cuh). A row of which a rounding is in doubt, or which has no finite
// results, is read again and worked out by staged() or kept(): in float64, but float32 in blocks by integers (held.cuh).
#include "split32.cuh"

template <typename OPERATION, int CHUNKS, typename ACCESS, typename VIEW, typename... OUTPUTS>
__global__ void __launch_bounds__(WARP_THREADS, VIEW::BLOCKS)
    softmax_warp_floats(const typename OPERATION::Type* x,  // (rows, columns)
                        VIEW view,                          // of x and out
                        OUTPUTS... outputs) {               // what the operation is made of
    using Team = WarpTeam<32>;
    constexpr int VECTOR = Element<typename OPERATION::Type>::VECTOR;
    const OPERATION operation{outputs...};
    const long long row = (static_cast<long long>(blockIdx.x) * blockDim.x + threadIdx.x) / 32;
    const bool wanted = row < view.rows;
    const long long safe = wanted ? row : 0;
    const bool done = staged_floats<OPERATION, Team, CHUNKS, VECTOR, ACCESS>(operation, x, view, safe, wanted);
    if (rarely(!done)) {
        staged<OPERATION, Team, CHUNKS, VECTOR, ACCESS>(operation, x, view, safe, wanted);
    }
}

template <typename OPERATION, int WARPS, int CHUNKS, typename ACCESS, typename VIEW, typename... OUTPUTS>
__global__ void __launch_bounds__(32 * WARPS, VIEW::BLOCKS)
    softmax_block_floats(const typename OPERATION::Type* x,  // (rows, columns)
                         VIEW view,                          // of x and out
                         OUTPUTS... outputs) {               // what the operation is made of
    using Team = BlockTeam<WARPS>;
    constexpr int VECTOR = Element<typename OPERATION::Type>::VECTOR;
    const OPERATION operation{outputs...};
    const bool done = staged_floats<OPERATION, Team, CHUNKS, VECTOR, ACCESS>(operation, x, view, blockIdx.x, true);
    if (rarely(!done)) {
        using Again = typename HeldAgain<OPERATION>::Type;
        staged<Again, Team, CHUNKS, VECTOR, ACCESS>(Again{outputs...}, x, view, blockIdx.x, true);
    }
}

template <typename OPERATION, int WARPS, bool KEEPS_TERMS, typename ACCESS, typename VIEW, typename... OUTPUTS>
__global__ void __launch_bounds__(32 * WARPS, VIEW::BLOCKS)
    softmax_shared_floats(const typename OPERATION::Type* x,  // (rows, columns)
                          VIEW view,                          // of x and out
                          OUTPUTS... outputs) {               // what the operation is made of
    using Team = BlockTeam<WARPS>;
    extern __shared__ uint4 planes[];                         // (planes, vectors of the row up to a multiple of 32)
    const OPERATION operation{outputs...};
    const bool done = kept_floats<OPERATION, Team, KEEPS_TERMS, ACCESS>(operation, x, view, blockIdx.x, planes);
    if (rarely(!done)) {
        // Terms of 64 bits take the room of those of two words.
        constexpr bool AS_WELL = KEEPS_TERMS && sizeof(typename OPERATION::Type) == 4;
        using Again = typename HeldAgain<OPERATION>::Type;
        kept<Again, Team, AS_WELL, ACCESS>(Again{outputs...}, x, view, blockIdx.x, planes);
    }
}

constexpr int PART_WARPS = 16;

// Block b has part b % parts of row b / parts: the columns from (b % parts) * part_size on.
template <typename OPERATION, typename ACCESS, typename VIEW>
__global__ void __launch_bounds__(32 * PART_WARPS, VIEW::BLOCKS)
    softmax_split_floats(const typename OPERATION::Type* x,  // (rows, columns)
                         VIEW view,                          // of x and out
                         long long part_size, long long parts,
                         double* states) {                   // (4, rows, parts)
    using Team = BlockTeam<PART_WARPS>;
    extern __shared__ uint4 planes[];                        // (vectors of a part,)
    const long long row = blockIdx.x / parts;
    const long long begin = (blockIdx.x - row * parts) * part_size;
    const auto* const from = x + view.template row<0>(row) + begin;
    const auto state = kept_state<OPERATION, Team, ACCESS>(from, view, min(part_size, view.columns - begin), planes);
    if (Team::rank() == 0) Parts<typename OPERATION::Arithmetic>{states, view.rows * parts}.set(blockIdx.x, state);
}

template <typename OPERATION, typename ACCESS, typename VIEW, typename... OUTPUTS>
__global__ void __launch_bounds__(32 * PART_WARPS, VIEW::BLOCKS)
    softmax_apply_floats(const typename OPERATION::Type* x,  // (rows, columns)
                         VIEW view,                          // of x and out
                         long long part_size, long long parts,
                         double* states,                     // (4, rows): merged
                         OUTPUTS... outputs) {               // out, open, options
    using Team = BlockTeam<PART_WARPS>;
    const OPERATION operation{outputs...};
    const long long row = blockIdx.x / parts;
    const long long begin = (blockIdx.x - row * parts) * part_size;
    const long long end = min(begin + part_size, view.columns);
    const auto state = Parts<typename OPERATION::Arithmetic>{states, view.rows}.get(row);
    applied_floats<OPERATION, Team, ACCESS>(operation, state, x, view, row, begin, end);
}
