// logsumexp_weighted: log(abs(sum(b exp(x)))) of real rows, and the sign of the sum.
//
//   logsumexp_weighted         a team a row: its result                     x and b read once
//   logsumexp_weighted_split   a team a part of a long row: its state       x and b read once
//   logsumexp_weighted_merge   a block a long row: its result               neither read
//   logsumexp_weighted_walk    the first walk of refine, split over blocks  for long rows, before refine
//   logsumexp_weighted_refine  the rows that the first tier left open       x and b read once more, or as often as needed
//
// Teams (online/teams.cuh): WarpTeam<1 .. 32> and BlockTeam<4> side by side, where rows lie along memory, and
// ColumnTeam<8>, 32 rows side by side, where columns do. A thread takes every SIZE-th column of its share:
//
//   columns     0    1    2   ...  SIZE - 1  SIZE ...
//   rank        0    1    2   ...  SIZE - 1   0   ...
//
// First tier: one walk keeps the state of online/signed_state.cuh, its sum in two words good to 2^-66 of the sizes of the
// terms. The bound of its error decides whether the rounding of the logarithm is sure; where signs cancel too much, the
// result is nearly 0, or lies near the middle of two numbers, the level of the row is noted for the second tier
// (cancelled.cuh), which works in 100 or 150 bits and takes out exactly what cancels exactly. What it does not decide
// either stays open for settle_weighted.cu.
//
// b == 0 takes an element out, whatever it is. Arrays of the view, in order: x, b if WEIGHTED, out, sign if SIGNED; the
// pointer of an array that is not there is not looked at. open: for each row the level where its second tier begins, far
// NaN where none is needed. tier: 1, or in tests the tier that decides every row.
// Shared bytes: 48 a warp, or a thread of a ColumnTeam; refine 88 a warp and 128.
// Numerics: rounded once.
#include "weighted_rows.cuh"

template <typename T, bool WEIGHTED, bool SIGNED, typename TEAM, typename VIEW>
__global__ void __launch_bounds__(THREADS_OF<TEAM>, 1)
    logsumexp_weighted(const T* x,      // (rows, columns)
                       const T* b,      // (rows, columns)
                       VIEW view,       // of x, b, out, sign
                       T* out,          // (rows,)
                       T* sign,         // (rows,)
                       double* open,    // (2, rows)
                       int tier) {      // the first tier that counts
    const Share share = Dealt<TEAM>::share(view.rows, view.columns, view.columns, 1);
    const WeightedRow<T, WEIGHTED, VIEW> row(x, b, view, share.row);
    const SignedState state = folded<TEAM>(row, share);
    const WeightedResult<T, WEIGHTED, SIGNED, VIEW> result{view, out, sign, open, tier};
    if (share.end > 0 && TEAM::rank() == 0) result.write(share.row, state);
}

template <typename T, bool WEIGHTED, typename TEAM, typename VIEW>
__global__ void __launch_bounds__(THREADS_OF<TEAM>, 1)
    logsumexp_weighted_split(const T* x,  // (rows, columns)
                             const T* b,  // (rows, columns)
                             VIEW view,   // of x, b, out, sign
                             long long part_size, long long parts,
                             double* states) {  // (6, rows, parts)
    const Share share = Dealt<TEAM>::share(view.rows, view.columns, part_size, parts);
    const WeightedRow<T, WEIGHTED, VIEW> row(x, b, view, share.row);
    const SignedState state = folded<TEAM>(row, share);
    const SavedStates saved{states, view.rows * parts};
    if (share.end > 0 && TEAM::rank() == 0) saved.set(share.row * parts + share.part, state);
}

