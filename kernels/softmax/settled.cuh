// The second tier and the last of softmax, log_softmax and logsumexp, for one row that a block has.
//
//   second tier   the sum, its logarithm and its quotients in two words, to about 2^-80 (numerics/pair.cuh)
//   last tier     the same in fixed-point numbers, to 2^-270 (numerics/fixed_functions.cuh)
//
// The row is walked several times, each time for another purpose, but by one loop: the text of an exponential of 330 bits is
// long, and there is one of it. Thread t of the block takes columns t, t + 128, ...; all threads come with the same row.
//
//   MAXIMUM -> SUM -> TEST -------------------------------------------> WRITE
//                      | a result is in doubt                             ^
//                      +-> NEXT_MAXIMUM -> LAST_SUM -> LAST_LOGARITHM ----+
//
// Nothing is written before WRITE, so x may be out. A logsumexp needs no TEST: its result is known after SUM.
#pragma once
#include "any_elements.cuh"
#include "numerics/fixed_functions.cuh"
#include "numerics/float64.cuh"
#include "online/teams.cuh"
#include "views.cuh"

constexpr int SETTLE_WARPS = 4;

// What is made of a row: as the operations of operations.cuh, but told when the kernel runs, so that one text serves all.
enum Kind { SOFTMAX, LOG_SOFTMAX, LOGSUMEXP };
enum Walk { MAXIMUM, SUM, TEST, NEXT_MAXIMUM, LAST_SUM, LAST_LOGARITHM, WRITE, END };

// The sum of fixed-point numbers, in any order the same.
struct SumOfFixed {
    static constexpr int UNROLL = 1;
    __device__ static __forceinline__ Fixed join(const Fixed& a, const Fixed& b) { return add(a, b); }
};

__device__ __forceinline__ Fixed from_lane(const Fixed& value, int distance) {
    Fixed result;
#pragma unroll
    for (int i = 0; i < FIXED_LIMBS; i++) result.w[i] = from_lane(value.w[i], distance);
    return result;
}

// Beyond this far below the maximum an exponential is nothing but above 0: of a result only its direction is seen.
constexpr double FIXED_LOWEST = 2000.0;
constexpr int FIXED_TRACE = -2880;
// Terms are summed eight bits lower than they are, so that 2^33 of them have room above the point.
constexpr int SUM_ROOM = 8;

template <typename VIEW>
class OpenRow {
    using Team = BlockTeam<SETTLE_WARPS>;

    const VIEW& view;
    const AnyElements from;
    const AnyElements to;
    const Format format;
    const Kind kind;
    const bool last_only;

    double m = 0.0;
    double next = negative_infinity();  // the largest element below m
    // Second tier.
    Two sum = {0.0, 0.0};
    double count = 0.0;
    Pairs::Share share;
    LogPair log;
    bool in_doubt = false;
    double result = 0.0;
    // Last tier.
    Fixed last_sum = {};
    Big whole = {};     // the sum; of a softmax its inverse
    Big less_one = {};  // the sum less 1; then the logarithm of the sum
    double guess = 0.0;
    FixedExp term;
    Fixed above_one;

  public:
    __device__ __forceinline__ OpenRow(AnyElements from, AnyElements to, const VIEW& view, Kind kind, int tier)
        : view(view), from(from), to(to), format(from.format()), kind(kind), last_only(tier > 2) {}

    __device__ __forceinline__ void settle() {
        Walk walk = MAXIMUM;
#pragma unroll 1
        while (walk != END) {
            unsigned maxima = 0;
            double found = negative_infinity();
            // A logarithm takes one exponential, and no element; what a logsumexp writes takes neither.
            const bool of_row = walk == LAST_LOGARITHM || (walk == WRITE && kind == LOGSUMEXP);
            const long long end = of_row ? Team::SIZE : view.columns;
#pragma unroll 1
            for (long long column = Team::rank(); column < end; column += Team::SIZE) {
                const long long at = of_row ? 0 : column;
                long long place[2];
                view.column_of_all(at, place);
                const double x = of_row ? m : from.load(place[0]);
                if (walk == MAXIMUM || (walk == NEXT_MAXIMUM && x < m)) found = maximum(found, x);
                else look(walk, x, maxima);
                if (walk == WRITE && (!of_row || column == 0)) to.store(place[1], result);
            }
            walk = after(walk, found, maxima);
        }
    }

  private:
    // What is done with one element.
    __device__ __forceinline__ void look(Walk walk, double x, unsigned& maxima) {
        bool sure = false;
        if (walk == SUM || walk == TEST || walk == WRITE) {
            const Two of_x = exp_pair(two_sum(x, -m), x > negative_infinity());
            if (walk == SUM) {
                const bool is_maximum = x == m;
                maxima += is_maximum;
                accumulate(sum, is_maximum ? Two{0.0, 0.0} : of_x);
                // The second word stays below the last bit of the first, however many terms there are.
                sum = fast_two_sum(sum.hi, sum.lo);
            } else if (kind == SOFTMAX) {
                result = Pairs::quotient(of_x, share, format, sure);
            } else {
                result = Pairs::of_difference(x, m, log, format, sure);
            }
            in_doubt |= walk == TEST && !sure;
        }
        if (walk == LAST_SUM || walk == LAST_LOGARITHM || (walk == WRITE && (!sure || last_only || kind == LOGSUMEXP))) {
            const Two gap = walk == LAST_LOGARITHM ? Two{guess, 0.0} : two_sum(m, -x);
            look_again(walk, x, gap);
        }
    }

