// softmax, log_softmax and logsumexp in plain float32, for callers who ask for it (precision="fast"): the hardware's
// exp2, sums of one word, no tiers. Good to a few ulp, and as good for any size of x.
//
//   fast_warp    LANES lanes a row, in registers      x read once     up to 32 lanes x CHUNKS vectors
//   fast_block   a block a row, in registers          x read once     up to 512 threads x CHUNKS vectors
//   fast_walk    a block a row, nothing kept          x read twice (FastLogSumExp: once)
//
// Who owns what: see staged.cuh. Template arguments: FUNCTION, below; T, float or 16 bits; ACCESS, VIEW as in rows.cu.
// Shared bytes: 8 a warp of a block for each reduction, and 16 a thread where elements are moved SideBySide.
// Numerics: see fast_row.cuh.
#include "fast_row.cuh"
#include "online/teams.cuh"
#include "streamed.cuh"

template <typename TEAM, typename VIEW, typename T>
__device__ __forceinline__ void fast_write(T* out, const VIEW& view, long long row, bool wanted, float value) {
    if (wanted && TEAM::rank() == 0) out[view.template row<1>(row)] = fast_rounded<T>(value);
}

template <Fast FUNCTION, typename T, typename TEAM, int CHUNKS, typename ACCESS, typename VIEW>
__device__ __forceinline__ void fast_held(const T* x, const VIEW& view, T* out, long long row, bool wanted) {
    constexpr int VECTOR = Element<T>::VECTOR;
    constexpr int COUNT = CHUNKS * VECTOR;
    const unsigned columns = wanted ? static_cast<unsigned>(view.columns) : 0;
    const Mover<ACCESS, TEAM, T, VECTOR, VIEW> mover{view};
    constexpr int UNIT = decltype(mover)::UNIT;
    const T* const from = x + view.template row<0>(row);
    T element[COUNT / UNIT][UNIT];
#pragma unroll
    for (int at = 0; at < COUNT; at += UNIT) {
        const unsigned column = owned_column<TEAM, VECTOR>(at / VECTOR) + at % VECTOR;
        mover.template fetch<0>(element[at / UNIT], from, column, columns);
    }
    float value[COUNT];
#pragma unroll
    for (int at = 0; at < COUNT; at += UNIT) {
        mover.settle(element[at / UNIT]);
#pragma unroll
        for (int i = 0; i < UNIT; i++) value[at + i] = Element<T>::load(element[at / UNIT][i]);
    }
    float m = value[0];
#pragma unroll
    for (int i = 1; i < COUNT; i++) m = maximum(m, value[i]);
    m = TEAM::template reduce<Maximum>(m);
    const FastAnchor anchor = fast_anchor<FUNCTION>(m);
    float term[COUNT];
    FastSum<FUNCTION> sum;
    sum.push(value, m, anchor, term);
    sum.template join<TEAM>();
    const FastRow of_row = fast_row<FUNCTION>(m, anchor, sum);
    if constexpr (FUNCTION == Fast::LogSumExp) {
        fast_write<TEAM>(out, view, row, wanted, fast_log_sum(m, of_row));
    } else {
        T* const to = out + view.template row<1>(row);
#pragma unroll
        for (int at = 0; at < COUNT; at += UNIT) {
            const unsigned column = owned_column<TEAM, VECTOR>(at / VECTOR) + at % VECTOR;
            T result[UNIT];
#pragma unroll
            for (int i = 0; i < UNIT; i++)
                result[i] = fast_rounded<T>(fast_result<FUNCTION>(value[at + i], term[at + i], of_row));
            mover.template put<1>(result, to, column, columns);
        }
    }
}

template <Fast FUNCTION, typename T, int LANES, int CHUNKS, typename ACCESS, typename VIEW>
__global__ void __launch_bounds__(WARP_THREADS, VIEW::BLOCKS)
    fast_warp(const T* x,  // (rows, columns)
              VIEW view,   // of x and out
              T* out) {    // (rows, columns) or (rows,)
    const long long row = (static_cast<long long>(blockIdx.x) * blockDim.x + threadIdx.x) / LANES;
    const bool wanted = row < view.rows;
    fast_held<FUNCTION, T, WarpTeam<LANES>, CHUNKS, ACCESS>(x, view, out, wanted ? row : 0, wanted);
}

