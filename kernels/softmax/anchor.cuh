// The anchor of a weighted row: the largest element whose weights leave something, for one row that a block has.
//
//   values from the largest down:    9  9  7  7  7  3  ...
//   weights                          1 -1  2 -5  3  4         9 and 7 cancel, 3 is the anchor
//
// The weights of equal elements are added exactly, as integers. Each value takes a walk; after some that cancel,
// fingerprints of all that lies above a bound tell in 64 walks where to go on. All threads of the block come together.
#pragma once
#include "any_elements.cuh"
#include "numerics/fingerprint.cuh"
#include "online/teams.cuh"
#include "views.cuh"

constexpr int OPEN_SUM_WARPS = 4;
// Weights are multiples of 2^-1074, below 2^1024: so many words, with room for a sum of 2^31.
constexpr int LEAST_POWER = -1074;
constexpr int WEIGHT_WORDS = 68;
// So many values that cancel are looked at one by one.
constexpr int FEW_VALUES = 128;

__device__ __forceinline__ Fingerprint from_lane(const Fingerprint& value, int distance) {
    return {from_lane(value.wide, distance), from_lane(value.narrow, distance)};
}

struct AnchorMemory {
    unsigned long long weights[WEIGHT_WORDS];
};

template <bool WEIGHTED, typename VIEW>
struct OpenWeights {
    using Team = BlockTeam<OPEN_SUM_WARPS>;

    const VIEW& view;
    AnyElements x;
    AnyElements b;

    struct Entry {
        double x;
        double b;
        __device__ __forceinline__ bool counts() const { return b != 0.0 && x > negative_infinity(); }
    };

    __device__ __forceinline__ Entry entry(long long column) const {
        long long place[VIEW::COUNT];
        view.column_of_all(column, place);
        return {x.load(place[0]), WEIGHTED ? b.load(place[WEIGHTED]) : 1.0};
    }

    // The largest element whose weights leave something: the sign of what they leave, or 0 if there is none.
    __device__ __forceinline__ double find_anchor(AnchorMemory& memory, double& m) const {
        m = positive_infinity();
#pragma unroll 1
        for (int values = 0;; values++) {
            for (int i = threadIdx.x; i < WEIGHT_WORDS; i += Team::SIZE) memory.weights[i] = 0;
            __syncthreads();
            double next = negative_infinity();
#pragma unroll 1
            for (long long column = Team::rank(); column < view.columns; column += Team::SIZE) {
                const Entry each = entry(column);
                if (!each.counts()) continue;
                if (each.x == m) add_weight(memory, each.b);
                if (each.x < m) next = maximum(next, each.x);
            }
            __syncthreads();
            const double left = sign_of_weights(memory);
            next = Team::template reduce<Maximum>(next);
            if (left != 0.0 || next == negative_infinity()) return left;
            m = next;
            if (values == FEW_VALUES && !find_value(m)) return 0.0;
        }
    }

  private:
    // Moves m down to the largest element, m included, above which nothing is left; false if nothing is left at all.
    __device__ __forceinline__ bool find_value(double& m) const {
        long long some = key_of(negative_infinity());
        unsigned long long range = static_cast<unsigned long long>(key_of(m)) + 1 - static_cast<unsigned long long>(some);
        // From `some` on something is left, from some + range on nothing: so they are brought together.
        if (!leaves_something(some)) return false;
#pragma unroll 1
        while (range > 1) {
            const long long middle = some + static_cast<long long>(range / 2);
            const bool left = leaves_something(middle);
            some = left ? middle : some;
            range = left ? range - range / 2 : range / 2;
        }
        m = number_of(some);
        return true;
    }

    __device__ __forceinline__ bool leaves_something(long long from_key) const {
        Fingerprint sum = {0, 0};
#pragma unroll 1
        for (long long column = Team::rank(); column < view.columns; column += Team::SIZE) {
            const Entry each = entry(column);
            if (each.counts() && key_of(each.x) >= from_key) sum = SumOfFingerprints::join(sum, fingerprint(each.x, each.b));
        }
        return !Team::template reduce<SumOfFingerprints>(sum).none();
    }

    // Integers, so that no order matters; sums of 2^31 parts below 2^32 fit into a word of 64 bits.
    __device__ static __forceinline__ void add_weight(AnchorMemory& memory, double weight) {
        const Parts parts = parts_of(weight);
        const int place = parts.power - LEAST_POWER;
#pragma unroll 1
        for (int i = place / 32; i < place / 32 + 3; i++) {
            const long long part = word_of(parts.size, place, i);
            if (part != 0) atomicAdd(&memory.weights[i], static_cast<unsigned long long>(parts.negative ? -part : part));
        }
    }

    __device__ static __forceinline__ double sign_of_weights(const AnchorMemory& memory) {
        long long carry = 0;
        bool any = false;
#pragma unroll 1
        for (int i = 0; i < WEIGHT_WORDS; i++) {
            carry += static_cast<long long>(memory.weights[i]);
            any |= (carry & 0xffffffffLL) != 0;
            carry >>= 32;
        }
        return carry < 0 ? -1.0 : any || carry > 0 ? 1.0 : 0.0;
    }
};
