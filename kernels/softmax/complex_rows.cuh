// A complex row: where it is, its state, and what is written of it; for complex.cu.
//
// A number is its real and its imaginary part, side by side; strides count numbers.
#pragma once
#include "cancelled.cuh"
#include "dealt.cuh"
#include "online/complex_state.cuh"
#include "views.cuh"

// What a row is made of.
template <typename T, bool WEIGHTED, typename VIEW>
struct ComplexRow {
    const T* x;
    const T* b;
    const VIEW& view;

    __device__ __forceinline__ ComplexRow(const T* x, const T* b, const VIEW& view, long long row)
        : x(x + 2 * view.template row<0>(row)), b(WEIGHTED ? b + 2 * view.template row<WEIGHTED ? 1 : 0>(row) : b),
          view(view) {}

    __device__ __forceinline__ Number value(long long column) const {
        return number(x + 2 * view.template column<0>(column));
    }
    __device__ __forceinline__ Number weight(long long column) const {
        if constexpr (!WEIGHTED) return {1.0, 0.0};
        else return number(b + 2 * view.template column<1>(column));
    }

  private:
    __device__ static __forceinline__ Number number(const T* from) {
        return {widen(Element<T>::load(from[0])), widen(Element<T>::load(from[1]))};
    }
};

struct ComplexMerge {
    static constexpr int UNROLL = 1;
    __device__ static __forceinline__ ComplexState join(ComplexState a, ComplexState b) { return merge(a, b); }
};

template <int WORDS>
__device__ __forceinline__ Complex<WORDS> from_lane(const Complex<WORDS>& value, int distance) {
    return {from_lane(value.re, distance), from_lane(value.im, distance)};
}

__device__ __forceinline__ ComplexState from_lane(const ComplexState& value, int distance) {
    return {{from_lane(value.level.far, distance), from_lane(value.level.near, distance)},
            from_lane(value.sum, distance),
            {from_lane(value.size.re, distance), from_lane(value.size.im, distance)},
            {from_lane(value.beyond.re, distance), from_lane(value.beyond.im, distance)}};
}

// The state of a share, on every thread of the team.
template <typename T, bool WEIGHTED, typename TEAM, typename VIEW>
__device__ __forceinline__ ComplexState folded(const ComplexRow<T, WEIGHTED, VIEW>& row, const Share& share) {
    ComplexState state = nothing_complex();
#pragma unroll 1
    for (long long column = share.begin + TEAM::rank(); column < share.end; column += TEAM::SIZE)
        push<T, WEIGHTED>(state, row.value(column), row.weight(column));
    return TEAM::template reduce<ComplexMerge>(state);
}

// The logarithm of a sum and its direction, sum / abs(sum).
struct ComplexOutcome {
    Number log;
    Number sign;
};

// The logarithm of an infinite or NaN sum, and the direction as NumPy's sign has it.
__device__ __forceinline__ ComplexOutcome outcome_beyond(Number sum) {
    const bool infinite_re = fabs(sum.re) == positive_infinity();
    const bool infinite_im = fabs(sum.im) == positive_infinity();
    const double size = infinite_re || infinite_im ? positive_infinity() : not_a_number();
    Number sign = {not_a_number(), not_a_number()};
    if (infinite_re && !infinite_im) sign = {copysign(1.0, sum.re), 0.0};
    if (infinite_im && !infinite_re) sign = {0.0, copysign(1.0, sum.im)};
    return {{size, atan2(sum.im, sum.re)}, sign};
}

__device__ __forceinline__ ComplexOutcome outcome_of_nothing() { return {{negative_infinity(), 0.0}, {0.0, 0.0}}; }

// Of a finite sum, given as sum * 2^level, its larger part between 1/2 and 1.
template <int WORDS>
__device__ __forceinline__ ComplexOutcome outcome_of(const Complex<WORDS>& sum, Level level) {
    const Expansion<WORDS> square = add(multiply(sum.re, sum.re), multiply(sum.im, sum.im));
    const auto log_size = normalised(add(scale(log_expansion(square), 0.5), log_of_level<WORDS>(level)));
    // + 0.0: an imaginary part of -0.0 would turn the angle pi into -pi.
    const Number whole = {sum.re.w[0], __dadd_rn(sum.im.w[0], 0.0)};
    const double modulus = __dsqrt_rn(square.w[0]);
    return {{log_size.w[0], atan2(whole.im, whole.re)}, {__ddiv_rn(whole.re, modulus), __ddiv_rn(whole.im, modulus)}};
}

