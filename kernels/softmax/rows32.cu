// Rows held on the chip, whose softmax is worked out in float32 alone: for devices whose float64 would not keep up with
// their memory. The bits are those of rows.cu.
//
//   softmax_warp_floats     a warp a row, in registers             x read once     up to 32 lanes x CHUNKS vectors
//   softmax_block_floats    a block a row, in registers            x read once     up to 512 threads x CHUNKS vectors
//   softmax_shared_floats   a block a row, in shared memory        x read once     up to 65536 elements, if there is room
//
// Who owns what: see staged.cuh and kept.cuh; template arguments: see rows.cu, with Softmax of a type of at most 32 bits.
// Shared bytes: 8192 for the table of powers of two, 20 a warp of a block for the reductions, 16 a thread where elements
// are moved SideBySide; and what staged() takes.
// Numerics: two words of float32 (numerics/float32.cuh). A row of which a rounding is in doubt, or which has no finite
// results, is read again and worked out by staged(): in float64.
#include "kept32.cuh"

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
        staged<OPERATION, Team, CHUNKS, VECTOR, ACCESS>(operation, x, view, blockIdx.x, true);
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
        // Terms of float64 take the room of those of two words.
        kept<OPERATION, Team, KEEPS_TERMS && sizeof(typename OPERATION::Type) == 4, ACCESS>(operation, x, view, blockIdx.x, planes);
    }
}