template <Fast FUNCTION, typename T, int WARPS, int CHUNKS, typename ACCESS, typename VIEW>
__global__ void __launch_bounds__(32 * WARPS, VIEW::BLOCKS)
    fast_block(const T* x,  // (rows, columns)
               VIEW view,   // of x and out
               T* out) {    // (rows, columns) or (rows,)
    fast_held<FUNCTION, T, BlockTeam<WARPS>, CHUNKS, ACCESS>(x, view, out, blockIdx.x, true);
}

// Threads of a block that walks a row.
constexpr int FAST_WARPS = 16;

template <Fast FUNCTION, typename T, typename ACCESS, typename VIEW>
__global__ void __launch_bounds__(32 * FAST_WARPS, VIEW::BLOCKS)
    fast_walk(const T* x,  // (rows, columns)
              VIEW view,   // of x and out
              T* out) {    // (rows, columns) or (rows,)
    using Team = BlockTeam<FAST_WARPS>;
    constexpr int VECTOR = Element<T>::VECTOR;
    const Mover<ACCESS, Team, T, VECTOR, VIEW> mover{view};
    constexpr int UNIT = decltype(mover)::UNIT;
    const long long row = blockIdx.x;
    const T* const from = x + view.template row<0>(row);

    // Each thread's maximum so far, and its sum.
    float m = -positive_float_infinity();
    FastSum<Fast::LogSumExp> found;
#pragma unroll 1
    for (long long base = 0; base < view.columns; base += Team::SIZE * STEP) {
        T element[STEP / UNIT][UNIT];
#pragma unroll
        for (int at = 0; at < STEP; at += UNIT)
            mover.template fetch<0>(element[at / UNIT], from, step_column<Team, VECTOR>(base, at), view.columns);
        float value[STEP];
#pragma unroll
        for (int at = 0; at < STEP; at += UNIT) {
            mover.settle(element[at / UNIT]);
#pragma unroll
            for (int i = 0; i < UNIT; i++) value[at + i] = Element<T>::load(element[at / UNIT][i]);
        }
        float largest = m;
#pragma unroll
        for (int i = 0; i < STEP; i++) largest = maximum(largest, value[i]);
        move(found, m, largest);
        m = largest;
        float term[STEP];
        found.push(value, m, fast_anchor<Fast::LogSumExp>(m), term);
    }
    const float of_all = Team::template reduce<Maximum>(m);
    move(found, m, of_all);
    const FastAnchor anchor = fast_anchor<FUNCTION>(of_all);
    FastSum<FUNCTION> sum;
    if constexpr (FUNCTION == Fast::Softmax) {
        sum.sum = __fmul_rn(__fmaf_rn(found.count, 0x1p+64f, found.sum), __fmul_rn(fast_term(of_all, anchor), 0x1p-64f));
    } else {
        sum.sum = found.sum;
        sum.count = found.count;
    }
    sum.template join<Team>();
    const FastRow of_row = fast_row<FUNCTION>(of_all, anchor, sum);
    if constexpr (FUNCTION == Fast::LogSumExp) {
        fast_write<Team>(out, view, row, true, fast_log_sum(of_all, of_row));
    } else {
        T* const to = out + view.template row<1>(row);
#pragma unroll 1
        for (long long base = 0; base < view.columns; base += Team::SIZE * STEP) {
            T element[STEP / UNIT][UNIT];
#pragma unroll
            for (int at = 0; at < STEP; at += UNIT)
                mover.template fetch<0>(element[at / UNIT], from, step_column<Team, VECTOR>(base, at), view.columns);
#pragma unroll
            for (int at = 0; at < STEP; at += UNIT) {
                const long long column = step_column<Team, VECTOR>(base, at);
                mover.settle(element[at / UNIT]);
                T result[UNIT];
#pragma unroll
                for (int i = 0; i < UNIT; i++) {
                    const float value = Element<T>::load(element[at / UNIT][i]);
                    result[i] = fast_rounded<T>(fast_result<FUNCTION>(value, fast_term(value, anchor), of_row));
                }
                mover.template put<1>(result, to, column, view.columns);
            }
        }
    }
}
