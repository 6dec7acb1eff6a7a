// exp and log of numbers of any width, and their rounding: the last tier of weighted sums.
//
// With F words after the point, and a unit of 2^(-32 F), HALVINGS = 28:
//
//   exp(-y) = 2^-k p,   p = exp(s 2^-28) squared 28 times,   s = k ln 2 - y, from 0 up to ln 2 and a little
//
// s misses 3 units, and one more when it is halved. In the series p = 1 + s/1 (1 + s/2 (1 + s/3 ...)) each step loses two
// units, of which the next keeps a part of 2^-28; what is left out is below a unit: p misses 5 units. A squaring doubles what
// is missed, times p, and loses one more: all factors p together are at most 2. So p misses less than 2^32 units.
//
//   log(f) = y where y comes from float64, to 2^-48, and Newton's steps y + f exp(-y) - 1 double what is known
//
// The last step leaves less than 2^33 units, and ln 2 times a power below 2^31 adds less than one.
#pragma once
#include "wide.cuh"

constexpr int WIDE_HALVINGS = 28;
// What exp and log miss at most, as a power of two of units.
constexpr int WIDE_MISSED = 34;
// The widths: 416, 928, 1952, 4000 and 8096 bits; with the three words before the point the warp's lanes are filled.
constexpr int FEWEST_WORDS = 16;
constexpr int MOST_WORDS = 256;

