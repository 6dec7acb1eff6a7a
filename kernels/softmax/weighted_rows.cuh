// A weighted row: where it is, its state, and what is written of it; for weighted.cu.
#pragma once
#include "dealt.cuh"
#include "numerics/rounding.cuh"
#include "online/signed_state.cuh"
#include "views.cuh"
#include "weighted_refined.cuh"

// What a row is made of.
template <typename T, bool WEIGHTED, typename VIEW>
struct WeightedRow {
    using Type = T;
    const T* x;
    const T* b;
    const VIEW& view;

    __device__ __forceinline__ WeightedRow(const T* x, const T* b, const VIEW& view, long long row)
        : x(x + view.template row<0>(row)), b(WEIGHTED ? b + view.template row<WEIGHTED ? 1 : 0>(row) : b), view(view) {}

    __device__ __forceinline__ double value(long long column) const {
        return widen(Element<T>::load(x[view.template column<0>(column)]));
    }
    __device__ __forceinline__ double weight(long long column) const {
        if constexpr (!WEIGHTED) return 1.0;
        else return widen(Element<T>::load(b[view.template column<1>(column)]));
    }
};

struct SignedMerge {
    static constexpr int UNROLL = 1;
    __device__ static __forceinline__ SignedState join(SignedState a, SignedState b) {
        return merge(a, b);
    }
};

__device__ __forceinline__ SignedState from_lane(const SignedState& value, int distance) {
    return {from_lane(value.level, distance),
            from_lane(value.sum, distance),
            from_lane(value.error, distance),
            from_lane(value.beyond, distance)};
}

// The state of a share, on every thread of the team. The next element is on its way while one is worked on.
template <typename TEAM, typename ROW>
__device__ __forceinline__ SignedState folded(const ROW& row, const Share& share) {
    SignedState state = nothing_signed();
    long long column = share.begin + TEAM::rank();
    double next = column < share.end ? row.value(column) : 0.0;
    double next_weight = column < share.end ? row.weight(column) : 0.0;
#pragma unroll 1
    while (column < share.end) {
        const double value = next;
        const double weight = next_weight;
        column += TEAM::SIZE;
        if (column < share.end) {
            next = row.value(column);
            next_weight = row.weight(column);
        }
        push<typename ROW::Type>(state, value, weight);
    }
    return TEAM::template reduce<SignedMerge>(state);
}

// Where results go, and what is done with a state, or with a logarithm and a sign.
template <typename T, bool WEIGHTED, bool SIGNED, typename VIEW>
struct WeightedResult {
    static constexpr int OUT = WEIGHTED ? 2 : 1;
    // A sum is known to 2^-10, in units of 2^-66.
    static constexpr double KNOWN = 0x1p+56;
    // Below this second words may be subnormal.
    static constexpr double SMALLEST = 0x1p-900;
    const VIEW& view;
    T* out;
    T* sign;
    double* open;  // (2, rows)
    int tier;      // the first that counts: wider than others only in tests

    __device__ __forceinline__ void write(long long row, Two log, double sign_of_sum) const {
        const bool refused = !SIGNED && sign_of_sum < 0.0;
        // A zero keeps its sign.
        const double low = log.hi == 0.0 ? log.hi : finite(log.hi) ? log.lo : 0.0;
        out[view.template row<OUT>(row)] = refused ? Element<T>::round(not_a_number()) : round_once<T>(log.hi, low);
        if constexpr (SIGNED) sign[view.template row<OUT + 1>(row)] = Element<T>::round(sign_of_sum);
    }

    __device__ __forceinline__ void write(long long row, const SignedState& state) const {
        Level level = {not_a_number(), 0};
        if (!finite(state.beyond)) {
            const double sign_of_sum = state.beyond < 0.0 ? -1.0 : state.beyond > 0.0 ? 1.0 : not_a_number();
            write(row, {fabs(state.beyond), 0.0}, sign_of_sum);
        } else if (height(state.level, lowest_level()) <= 0) {
            write(row, {negative_infinity(), 0.0}, 0.0);
        } else if (tier > 1 || !first_tier(row, state)) {
            level = state.level;
        }
        open[row] = level.far;
        open[view.rows + row] = level.near;
    }

    // False where the sum is not known well enough for the rounding of its logarithm to be sure.
    __device__ __forceinline__ bool first_tier(long long row, const SignedState& state) const {
        const double sign_of_sum = state.sum.hi < 0.0 ? -1.0 : 1.0;
        Two sum = scale(two_sum(state.sum.hi, state.sum.lo), sign_of_sum);
        if (!(sum.hi > 0x1p-900)) return false;
        const int power = static_cast<int>((__double_as_longlong(sum.hi) - SQRT_HALF_BITS) >> 52);
        const double error = __ddiv_rn(state.error, sum.hi);
        if (!(error < KNOWN)) return false;
        sum = scale_down(sum, -power);
        const Two log_sum = log_precise(sum);
        const Two result = add(log_of_level({state.level.far, state.level.near + power - SUM_LIFT}), log_sum);
        const double log_error = fmin(__dmul_rn(fabs(log_sum.hi), 0x1p+8), 1.0);
        // An eighth more for the roundings of the bound itself, and what the sum of the two logarithms loses.
        const double bound = __fma_rn(__dadd_rn(error, log_error), 0x1.2p-66, __dmul_rn(fabs(result.hi), 0x1p-100));
        // Of a sum that is 1 but for something too small to be seen, the second tier finds the side.
        if (result.hi == 0.0 && state.error != 0.0) return false;
        return written(row, result, bound, sign_of_sum);
    }

    // The second tier's result, which the last one replaces if its rounding is not sure.
    __device__ __forceinline__ void write_refined(long long row, const Refined& sum) const {
        if (tier > 2 && sum.log.hi != 0.0) return;
        const bool known = sum.rounds_to_zero || sum.error == 0.0;
        const bool sure = known || written(row, sum.log, sum.error, sum.sign);
        if (known || !sure) write(row, sum.log, sum.sign);
        if (sure && tier <= 2) open[row] = not_a_number();
    }

  private:
    // Writes a logarithm that may be off by `bound`, if its rounding is sure.
    __device__ __forceinline__ bool written(long long row, Two log, double bound, double sign_of_sum) const {
        const double side = log.hi < 0.0 ? -1.0 : 1.0;
        bool sure = true;
        double size = 0.0;
        if (log.hi != 0.0 || bound != 0.0) {
            if (!(fabs(log.hi) > SMALLEST)) return false;
            size = rounded<0>(fabs(log.hi), __dmul_rn(log.lo, side), bound, format_of<T>(), sure);
        }
        if (sure) write(row, {__dmul_rn(size, side), 0.0}, sign_of_sum);
        return sure;
    }
};

// States of parts in memory: six arrays one after the other.
struct SavedStates {
    double* states;  // (6, count)
    long long count;
    __device__ __forceinline__ SignedState get(long long i) const {
        return {{states[i], static_cast<int>(states[count + i])},
                {states[2 * count + i], states[3 * count + i]},
                states[4 * count + i],
                states[5 * count + i]};
    }
    __device__ __forceinline__ void set(long long i, const SignedState& state) const {
        states[i] = state.level.far;
        states[count + i] = state.level.near;
        states[2 * count + i] = state.sum.hi;
        states[3 * count + i] = state.sum.lo;
        states[4 * count + i] = state.error;
        states[5 * count + i] = state.beyond;
    }
};
