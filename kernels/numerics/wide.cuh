// Fixed-point numbers of any width, which the lanes of a warp share: the last tier of weighted sums.
//
//   value = sum of w[i] 2^(32 (i - fraction)),  0 <= i < fraction + 3, in two's complement:
//
//   w[fraction + 2] w[fraction + 1] w[fraction] . w[fraction - 1] ... w[0]
//
// Lane i has the words i, i + 32, ... in shared memory. `fraction` is told when the kernel runs, so one text serves every
// width. A "unit" is the last bit, 2^(-32 fraction). All lanes come to every function with the same arguments; each ends with
// a barrier of the warp, so that the next one may read what was written, and write what was read. `to` is written, and is
// none of the other arguments unless it is said that it may be.
#pragma once
#include "logarithm.cuh"

constexpr int WHOLE_WORDS = 3;
constexpr unsigned WARP = 0xffffffffu;

// One word a lane out of sums of at most 2^62 in size, the lowest first: what is above 32 bits goes to the next word, and
// from the last to `carry`, which comes in at the first.
__device__ __forceinline__ unsigned carried(long long sum, long long& carry) {
    const bool first = threadIdx.x % 32 == 0;
    sum += first ? carry : 0;
    carry = 0;
    while (true) {
        const long long up = sum >> 32;
        if (!__any_sync(WARP, up != 0)) return static_cast<unsigned>(sum);
        carry += __shfl_sync(WARP, up, 31);
        const long long from_below = __shfl_up_sync(WARP, up, 1);
        sum = (sum & 0xffffffffLL) + (first ? 0 : from_below);
    }
}

// The bits number * 2^place of word i.
__device__ __forceinline__ unsigned word_of(unsigned long long number, int place, int i) {
    const int down = 32 * i - place;
    if (down >= 64 || down <= -32) return 0;
    return static_cast<unsigned>(down >= 0 ? number >> down : number << -down);
}

// A finite float64 as size * 2^power.
struct Parts {
    unsigned long long size;
    int power;
    bool negative;
};

__device__ __forceinline__ Parts parts_of(double a) {
    const long long bits = __double_as_longlong(a);
    const int field = static_cast<int>(bits >> 52) & 0x7ff;
    const unsigned long long low = bits & 0xfffffffffffffLL;
    return {field == 0 ? low : low | 0x10000000000000ULL, max(field, 1) - 1075, bits < 0};
}

struct Wide {
    int fraction;

    __device__ __forceinline__ int words() const { return fraction + WHOLE_WORDS; }
    __device__ __forceinline__ int bits() const { return 32 * fraction; }
    // Each word of a sum of two numbers that functions of the index give.
    template <typename SUM>
    __device__ __forceinline__ void each(unsigned* to, SUM sum) const {
        long long carry = 0;
#pragma unroll 1
        for (int first = 0; first < words(); first += 32) {
            const int i = first + threadIdx.x % 32;
            const unsigned word = carried(i < words() ? sum(i) : 0, carry);
            if (i < words()) to[i] = word;
        }
        __syncwarp();
    }

    __device__ __forceinline__ void set(unsigned* to, unsigned whole) const {
        each(to, [&](int i) -> long long { return i == fraction ? whole : 0; });
    }
    // to += sign * a, for sign 1 or -1.
    __device__ __forceinline__ void add(unsigned* to, const unsigned* a, int sign) const {
        each(to, [&](int i) -> long long { return to[i] + static_cast<long long>(a[i]) * sign; });
    }
    // to += a, cut off towards 0. |a| < 2^64.
    __device__ __forceinline__ void add(unsigned* to, double a) const {
        const Parts parts = parts_of(a);
        add_bits(to, parts.size, parts.power + bits(), parts.negative);
    }
    // to += or -= number * 2^place units, cut off towards 0.
    __device__ __forceinline__ void add_bits(unsigned* to, unsigned long long number, int place, bool negative) const {
        each(to, [&](int i) -> long long {
            const long long word = word_of(number, place, i);
            return to[i] + (negative ? -word : word);
        });
    }
    // to += sign * (a cut off after moving down by bits >= 0), for a >= 0.
    __device__ __forceinline__ void add_lowered(unsigned* to, const unsigned* a, int by, int sign) const {
        each(to, [&](int i) -> long long { return to[i] + lowered(a, by, i) * sign; });
    }
    // a times 2^-by, cut off, for a >= 0; `by` may be negative.
    __device__ __forceinline__ void lower(unsigned* to, const unsigned* a, int by) const {
        each(to, [&](int i) -> long long { return lowered(a, by, i); });
    }
    __device__ __forceinline__ void negate(unsigned* to) const {
        each(to, [&](int i) -> long long { return -static_cast<long long>(to[i]); });
    }
    // a times a number below 2^53, for 0 <= a < 4.
    __device__ __forceinline__ void multiply(unsigned* to, const unsigned* a, unsigned long long number) const {
        const unsigned long long low = number & 0xffffffffULL, high = number >> 32;
        each(to, [&](int i) -> long long {
            const unsigned long long zero = 0;
            const unsigned long long here = a[i], below = i > 0 ? a[i - 1] : zero, lowest = i > 1 ? a[i - 2] : zero;
            return (low * here & 0xffffffffULL) + (low * below >> 32) + (high * below & 0xffffffffULL) +
                   (high * lowest >> 32);
        });
    }

