// A softmax of float32 rows that computes in float64, as one first writes it: one block a row, whose threads stride over
// it three times. Its twin softmax_rows.c does the same operations in the same order, so that the bits agree.
//
//   thread t of T owns elements t, t + T, t + 2T, ... and keeps one maximum and one sum of its own
//   walk 1: maximum     walk 2: sum of exp(x - maximum)     walk 3: exp(x - maximum) / sum, rounded once
//
// Shared memory: 8 bytes a warp. Not how the package computes: exp is good for float32 results, and no more.

constexpr int WARPS = 4;
constexpr int THREADS = 32 * WARPS;

// exp for x <= 0: 2^k times a Taylor polynomial of degree 11 in |r| <= log(2) / 2, 6e-15 off at most.
__device__ double exponential(double x)
{
    x = x < -700.0 ? -700.0 : x;
    const double shifted = __fma_rn(x, 1.4426950408889634, 0x1.8p52);  // the low bits hold k = round(x / log(2))
    const double k = shifted - 0x1.8p52;
    const double r = __fma_rn(k, -1.9082149292705877e-10, __fma_rn(k, -0.6931471803691238, x));
    double p = 1.0 / 39916800;
    p = __fma_rn(p, r, 1.0 / 3628800);
    p = __fma_rn(p, r, 1.0 / 362880);
    p = __fma_rn(p, r, 1.0 / 40320);
    p = __fma_rn(p, r, 1.0 / 5040);
    p = __fma_rn(p, r, 1.0 / 720);
    p = __fma_rn(p, r, 1.0 / 120);
    p = __fma_rn(p, r, 1.0 / 24);
    p = __fma_rn(p, r, 1.0 / 6);
    p = __fma_rn(p, r, 0.5);
    p = __fma_rn(p, r, 1.0);
    p = __fma_rn(p, r, 1.0);
    return __longlong_as_double(__double_as_longlong(p) + (__double_as_longlong(shifted) << 52));
}

extern "C" __global__ void __launch_bounds__(THREADS) softmax_rows(
    const float* x,  // (rows, n)
    float* y,        // (rows, n)
    int n)
{
    __shared__ double parts[WARPS];
    const float* row = x + (size_t)blockIdx.x * n;
    float* out = y + (size_t)blockIdx.x * n;
    const int lane = threadIdx.x % 32, warp = threadIdx.x / 32;

    float largest = __int_as_float(0xff800000);
    for (int i = threadIdx.x; i < n; i += blockDim.x) largest = row[i] > largest ? row[i] : largest;
    for (int step = 16; step > 0; step /= 2) {
        const float other = __shfl_xor_sync(0xffffffff, largest, step);
        largest = other > largest ? other : largest;
    }
    if (lane == 0) parts[warp] = largest;
    __syncthreads();
    double maximum = parts[0];
    for (int w = 1; w < WARPS; w++) maximum = parts[w] > maximum ? parts[w] : maximum;
    __syncthreads();

    double sum = 0;
    for (int i = threadIdx.x; i < n; i += blockDim.x) sum += exponential(row[i] - maximum);
    for (int step = 16; step > 0; step /= 2) sum += __shfl_xor_sync(0xffffffff, sum, step);
    if (lane == 0) parts[warp] = sum;
    __syncthreads();
    sum = parts[0];
    for (int w = 1; w < WARPS; w++) sum += parts[w];

    const double scale = 1 / sum;
    for (int i = threadIdx.x; i < n; i += blockDim.x) out[i] = (float)(exponential(row[i] - maximum) * scale);
}
