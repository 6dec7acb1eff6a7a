// A weighted row: where it is, its state, and what is written of it; for weighted.cu.
#pragma once
#include "cancelled.cuh"
#include "dealt.cuh"
#include "numerics/rounding.cuh"
#include "online/signed_state.cuh"
#include "views.cuh"

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

__device__ __forceinline__ Level from_lane(const Level& value, int distance) {
    return {from_lane(value.far, distance), from_lane(value.near, distance)};
}

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

// What the second tier finds: a logarithm, the sign of the sum, and what the logarithm may be off by. rounds_to_zero: a
// logarithm that is so near 0 that nothing but its sign is left in any type.
struct Refined {
    Two log;
    double sign;
    double error;
    bool rounds_to_zero;
};

// Exponentials, logarithms and sums in the words of the second tier miss less than 2^-REFINED_BITS of themselves; a logarithm
// of a number from 1/2 to 1 less than that of 1.
template <int WORDS>
constexpr int REFINED_BITS = WORDS == 2 ? 96 : 144;
template <int WORDS>
constexpr double REFINED_ERROR = WORDS == 2 ? 0x1p-96 : 0x1p-144;
// log_beside_one misses less than that of the logarithm.
constexpr double BESIDE_ONE_ERROR = 0x1p-90;
// A logarithm below 2^-1078 rounds to zero in every type.
constexpr int NOTHING = -1080;

struct HighestLevel {
    static constexpr int UNROLL = 1;
    __device__ static __forceinline__ Level join(Level a, Level b) { return higher(a, b); }
};

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

// The terms of a row for the second tier.
template <typename T, typename ROW>
struct WeightedTerms {
    static constexpr int PARTS = 1;
    static constexpr int WORDS = REFINE_WORDS<T>;
    const ROW& row;

    __device__ __forceinline__ void add(Walked<1>& walk, long long column, Level top) const {
        const Weight weight = weight_of<T>(row.weight(column));
        const double value = row.value(column);
        if (weight.factor == 0.0 || value == negative_infinity()) return;
        Level level;
        const Expansion<WORDS> words = exp_words<WORDS>(value, level);
        const Level of_term = {level.far, level.near + weight.power};
        if (height(of_term, top) < -LEVEL_BIT - 4) walk.lower = higher(walk.lower, of_term);
        else add_product(walk.window, 0, words, weight, LEVEL_BIT + height(level, top));
    }
};

// The highest level of terms whose exponential is rounded: that of 0 is not.
template <typename TEAM, typename ROW>
__device__ __forceinline__ Level highest_inexact(const ROW& row, long long columns) {
    using T = typename ROW::Type;
    Level highest = lowest_level();
#pragma unroll 1
    for (long long column = TEAM::rank(); column < columns; column += TEAM::SIZE) {
        const Weight weight = weight_of<T>(row.weight(column));
        const double value = row.value(column);
        if (weight.factor == 0.0 || value == 0.0 || value == negative_infinity()) continue;
        Level level;
        exp_two<FAR<T>>(value, level);
        highest = higher(highest, {level.far, level.near + weight.power});
    }
    return TEAM::template reduce<HighestLevel>(highest);
}

// The second tier of a row: from the level `top`, or from a first walk that has been made.
template <typename TEAM, typename TERMS>
__device__ __forceinline__ Refined refined(const TERMS& terms, long long columns, Level top, Walked<1> walk,
                                           bool walk_made) {
    constexpr int WORDS = TERMS::WORDS;
    constexpr double LEAST = REFINED_ERROR<WORDS>;
    // The highest level of what is rounded. Where the sum is 0 or next to 1, it is looked at which terms these are.
    Level inexact = top;
    double unit = 0.0;
#pragma unroll 1
    while (true) {
        if (!walk_made) walk = walked<TEAM>(terms, 0, columns, top, unit);
        walk_made = false;
        const int length = walk.window.length();
        if (laid_lower(walk, length, top)) continue;
        if (length == 0 || unit != 0.0) inexact = highest_inexact<TEAM>(terms.row, columns);
        const bool exact = height(inexact, lowest_level()) <= 0;
        if (length == 0) {
            const Two nothing = {unit == 0.0 ? negative_infinity() : 0.0, 0.0};
            return {nothing, unit == 0.0 ? 0.0 : -unit, exact ? 0.0 : positive_infinity(), false};
        }
        const auto found = found_sum<WORDS>(walk, length, top);
        // Terms are below 4 times their power of two, and what was found is at least half of its own.
        const int steps = min(max(height(inexact, found.level) + 3 - REFINED_BITS<WORDS>, -1000), 900);
        const double missed = __fma_rn(static_cast<double>(columns), exact ? 0.0 : power_of_two(steps), LEAST);
        const bool known = missed < 0x1p-10;
        if (unit != 0.0) {
            const Two log = log_beside_one(scale(found.words[0], -unit), found.level);
            const double error = __dmul_rn(fabs(log.hi), __dadd_rn(missed, BESIDE_ONE_ERROR));
            return {log, -unit, known ? error : positive_infinity(), known && height(found.level, {0.0, 0}) < NOTHING};
        }
        const double sign = found.words[0].w[0] < 0.0 ? -1.0 : 1.0;
        const auto log_sum = log_expansion(scale(found.words[0], sign));
        const auto log_level = log_of_level<WORDS>(found.level);
        const auto result = normalised(add(log_sum, log_level));
        if (!(fabs(result.w[0]) < NEARLY_ONE)) {
            const double error = __fma_rn(__dadd_rn(fabs(log_level.w[0]), 1.0), LEAST, __dmul_rn(2.0, missed));
            // The test of the rounding has two words; what it cannot see of them counts as an error.
            const double unseen = __dmul_rn(fabs(result.w[1]), 0x1p-51);
            const double all = __dadd_rn(error, __dadd_rn(unseen, WORDS > 2 ? fabs(result.w[WORDS - 1]) : 0.0));
            return {{result.w[0], result.w[1]}, sign, known ? all : positive_infinity(), false};
        }
        unit = -sign;
        top = beside_one();
    }
}