// ln 2, cut off, from the first word after the point on; one more than the widest number has.
__constant__ unsigned LN2_WORDS[MOST_WORDS - WHOLE_WORDS + 1] = {
    0xb17217f7, 0xd1cf79ab, 0xc9e3b398, 0x03f2f6af, 0x40f34326, 0x7298b62d, 0x8a0d175b, 0x8baafa2b, 0xe7b87620, 0x6debac98,
    0x559552fb, 0x4afa1b10, 0xed2eae35, 0xc1382144, 0x27573b29, 0x1169b825, 0x3e96ca16, 0x224ae8c5, 0x1acbda11, 0x317c387e,
    0xb9ea9bc3, 0xb136603b, 0x256fa0ec, 0x7657f74b, 0x72ce87b1, 0x9d6548ca, 0xf5dfa6bd, 0x38303248, 0x655fa187, 0x2f20e3a2,
    0xda2d97c5, 0x0f3fd5c6, 0x07f4ca11, 0xfb5bfb90, 0x610d30f8, 0x8fe551a2, 0xee569d6d, 0xfc1efa15, 0x7d2e23de, 0x1400b396,
    0x17460775, 0xdb8990e5, 0xc943e732, 0xb479cd33, 0xcccc4e65, 0x9393514c, 0x4c1a1e0b, 0xd1d6095d, 0x25669b33, 0x3564a337,
    0x6a9c7f8a, 0x5e148e82, 0x074db601, 0x5cfe7aa3, 0x0c480a54, 0x17350d2c, 0x955d5179, 0xb1e17b9d, 0xae313cdb, 0x6c606cb1,
    0x078f735d, 0x1b2db31b, 0x5f50b518, 0x5064c18b, 0x4d162db3, 0xb365853d, 0x7598a195, 0x1ae273ee, 0x5570b6c6, 0x8f969834,
    0x96d4e6d3, 0x30af889b, 0x44a02554, 0x731cdc8e, 0xa17293d1, 0x228a4ef9, 0x8d6f5177, 0xfbcf0755, 0x268a5c1f, 0x9538b982,
    0x61affd44, 0x6b1ca3cf, 0x5e9222b8, 0x8c66d3c5, 0x422183ed, 0xc9942109, 0x0bbb16fa, 0xf3d949f2, 0x36e02b20, 0xcee886b9,
    0x05c128d5, 0x3d0bd2f9, 0x62136319, 0x6af50302, 0x0060e499, 0x08391a0c, 0x57339ba2, 0xbeba7d05, 0x2ac5b61c, 0xc4e9207c,
    0xef2f0ce2, 0xd7373958, 0xd7622658, 0x901e646a, 0x95184460, 0xdc4e7487, 0x156e0c29, 0x2413d5e3, 0x61c1696d, 0xd24aaebd,
    0x473826fd, 0xa0c238b9, 0x0ab111bb, 0xbd67c724, 0x972cd18b, 0xfbbd9d42, 0x6c472096, 0xe76115c0, 0x5f6f7ceb, 0xac9f45ae,
    0xcecb72f1, 0x9c38339d, 0x8f682625, 0x0dea891e, 0xf07afff3, 0xa892374e, 0x175eb4af, 0xc8daadd8, 0x85db6ab0, 0x3a49bd0d,
    0xc0b1b31d, 0x8a0e23fa, 0xc5e5767d, 0xf95884e0, 0x6425a415, 0x26fac51c, 0x3ea8449f, 0xe8f70edd, 0x062b1a63, 0xa6c4c60c,
    0x52ab3316, 0x1e238438, 0x897a39ce, 0x78b63c9f, 0x364f5b8a, 0xef22ec2f, 0xee6e0850, 0xeca42d06, 0xfb0c75df, 0x5497e00c,
    0x554b03d7, 0xd2874a00, 0x0ca8f58d, 0x94f0341c, 0xbe2ec921, 0x56c9f949, 0xdb4a9316, 0xf281501e, 0x53daec3f, 0x64f1b783,
    0x154c6032, 0x0e2ff793, 0x33ce3573, 0xfacc5fdc, 0xf1178590, 0x3155bbd9, 0x0f023b22, 0x0224fcd8, 0x471bf4f4, 0x45f0a88a,
    0x14f0cd97, 0x6ea354bb, 0x20cdb5cc, 0xb3db2392, 0x88d58655, 0x4e2a0e8a, 0x6fe51a8c, 0xfaa72ef2, 0xad8a43dc, 0x4212b210,
    0xb779dfe4, 0x9d7307cc, 0x846532e4, 0xb9694eda, 0xd162af05, 0x3b1751f3, 0xa3d091f6, 0x56658154, 0x12b5e8c2, 0x02461069,
    0xac14b958, 0x784934b8, 0xd6cce1da, 0xa5053701, 0x1aa4fb42, 0xb9a3def4, 0x1bda1f85, 0xef6fdbf2, 0xf2d89d2a, 0x4b183527,
    0x8fd94057, 0x89f45681, 0x2b552879, 0xa6168695, 0xc12963b0, 0xff01eaab, 0x73e5b5c1, 0x585318e7, 0x624f14a5, 0x1a4a026b,
    0x68082920, 0x57fd99b6, 0x6dc085a9, 0x8ac8d8ca, 0xf9eeeea9, 0x8a2400ca, 0xc95f260f, 0xd10036f9, 0xf91096ac, 0x3195220a,
    0x1a356b2a, 0x73b7eaad, 0xaf6d6058, 0x71ef7afb, 0x80bc4234, 0x33562e94, 0xb12dfab4, 0x14451579, 0xdf59eae0, 0x51707062,
    0x4012a829, 0x62c59cab, 0x347f8304, 0xd889659e, 0x5a9139db, 0x14efcc30, 0x852be3e8, 0xfc99f14d, 0x1d822dd6, 0xe2f76797,
    0xe30219c8, 0xaa9ce884, 0x8a886eb3, 0xc87b7295, 0x988012e8, 0x314186ed, 0xbaf86856, 0xccd3c3b6, 0xee94e62f, 0x110a6783,
    0xd2aae89c, 0xcc3b76fc, 0x435a0ce1, 0x34c2838f,
};

__device__ __forceinline__ Wide wide_of_words(int words) { return {words - WHOLE_WORDS}; }

// A little more than y / ln 2, so that k ln 2 - y is not below 0, for 0 <= y < 2^13 and what it is short of a float64.
constexpr double LOG2_E_AND_MORE = 0x1.71547652b8300p+0;
__device__ __forceinline__ int power_above(double y) { return static_cast<int>(__dmul_rn(y, LOG2_E_AND_MORE)) + 1; }

