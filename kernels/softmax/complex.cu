// logsumexp_complex: log(sum(b exp(x))) of complex rows; or, SIGNED, its real part and sum / abs(sum).
//
// A block a row; thread t takes columns t, t + 128, ... in each of two walks: the first finds the largest real part m, the
// largest weight, and what is infinite or NaN; the second sums b exp(x - m), always in expansions: sums of complex terms
// cancel more often than not, and 100 bits leave a result where two words would leave none.
//
// A number is its real and its imaginary part, side by side; strides count numbers. Arrays of the view, in order: x, b if
// WEIGHTED, out, sign if SIGNED; the pointer of an array that is not there is not looked at. out is complex, real if
// SIGNED; sign is complex. b == 0 takes an element out, whatever it is.
// Shared bytes: 32 a warp, for each kind of reduction.
// Numerics: parts of the sum to 2^-100 of the largest term; the angle by atan2 of the CUDA library, good to 2 ulp.
#include "numerics/complex.cuh"
#include "refined.cuh"
#include "views.cuh"
#include "weights.cuh"

constexpr int COMPLEX_WORDS = 2;

struct Number {
    double re;
    double im;
};

__device__ __forceinline__ Number product(Number a, Number b) {
    return {__dsub_rn(__dmul_rn(a.re, b.re), __dmul_rn(a.im, b.im)),
            __dadd_rn(__dmul_rn(a.re, b.im), __dmul_rn(a.im, b.re))};
}

__device__ __forceinline__ bool finite(double a) { return fabs(a) < positive_infinity(); }
__device__ __forceinline__ bool finite(Number a) { return finite(a.re) && finite(a.im); }

template <typename T>
__device__ __forceinline__ Number number(const T* from) {
    return {widen(Element<T>::load(from[0])), widen(Element<T>::load(from[1]))};
}

struct SumOfComplex {
    static constexpr int UNROLL = 1;
    template <int WORDS>
    __device__ static __forceinline__ Complex<WORDS> join(const Complex<WORDS>& a, const Complex<WORDS>& b) {
        return add(a, b);
    }
};

template <int WORDS>
__device__ __forceinline__ Complex<WORDS> from_lane(const Complex<WORDS>& value, int distance) {
    return {from_lane(value.re, distance), from_lane(value.im, distance)};
}

template <typename T, bool WEIGHTED, typename VIEW>
struct ComplexRow {
    static constexpr bool HAS_WEIGHTS = WEIGHTED;
    const T* x;
    const T* b;
    const VIEW& view;

    __device__ __forceinline__ Number weight(long long column) const {
        if constexpr (!WEIGHTED) return {1.0, 0.0};
        else return number(b + 2 * view.template column<1>(column));
    }
    // -inf where the weight is 0.
    __device__ __forceinline__ Number value(long long column, Number weight) const {
        if (weight.re == 0.0 && weight.im == 0.0) return {negative_infinity(), 0.0};
        return number(x + 2 * view.template column<0>(column));
    }
};

// exp of a number that is infinite or NaN, as C has it (C17, annex G); of a finite one the direction.
__device__ __forceinline__ Number exp_beyond(Number x) {
    const double size = finite(x.re) ? 1.0 : x.re == negative_infinity() ? 0.0 : x.re;
    if (x.im == 0.0) return {size, x.im};
    if (!finite(x.im)) {
        if (x.re == negative_infinity()) return {0.0, 0.0};
        return {x.re == positive_infinity() ? x.re : not_a_number(), not_a_number()};
    }
    const Complex<COMPLEX_WORDS> towards = direction<COMPLEX_WORDS>(x.im);
    return {__dmul_rn(size, towards.re.w[0]), __dmul_rn(size, towards.im.w[0])};
}

struct ComplexSurvey {
    double m;        // the largest real part of the elements that count
    double largest;  // part of a weight
    Number beyond;   // sum of the terms that are infinite or NaN
};

template <typename TEAM, typename ROW>
__device__ __forceinline__ ComplexSurvey surveyed(const ROW row, long long columns) {
    ComplexSurvey found = {negative_infinity(), 0.0, {0.0, 0.0}};
#pragma unroll 1
    for (long long column = TEAM::rank(); column < columns; column += TEAM::SIZE) {
        const Number weight = row.weight(column);
        const Number value = row.value(column, weight);
        found.m = maximum(found.m, value.re);
        found.largest = maximum(found.largest, maximum(fabs(weight.re), fabs(weight.im)));
        const bool ordinary = finite(weight) && (value.re == negative_infinity() || finite(value));
        if (!ordinary) {
            const Number bare = exp_beyond(value);
            const Number term = ROW::HAS_WEIGHTS ? product(weight, bare) : bare;  // 0 * inf is no matter without weights
            found.beyond = {__dadd_rn(found.beyond.re, term.re), __dadd_rn(found.beyond.im, term.im)};
        }
    }
    found.m = TEAM::template reduce<Maximum>(found.m);
    found.largest = TEAM::template reduce<Maximum>(found.largest);
    found.beyond.re = TEAM::template reduce<SumOfWords>(found.beyond.re);
    found.beyond.im = TEAM::template reduce<SumOfWords>(found.beyond.im);
    return found;
}