    // a b for 0 <= a, b < 2^32, less than one unit and 2^-20 too small: the two columns below the last word count, what
    // lies lower is left out.
    //
    //   column c of the product:   sum of a[F - t] b[c - F + t],   F = fraction
    __device__ __forceinline__ void multiply(unsigned* to, const unsigned* a, const unsigned* b) const {
        const int lane = threadIdx.x % 32;
        long long carry = 0;
        // Of the columns before these 32: what belongs one and two words up.
        unsigned middle_before = 0, high_before = 0, high_before_that = 0;
#pragma unroll 1
        for (int first = fraction - 2; first < 2 * fraction + WHOLE_WORDS; first += 32) {
            const int column = first + lane;
            unsigned long long sum = 0;
            unsigned above = 0;
#pragma unroll 1
            for (int t = 0; t <= fraction; t++) {
                const int at = column - fraction + t;
                const unsigned long long factor = at >= 0 && at <= fraction ? b[at] : 0;
                const unsigned long long product = a[fraction - t] * factor;
                sum += product;
                above += sum < product;
            }
            const unsigned middle = static_cast<unsigned>(sum >> 32);
            const unsigned middle_below = __shfl_up_sync(WARP, middle, 1);
            const unsigned above_below = __shfl_up_sync(WARP, above, 2);
            long long word = sum & 0xffffffffULL;
            word += lane == 0 ? middle_before : middle_below;
            word += lane == 0 ? high_before_that : lane == 1 ? high_before : above_below;
            const unsigned settled = carried(word, carry);
            middle_before = __shfl_sync(WARP, middle, 31);
            high_before_that = __shfl_sync(WARP, above, 30);
            high_before = __shfl_sync(WARP, above, 31);
            if (column >= fraction && column < 2 * fraction + WHOLE_WORDS) to[column - fraction] = settled;
        }
        __syncwarp();
    }

    // a / n, cut off, for a >= 0 and n < 2^10, from the highest word down. Each lane does the same, and keeps its own word.
    // `to` may be a.
    __device__ __forceinline__ void divide(unsigned* to, const unsigned* a, int n) const {
        const double inverse = __ddiv_rn(1.0, static_cast<double>(n));
        unsigned rest = 0;
#pragma unroll 1
        for (int first = (words() - 1) / 32 * 32; first >= 0; first -= 32) {
            const int i = first + threadIdx.x % 32;
            const unsigned mine = i < words() ? a[i] : 0;
            unsigned kept = 0;
#pragma unroll 1
            for (int lane = min(31, words() - 1 - first); lane >= 0; lane--) {
                const long long number = static_cast<long long>(rest) << 32 | __shfl_sync(WARP, mine, lane);
                // Below 2^42, so exact in float64, and the quotient is off by one at most.
                long long quotient = static_cast<long long>(__dmul_rn(static_cast<double>(number), inverse));
                long long left = number - quotient * n;
                const int off = left < 0 ? -1 : left >= n ? 1 : 0;
                quotient += off;
                left -= off * n;
                rest = static_cast<unsigned>(left);
                kept = static_cast<int>(threadIdx.x % 32) == lane ? static_cast<unsigned>(quotient) : kept;
            }
            if (i < words()) to[i] = kept;
        }
        __syncwarp();
    }

    __device__ __forceinline__ bool negative(const unsigned* a) const {
        const unsigned highest = a[words() - 1];
        __syncwarp();
        return highest >> 31;
    }

    // Bits up to the highest that is set, for a >= 0; 0 for 0.
    __device__ __forceinline__ int length(const unsigned* a) const {
        int found = 0;
#pragma unroll 1
        for (int first = 0; first < words(); first += 32) {
            const int i = first + threadIdx.x % 32;
            const unsigned word = i < words() ? a[i] : 0;
            const unsigned set = __ballot_sync(WARP, word != 0);
            const int lane = 31 - __clz(static_cast<int>(set));
            const unsigned top = __shfl_sync(WARP, word, max(lane, 0));
            found = set != 0 ? 32 * (first + lane) + 32 - __clz(static_cast<int>(top)) : found;
        }
        return found;
    }

    // 64 bits of a >= 0 from bit `place` on, which may be below the last; `below` tells whether a lower one is set.
    __device__ __forceinline__ unsigned long long bits_from(const unsigned* a, int place, bool& below) const {
        const int word = place >> 5, rest = place & 31;
        bool any = false;
#pragma unroll 1
        for (int i = threadIdx.x % 32; i < min(word, words()); i += 32) any |= a[i] != 0;
        const unsigned long long low = at(a, word), middle = at(a, word + 1), high = at(a, word + 2);
        below = __any_sync(WARP, any) || (low & ((1ULL << rest) - 1)) != 0;
        __syncwarp();
        const unsigned long long both = middle << 32 | low;
        return rest == 0 ? both : both >> rest | high << (64 - rest);
    }

  private:
    __device__ __forceinline__ unsigned at(const unsigned* a, int i) const { return i >= 0 && i < words() ? a[i] : 0; }
    __device__ __forceinline__ long long lowered(const unsigned* a, int by, int i) const {
        const int word = i + (by >> 5);
        return __funnelshift_r(at(a, word), at(a, word + 1), by & 31);
    }
};
