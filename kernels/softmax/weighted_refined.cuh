// The second tier of a weighted row, with a bound of what it misses; for weighted.cu.
#pragma once
#include "cancelled.cuh"

__device__ __forceinline__ Level from_lane(const Level& value, int distance) {
    return {from_lane(value.far, distance), from_lane(value.near, distance)};
}

// What the second tier finds: a logarithm, the sign of the sum, and what the logarithm may be off by, 0 if it is exact.
// rounds_to_zero: a logarithm that is so near 0 that nothing but its sign is left in any type.
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
        if (!walk_made) walk = walked<TEAM>(terms, 0, columns, top);
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
            // Not 0 where the product vanishes: that stands for what is exact.
            const double error = __fma_rn(fabs(log.hi), __dadd_rn(missed, BESIDE_ONE_ERROR), 0x1p-1074);
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