__device__ __forceinline__ double larger_part(Number a) { return fmax(fabs(a.re), fabs(a.im)); }

// Where results go, and what is done with a state.
template <typename T, bool WEIGHTED, bool SIGNED, typename VIEW>
struct ComplexResult {
    static constexpr int OUT = WEIGHTED ? 2 : 1;
    // The error that is let pass, as a share of the modulus of the result: half an ulp; of float32 far less.
    static constexpr double PASSED = Element<T>::BITS == 64 ? 0x1p-54 : 0x1p-40;
    // That of the sum beside the sum of the sizes of its terms (measured: at most 2^-98 for one).
    static constexpr double SUM_ERROR = 0x1p-96;
    const VIEW& view;
    T* out;
    T* sign;
    double* open;  // (2, rows)

    __device__ __forceinline__ void write(long long row, ComplexOutcome result) const {
        T* const to = out + (SIGNED ? 1 : 2) * view.template row<OUT>(row);
        to[0] = Element<T>::round(result.log.re);
        if constexpr (SIGNED) {
            T* const sign_to = sign + 2 * view.template row<OUT + 1>(row);
            sign_to[0] = Element<T>::round(result.sign.re);
            sign_to[1] = Element<T>::round(result.sign.im);
        } else {
            to[1] = Element<T>::round(result.log.im);
        }
    }

    __device__ __forceinline__ void write(long long row, const ComplexState& state) const {
        Level level = {not_a_number(), 0};
        if (!finite(state.beyond)) write(row, outcome_beyond(state.beyond));
        else if (height(state.level, lowest_level()) <= 0) write(row, outcome_of_nothing());
        else if (!first_tier(row, state)) level = state.level;
        open[row] = level.far;
        open[view.rows + row] = level.near;
    }

    // False where the sum is not known well enough.
    __device__ __forceinline__ bool first_tier(long long row, const ComplexState& state) const {
        Complex<STATE_WORDS> sum = {normalised(state.sum.re), normalised(state.sum.im)};
        const double larger = larger_part({sum.re.w[0], sum.im.w[0]});
        if (!(larger > 0x1p-900)) return false;
        const int power = (__double2hiint(larger) >> 20) - 1022;
        sum = {scale_down(sum.re, -power), scale_down(sum.im, -power)};
        const auto result = outcome_of(sum, {state.level.far, state.level.near + power - SUM_LIFT});
        const double error = __dmul_rn(__dadd_rn(__ddiv_rn(larger_part(state.size), larger), 1.0), SUM_ERROR);
        if (!(error <= __dmul_rn(larger_part(result.log), PASSED))) return false;
        // Below the negative axis the angle is near -pi, on it and above near pi.
        const double im = __dadd_rn(state.sum.im.w[0], state.sum.im.w[1]);
        const bool on_axis = fabs(im) <= __dmul_rn(state.size.im, SUM_ERROR) && state.size.im > 0.0;
        if (!SIGNED && on_axis && sum.re.w[0] < 0.0) return false;
        write(row, result);
        return true;
    }
};

// States of parts in memory: eleven arrays one after the other.
struct SavedComplexStates {
    double* states;  // (11, count)
    long long count;
    __device__ __forceinline__ double& word(int number, long long i) const { return states[number * count + i]; }
    __device__ __forceinline__ ComplexState get(long long i) const {
        ComplexState state = {
            {word(0, i), static_cast<int>(word(1, i))}, {}, {word(2, i), word(3, i)}, {word(4, i), word(5, i)}};
#pragma unroll
        for (int j = 0; j < STATE_WORDS; j++) {
            state.sum.re.w[j] = word(6 + 2 * j, i);
            state.sum.im.w[j] = word(7 + 2 * j, i);
        }
        return state;
    }
    __device__ __forceinline__ void set(long long i, const ComplexState& state) const {
        word(0, i) = state.level.far;
        word(1, i) = state.level.near;
        word(2, i) = state.size.re;
        word(3, i) = state.size.im;
        word(4, i) = state.beyond.re;
        word(5, i) = state.beyond.im;
#pragma unroll
        for (int j = 0; j < STATE_WORDS; j++) {
            word(6 + 2 * j, i) = state.sum.re.w[j];
            word(7 + 2 * j, i) = state.sum.im.w[j];
        }
    }
};

