// softmax, log_softmax and logsumexp in plain float32, for callers who ask for it (precision="fast"): the hardware's
// exp2, sums of one word, no tiers. Good to a few ulp, and as good for any size of x.
//
//   fast_warp    LANES lanes a row, in registers      x read once     up to 32 lanes x CHUNKS vectors
//   fast_block   a block a row, in registers          x read once     up to 512 threads x CHUNKS vectors
//   fast_walk    a block a row, nothing kept          x read twice (FastLogSumExp: once)
//
// Who owns what: see staged.cuh. Template arguments: FUNCTION, below; T, float or 16 bits; ACCESS, VIEW as in rows.cu.
// Shared bytes: 4 a warp of a block for each reduction, and 16 a thread where elements are moved SideBySide.
// Numerics: x - A is exact (float32.cuh), its multiple of log2(e) is split in an integer and a rest of two words rounded
// once, so that ex2.approx gets numbers within 1/2: its 2 ulp are the term's error but for a rounding. Where logarithms are
// wanted, A is m, and maxima are counted apart from the sum of the others, so that log(1 + tiny) keeps its bits.
#include "numerics/float32.cuh"
#include "online/teams.cuh"
#include "streamed.cuh"

enum class Fast { Softmax, LogSoftmax, LogSumExp };

constexpr float LOG2_E_HIGH = 0x1.715476p+0f;
constexpr float LOG2_E_LOW = 0x1.4ae0cp-26f;
// Terms are lifted, so that none that counts is subnormal.
constexpr int FAST_LIFT = 64;
constexpr float FAST_REACH = 107.0f;

__device__ __forceinline__ bool is_finite(float value) { return fabsf(value) <= 0x1.fffffep+127f; }
__device__ __forceinline__ float positive_float_infinity() { return __uint_as_float(0x7f800000u); }
__device__ __forceinline__ float float_nan() { return __uint_as_float(0x7fffffffu); }

struct SumOfFloats {
    static constexpr int UNROLL = 5;
    __device__ static __forceinline__ float join(float a, float b) { return __fadd_rn(a, b); }
};

// What the terms of a row need: A, the least x - A, and what makes an integer of a multiple of log2(e), less that of m.
struct FastAnchor {
    float shift;
    float lowest;
    float to_integer;
};

template <Fast FUNCTION>
__device__ __forceinline__ FastAnchor fast_anchor(float m) {
    if constexpr (FUNCTION != Fast::Softmax) {
        // x - m is rounded for the sum only; -inf - -inf is not computed.
        return {m == -positive_float_infinity() ? 0.0f : m, -FAST_REACH, TO_INTEGER + FAST_LIFT};
    }
    const Anchor exact = anchor_for(m, FAST_REACH);
    const float d = __fadd_rn(exact.lowest, FAST_REACH);
    const float power = __fsub_rn(__fmaf_rn(d, LOG2_E_HIGH, TO_INTEGER), TO_INTEGER);
    return {exact.shift, exact.lowest, __fadd_rn(__fsub_rn(TO_INTEGER, power), FAST_LIFT)};
}

// exp(x - A), lifted; for a softmax times the power of two that brings that of m near 1.
__device__ __forceinline__ float fast_term(float x, FastAnchor anchor) {
    const float d = fmaxf(__fsub_rn(x, anchor.shift), anchor.lowest);
    const float shifted = __fmaf_rn(d, LOG2_E_HIGH, anchor.to_integer);
    const float n = __fsub_rn(shifted, anchor.to_integer);
    const float rest = __fmaf_rn(d, LOG2_E_LOW, __fmaf_rn(d, LOG2_E_HIGH, -n));
    float term;
    asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(term) : "f"(rest));
    return __uint_as_float(__float_as_uint(term) + (__float_as_uint(shifted) << 23));
}

// A sum in the making: for logarithms what is below the maximum, and how often that is there.
template <Fast FUNCTION>
struct FastSum {
    float sum = 0.0f;
    float count = 0.0f;

    __device__ __forceinline__ float push(float x, float m, FastAnchor anchor) {
        const float term = fast_term(x, anchor);
        if constexpr (FUNCTION == Fast::Softmax) {
            sum = __fadd_rn(sum, term);
        } else {
            sum = __fadd_rn(sum, x == m ? 0.0f : term);
            count = __fadd_rn(count, x == m ? 1.0f : 0.0f);
        }
        return term;
    }
    template <typename TEAM>
    __device__ __forceinline__ void join() {
        sum = TEAM::template reduce<SumOfFloats>(sum);
        if constexpr (FUNCTION != Fast::Softmax) count = TEAM::template reduce<SumOfFloats>(count);
    }
};

