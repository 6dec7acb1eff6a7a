// Rows for a processor that has caches in the place of registers: the simulated device as a fast CPU device. A register of a
// warp is 32 numbers wide there, so what a thread need not hold waits in shared memory, and loops beat unrolled code.
//
//   softmax_loops           a warp a row, or a lane a row      x read once (Softmax, KEPT) or twice, seldom once more
//   softmax_loops_part      a warp a part of a row             x read once, seldom once more: the part's state
//   softmax_loops_results   a warp a part of a row             merges the states of all parts; x read once
//
// walks.cuh has the walks over a row, or a part of it, and says which lane has what.
//
// Template arguments: OPERATION (operations.cuh); OWNER, WarpRow or LaneRow; KEPT, whether the terms wait in shared memory
// for the results, of operations that KEEPS_TERMS; CONTIGUOUS, whether the elements of a row lie side by side; VIEW
// (views.cuh); OUTPUTS as in rows.cu.
// Shared bytes: dynamic, where KEPT a term for every column (WarpRow), or for every column and lane (LaneRow).
// Numerics: the arithmetic of the operation, so results are those of every other kernel. A row in doubt is left open; unless
// out is x it is written all the same, and to be written again.
#include "walks.cuh"

template <typename OPERATION, typename VIEW>
__device__ __forceinline__ typename OPERATION::Type* results_of(const OPERATION& operation, const VIEW& view, long long row) {
    if constexpr (OPERATION::ELEMENTS) return operation.out + view.template row<1>(row);
    else return nullptr;
}

template <typename OPERATION, typename OWNER, bool KEPT, bool CONTIGUOUS, typename VIEW, typename... OUTPUTS>
__global__ void __launch_bounds__(32)
    softmax_loops(const typename OPERATION::Type* x,  // (rows, columns)
                  VIEW view,                          // of x and the first output
                  OUTPUTS... outputs) {               // what the operation is made of
    using Term = typename OPERATION::Arithmetic::Term;
    using Team = typename OWNER::Team;
    extern __shared__ uint4 kept[];
    const OPERATION operation{outputs...};
    const bool wanted = OWNER::row() < view.rows;
    // Lanes that have no row read the first, and write nothing.
    const long long row = wanted ? OWNER::row() : 0;
    Walks<OPERATION, OWNER, KEPT, CONTIGUOUS, VIEW> walks{operation, view, x + view.template row<0>(row),
                                                          results_of(operation, view, row), reinterpret_cast<Term*>(kept),
                                                          0, static_cast<int>(view.columns)};
    Extremes<OPERATION> extremes;
    bool near;
    const auto state = walks.seen(extremes, near);
    near = near && __all_sync(ALL_LANES, extremes.normal());

    if constexpr (OPERATION::ELEMENTS) {
        const auto of_row = operation.row(state, columns_of_moves(lost(view.columns)));
        bool open = operation.options & IN_PLACE && walks.template results<false, false>(of_row);
        if (open || !wanted) walks.end = 0;
        open |= near ? walks.template results<true, true>(of_row) : walks.template results<false, true>(of_row);
        if (wanted && Team::rank() == 0) operation.open[row] = open;
    } else {
        if (wanted && Team::rank() == 0) operation.write(view, row, state, columns_of_moves(lost(view.columns)));
    }
}

// What a part of a row gives to all of it.
template <typename OPERATION>
struct Part {
    State<typename OPERATION::Arithmetic> state;
    Extremes<OPERATION> extremes;
};

template <typename OPERATION, bool CONTIGUOUS, typename VIEW, typename... OUTPUTS>
__global__ void __launch_bounds__(32)
    softmax_loops_part(const typename OPERATION::Type* x,  // (rows, columns)
                       VIEW view,                          // of x and the first output
                       int length,                         // of all parts but the last: grid (parts, rows)
                       Part<OPERATION>* parts,             // (rows, parts)
                       OUTPUTS... outputs) {               // what the operation is made of
    const OPERATION operation{outputs...};
    const long long row = blockIdx.y;
    const int begin = static_cast<int>(blockIdx.x) * length;
    const Walks<OPERATION, WarpRow, false, CONTIGUOUS, VIEW> walks{operation, view, x + view.template row<0>(row), nullptr,
                                                                   nullptr, begin,
                                                                   min(static_cast<int>(view.columns), begin + length)};
    Part<OPERATION> part;
    bool near;
    part.state = walks.seen(part.extremes, near);
    if (threadIdx.x == 0) {
        parts[row * gridDim.x + blockIdx.x] = part;
        if (blockIdx.x == 0) operation.open[row] = false;
    }
}

template <typename OPERATION, bool CONTIGUOUS, typename VIEW, typename... OUTPUTS>
__global__ void __launch_bounds__(32)
    softmax_loops_results(const typename OPERATION::Type* x,  // (rows, columns)
                          VIEW view,                          // of x and the first output
                          int length,                         // of all parts but the last
                          int count,                          // parts of a row: grid (count, or 1 for LogSumExp, rows)
                          const Part<OPERATION>* parts,       // (rows, count)
                          OUTPUTS... outputs) {               // what the operation is made of
    using Arithmetic = typename OPERATION::Arithmetic;
    using Team = WarpRow::Team;
    const OPERATION operation{outputs...};
    const long long row = blockIdx.y;
    Extremes<OPERATION> extremes;
    State<Arithmetic> state = identity<Arithmetic>();
#pragma unroll 1
    for (int i = threadIdx.x; i < count; i += 32) {
        const Part<OPERATION>& part = parts[row * count + i];
        extremes.note(part.extremes);
        state = merge(state, part.state);
    }
    extremes.template join<Team>();
    state = joined<Team>(state);
    if constexpr (OPERATION::ELEMENTS) {
        const int begin = static_cast<int>(blockIdx.x) * length;
        Walks<OPERATION, WarpRow, false, CONTIGUOUS, VIEW> walks{operation, view, x + view.template row<0>(row),
                                                                 results_of(operation, view, row), nullptr, begin,
                                                                 min(static_cast<int>(view.columns), begin + length)};
        const bool near = __all_sync(ALL_LANES, extremes.near(state.m) && extremes.normal());
        const auto of_row = operation.row(state, columns_of_moves(lost(view.columns)));
        bool open = false;
        if (operation.options & ONLY_TEST) open = walks.template results<false, false>(of_row);
        else if (!(operation.options & ONLY_WRITE) || !operation.open[row])
            open = near ? walks.template results<true, true>(of_row) : walks.template results<false, true>(of_row);
        if (open && threadIdx.x == 0) atomicExch(operation.open + row, 1);
    } else {
        if (threadIdx.x == 0) operation.write(view, row, state, columns_of_moves(lost(view.columns)));
    }
}