// The terms of a row for the second tier.
template <typename T, bool WEIGHTED, typename VIEW>
struct ComplexTerms {
    static constexpr int PARTS = 2;
    static constexpr int WORDS = REFINE_WORDS<T>;
    const ComplexRow<T, WEIGHTED, VIEW>& row;

    __device__ __forceinline__ void add(Walked<2>& walk, long long column, Level top) const {
        const Number b = row.weight(column);
        const Number value = row.value(column);
        if (is_zero(b) || value.re == negative_infinity()) return;
        Level level;
        const Complex<WORDS> words = exp_words<WORDS>(value.re, value.im, level);
        const Level of_term = {level.far, level.near + weight_of<T>(b).power};
        const int shift = LEVEL_BIT + height(level, top);
        if (height(of_term, top) < -LEVEL_BIT - 4) {
            walk.lower = higher(walk.lower, of_term);
            return;
        }
        const Weight re = weight_of<T>(b.re);
        add_product(walk.window, 0, words.re, re, shift);
        add_product(walk.window, 1, words.im, re, shift);
        if constexpr (WEIGHTED) {
            const Weight im = weight_of<T>(b.im);
            add_product(walk.window, 0, words.im, {-im.factor, im.power}, shift);
            add_product(walk.window, 1, words.re, im, shift);
        }
    }
};

constexpr double PI = 0x1.921fb54442d18p+1;

// The second tier of a row: from the level `top`, or from a first walk that has been made.
template <typename TEAM, typename TERMS>
__device__ __forceinline__ ComplexOutcome refined(const TERMS& terms, long long columns, Level top, Walked<2> walk,
                                                  bool walk_made) {
    bool beside = false;   // the sum is 1 and what is found
    bool on_axis = false;  // all is known but on which side of the negative axis the sum lies
    ComplexOutcome result = outcome_of_nothing();
#pragma unroll 1
    while (true) {
        if (!walk_made) walk = walked<TEAM>(terms, 0, columns, top);
        walk_made = false;
        const int length = on_axis ? walk.window.length_of(1) : walk.window.length();
        if (laid_lower(walk, length, top)) continue;
        if (on_axis) {
            result.log.im = walk.window.negative(1) ? -PI : PI;
            return result;
        }
        const auto found = found_sum<TERMS::WORDS>(walk, length, top);
        if (beside) {
            // d - d^2 / 2, the logarithm of 1 + d, for d below 2^-39; what d^3 adds is below 2^-79 of it.
            const int power = length == 0 ? -2000 : max(height(found.level, {0.0, 0}), -2000);
            const Number words = {found.words[0].w[0], found.words[1].w[0]};
            const Two d = scale_down(Two{words.re, words.im}, power);
            const Number log = sum_of(words, product_of(words, {__dmul_rn(-0.5, d.hi), __dmul_rn(-0.5, d.lo)}));
            const Two scaled = scale_down(Two{log.re, log.im}, power);
            return {{scaled.hi, scaled.lo}, {1.0, d.lo}};
        }
        if (length == 0) return result;
        result = outcome_of(Complex<TERMS::WORDS>{found.words[0], found.words[1]}, found.level);
        const int length_of_im = walk.window.length_of(1);
        on_axis = walk.window.negative(0) && length_of_im <= UNITS && laid_lower(walk, length_of_im, top);
        if (on_axis) continue;
        if (!(larger_part(result.log) < NEARLY_ONE)) return result;
        beside = true;
        top = beside_one();
    }
}
