// settle: the rows that the kernels of rows.cu and columns.cu left open, because a result was in doubt.
//
//   block b looks at rows 16 b .. 16 b + 15; for most of them there is nothing to do, which the whole block sees at once:
//   open                       0   0   1   0  ...
//                                      |
//                              128 threads walk this row (settled.cuh)
//
// One kernel for all types and operations, for views of up to six axes and rows of any length: it runs after each of the others, and does
// something for one row in thousands.
//
// Shared bytes: 64 for what is open, 48 a warp for the reductions.
// Numerics: float64 in two words, then fixed-point numbers; the last tier gives the nearest number at its 2^-270, which is
// the correctly rounded one unless the truth lies that close to the middle of two.
#include "settled.cuh"

constexpr int SETTLE_ROWS = 16;

template <typename VIEW>
__global__ void __launch_bounds__(32 * SETTLE_WARPS)
    settle(void* x,          // (rows, columns)
           VIEW view,        // of x and out
           void* out,        // (rows, columns) or (rows,)
           const int* open,  // (rows,)
           int type,         // of x and out: see Type
           int kind,         // of operation: see Kind
           int tier) {       // the tier to begin with: 3 goes past the second
    __shared__ int of_rows[SETTLE_ROWS];
    const long long first = static_cast<long long>(blockIdx.x) * SETTLE_ROWS;
    if (threadIdx.x < SETTLE_ROWS) {
        const long long row = first + threadIdx.x;
        of_rows[threadIdx.x] = row < view.rows ? open[row] : 0;
    }
    __syncthreads();
#pragma unroll 1
    for (int i = 0; i < SETTLE_ROWS; i++) {
        if (of_rows[i] == 0) continue;  // all threads see the same
        long long place[2];
        view.row_of_all(first + i, place);
        const AnyElements from = AnyElements{x, static_cast<Type>(type)} + place[0];
        const AnyElements to = AnyElements{out, static_cast<Type>(type)} + place[1];
        OpenRow<VIEW>(from, to, view, static_cast<Kind>(kind), tier).settle();
    }
}
