// The ladder: softmax as it is learnt, one rung a kernel, to be compared by tests and by the demo.
//
// Each thread owns one row and walks over it from left to right, so that the text of a kernel is the text of its
// algorithm. That is not how a fast kernel reads memory: those are in softmax/.
//
//             x (rows, columns)
//   thread 0  [ -> -> -> -> -> ]      reads of x     reads of scratch    delivers
//   thread 1  [ -> -> -> -> -> ]
//      ...
//   ladder_naive                          1                2             y; NaN once some x > 88.7
//   ladder_three                          3                -             y
//   ladder_two                            2                -             (m, l)
//   ladder_online                         1                -             (m, l)
//   ladder_misprint                       1                -             (m, l), wrong
//   ladder_tail                           1                -             y from (m, l); one thread an element
//
// m is the maximum of a row, l the sum of exp(x - m) over it; softmax is exp(x - m) / l.
// Numerics: float32 and expf throughout, as in a textbook. No shared memory. Loops are not unrolled, so that the PTX
// can be read beside the text.
//
// Reference: M. Milakov and N. Gimelshein, "Online normalizer calculation for softmax", arXiv 1805.02867, 2018.

__device__ __forceinline__ long long thread_number() { return blockIdx.x * (long long)blockDim.x + threadIdx.x; }

// No row has this as its maximum but one of nothing else. (NVRTC defines no INFINITY.)
__device__ __forceinline__ float minus_infinity() { return __int_as_float(0xff800000); }

__device__ __forceinline__ float row_maximum(const float* row, long long columns) {
  float m = minus_infinity();
  #pragma unroll 1
  for (long long i = 0; i < columns; ++i) m = fmaxf(m, row[i]);
  return m;
}

__device__ __forceinline__ float row_sum(const float* row, long long columns, float m) {
  float l = 0;
  #pragma unroll 1
  for (long long i = 0; i < columns; ++i) l += expf(row[i] - m);
  return l;
}

// exp(x) overflows float32 beyond 88.7, and infinity / infinity is NaN.
extern "C" __global__ void ladder_naive(const float* __restrict__ x,  // (rows, columns)
                                        float* scratch,               // (rows, columns)
                                        float* __restrict__ y,        // (rows, columns)
                                        long long rows, long long columns) {
  const long long row = thread_number();
  if (row >= rows) return;
  x += row * columns, scratch += row * columns, y += row * columns;
  #pragma unroll 1
  for (long long i = 0; i < columns; ++i) scratch[i] = expf(x[i]);
  float sum = 0;
  #pragma unroll 1
  for (long long i = 0; i < columns; ++i) sum += scratch[i];
  #pragma unroll 1
  for (long long i = 0; i < columns; ++i) y[i] = scratch[i] / sum;
}

// Safe: the maximum, the sum, the result, a walk each.
extern "C" __global__ void ladder_three(const float* __restrict__ x,  // (rows, columns)
                                        float* __restrict__ y,        // (rows, columns)
                                        long long rows, long long columns) {
  const long long row = thread_number();
  if (row >= rows) return;
  x += row * columns, y += row * columns;
  const float m = row_maximum(x, columns);
  const float l = row_sum(x, columns, m);
  #pragma unroll 1
  for (long long i = 0; i < columns; ++i) y[i] = expf(x[i] - m) / l;
}

// The same (m, l), before the pointwise tail.
extern "C" __global__ void ladder_two(const float* __restrict__ x,  // (rows, columns)
                                      float* __restrict__ m_out,    // (rows)
                                      float* __restrict__ l_out,    // (rows)
                                      long long rows, long long columns) {
  const long long row = thread_number();
  if (row >= rows) return;
  const float m = row_maximum(x + row * columns, columns);
  m_out[row] = m;
  l_out[row] = row_sum(x + row * columns, columns, m);
}

// One walk: when the maximum grows, what was summed so far is scaled down, and then the new term is added.
extern "C" __global__ void ladder_online(const float* __restrict__ x,  // (rows, columns)
                                         float* __restrict__ m_out,    // (rows)
                                         float* __restrict__ l_out,    // (rows)
                                         long long rows, long long columns) {
  const long long row = thread_number();
  if (row >= rows) return;
  x += row * columns;
  float m = x[0], l = 1;
  #pragma unroll 1
  for (long long i = 1; i < columns; ++i) {
    const float previous = m, xi = x[i];
    m = fmaxf(m, xi);
    l = l * expf(previous - m) + expf(xi - m);
  }
  m_out[row] = m, l_out[row] = l;
}

// The update as it is often misprinted: the new term is added before scaling, and the scale is upside down. Both slips
// are invisible while the maximum stays what it was at the start.
extern "C" __global__ void ladder_misprint(const float* __restrict__ x,  // (rows, columns)
                                           float* __restrict__ m_out,    // (rows)
                                           float* __restrict__ l_out,    // (rows)
                                           long long rows, long long columns) {
  const long long row = thread_number();
  if (row >= rows) return;
  x += row * columns;
  float m = x[0], l = 1;
  #pragma unroll 1
  for (long long i = 1; i < columns; ++i) {
    const float previous = m, xi = x[i];
    m = fmaxf(m, xi);
    l = (l + expf(xi - m)) * expf(m - previous);
  }
  m_out[row] = m, l_out[row] = l;
}

// The pointwise tail of the rungs that deliver (m, l).
extern "C" __global__ void ladder_tail(const float* __restrict__ x,  // (rows, columns)
                                       const float* __restrict__ m,  // (rows)
                                       const float* __restrict__ l,  // (rows)
                                       float* __restrict__ y,        // (rows, columns)
                                       long long rows, long long columns) {
  const long long i = thread_number();
  if (i >= rows * columns) return;
  const long long row = i / columns;
  y[i] = expf(x[i] - m[row]) / l[row];
}
