// The softmax of the rows of a warp in float16 and bfloat16: the state (m, l), and from scores to weights.
//
//   lane 4 g + t     rows g and g + 8 of each band of 16 rows; of every 8 keys 2 t and 2 t + 1
//
// m is not the largest score but near it: it follows when that is more than a factor of 2^SLACK ahead, so that the output
// is seldom multiplied by anything. Whether it follows is for a row by itself to say, so rows do not know their neighbours.
#pragma once
#include "matrix16.cuh"
#include "numerics/rare.cuh"
#include "warp_rows.cuh"

// From here on, as powers of two, the product of score and factor has no digits left behind the point to be fused with.
constexpr float FAR_AWAY = 0x1p+20f;
// More than any difference of scores that matters, and still less than infinity.
constexpr float FARTHEST = 0x1p+100f;

// A number for each row of a lane, and as what it is read and written at once.
template <int BANDS>
struct OfRows { float of[BANDS][2]; };
template <int BANDS>
struct Whole { using Type = float2; };
template <>
struct Whole<2> { using Type = float4; };

// Of each row m, and of l what the lane's keys add. They wait in shared memory, where every thread has its own.
template <int BANDS, int THREADS>
struct RowStates {
    using Kept = typename Whole<BANDS>::Type;
    Kept* numbers;  // (2, threads)
    __device__ __forceinline__ OfRows<BANDS> m() const { return taken(0); }
    __device__ __forceinline__ OfRows<BANDS> l() const { return taken(THREADS); }
    __device__ __forceinline__ void set_m(OfRows<BANDS> m) const { keep(0, m); }
    __device__ __forceinline__ void set_l(OfRows<BANDS> l) const { keep(THREADS, l); }

  private:
    __device__ __forceinline__ OfRows<BANDS> taken(int first) const {
        const Kept whole = numbers[first + threadIdx.x];
        OfRows<BANDS> rows;
        rows.of[0][0] = whole.x;
        rows.of[0][1] = whole.y;
        if constexpr (BANDS == 2) {
            rows.of[1][0] = whole.z;
            rows.of[1][1] = whole.w;
        }
        return rows;
    }
    __device__ __forceinline__ void keep(int first, OfRows<BANDS> rows) const {
        if constexpr (BANDS == 2) numbers[first + threadIdx.x] = {rows.of[0][0], rows.of[0][1], rows.of[1][0], rows.of[1][1]};
        else numbers[first + threadIdx.x] = {rows.of[0][0], rows.of[0][1]};
    }
};

// How far a score may be ahead of m.
template <typename T>
__device__ __forceinline__ float slack_of(float factor) {
    return fminf(Matrix16<T>::SLACK / factor, FARTHEST);
}

__device__ __forceinline__ float anchor_of(float m) { return m == minus_infinity<float>() ? 0.0f : m; }
__device__ __forceinline__ bool is_far(float scaled) { return !(fabsf(scaled) < FAR_AWAY); }

// Moves the state to the scores of a tile, where they are too far ahead, and the output with it.
template <int BANDS, int THREADS, int TILES, int COLUMNS>
__device__ __forceinline__ void move_states(const FragmentC (&s)[BANDS][TILES], const RowStates<BANDS, THREADS>& state,
                                            FragmentC (&o)[BANDS][COLUMNS], float factor, float slack, Pass pass) {
    const OfRows<BANDS> m = state.m();
    OfRows<BANDS> to;
    bool any = false;
#pragma unroll
    for (int band = 0; band < BANDS; band++)
#pragma unroll
        for (int half = 0; half < 2; half++) {
            float largest = fmaxf(s[band][0].of[2 * half], s[band][0].of[2 * half + 1]);
#pragma unroll
            for (int n = 1; n < TILES; n++)
                largest = fmaxf(largest, fmaxf(s[band][n].of[2 * half], s[band][n].of[2 * half + 1]));
            largest = largest_of_quad(largest);
            const bool ahead = largest - slack > m.of[band][half];
            to.of[band][half] = ahead ? largest : m.of[band][half];
            any |= ahead;
        }
    if (rarely(__any_sync(EVERY_LANE, any))) {
        OfRows<BANDS> l = state.l();
#pragma unroll
        for (int band = 0; band < BANDS; band++)
#pragma unroll
            for (int half = 0; half < 2; half++) {
                const float old = m.of[band][half], anchor = anchor_of(to.of[band][half]);
                const float scaled = anchor * factor;
                const float moved = power_of_two(is_far(scaled) ? (old - anchor) * factor : old * factor - scaled);
                const float by = to.of[band][half] == old ? 1.0f : moved;
                l.of[band][half] = l.of[band][half] * by;
                if (pass == POSITIVES || pass == NEGATIVES) continue;
#pragma unroll
                for (int n = 0; n < COLUMNS; n++)
#pragma unroll
                    for (int i = 2 * half; i < 2 * half + 2; i++) o[band][n].of[i] = o[band][n].of[i] * by;
            }
        state.set_m(to);
        state.set_l(l);
    }
}

// From scores to weights, in place; l grows by them.
template <int SHIFT, int BANDS, int THREADS, int TILES>
__device__ __forceinline__ void weigh(FragmentC (&s)[BANDS][TILES], const RowStates<BANDS, THREADS>& state, float factor, Pass pass) {
    const OfRows<BANDS> m = state.m();
    OfRows<BANDS> offset, sum = {};
    bool far = false;
#pragma unroll
    for (int band = 0; band < BANDS; band++)
#pragma unroll
        for (int half = 0; half < 2; half++) {
            const float scaled = anchor_of(m.of[band][half]) * factor;
            far |= is_far(scaled);
            offset.of[band][half] = SHIFT - scaled;
        }
    if (rarely(__any_sync(EVERY_LANE, far | (pass != QUICK)))) {
#pragma unroll
        for (int band = 0; band < BANDS; band++)
#pragma unroll
            for (int half = 0; half < 2; half++) {
                const float anchor = anchor_of(m.of[band][half]);
                const bool row_far = is_far(anchor * factor);
#pragma unroll
                for (int n = 0; n < TILES; n++)
#pragma unroll
                    for (int i = 2 * half; i < 2 * half + 2; i++) {
                        const float x = s[band][n].of[i];
                        const float exponent =
                            row_far ? (x - anchor) * factor + SHIFT : fused(x, factor, offset.of[band][half]);
                        const float weight = power_of_two(exponent);
                        sum.of[band][half] = sum.of[band][half] + weight;
                        s[band][n].of[i] = pass != QUICK && x == minus_infinity<float>() ? -0.0f : weight;
                    }
            }
    } else {
#pragma unroll
        for (int band = 0; band < BANDS; band++)
#pragma unroll
            for (int half = 0; half < 2; half++)
#pragma unroll
                for (int n = 0; n < TILES; n++)
#pragma unroll
                    for (int i = 2 * half; i < 2 * half + 2; i++) {
                        s[band][n].of[i] = power_of_two(fused(s[band][n].of[i], factor, offset.of[band][half]));
                        sum.of[band][half] = sum.of[band][half] + s[band][n].of[i];
                    }
    }
    OfRows<BANDS> l = state.l();
#pragma unroll
    for (int band = 0; band < BANDS; band++)
#pragma unroll
        for (int half = 0; half < 2; half++) l.of[band][half] = l.of[band][half] + sum.of[band][half];
    state.set_l(l);
}
