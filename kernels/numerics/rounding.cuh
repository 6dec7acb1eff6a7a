// The rounding test: whether all numbers within a bound of a value round to the same number of type T.
//
// One word (margin, Doubt): what decides are the bits of a float64 below the last bit of T. Where they lie within DOUBT of
// the middle between two numbers of T, the value is in doubt:
//
//   float64 bits of v     1.xxxxxxxxxxxxxxxxxxxxxxx|10000000000000...        middle: in doubt
//                           last bit of float32 --^ |<- 32 of these count
//
// Two words (rounded): both ends of the interval are rounded, and compared.
#pragma once
#include "elements.cuh"
#include "words.cuh"

// The smallest normal number of T, as the upper half of the float64.
template <typename T>
constexpr int NORMAL_HIGH = (1023 + Element<T>::LEAST + Element<T>::DIGITS - 1) << 20;

// The half-width of what is in doubt, in units of 2^-32 ulp of T. With u = 2^-53 the first tier misses less than 10.5 u
// of a softmax and 9.8 u of a log_softmax (float64.cuh): that is 10.5 ulps of float64 at most, and half of one more where a
// subnormal number is brought to its place. float32: 12 ulps of float64 are 96 units of an eighth. 16-bit types: 11 ulps
// are below one unit (2^10 or 2^13 ulps), and so are the 2^-43 that a bfloat16 misses by one word of x - m; one more for
// the bits that are cut off.
template <typename T>
constexpr unsigned DOUBT = Element<T>::BITS == 32 ? 96 : 2;

// The 32 bits below the last bit of T, for any |v|; subnormal numbers of T have their last bit where the smallest normal
// number has it, so that is added first, with a rounding of half an ulp of float64. NORMAL: no v is subnormal in T.
template <typename T, bool NORMAL = false>
__device__ __forceinline__ unsigned bits_below(double v) {
    constexpr int SPARE = 53 - Element<T>::DIGITS;
    const double size = fabs(v);
    const bool subnormal = !NORMAL && __double2hiint(size) < NORMAL_HIGH<T>;
    const double placed = subnormal ? __dadd_rn(size, __hiloint2double(NORMAL_HIGH<T>, 0)) : size;
    const unsigned low = static_cast<unsigned>(__double2loint(placed));
    if constexpr (SPARE < 32) return low << (32 - SPARE);
    else return __funnelshift_l(low, static_cast<unsigned>(__double2hiint(placed)), 64 - SPARE);
}

// Collects whether any value is in doubt.
struct Doubt {
    unsigned least = ~0u;

    // Notes a value that misses the truth by no more than DOUBT allows for; true if it is in doubt.
    template <typename T, bool NORMAL = false>
    __device__ __forceinline__ void note(double v) {
        least = min(least, bits_below<T, NORMAL>(v) - (0x80000000u - DOUBT<T>));
    }
    template <typename T>
    __device__ __forceinline__ static bool of(double v) {
        return bits_below<T>(v) - (0x80000000u - DOUBT<T>) <= 2 * DOUBT<T>;
    }
    __device__ __forceinline__ void add(bool in_doubt) { least = in_doubt ? 0 : least; }

    template <typename T>
    __device__ __forceinline__ bool any() const { return least <= 2 * DOUBT<T>; }
};

// The same for a CPU, which has float64 and integers of 64 bits in the same registers, and rather adds 0 than branches.
struct WholeDoubt {
    unsigned long long least = ~0ull;

    template <typename T, bool NORMAL = false>
    __device__ __forceinline__ void note(double v) {
        const double smallest = __hiloint2double(NORMAL_HIGH<T>, 0);
        const double placed = NORMAL ? v : __dadd_rn(fabs(v), fabs(v) < smallest ? smallest : 0.0);
        const unsigned long long bits = __double_as_longlong(placed);
        least = min(least, (bits << (11 + Element<T>::DIGITS)) - ((1ull << 63) - whole<T>()));
    }
    __device__ __forceinline__ void add(bool in_doubt) { least = in_doubt ? 0 : least; }

    template <typename T>
    __device__ __forceinline__ bool any() const { return least <= 2 * whole<T>(); }

  private:
    template <typename T>
    __device__ static constexpr unsigned long long whole() { return static_cast<unsigned long long>(DOUBT<T>) << 32; }
};

// (hi + low) 2^-LIFT rounded once to a format, where that is not negative; false in `sure` if an error of up to `error`
// could change it. |low| is at most a few ulps of hi. What is beyond the range is left to Element<T>::round.
//
// What is not a normal float64 goes beside 2^52 quanta, the quantum being the place of the format's last bit: then the last
// bit of the sum is that of the result, and what is below it is s.lo + low, whose one rounding is at most 2^-53 quanta.
// NORMAL: the format is float64's, and no number is subnormal in it.
template <int LIFT, bool NORMAL = false>
__device__ __forceinline__ double rounded(double hi, double low, double error, Format format, bool& sure) {
    static_assert(LIFT == 0 || LIFT == 256);
    constexpr double LOWERED = LIFT == 0 ? 1.0 : 0x1p-256;
    const int exponent = __double2hiint(hi) & 0x7ff00000;
    const int normal = (1023 + format.least + LIFT + format.digits - 1) << 20;
    if (NORMAL || (format.digits == 53 && exponent >= normal)) {
        const double below = __dadd_rn(hi, __dsub_rn(low, error));
        const double above = __dadd_rn(hi, __dadd_rn(low, error));
        sure = below == above;
        return __dmul_rn(below, LOWERED);
    }
    const double anchor = __hiloint2double(max(exponent, normal) + ((53 - format.digits) << 20), 0);
    const Two s = two_sum(anchor, hi);
    const double rest = __dadd_rn(s.lo, low);
    // 2^-104 anchors are 2^-52 quanta.
    const double margin = __fma_rn(anchor, 0x1p-104, error);
    const double below = __dadd_rn(s.hi, __dsub_rn(rest, margin));
    const double above = __dadd_rn(s.hi, __dadd_rn(rest, margin));
    sure = below == above;
    return __dmul_rn(__dsub_rn(below, anchor), LOWERED);
}
