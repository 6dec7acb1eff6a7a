// The second tier of weighted sums: the leading bits of a sum, however much of it cancels.
//
// Terms are added in a window of 384 bits (numerics/window.cuh) that begins at the highest of them. exp(x) is the same
// expansion for every x that is the same, its products with weights are exact, and so is the window: what cancels exactly
// leaves nothing at all. Where too few bits of the sum are left, the window is laid lower and the row is walked again:
//
//   2^level of the terms                                              what is left of the sum is found where it begins
//   |======== window ========|                                        and above it all is known to cancel
//                     |======== window ========|
//
// All threads of the team come with the same row and get the same result.
#pragma once
#include "numerics/weight.cuh"
#include "numerics/window.cuh"
#include "refined.cuh"

// A window after a walk, and the highest level of those terms that lie below it entirely.
template <int PARTS>
struct Walked {
    Window<PARTS> window;
    Level lower;
};

struct SumOfWindows {
    static constexpr int UNROLL = 1;
    template <int PARTS>
    __device__ static __forceinline__ Walked<PARTS> join(const Walked<PARTS>& a, const Walked<PARTS>& b) {
        return {add(a.window, b.window), higher(a.lower, b.lower)};
    }
};

template <int PARTS>
__device__ __forceinline__ Walked<PARTS> from_lane(const Walked<PARTS>& value, int distance) {
    Walked<PARTS> result;
#pragma unroll
    for (int part = 0; part < PARTS; part++) {
#pragma unroll
        for (int i = 0; i < LIMBS; i++)
            result.window.limb[part][i] = from_lane(value.window.limb[part][i], distance);
    }
    result.window.below = from_lane(value.window.below, distance);
    result.lower = {from_lane(value.lower.far, distance), from_lane(value.lower.near, distance)};
    return result;
}

// words * 2^level for each part; length 0 where the sum is 0.
template <int PARTS, int WORDS>
struct Found {
    Expansion<WORDS> words[PARTS];
    Level level;
    int length;
};

// A term of TERMS goes into the window whose LEVEL_BIT stands for 2^top; `shift` is the place of the term's own power.
// Words come lifted by 2^512, so that their products with a weight do not underflow.
constexpr double WORDS_LIFTED = 0x1p+512;
constexpr int WORDS_LIFT = 512;

template <int PARTS, int WORDS>
__device__ __forceinline__ void add_product(Window<PARTS>& window, int part, Expansion<WORDS> words, Weight weight,
                                            int shift) {
    // One word at a time, the others move up: a loop that is rolled out would be long to compile.
#pragma unroll 1
    for (int word = 0; word < WORDS; word++) {
        Two product = two_product(__dmul_rn(words.w[0], WORDS_LIFTED), weight.factor);
#pragma unroll 1
        for (int half = 0; half < 2; half++) {
            window.add(part, product.hi, shift + weight.power - WORDS_LIFT);
            product.hi = product.lo;
        }
#pragma unroll
        for (int i = 1; i < WORDS; i++) words.w[i - 1] = words.w[i];
    }
}

// One walk of columns begin .. end - 1.
template <typename TEAM, typename TERMS>
__device__ __forceinline__ Walked<TERMS::PARTS> walked(const TERMS& terms, long long begin, long long end, Level top) {
    Walked<TERMS::PARTS> walk = {};
    walk.lower = lowest_level();
#pragma unroll 1
    for (long long column = begin + TEAM::rank(); column < end; column += TEAM::SIZE) terms.add(walk, column, top);
    return TEAM::template reduce<SumOfWindows>(walk);
}

// Where to look next: the window is laid so that what was found is at its upper end. False if all bits are there.
template <int PARTS>
__device__ __forceinline__ bool laid_lower(const Walked<PARTS>& walk, int length, Level& top) {
    const bool terms_below = height(walk.lower, lowest_level()) > 0;
    if (length >= ENOUGH || !(walk.window.below || terms_below)) return false;
    if (length > 0 || walk.window.below) top.near -= LONGEST - max(length, UNITS);
    else top = walk.lower;
    return true;
}

// What is found once enough bits are left.
template <int WORDS, int PARTS>
__device__ __forceinline__ Found<PARTS, WORDS> found_sum(const Walked<PARTS>& walk, int length, Level top) {
    Found<PARTS, WORDS> found;
#pragma unroll
    for (int part = 0; part < PARTS; part++) found.words[part] = walk.window.template words<WORDS>(part, length);
    found.level = {top.far, top.near - LEVEL_BIT + length};
    found.length = length;
    return found;
}

// Rows that a block of the second tier looks at.
constexpr int OPEN_ROWS = 16;

// Walks of parts in memory: limbs, what is below, and the lower level, as arrays one after the other.
template <int PARTS>
struct SavedWalks {
    unsigned long long* words;  // (6 PARTS + 3, count)
    long long count;
    __device__ __forceinline__ Walked<PARTS> get(long long i) const {
        Walked<PARTS> walk;
#pragma unroll
        for (int limb = 0; limb < PARTS * LIMBS; limb++)
            walk.window.limb[limb / LIMBS][limb % LIMBS] = words[limb * count + i];
        const unsigned long long* const rest = words + PARTS * LIMBS * count + i;
        walk.window.below = static_cast<int>(rest[0]);
        walk.lower = {__longlong_as_double(rest[count]), static_cast<int>(rest[2 * count])};
        return walk;
    }
    __device__ __forceinline__ void set(long long i, const Walked<PARTS>& walk) const {
#pragma unroll
        for (int limb = 0; limb < PARTS * LIMBS; limb++)
            words[limb * count + i] = walk.window.limb[limb / LIMBS][limb % LIMBS];
        unsigned long long* const rest = words + PARTS * LIMBS * count + i;
        rest[0] = walk.window.below;
        rest[count] = __double_as_longlong(walk.lower.far);
        rest[2 * count] = walk.lower.near;
    }
};

// The walk of a row out of those of its parts.
template <typename TEAM, int PARTS>
__device__ __forceinline__ Walked<PARTS> gathered(const SavedWalks<PARTS>& saved, long long first, long long parts) {
    Walked<PARTS> walk = {};
    walk.lower = lowest_level();
#pragma unroll 1
    for (long long part = TEAM::rank(); part < parts; part += TEAM::SIZE)
        walk = SumOfWindows::join(walk, saved.get(first + part));
    return TEAM::template reduce<SumOfWindows>(walk);
}

// A logarithm so near 0 has too few bits left: the sum is 1 within 2^-39, or -1, and what it differs by is summed instead.
// For that a window that begins at 2^-35 is enough: what lies above it, 1 itself, is left off.
constexpr double NEARLY_ONE = 0x1p-40;
__device__ __forceinline__ Level beside_one() { return {0.0, -38 - (LONGEST - LEVEL_BIT)}; }

// d - d^2 / 2 + d^3 / 3, the logarithm of 1 + d where d = words * 2^level is below 2^-39, and may be subnormal or far less.
template <int WORDS>
__device__ __forceinline__ Two log_beside_one(const Expansion<WORDS>& words, Level level) {
    const int power = max(height(level, {0.0, 0}), -2000);
    const double d = scale_down(Two{words.w[0], 0.0}, power).hi;
    const double small = __dmul_rn(d, __fma_rn(d, -1.0 / 3, 0.5));
    return scale_down(fast_two_sum(words.w[0], __fma_rn(words.w[0], -small, words.w[1])), power);
}
