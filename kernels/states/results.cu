// What is made of states (online/sliced_state.cuh), correctly rounded, with the news which results are undecided.
//
//   logsumexp_of_states   a thread a row: the logarithm of its sum, rounded to any type
//   state_totals          a thread a row: its sum over exp(m), in two words, for the shares of its elements
//   settle_shares         a thread an element: the shares that two words do not decide (share.cuh leaves them open)
//
// A sum is known up to what its digits leave out: an interval. A result is decided where both ends round to the same number;
// where they do not, it is that of the digits.
// THREADS are those of a block.
// Numerics: integers and fixed-point numbers of 330 bits (numerics/fixed_functions.cuh).
#include "numerics/float64.cuh"
#include "softmax/any_elements.cuh"
#include "softmax/views.cuh"
#include "sum_of_row.cuh"

// Which end of an interval a result is.
enum End { MIDDLE, LOW, HIGH };

struct Decided {
    double middle;
    double low;
    double high;

    __device__ __forceinline__ void set(int end, double value) {
        middle = end == MIDDLE ? value : middle;
        low = end == LOW ? value : low;
        high = value;  // which comes last
    }
};

__device__ __forceinline__ double rounded_with_sign(const Big& a, Format format) {
    const double size = rounded(a, format);
    return a.sign < 0 ? -size : size;
}

// The sum is 2^power w: power log(2) + log(w), and m besides where that is huge.
__device__ __forceinline__ Decided logarithm_of(const SlicedState& state, Format format) {
    const SumOfRow sum = sum_of_row(state);
    const bool huge = fabs(state.m) >= HUGE_FROM;
    const Big whole = {sum.digits.w, 0, 1, false};
    const Big less_one = add(whole, big_of(-1.0));
    const double guess = log_guess(whole);
    const FixedExp inverse = exp_of_minus(fixed_near(guess), guess);
    bool cut = false;
    const Fixed above_one = shift_right(multiply(inverse.w, whole.w), inverse.power, cut);
    Big value = log_of(whole, less_one, guess, above_one);
    const long long power = sum.digits.power - SUM_UNIT + (huge ? 0 : SLICE_BITS * state.place);
    const unsigned long long size = power < 0 ? -power : power;
    Decided result = {};
    // By one addition, since its text is long: first three limbs of the power times log(2), then m; then to both ends.
#pragma unroll 1
    for (int step = 0; step < 7; step++) {
        const unsigned limb = static_cast<unsigned>(size >> min(LIMB_BITS * step, 63)) & LIMB_MASK;
        const double number = step == 3 ? huge ? state.m : 0.0 : step == 5 ? -sum.below : step == 6 ? sum.above : 0.0;
        const Big part = normalised(multiply(ln2_fixed(), limb), LIMB_BITS * step, power < 0 ? -1 : 1);
        const Big given = big_of(number);
        const bool of_power = step < 3;
        const Big addend = {chosen(of_power, part.w, given.w), of_power ? part.power : given.power,
                            of_power ? part.sign : given.sign, false};
        const Big next = add(value, addend);
        if (step < 4) value = next;
        else result.set(step - 4, rounded_with_sign(next, format));
    }
    return result;
}

template <int THREADS>
__global__ void __launch_bounds__(THREADS)
    logsumexp_of_states(double* m,                 // (rows,)
                        unsigned long long* sums,  // (8, rows)
                        long long rows,
                        void* out,                 // (rows,)
                        bool* undecided,           // (rows,)
                        int type) {                // of out: see Type
    const long long row = static_cast<long long>(blockIdx.x) * blockDim.x + threadIdx.x;
    if (row >= rows) return;
    const AnyElements to = {out, static_cast<Type>(type)};
    const SlicedState state = SlicedStates{m, sums, rows}.get(row);
    Decided result = {state.m, state.m, state.m};
    // A single element is its own logarithm.
    if (state.sum[0] > 1) result = logarithm_of(state, to.format());
    to.store(row, result.middle);
    undecided[row] = result.low < result.high;
}