// Thread t merges parts t, t + 128, ... in rising order, then the block merges its threads.
template <typename T, bool WEIGHTED, bool SIGNED, typename VIEW>
__global__ void __launch_bounds__(32 * WEIGHTED_WARPS, 1)
    logsumexp_weighted_merge(double* states,  // (6, rows, parts)
                             VIEW view,       // of x, b, out, sign
                             long long parts,
                             T* out,          // (rows,)
                             T* sign,         // (rows,)
                             double* open,    // (2, rows)
                             int tier) {      // the first tier that counts
    using Team = BlockTeam<WEIGHTED_WARPS>;
    const SavedStates saved{states, view.rows * parts};
    SignedState state = nothing_signed();
#pragma unroll 1
    for (long long part = Team::rank(); part < parts; part += Team::SIZE)
        state = merge(state, saved.get(blockIdx.x * parts + part));
    state = Team::template reduce<SignedMerge>(state);
    const WeightedResult<T, WEIGHTED, SIGNED, VIEW> result{view, out, sign, open, tier};
    if (Team::rank() == 0) result.write(blockIdx.x, state);
}

// Block b walks part b % parts of row b / parts, if the row is open.
template <typename T, bool WEIGHTED, typename VIEW>
__global__ void __launch_bounds__(32 * WEIGHTED_WARPS, 1)
    logsumexp_weighted_walk(const T* x,  // (rows, columns)
                            const T* b,  // (rows, columns)
                            VIEW view,   // of x, b, out, sign
                            long long part_size, long long parts,
                            const double* open,           // (2, rows)
                            unsigned long long* walks) {  // (9, rows, parts)
    using Team = BlockTeam<WEIGHTED_WARPS>;
    using Row = WeightedRow<T, WEIGHTED, VIEW>;
    const Share share = Dealt<Team>::share(view.rows, view.columns, part_size, parts);
    const Level top = {open[share.row], static_cast<int>(open[view.rows + share.row])};
    if (top.far == top.far) {  // all threads see the same
        const Row row(x, b, view, share.row);
        const auto walk = walked<Team>(WeightedTerms<T, Row>{row}, share.begin, share.end, top);
        const SavedWalks<1> saved{walks, view.rows * parts};
        if (Team::rank() == 0) saved.set(share.row * parts + share.part, walk);
    }
}

// Block b looks at rows 16 b .. 16 b + 15; for most of them there is nothing to do, which the whole block sees at once.
// PARTS: the first walk has been made, part by part.
template <typename T, bool WEIGHTED, bool SIGNED, bool PARTS, typename VIEW>
__global__ void __launch_bounds__(32 * WEIGHTED_WARPS, 1)
    logsumexp_weighted_refine(const T* x,  // (rows, columns)
                              const T* b,  // (rows, columns)
                              VIEW view,   // of x, b, out, sign
                              T* out,      // (rows,)
                              T* sign,     // (rows,)
                              double* open,                     // (2, rows)
                              unsigned long long* walks,        // (9, rows, parts) if PARTS
                              long long parts,
                              int tier) {  // the first tier that counts
    using Team = BlockTeam<WEIGHTED_WARPS>;
    using Row = WeightedRow<T, WEIGHTED, VIEW>;
    const WeightedResult<T, WEIGHTED, SIGNED, VIEW> result{view, out, sign, open, tier};
    __shared__ double of_rows[OPEN_ROWS];
    const long long first = static_cast<long long>(blockIdx.x) * OPEN_ROWS;
    if (threadIdx.x < OPEN_ROWS) {
        const long long index = first + threadIdx.x;
        of_rows[threadIdx.x] = index < view.rows ? open[index] : not_a_number();
    }
    __syncthreads();
#pragma unroll 1
    for (int i = 0; i < OPEN_ROWS; i++) {
        if (of_rows[i] != of_rows[i]) continue;
        const long long index = first + i;
        const Row row(x, b, view, index);
        const Level top = {of_rows[i], static_cast<int>(open[view.rows + index])};
        const WeightedTerms<T, Row> terms{row};
        Walked<1> walk = {};
        if constexpr (PARTS) walk = gathered<Team>(SavedWalks<1>{walks, view.rows * parts}, index * parts, parts);
        const Refined sum = refined<Team>(terms, view.columns, top, walk, PARTS);
        if (Team::rank() == 0) result.write_refined(index, sum);
    }
}
