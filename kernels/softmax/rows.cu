// Rows: the reduced axis is the innermost one, or nothing better is known about the strides.
//
//   softmax_warp    LANES lanes a row, in registers               x read once     up to 32 lanes x CHUNKS vectors
//   softmax_block   a block a row, in registers                   x read once     up to 512 threads x CHUNKS vectors
//   softmax_shared  a block a row, in shared memory               x read once     up to 48 KiB a row
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
#include "split.cuh"

// Threads of the kernels that give a block to a row.
constexpr int STREAM_WARPS = 16;

template <typename OPERATION, int LANES, int CHUNKS, typename ACCESS, typename VIEW, typename... OUTPUTS>
__global__ void __launch_bounds__(WARP_THREADS, VIEW::BLOCKS)
    softmax_warp(const typename OPERATION::Type* x,  // (rows, columns)
                 VIEW view,                          // of x and the first output
                 OUTPUTS... outputs) {               // what the operation is made of
    constexpr int VECTOR = Element<typename OPERATION::Type>::VECTOR;
    const OPERATION operation{outputs...};
    const long long row = (static_cast<long long>(blockIdx.x) * blockDim.x + threadIdx.x) / LANES;
    const bool wanted = row < view.rows;
    staged<OPERATION, WarpTeam<LANES>, CHUNKS, VECTOR, ACCESS>(operation, x, view, wanted ? row : 0, wanted);
}

template <typename OPERATION, int WARPS, int CHUNKS, typename ACCESS, typename VIEW, typename... OUTPUTS>
__global__ void __launch_bounds__(32 * WARPS, VIEW::BLOCKS | OPERATION::Arithmetic::WIDE)
    softmax_block(const typename OPERATION::Type* x,  // (rows, columns)
                  VIEW view,                          // of x and the first output
                  OUTPUTS... outputs) {               // what the operation is made of
    constexpr int VECTOR = Element<typename OPERATION::Type>::VECTOR;
    const OPERATION operation{outputs...};
    staged<OPERATION, BlockTeam<WARPS>, CHUNKS, VECTOR, ACCESS>(operation, x, view, blockIdx.x, true);
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

// The row waits in shared memory in the type of x, each thread's vectors where only that thread looks; but warps that move
// elements SideBySide hand them over right there.
template <typename OPERATION, typename ACCESS, typename VIEW, typename... OUTPUTS>
__global__ void __launch_bounds__(32 * STREAM_WARPS, VIEW::BLOCKS | OPERATION::Arithmetic::WIDE)
    softmax_shared(const typename OPERATION::Type* x,  // (rows, columns)
                   VIEW view,                          // of x and the output
                   OUTPUTS... outputs) {               // what the operation is made of
    using T = typename OPERATION::Type;
    using Arithmetic = typename OPERATION::Arithmetic;
    using Compare = typename Element<T>::Compare;
    using Team = BlockTeam<STREAM_WARPS>;
    constexpr int VECTOR = Element<T>::VECTOR;
    extern __shared__ uint4 kept[];  // (vectors of the row,), up to a multiple of 32
    const OPERATION operation{outputs...};
    const Mover<ACCESS, Team, T, VECTOR, VIEW> mover{view};
    constexpr int UNIT = decltype(mover)::UNIT;
    const int columns = static_cast<int>(view.columns);
    const int lane = threadIdx.x % 32;
    const int first = Team::rank() * VECTOR;
    // Lanes that hand over go on as long as the first of their warp has columns.
    const int last = columns + (mover.HANDS_OVER ? lane * VECTOR : 0);
    constexpr int ROUND = Team::SIZE * VECTOR;

    // Load, keep, and find the maximum.
    const T* const from = x + view.template row<0>(blockIdx.x);
    Compare largest = Element<Compare>::negative_infinity();
#pragma unroll(VIEW::REDUCED_AXES > 2 ? 1 : 2)
    for (int column = first; column < last; column += ROUND) {
        Pack<T, VECTOR> whole = {};
#pragma unroll
        for (int at = 0; at < VECTOR; at += UNIT) {
            T element[UNIT];
            mover.template fetch<0>(element, from, column + at, columns);
            mover.settle(element, kept + column / VECTOR - lane);
#pragma unroll
            for (int i = 0; i < UNIT; i++) {
                whole.set(at + i, element[i]);
                largest = maximum(largest, Compare(Element<T>::load(element[i])));
            }
        }
        if constexpr (!mover.HANDS_OVER) kept[column / VECTOR] = as_uint4(whole.words);
    }
    State<Arithmetic> state;
    state.m = widen(Team::template reduce<Maximum>(largest));
    const double anchor = anchor_of(state.m);

    // The sum.
    state.l = {0.0, 0.0};
    unsigned count = 0;
#pragma unroll 1
    for (int column = first; column < columns; column += ROUND) {
        const Pack<T, VECTOR> whole = {kept_words(kept[column / VECTOR])};
        typename Arithmetic::Term term[VECTOR];
#pragma unroll
        for (int i = 0; i < VECTOR; i++)
            term[i] = counted<Arithmetic>(Element<T>::load(whole.get(i)), anchor, count);
        Arithmetic::push(state.l, term);
    }
    state.l = Team::template reduce<Sum>(state.l);
    state.count = Arithmetic::COUNTS ? Team::template reduce<Sum>(count) : 0;

    // Results take the place of the elements, and leave it if none is in doubt.
    const auto of_row = operation.row(state, view.columns);
    Doubt doubt;
#pragma unroll 1
    for (int column = first; column < columns; column += ROUND) {
        Pack<T, VECTOR> whole = {kept_words(kept[column / VECTOR])};
#pragma unroll
        for (int i = 0; i < VECTOR; i++)
            whole.set(i, operation.of_value(widen(Element<T>::load(whole.get(i))), of_row, doubt));
        kept[column / VECTOR] = as_uint4(whole.words);
    }
    const bool open = Team::any(doubt.any<T>() || operation.options & ALL_OPEN) && of_row.ordinary;
    if (Team::rank() == 0) operation.open[blockIdx.x] = open;
    if (open) return;  // all threads do
    T* const to = operation.out + view.template row<1>(blockIdx.x);
#pragma unroll 1
    for (int column = first; column < last; column += ROUND) {
        const Pack<T, VECTOR> whole = {kept_words(kept[column / VECTOR])};
#pragma unroll
        for (int at = 0; at < VECTOR; at += UNIT) {
            T result[UNIT];
#pragma unroll
            for (int i = 0; i < UNIT; i++) result[i] = whole.get(at + i);
            mover.template put<1>(result, to, column + at, columns, kept + column / VECTOR - lane);
        }
    }
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
