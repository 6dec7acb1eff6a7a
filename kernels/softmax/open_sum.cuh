// The last tier of a weighted row: what its sum is, whatever cancels, for one row that a block has.
//
// 1. The largest element whose weights leave something is the anchor m (anchor.cuh). If there is none, the sum is exactly zero.
// 2. The sum over b exp(x - m), in numbers of a width (numerics/wide.cuh). The highest term has its place just below the
//    point, and lower ones are cut off at the last bit:
//
//      w[F + 2] w[F + 1] w[F] . w[F - 1] ... w[0]      2^level is at the point
//                               ^ highest term
//
//    Each term misses its exponential's 2^32 units times b, and the unit that is cut off, so below 2^33 units: together
//    less than 2^33 n.
// 3. m + log(sum), and whether both ends of what it may be round to the same number. If not, once more with twice the width.
//
// A warp has every fourth element, all of its lanes work on one. All threads of the block come with the same row. At the
// largest width the nearest number at that width is written; and nothing, if it is too near 0 for its sign to be known: then
// the tier before has written a zero.
#pragma once
#include "anchor.cuh"
#include "numerics/wide_functions.cuh"

// Numbers of each warp.
constexpr int WIDE_NUMBERS = 5;
// exp(-8192) times a weight of 2^1024 is 2^-10794, so 2^31 such terms lie below 2^-10763. The last bit of the largest width
// lies 8096 powers of two below the level, which is at least that of the least weight at m: above 2^-9200.
constexpr double WIDE_LOWEST = 8192.0;
// From here on numbers are at least 2048 apart, and 1024 from the middle to the next; the logarithm of a sum of weights is
// below 767. So nothing lower counts beside the anchor, and the result is the anchor itself.
constexpr double ANCHOR_ALONE = 0x1p+64;
// A weight is below 2^53 times its power, an exponential below 2: the highest term is below 2^level.
constexpr int TERM_BITS = 54;
// A term misses less than 2^33 units.
constexpr int TERM_MISSED = 33;
// Less is not worth a logarithm.
constexpr int BITS_LEFT = 64;

struct OpenSumMemory {
    unsigned numbers[OPEN_SUM_WARPS][WIDE_NUMBERS][MOST_WORDS];
    AnchorMemory anchor;
    bool decided;
};

template <bool WEIGHTED, bool SIGNED, typename VIEW>
class OpenSum {
    using Row = OpenWeights<WEIGHTED, VIEW>;
    using Entry = typename Row::Entry;
    using Team = typename Row::Team;

    OpenSumMemory& memory;
    const Row row;
    const AnyElements out;
    const AnyElements sign;

    double m;
    int level;

  public:
    __device__ __forceinline__ OpenSum(OpenSumMemory& memory, const Row& row, AnyElements out, AnyElements sign)
        : memory(memory), row(row), out(out), sign(sign) {}

    __device__ __forceinline__ void settle() {
        const double of_anchor = row.find_anchor(memory.anchor, m);
        if (of_anchor == 0.0 || fabs(m) >= ANCHOR_ALONE) {
            if (Team::rank() == 0) write(of_anchor == 0.0 ? negative_infinity() : m, of_anchor);
            return;
        }
        find_level();
        bool decided = false;
#pragma unroll 1
        for (int words = FEWEST_WORDS; words <= MOST_WORDS && !decided; words *= 2) {
            const Wide wide = wide_of_words(words);
            sum(wide);
            __syncthreads();
            if (threadIdx.x < 32) {
                const bool found = finish(wide);
                if (threadIdx.x == 0) memory.decided = found;
            }
            __syncthreads();
            decided = memory.decided;
        }
    }

  private:
    // Whether an element belongs to the sum, and its distance from the anchor.
    __device__ __forceinline__ bool belongs(const Entry& each, Two& gap) const {
        gap = two_sum(m, -each.x);
        return each.counts() && each.x <= m && gap.hi < WIDE_LOWEST;
    }
    __device__ __forceinline__ static int power_of(Two gap) { return gap.hi > 0.0 ? power_above(gap.hi) : 0; }

