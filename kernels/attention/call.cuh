// One call of attention as the kernels see it: sizes, strides, and which keys a query may attend to.
//
// Rows are queries; or, where heads that share keys and values have one query each, these heads. All fields have 64 bits, so
// the structure is the same bytes to the compiler and to NumPy.
#pragma once

enum Role { Q, K, V, OUT, LSE, MASK, BIAS, LENGTHS, ROLES };

// The keys first <= key < last.
struct Span {
    int first;
    int last;
};

template <int AXES>
struct Call {
    static constexpr int BATCH_AXES = AXES;
    long long q_len;
    long long kv_len;
    long long head_dim;
    long long value_dim;
    long long left, right;        // how far from the diagonal keys take part, the ends included
    long long top_left;           // whether the diagonal starts at the first key rather than end at the last
    long long part;               // keys of a part, where keys are shared out over blocks, else all
    long long parts;
    double multiplier, softcap;   // what a product and then its tanh are multiplied by
    double factor;                // of a number, to make it an exponent of two
    double natural;               // of a number, to make it a score
    long long size[AXES];         // of the batch, innermost first
    long long batch_stride[ROLES][AXES];
    long long stride[ROLES][2];   // along queries or keys, and along what is left

    // Where a batch begins in an array.
    template <int ROLE>
    __device__ __forceinline__ long long start(long long batch) const {
        long long result = 0;
#pragma unroll
        for (int axis = 0; axis < AXES - 1; axis++) {
            const long long outer = batch / size[axis];
            result += (batch - outer * size[axis]) * batch_stride[ROLE][axis];
            batch = outer;
        }
        return result + batch * batch_stride[ROLE][AXES - 1];
    }

    // Where a row begins in a batch of an array.
    template <int ROLE>
    __device__ __forceinline__ long long row(int index) const {
        return index * stride[ROLE][0];
    }

    // How many keys the queries of a batch have.
    __device__ __forceinline__ int keys(const long long* kv_lengths, long long batch) const {
        if (kv_lengths == nullptr) return static_cast<int>(kv_len);
        const long long length = kv_lengths[start<LENGTHS>(batch)];
        return static_cast<int>(length < 0 ? 0 : length < kv_len ? length : kv_len);
    }

    // The keys that the place of a query allows; empty for a row that is none.
    __device__ __forceinline__ Span span(int index, int keys) const {
        return index < q_len ? reach(index, index, keys) : Span{0, 0};
    }

    // The keys that any row of a tile may attend to.
    __device__ __forceinline__ Span span_of_any(int first_row, int rows_of_tile, int keys) const {
        const long long end = first_row + rows_of_tile;
        return reach(first_row, (end < q_len ? end : q_len) - 1, keys);
    }

    // The keys that all rows of a tile may attend to, as far as their places say.
    __device__ __forceinline__ Span span_of_all(int first_row, int rows_of_tile, int keys) const {
        const long long end = first_row + rows_of_tile;
        return reach((end < q_len ? end : q_len) - 1, first_row, keys);
    }

    // What of that lies in one part of the keys.
    __device__ __forceinline__ Span in_part(Span span, long long index) const {
        const long long first = index * part, last = first + part;
        return {static_cast<int>(span.first > first ? span.first : first),
                static_cast<int>(span.last < last ? span.last : last)};
    }

  private:
    // From the first key of one query to the last of another.
    __device__ __forceinline__ Span reach(long long low, long long high, int keys) const {
        const long long diagonal = top_left ? 0 : keys - q_len;
        const long long first = low + diagonal - left;
        const long long last = high + diagonal + right + 1;
        return {static_cast<int>(first < 0 ? 0 : first < keys ? first : keys),
                static_cast<int>(last < 0 ? 0 : last < keys ? last : keys)};
    }
};

// Which rows and which keys a block has. It waits in shared memory for the end of the kernel: registers are scarce until
// then.
struct BlockPlace {
    long long batch;
    long long part;
    int first_row;

    template <typename CALL>
    __device__ static __forceinline__ BlockPlace of(const CALL& call, int block_rows) {
        const int tiles = static_cast<int>((call.q_len + block_rows - 1) / block_rows);
        const long long tile = blockIdx.x / call.parts;
        const long long batch = tile / tiles;
        // The last rows first: with a causal mask they have most keys.
        return {batch, blockIdx.x - tile * call.parts,
                (tiles - 1 - static_cast<int>(tile - batch * tiles)) * block_rows};
    }
};
