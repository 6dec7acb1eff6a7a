// settle_weighted: the weighted rows that the first two tiers of weighted.cu left open.
//
//   block b looks at rows 16 b .. 16 b + 15; for most of them there is nothing to do, which the whole block sees at once:
//   open                       NaN NaN  3  NaN ...
//                                       |
//                              128 threads settle this row (open_sum.cuh)
//
// One kernel for all types, for views of up to six axes and rows of any length: it runs after each of the others, and does
// something for few rows. Those whose sum is exactly zero are among them.
//
// Arrays of the view, in order: x, b if WEIGHTED, out, sign if SIGNED; the pointer of an array that is not there is not
// looked at.
// Shared bytes: 21,100 for numbers, weights and what is open, 48 a warp for the reductions.
// Numerics: integers; rounded once. The nearest number at 8000 bits, where these do not decide.
#include "open_sum.cuh"

constexpr int SETTLE_WEIGHTED_ROWS = 16;

template <bool WEIGHTED, bool SIGNED, typename VIEW>
__global__ void __launch_bounds__(32 * OPEN_SUM_WARPS, 1)
    settle_weighted(void* x,             // (rows, columns)
                    void* b,             // (rows, columns)
                    VIEW view,           // of x, b, out, sign
                    void* out,           // (rows,)
                    void* sign,          // (rows,)
                    const double* open,  // (2, rows), of which the first tells whether a row is open
                    int type) {          // of all of them: see Type
    constexpr int OUT = 1 + WEIGHTED;
    __shared__ OpenSumMemory memory;
    __shared__ bool of_rows[SETTLE_WEIGHTED_ROWS];
    const long long first = static_cast<long long>(blockIdx.x) * SETTLE_WEIGHTED_ROWS;
    if (threadIdx.x < SETTLE_WEIGHTED_ROWS) {
        const long long row = first + threadIdx.x;
        of_rows[threadIdx.x] = row < view.rows && open[row] == open[row];
    }
    __syncthreads();
#pragma unroll 1
    for (int i = 0; i < SETTLE_WEIGHTED_ROWS; i++) {
        if (!of_rows[i]) continue;  // all threads see the same
        long long place[VIEW::COUNT];
        view.row_of_all(first + i, place);
        const Type kind = static_cast<Type>(type);
        const OpenWeights<WEIGHTED, VIEW> row = {view, AnyElements{x, kind} + place[0],
                                                 AnyElements{b, kind} + place[WEIGHTED]};
        OpenSum<WEIGHTED, SIGNED, VIEW>(memory, row, AnyElements{out, kind} + place[OUT],
                                        AnyElements{sign, kind} + place[OUT + SIGNED])
            .settle();
    }
}