// What the results of a row need: A, and the inverse of the sum or log(sum of exp(x - m)).
struct FastRow {
    FastAnchor anchor;
    float factor;
};

template <Fast FUNCTION>
__device__ __forceinline__ FastRow fast_row(float m, FastAnchor anchor, FastSum<FUNCTION> found) {
    const bool ordinary = is_finite(m);
    if constexpr (FUNCTION == Fast::Softmax) return {anchor, ordinary ? __fdiv_rn(1.0f, found.sum) : float_nan()};
    // As in log_softmax: maximum +inf: NaN where x is, else -inf; all -inf, or NaN: NaN.
    if (!ordinary) return {{m > 0.0f ? m : float_nan(), 0.0f, 0.0f}, 0.0f};
    const float rest = __fmul_rn(found.sum, 0x1p-64f);
    return {anchor, found.count == 1.0f ? log1pf(rest) : logf(__fadd_rn(found.count, rest))};
}

template <typename T>
__device__ __forceinline__ T fast_rounded(float value) {
    if constexpr (Element<T>::BITS == 32) return value;
    else return Element<T>::round(static_cast<double>(value));
}
template <>
__device__ __forceinline__ Float16 fast_rounded<Float16>(float value) {
    Float16 result;
    asm("cvt.rn.f16.f32 %0, %1;" : "=h"(result.bits) : "f"(value));
    return result;
}
template <>
__device__ __forceinline__ Bfloat16 fast_rounded<Bfloat16>(float value) {
    const unsigned bits = __float_as_uint(value);
    const unsigned nearest = (bits + 0x7fffu + (bits >> 16 & 1u)) >> 16;
    return {static_cast<unsigned short>(value != value ? 0x7fc0u : nearest)};
}

// a + b and what that misses.
__device__ __forceinline__ float exact_sum(float a, float b, float& missed) {
    const float s = __fadd_rn(a, b);
    const float part = __fsub_rn(s, a);
    missed = __fadd_rn(__fsub_rn(a, __fsub_rn(s, part)), __fsub_rn(b, part));
    return s;
}

template <Fast FUNCTION>
__device__ __forceinline__ float fast_result(float x, float term, const FastRow& row) {
    if constexpr (FUNCTION == Fast::Softmax) return __fmul_rn(term, row.factor);
    float of_difference, of_result;
    const float d = exact_sum(x, -row.anchor.shift, of_difference);
    const float s = exact_sum(d, -row.factor, of_result);
    const float low = __fadd_rn(of_difference, of_result);
    return low == low ? __fadd_rn(s, low) : s;  // NaN: of infinities
}

// m + log(l): NaN and infinities are their own logarithm.
__device__ __forceinline__ float fast_log_sum(float m, const FastRow& row) {
    return is_finite(m) ? __fadd_rn(m, row.factor) : m;
}

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
#pragma unroll
    for (int i = 0; i < COUNT; i++) term[i] = sum.push(value[i], m, anchor);
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

// Moves a sum, of the form that logarithms want, to a maximum that is larger or the same.
__device__ __forceinline__ void move(FastSum<Fast::LogSumExp>& found, float from, float to) {
    if (from == to) return;
    const float factor = __fmul_rn(fast_term(from, fast_anchor<Fast::LogSumExp>(to)), 0x1p-64f);
    found = {__fmul_rn(__fmaf_rn(found.count, 0x1p+64f, found.sum), factor), 0.0f};
}

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
#pragma unroll
        for (int i = 0; i < STEP; i++) found.push(value[i], m, fast_anchor<Fast::LogSumExp>(m));
    }
    const float of_all = Team::template reduce<Maximum>(m);
    move(found, m, of_all);
    found.template join<Team>();
    const FastAnchor anchor = fast_anchor<FUNCTION>(of_all);
    FastSum<FUNCTION> sum;
    sum.count = found.count;
    sum.sum = found.sum;
    if constexpr (FUNCTION == Fast::Softmax)
        sum.sum = __fmul_rn(__fmaf_rn(found.count, 0x1p+64f, found.sum), __fmul_rn(fast_term(of_all, anchor), 0x1p-64f));
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
