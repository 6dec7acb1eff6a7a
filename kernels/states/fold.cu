// Folding elements into states of softmax (online/sliced_state.cuh), and parts of rows into one.
//
//   fold_states   a team a row, or a part of a row: its state       x read once
//   join_parts    a block a row: the state of its parts             x not read
//
//   columns of a part    0  1  2 ... SIZE - 1   SIZE  SIZE + 1 ...
//   rank in the team     0  1  2 ... SIZE - 1    0     1       ...
//
// Teams (online/teams.cuh): WarpTeam<1>, <8>, <32> and BlockTeam<4>. An element takes a thread hundreds of integer
// instructions, so it does not matter how they come from memory: one kernel serves every type and every layout.
// Which team has which elements, and in which order they are added, changes no bit.
// Shared bytes: 80 a warp for the reduction.
// Numerics: integers alone.
#include "online/sliced_state.cuh"
#include "softmax/any_elements.cuh"
#include "softmax/dealt.cuh"
#include "softmax/views.cuh"

constexpr int FOLD_THREADS = 128;

template <typename TEAM, typename VIEW>
__global__ void __launch_bounds__(FOLD_THREADS)
    fold_states(void* x,      // (rows, columns)
                VIEW view,    // of x and m, with one part
                int type,     // of x: see Type
                long long part_size, long long parts,
                double* m,                   // (rows, parts)
                unsigned long long* sums) {  // (8, rows, parts)
    const Share share = Dealt<TEAM>::share(view.rows, view.columns, part_size, parts);
    const bool wanted = share.end > share.begin;
    long long place[2];
    view.row_of_all(share.row, place);
    const AnyElements from = AnyElements{x, static_cast<Type>(type)} + place[0];
    const long long to = place[1] * parts + share.part;
    SlicedState state = nothing_sliced();
#pragma unroll 1
    for (long long column = share.begin + TEAM::rank(); column < share.end; column += TEAM::SIZE) {
        view.column_of_all(column, place);
        push(state, from.load(place[0]));
    }
    state = TEAM::template reduce<SlicedMerge>(state);
    if (wanted && TEAM::rank() == 0) SlicedStates{m, sums, view.rows * parts}.set(to, state);
}

// Thread t takes parts t, t + 128, ...
template <typename TEAM>
__global__ void __launch_bounds__(FOLD_THREADS)
    join_parts(double* of_parts,                   // (rows, parts)
               unsigned long long* sums_of_parts,  // (8, rows, parts)
               long long rows, long long parts,
               double* m,                   // (rows,)
               unsigned long long* sums) {  // (8, rows)
    const SlicedStates saved{of_parts, sums_of_parts, rows * parts};
    SlicedState state = nothing_sliced();
#pragma unroll 1
    for (long long part = TEAM::rank(); part < parts; part += TEAM::SIZE)
        state = merge(state, saved.get(blockIdx.x * parts + part));
    state = TEAM::template reduce<SlicedMerge>(state);
    if (TEAM::rank() == 0) SlicedStates{m, sums, rows}.set(blockIdx.x, state);
}