// The logarithm of a sum and its direction, sum / abs(sum).
struct ComplexOutcome {
    Number log;
    Number sign;
};

template <typename TEAM, typename ROW>
__device__ __forceinline__ ComplexOutcome summed(const ROW row, long long columns, const ComplexSurvey found) {
    constexpr int WORDS = COMPLEX_WORDS;
    const int exponent = exponent_above(found.largest);
    const double power = power_of_two(-exponent);
    Complex<WORDS> sum = {};
#pragma unroll 1
    for (long long column = TEAM::rank(); column < columns; column += TEAM::SIZE) {
        const Number weight = row.weight(column);
        const Number value = row.value(column, weight);
        const bool counts = value.re > negative_infinity();
        const Expansion<WORDS> size = refined_term<WORDS>(value.re, found.m);
        const Complex<WORDS> towards = direction<WORDS>(counts ? value.im : 0.0);
        const Complex<WORDS> term = {multiply(size, towards.re), multiply(size, towards.im)};
        const double re = __dmul_rn(weight.re, power);
        const double im = __dmul_rn(weight.im, power);
        sum.re = add(sum.re, add(multiply(term.re, re), multiply(term.im, -im)));
        sum.im = add(sum.im, add(multiply(term.re, im), multiply(term.im, re)));
    }
    sum = TEAM::template reduce<SumOfComplex>(sum);
    sum = {normalised(sum.re), normalised(sum.im)};

    const double larger = maximum(fabs(sum.re.w[0]), fabs(sum.im.w[0]));
    if (larger == 0.0) return {{negative_infinity(), 0.0}, {0.0, 0.0}};
    // Near 1, so that the squares neither overflow nor vanish.
    const int shift = exponent_above(larger);
    sum = {scale(sum.re, power_of_two(-shift)), scale(sum.im, power_of_two(-shift))};
    const Expansion<WORDS> square = add(multiply(sum.re, sum.re), multiply(sum.im, sum.im));
    double moved[] = {found.m, __dmul_rn(exponent + shift, LN2_0), __dmul_rn(exponent + shift, LN2_1),
                      __dmul_rn(exponent + shift, LN2_2), __dmul_rn(exponent + shift, LN2_3)};
    const Expansion<WORDS> log_size = normalised(add(scale(log_expansion(square), 0.5), distilled<WORDS>(moved)));
    // + 0.0: an imaginary part of -0.0 would turn the angle pi into -pi.
    const Number whole = {sum.re.w[0], __dadd_rn(sum.im.w[0], 0.0)};
    const double modulus = __dsqrt_rn(square.w[0]);
    return {{log_size.w[0], atan2(whole.im, whole.re)}, {__ddiv_rn(whole.re, modulus), __ddiv_rn(whole.im, modulus)}};
}

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

template <typename T, bool WEIGHTED, bool SIGNED, typename VIEW>
__global__ void __launch_bounds__(32 * REFINE_WARPS)
    logsumexp_complex(const T* x,  // (rows, columns) of two
                      const T* b,  // (rows, columns) of two
                      VIEW view,   // of x, b, out, sign
                      T* out,      // (rows,) of two, of one if SIGNED
                      T* sign) {   // (rows,) of two
    using Team = BlockTeam<REFINE_WARPS>;
    constexpr int OUT = WEIGHTED ? 2 : 1;
    const long long index = blockIdx.x;
    const ComplexRow<T, WEIGHTED, VIEW> row = {
        x + 2 * view.template row<0>(index), WEIGHTED ? b + 2 * view.template row<WEIGHTED ? 1 : 0>(index) : b, view};
    const ComplexSurvey found = surveyed<Team>(row, view.columns);
    ComplexOutcome result = {{negative_infinity(), 0.0}, {0.0, 0.0}};
    if (!finite(found.beyond)) {
        result = outcome_beyond(found.beyond);
    } else if (found.m != negative_infinity()) {
        result = summed<Team>(row, view.columns, found);
    }
    if (threadIdx.x == 0) {
        T* const to = out + (SIGNED ? 1 : 2) * view.template row<OUT>(index);
        to[0] = Element<T>::round(result.log.re);
        if constexpr (SIGNED) {
            T* const sign_to = sign + 2 * view.template row<OUT + 1>(index);
            sign_to[0] = Element<T>::round(result.sign.re);
            sign_to[1] = Element<T>::round(result.sign.im);
        } else {
            to[1] = Element<T>::round(result.log.im);
        }
    }
}