// 0 where there is no sum.
template <int THREADS>
__global__ void __launch_bounds__(THREADS)
    state_totals(double* m,                 // (rows,)
                 unsigned long long* sums,  // (8, rows)
                 long long rows,
                 double* l_hi,              // (rows,)
                 double* l_lo) {            // (rows,)
    const long long row = static_cast<long long>(blockIdx.x) * blockDim.x + threadIdx.x;
    if (row >= rows) return;
    const Two total = total_of(SlicedStates{m, sums, rows}.get(row));
    l_hi[row] = total.hi;
    l_lo[row] = total.lo;
}

// exp(x) over the sum, for finite x.
__device__ __forceinline__ Decided share_of(double x, const SlicedState& state, Format format) {
    const SumOfRow sum = sum_of_row(state);
    const SlicedTerm term = exp_slices(x);
    const Limbs<SLICES> digits = digits_of(term);
    bool alike = x == state.m;
#pragma unroll
    for (int i = 0; i < SLICES; i++) alike &= state.sum[i + 1] == state.sum[0] * digits.w[i];
    // As far as digits go all elements are equal: the share is one over a whole number, or less by next to nothing. Of such
    // numbers only 2^-25 is a tie, in float16, and that goes down either way.
    const Big count = big_of(static_cast<double>(state.sum[0]));
    const Big divisor = {chosen(alike, count.w, sum.digits.w), alike ? count.power : sum.digits.power - SUM_UNIT, 1, false};
    Fixed w = fixed_of(1u);
#pragma unroll
    for (int i = 0; i < SLICES; i++) w.w[FIXED_LIMBS - 1 - SLICES + i] = alike ? 0 : term.fraction.w[i];
    const int power = alike ? 0 : static_cast<int>(SLICE_BITS * (term.place - state.place)) + term.k;
    const Big share = normalised(multiply(w, inverse_of(divisor.w)), power - divisor.power, 1, !alike);
    // Units of 2^-210 that a term may miss: one above it, where x < 0, and 64 below.
    constexpr double TERM_UNIT = 0x1p-210;
    const double unit = __ddiv_rn(TERM_UNIT, near_of(w));
    Decided result = {};
#pragma unroll 1
    for (int end = MIDDLE; end <= HIGH; end++) {
        double part = end == LOW ? -__dadd_rn(sum.above, unit) : __dadd_rn(sum.below, __dmul_rn(64.0, unit));
        if (end == MIDDLE || alike) part = 0.0;
        const Big factor = big_of(part);
        const Big step = normalised(multiply(share.w, factor.w), share.power + factor.power, factor.sign);
        result.set(end, rounded_with_sign(add(share, step), format));
    }
    return result;
}

// One element a thread: rows of the view are elements, of x, out, open and the rows of the states.
template <int THREADS, typename VIEW>
__global__ void __launch_bounds__(THREADS)
    settle_shares(void* x,
                  VIEW view,
                  void* out,
                  bool* open,                // in: whether the share is to be settled; out: whether it is undecided
                  double* m,                 // (rows,)
                  unsigned long long* sums,  // (8, rows)
                  long long rows,
                  int type) {                // of x and out: see Type
    const long long index = static_cast<long long>(blockIdx.x) * blockDim.x + threadIdx.x;
    if (index >= view.rows) return;
    long long place[4];
    view.row_of_all(index, place);
    if (!open[place[2]]) return;
    const double value = (AnyElements{x, static_cast<Type>(type)} + place[0]).load(0);
    const SlicedState state = SlicedStates{m, sums, rows}.get(place[3]);
    // A huge number and another one have no common grid; their quotient stays as it is.
    if (fmax(fabs(value), fabs(state.m)) >= HUGE_FROM && value != state.m) return;
    const AnyElements to = AnyElements{out, static_cast<Type>(type)} + place[1];
    const Decided result = share_of(value, state, to.format());
    to.store(0, result.middle);
    open[place[2]] = result.low < result.high;
}