// to += k ln 2, less than 2 units too small, for |k| < 2^30.
__device__ __forceinline__ void add_ln2(const Wide& wide, unsigned* to, int k) {
    wide.each(to, [&](int i) -> long long {
        const int at = wide.fraction - 1 - i;
        const long long here = at >= 0 ? static_cast<long long>(LN2_WORDS[at]) * k : 0;
        const long long below = at >= -1 ? static_cast<long long>(LN2_WORDS[at + 1]) * k : 0;
        return to[i] + (here & 0xffffffffLL) + (below >> 32);
    });
}

// Room for an exponential: three numbers, of which one is left as the result.
struct WideRoom {
    unsigned* a;
    unsigned* b;
    unsigned* c;
};

// exp(-y) = result * 2^-k, k being power_above(y).
__device__ __forceinline__ unsigned* exp_of_minus(const Wide& wide, const unsigned* y, int k, WideRoom room) {
    wide.set(room.b, 0);
    add_ln2(wide, room.b, k);
    wide.add(room.b, y, -1);
    wide.lower(room.a, room.b, WIDE_HALVINGS);
    unsigned* result = room.b;
    unsigned* next = room.c;
    wide.set(result, 1);
    // (n + 1) (28 + 1/2) bits of powers of s, and those of n!, are more than there are. Then the squarings, n <= 0, by
    // the one product.
#pragma unroll 1
    for (int n = wide.bits() / (WIDE_HALVINGS + 2) + 1; n > -WIDE_HALVINGS; n--) {
        wide.multiply(next, result, n > 0 ? room.a : result);
        if (n > 0) {
            wide.divide(next, next, n);
            wide.each(next, [&](int i) -> long long { return next[i] + static_cast<long long>(i == wide.fraction); });
        }
        unsigned* const last = result;
        result = next;
        next = last;
    }
    return result;
}

// y = log(f) for 1 <= f < 2. Each width begins with what the one before it found: its words are the upper ones.
__device__ __forceinline__ void log_of(const Wide& wide, unsigned* y, const unsigned* f, WideRoom room) {
    bool below;
    const unsigned long long bits = wide.bits_from(f, wide.bits() - 52, below);
    const double guess = log_two({__dmul_rn(static_cast<double>(bits), 0x1p-52), 0.0}, 0).hi;
    const int k = power_above(guess);
    wide.set(y, 0);
    wide.add(y, guess);
#pragma unroll 1
    for (int words = FEWEST_WORDS; words <= wide.words(); words *= 2) {
        const Wide part = wide_of_words(words);
        const int left_out = wide.words() - words;
#pragma unroll 1
        for (int step = words == FEWEST_WORDS ? 4 : 2; step > 0; step--) {
            unsigned* const exponential = exp_of_minus(part, y + left_out, k, room);
            unsigned* const product = exponential == room.b ? room.c : room.b;
            part.multiply(product, exponential, f + left_out);
            part.each(y + left_out, [&](int i) -> long long {
                return y[left_out + i] - static_cast<long long>(i == part.fraction);
            });
            part.add_lowered(y + left_out, product, k, 1);
        }
    }
}

// a rounded to a format, to the nearest, ties to even; zeros have the sign of a. What is beyond the range of the format is
// left to Element<T>::round.
__device__ __forceinline__ double rounded(const Wide& wide, unsigned* a, Format format) {
    const bool negative = wide.negative(a);
    if (negative) wide.negate(a);
    const double sign = negative ? -1.0 : 1.0;
    const int power = wide.length(a) - 1 - wide.bits();
    const int quantum = max(power - (format.digits - 1), format.least);
    if (power < format.least - 1) return __dmul_rn(sign, 0.0);
    // The result and one bit more.
    bool below;
    unsigned long long number = wide.bits_from(a, quantum - 1 + wide.bits(), below);
    const bool half = number & 1;
    number >>= 1;
    number += half && (below || (number & 1));
    const int first = quantum / 2;
    const double scaled = __dmul_rn(static_cast<double>(number), __hiloint2double((1023 + first) << 20, 0));
    return __dmul_rn(__dmul_rn(scaled, __hiloint2double((1023 + quantum - first) << 20, 0)), sign);
}