    __device__ __forceinline__ void find_level() {
        double highest = negative_infinity();
#pragma unroll 1
        for (long long column = Team::rank(); column < row.view.columns; column += Team::SIZE) {
            const Entry each = row.entry(column);
            Two gap;
            if (belongs(each, gap)) highest = maximum(highest, static_cast<double>(parts_of(each.b).power - power_of(gap)));
        }
        level = static_cast<int>(Team::template reduce<Maximum>(highest)) + TERM_BITS;
    }

    // What a warp has of the sum, in its first number.
    __device__ __forceinline__ void sum(const Wide& wide) {
        const int warp = threadIdx.x / 32;
        unsigned* const total = memory.numbers[warp][0];
        unsigned* const distance = memory.numbers[warp][4];
        const WideRoom room = room_of(warp);
        wide.set(total, 0);
#pragma unroll 1
        for (long long column = warp; column < row.view.columns; column += OPEN_SUM_WARPS) {
            const Entry each = row.entry(column);
            Two gap;
            if (!belongs(each, gap)) continue;
            const Parts parts = parts_of(each.b);
            const int power = power_of(gap);
            const int down = level - parts.power + power;
            if (down >= 32 * wide.words()) continue;
            unsigned* exponential = room.a;
            wide.set(exponential, 1);
            if (gap.hi > 0.0) {
                wide.set(distance, 0);
                wide.add(distance, gap.hi);
                wide.add(distance, gap.lo);
                exponential = exp_of_minus(wide, distance, power, room);
            }
            wide.multiply(distance, exponential, parts.size);
            wide.add_lowered(total, distance, down, parts.negative ? -1 : 1);
        }
    }

    __device__ __forceinline__ WideRoom room_of(int warp) {
        return {memory.numbers[warp][1], memory.numbers[warp][2], memory.numbers[warp][3]};
    }

    // The first warp writes the result if the sum decides it, or if there is no other width.
    __device__ __forceinline__ bool finish(const Wide& wide) {
        unsigned* const total = memory.numbers[0][0];
#pragma unroll 1
        for (int warp = 1; warp < OPEN_SUM_WARPS; warp++) wide.add(total, memory.numbers[warp][0], 1);
        const double sign_of_sum = wide.negative(total) ? -1.0 : 1.0;
        if (wide.negative(total)) wide.negate(total);
        const int length = wide.length(total);
        const int missed = TERM_MISSED + 64 - __clzll(row.view.columns);
        if (length < missed + BITS_LEFT) return false;
        unsigned* const mantissa = memory.numbers[1][0];
        unsigned* const result = memory.numbers[1][1];
        unsigned* const end = memory.numbers[1][2];
        const int above = length - 1 - wide.bits();
        wide.lower(mantissa, total, above);
        log_of(wide, result, mantissa, room_of(0));
        add_ln2(wide, result, level + above);
        wide.add(result, m);
        // The sum's relative error, and as much as the logarithm and the cutting off of the mantissa and of m may miss.
        const int unsure = max(missed - above + 1, WIDE_MISSED) + 1;
        double found[3];
#pragma unroll 1
        for (int side = -1; side <= 1; side++) {
            wide.lower(end, result, 0);
            if (side != 0) wide.add_bits(end, 1, unsure, side < 0);
            const double nearest = rounded(wide, end, out.format());
            if (side < 0) found[0] = nearest;
            else if (side == 0) found[1] = nearest;
            else found[2] = nearest;
        }
        const bool sure = __double_as_longlong(found[0]) == __double_as_longlong(found[2]);
        const bool one_sign = found[0] > 0.0 ? found[2] > 0.0 : found[0] < 0.0 && found[2] < 0.0;
        const bool nearest_will_do = wide.words() == MOST_WORDS && one_sign;
        if (threadIdx.x == 0 && (sure || nearest_will_do)) write(found[1], sign_of_sum);
        return sure;
    }

    __device__ __forceinline__ void write(double log, double sign_of_sum) const {
        const bool refused = !SIGNED && sign_of_sum < 0.0;
        out.store(0, refused ? not_a_number() : log);
        if constexpr (SIGNED) sign.store(0, sign_of_sum);
    }
};