    // The same in the last tier. gap: m - x.
    __device__ __forceinline__ void look_again(Walk walk, double x, Two gap) {
        const bool far = !(gap.hi < FIXED_LOWEST);
        // m - x, and plus log(l); or for the row m, and plus log(l).
        const bool of_row = walk == WRITE && kind == LOGSUMEXP;
        Big sum = big_of(of_row ? m : gap.hi < positive_infinity() ? gap.hi : 0.0);
        Big addend = big_of(of_row || !(gap.lo < positive_infinity()) ? 0.0 : gap.lo);
        Fixed distance;
#pragma unroll 1
        for (int i = 0; i < 2; i++) {
            sum = add(sum, addend);
            if (i == 0) distance = fixed_of(sum);
            addend = less_one;
        }
        term = {fixed_of(1u), 0};
        if (gap.hi > 0.0 && !far) term = exp_of_minus(distance, gap.hi);
        if (walk == LAST_SUM && x < m && !far) {
            bool cut = false;
            last_sum = add(last_sum, shift_right(term.w, term.power - power_of_minus(first_gap()) + SUM_ROOM, cut));
        }
        const Fixed product = multiply(term.w, whole.w);
        if (walk == LAST_LOGARITHM) {
            bool cut = false;
            above_one = shift_right(product, term.power, cut);
        }
        if (walk != WRITE) return;
        // Where all that is finite is equal, the sum is a whole number: then none of 1 / count is cut off, or there is no
        // middle near.
        const bool quotient = kind == SOFTMAX;
        const bool others = next > negative_infinity();
        const Big share = normalised(product, -term.power - whole.power, 1, others);
        const Big value = {chosen(quotient, share.w, sum.w), quotient ? share.power : sum.power,
                           quotient ? share.sign : sum.sign, quotient ? share.cut : sum.cut};
        const double size = rounded(value, format);
        if (quotient) result = far ? 0.0 : size;
        else if (of_row) result = value.sign < 0 ? -size : size;
        else result = gap.hi < positive_infinity() ? value.sign == 0 ? 0.0 : -size : -gap.hi;
    }

    __device__ __forceinline__ double first_gap() const { return __dsub_rn(m, next); }

    // What is made of a walk, and which comes next.
    __device__ __forceinline__ Walk after(Walk walk, double found, unsigned maxima) {
        if (walk == MAXIMUM || walk == NEXT_MAXIMUM) found = Team::template reduce<Maximum>(found);
        if (walk == MAXIMUM) {
            m = found;
            if (!no_anchor(m) && m > negative_infinity()) return SUM;
            // Only left open for a test.
            result = m;
            return finished();
        }
        if (walk == SUM) {
            sum = Team::template reduce<Sum>(sum);
            count = Team::template reduce<Sum>(maxima);
            share = Pairs::share(add({__dmul_rn(count, PAIR_LIFTED), 0.0}, sum), view.columns);
            log = Pairs::log(count, sum, view.columns, format);
            if (kind != LOGSUMEXP) return last_only ? NEXT_MAXIMUM : TEST;
            bool sure;
            result = rounded_sum(m, log, format, sure);
            return sure && !last_only ? finished() : NEXT_MAXIMUM;
        }
        if (walk == TEST) return Team::any(in_doubt) ? NEXT_MAXIMUM : WRITE;
        if (walk == NEXT_MAXIMUM) {
            next = found;
            return LAST_SUM;
        }
        if (walk == LAST_SUM) {
            join_sum();
            return LAST_LOGARITHM;
        }
        if (walk == LAST_LOGARITHM) {
            less_one = log_of(whole, less_one, guess, above_one);
            if (kind == SOFTMAX) whole.w = inverse_of(whole.w);
            return WRITE;
        }
        return END;
    }

    __device__ __forceinline__ Walk finished() {
        if (kind == LOGSUMEXP && Team::rank() == 0) to.store(0, result);
        return END;
    }

    // The sum is count + rest; the terms of the rest were added in units that its largest term sets. What lies lower was
    // cut off: less than 2^31 units of 2^-322 of that term.
    __device__ __forceinline__ void join_sum() {
        last_sum = Team::template reduce<SumOfFixed>(last_sum);
        const double gap = first_gap();
        const bool far = !(gap < FIXED_LOWEST);
        const int others = next > negative_infinity() ? 1 : 0;
        const Fixed one = fixed_of(1u);
        const Big near = normalised(last_sum, SUM_ROOM - (far ? 0 : power_of_minus(gap)), 1, true);
        const Big rest = {chosen(far, one, near.w), far ? FIXED_TRACE : near.power, far ? others : near.sign, others != 0};
#pragma unroll 1
        for (int less = 0; less < 2; less++) {
            whole = less_one;
            less_one = add(big_of(__dsub_rn(count, less)), rest);
        }
        guess = log_guess(whole);
    }
};
