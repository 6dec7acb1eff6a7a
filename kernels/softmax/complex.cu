// logsumexp_complex: log(sum(b exp(x))) of complex rows; or, SIGNED, its real part and sum / abs(sum).
//
//   logsumexp_complex         a team a row: its result                     x and b read once
//   logsumexp_complex_split   a team a part of a long row: its state       x and b read once
//   logsumexp_complex_merge   a block a long row: its result               neither read
//   logsumexp_complex_walk    the first walk of refine, split over blocks  for long rows, before refine
//   logsumexp_complex_refine  the rows that the first tier left open       x and b read once more, or as often as needed
//
// As weighted.cu has it, which says who owns what; only numbers and arithmetic differ. First tier: one walk keeps the
// state of online/complex_state.cuh, sums of 100 bits. Second tier, where these cancel too: cancelled.cuh.
//
// A number is its real and its imaginary part, side by side; strides count numbers. Arrays of the view, in order: x, b if
// WEIGHTED, out, sign if SIGNED; the pointer of an array that is not there is not looked at. out is complex, real if
// SIGNED; sign is complex. b == 0 takes an element out, whatever it is. open: as in weighted.cu.
// Shared bytes: 80 a warp, or a thread of a ColumnTeam; refine 120 a warp and 128.
// Numerics: the angle by atan2 of the CUDA library, good to 2 ulp.
#include "complex_rows.cuh"

template <typename T, bool WEIGHTED, bool SIGNED, typename TEAM, typename VIEW>
__global__ void __launch_bounds__(THREADS_OF<TEAM>, 1)
    logsumexp_complex(const T* x,      // (rows, columns)
                       const T* b,      // (rows, columns)
                       VIEW view,       // of x, b, out, sign
                       T* out,          // (rows,) of two, of one if SIGNED
                       T* sign,         // (rows,) of two
                       double* open) {  // (2, rows)
    const Share share = Dealt<TEAM>::share(view.rows, view.columns, view.columns, 1);
    const ComplexRow<T, WEIGHTED, VIEW> row(x, b, view, share.row);
    const ComplexState state = folded<T, WEIGHTED, TEAM>(row, share);
    const ComplexResult<T, WEIGHTED, SIGNED, VIEW> result{view, out, sign, open};
    if (share.end > 0 && TEAM::rank() == 0) result.write(share.row, state);
}

template <typename T, bool WEIGHTED, typename TEAM, typename VIEW>
__global__ void __launch_bounds__(THREADS_OF<TEAM>, 1)
    logsumexp_complex_split(const T* x,  // (rows, columns)
                             const T* b,  // (rows, columns)
                             VIEW view,   // of x, b, out, sign
                             long long part_size, long long parts,
                             double* states) {  // (11, rows, parts)
    const Share share = Dealt<TEAM>::share(view.rows, view.columns, part_size, parts);
    const ComplexRow<T, WEIGHTED, VIEW> row(x, b, view, share.row);
    const ComplexState state = folded<T, WEIGHTED, TEAM>(row, share);
    const SavedComplexStates saved{states, view.rows * parts};
    if (share.end > 0 && TEAM::rank() == 0) saved.set(share.row * parts + share.part, state);
}

// Thread t merges parts t, t + 128, ... in rising order, then the block merges its threads.
template <typename T, bool WEIGHTED, bool SIGNED, typename VIEW>
__global__ void __launch_bounds__(32 * WEIGHTED_WARPS, 1)
    logsumexp_complex_merge(double* states,  // (11, rows, parts)
                             VIEW view,       // of x, b, out, sign
                             long long parts,
                             T* out,          // (rows,)
                             T* sign,         // (rows,)
                             double* open) {  // (2, rows)
    using Team = BlockTeam<WEIGHTED_WARPS>;
    const SavedComplexStates saved{states, view.rows * parts};
    ComplexState state = nothing_complex();
#pragma unroll 1
    for (long long part = Team::rank(); part < parts; part += Team::SIZE)
        state = merge(state, saved.get(blockIdx.x * parts + part));
    state = Team::template reduce<ComplexMerge>(state);
    const ComplexResult<T, WEIGHTED, SIGNED, VIEW> result{view, out, sign, open};
    if (Team::rank() == 0) result.write(blockIdx.x, state);
}

// Block b walks part b % parts of row b / parts, if the row is open.
template <typename T, bool WEIGHTED, typename VIEW>
__global__ void __launch_bounds__(32 * WEIGHTED_WARPS, 1)
    logsumexp_complex_walk(const T* x,  // (rows, columns)
                            const T* b,  // (rows, columns)
                            VIEW view,   // of x, b, out, sign
                            long long part_size, long long parts,
                            const double* open,           // (2, rows)
                            unsigned long long* walks) {  // (15, rows, parts)
    using Team = BlockTeam<WEIGHTED_WARPS>;
    using Row = ComplexRow<T, WEIGHTED, VIEW>;
    const Share share = Dealt<Team>::share(view.rows, view.columns, part_size, parts);
    const Level top = {open[share.row], static_cast<int>(open[view.rows + share.row])};
    if (top.far == top.far) {  // all threads see the same
        const Row row(x, b, view, share.row);
        const auto walk = walked<Team>(ComplexTerms<T, WEIGHTED, VIEW>{row}, share.begin, share.end, top);
        const SavedWalks<2> saved{walks, view.rows * parts};
        if (Team::rank() == 0) saved.set(share.row * parts + share.part, walk);
    }
}

// Block b looks at rows 16 b .. 16 b + 15; for most of them there is nothing to do, which the whole block sees at once.
// PARTS: the first walk has been made, part by part.
template <typename T, bool WEIGHTED, bool SIGNED, bool PARTS, typename VIEW>
__global__ void __launch_bounds__(32 * WEIGHTED_WARPS, 1)
    logsumexp_complex_refine(const T* x,  // (rows, columns)
                              const T* b,  // (rows, columns)
                              VIEW view,   // of x, b, out, sign
                              T* out,      // (rows,)
                              T* sign,     // (rows,)
                              double* open,                     // (2, rows)
                              unsigned long long* walks,        // (15, rows, parts) if PARTS
                              long long parts) {
    using Team = BlockTeam<WEIGHTED_WARPS>;
    using Row = ComplexRow<T, WEIGHTED, VIEW>;
    const ComplexResult<T, WEIGHTED, SIGNED, VIEW> result{view, out, sign, open};
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
        const ComplexTerms<T, WEIGHTED, VIEW> terms{row};
        Walked<2> walk = {};
        if constexpr (PARTS) walk = gathered<Team>(SavedWalks<2>{walks, view.rows * parts}, index * parts, parts);
        const ComplexOutcome outcome = refined<Team>(terms, view.columns, top, walk, PARTS);
        if (Team::rank() == 0) result.write(index, outcome);
    }
}
