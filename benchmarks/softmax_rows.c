/* The twin of softmax_rows.cu for a CPU: the same operations in the same order, a loop over the threads for each step
   of a block, which a compiler makes vectors of. Rows first to last - 1. */

#include <stdint.h>
#include <string.h>

enum { WARPS = 4, THREADS = 32 * WARPS };

static inline double exponential(double x)
{
    x = x < -700.0 ? -700.0 : x;
    const double shifted = __builtin_fma(x, 1.4426950408889634, 0x1.8p52);
    const double k = shifted - 0x1.8p52;
    const double r = __builtin_fma(k, -1.9082149292705877e-10, __builtin_fma(k, -0.6931471803691238, x));
    double p = 1.0 / 39916800;
    p = __builtin_fma(p, r, 1.0 / 3628800);
    p = __builtin_fma(p, r, 1.0 / 362880);
    p = __builtin_fma(p, r, 1.0 / 40320);
    p = __builtin_fma(p, r, 1.0 / 5040);
    p = __builtin_fma(p, r, 1.0 / 720);
    p = __builtin_fma(p, r, 1.0 / 120);
    p = __builtin_fma(p, r, 1.0 / 24);
    p = __builtin_fma(p, r, 1.0 / 6);
    p = __builtin_fma(p, r, 0.5);
    p = __builtin_fma(p, r, 1.0);
    p = __builtin_fma(p, r, 1.0);
    int64_t bits, power;
    memcpy(&bits, &p, 8);
    memcpy(&power, &shifted, 8);
    bits += (int64_t)((uint64_t)power << 52);
    memcpy(&p, &bits, 8);
    return p;
}

static void softmax_row(const float *restrict row, float *restrict out, long n)
{
    float largest[THREADS];
    for (int t = 0; t < THREADS; t++) largest[t] = -__builtin_inff();
    for (long i = 0; i < n; i += THREADS) {
        const int here = n - i < THREADS ? (int)(n - i) : THREADS;
        for (int t = 0; t < here; t++) largest[t] = row[i + t] > largest[t] ? row[i + t] : largest[t];
    }
    double maximum = largest[0];
    for (int t = 1; t < THREADS; t++) maximum = largest[t] > maximum ? largest[t] : maximum;

    double sums[THREADS];
    for (int t = 0; t < THREADS; t++) sums[t] = 0;
    for (long i = 0; i < n; i += THREADS) {
        const int here = n - i < THREADS ? (int)(n - i) : THREADS;
        for (int t = 0; t < here; t++) sums[t] += exponential(row[i + t] - maximum);
    }
    double sum = 0;
    for (int warp = 0; warp < WARPS; warp++) {
        double *part = sums + 32 * warp;
        for (int step = 16; step > 0; step /= 2)
            for (int t = 0; t < step; t++) part[t] += part[t + step];
        sum = warp == 0 ? part[0] : sum + part[0];
    }

    const double scale = 1 / sum;
    for (long i = 0; i < n; i++) out[i] = (float)(exponential(row[i] - maximum) * scale);
}

void softmax_rows(const float *x, float *y, long n, long first, long last)
{
    for (long row = first; row < last; row++) softmax_row(x + row * n, y + row * n, n);
}
