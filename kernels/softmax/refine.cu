// logsumexp_refine: the second tier of logsumexp. It computes again, in expansions of two or three words, the rows whose
// first result cancelled: m + log(l) so near zero that too few bits of log(l) were left.
//
//   block b looks at rows 16 b .. 16 b + 15; for most of them there is nothing to do, which the whole block sees at once:
//   anchors of the rows       NaN NaN -3.1 NaN ...
//                                      |
//                              128 threads walk this row
//
// Shared bytes: 128 for the anchors, 24 a warp for the reduction.
// Numerics: 100 bits for results of at most 32 bits, 150 for float64, so that the result is the correctly rounded one but
// where the true value lies that close to the middle of two numbers.
#include "refined.cuh"
#include "views.cuh"

constexpr int REFINE_ROWS = 16;

template <typename T, typename VIEW>
__global__ void __launch_bounds__(32 * REFINE_WARPS)
    logsumexp_refine(const T* x,              // (rows, columns)
                     VIEW view,               // of x and out
                     T* out,                  // (rows,)
                     const double* anchors) { // (rows,) the maximum of a row to do, or NaN
    using Team = BlockTeam<REFINE_WARPS>;
    constexpr int WORDS = REFINE_WORDS<T>;
    __shared__ double of_rows[REFINE_ROWS];
    const long long first = static_cast<long long>(blockIdx.x) * REFINE_ROWS;
    if (threadIdx.x < REFINE_ROWS) {
        const long long row = first + threadIdx.x;
        of_rows[threadIdx.x] = row < view.rows ? anchors[row] : not_a_number();
    }
    __syncthreads();
#pragma unroll 1
    for (int i = 0; i < REFINE_ROWS; i++) {
        const double m = of_rows[i];
        if (m != m) continue;  // all threads see the same m
        const T* const from = x + view.template row<0>(first + i);
        Expansion<WORDS> sum = {};
#pragma unroll 1
        for (long long column = threadIdx.x; column < view.columns; column += Team::SIZE) {
            const double value = widen(Element<T>::load(from[view.template column<0>(column)]));
            sum = add(sum, refined_term<WORDS>(value, m));
        }
        sum = Team::template reduce<SumOfExpansions>(sum);
        const T result = refined_result<T>(m, sum);
        if (threadIdx.x == 0) out[view.template row<1>(first + i)] = result;
    }
}
