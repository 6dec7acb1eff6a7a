// Where the elements are: rows and columns of strided views, by value.
//
// A row is an index over the BATCH axes, a column an index over the REDUCED axes, innermost axis first; axes that are not
// needed have size 1 and stride 0. ARRAYS arrays are seen jointly, each with its own strides, in elements of that array.
// All fields are 64-bit, so the structure is the same bytes to the compiler and to NumPy.
#pragma once

template <int ARRAYS, int BATCH, int REDUCED>
struct View {
    static constexpr int COUNT = ARRAYS;
    static constexpr int REDUCED_AXES = REDUCED;
    // Blocks that __launch_bounds__ asks a multiprocessor to hold: the compiler's choice (0), but where divisions by the
    // sizes of axes crowd the registers, no more than one, so that it does not spill for the sake of a second.
    static constexpr int BLOCKS = BATCH > 1 || REDUCED > 1 ? 1 : 0;

    long long rows;
    long long columns;
    long long batch_size[BATCH];
    long long batch_stride[ARRAYS][BATCH];
    long long reduced_size[REDUCED];
    long long reduced_stride[ARRAYS][REDUCED];

    template <int ARRAY>
    __device__ __forceinline__ long long row(long long index) const {
        return offset<BATCH>(index, batch_size, batch_stride[ARRAY]);
    }

    // An int where the row is short enough to be held: its divisions take a third of the registers.
    template <int ARRAY, typename INDEX>
    __device__ __forceinline__ long long column(INDEX index) const {
        return offset<REDUCED>(index, reduced_size, reduced_stride[ARRAY]);
    }

    // Of all arrays at once, by the same divisions: short to compile.
    __device__ __forceinline__ void row_of_all(long long index, long long (&place)[ARRAYS]) const {
        offsets<BATCH>(index, batch_size, batch_stride, place);
    }
    __device__ __forceinline__ void column_of_all(long long index, long long (&place)[ARRAYS]) const {
        offsets<REDUCED>(index, reduced_size, reduced_stride, place);
    }

  private:
    template <int AXES>
    __device__ static __forceinline__ void offsets(long long index, const long long (&size)[AXES],
                                                   const long long (&stride)[ARRAYS][AXES],
                                                   long long (&place)[ARRAYS]) {
#pragma unroll
        for (int array = 0; array < ARRAYS; array++) place[array] = 0;
#pragma unroll
        for (int axis = 0; axis < AXES; axis++) {
            // What is left for the last axis is its own; and where nothing is left, nothing needs to be divided.
            const long long outer = axis == AXES - 1 || index < size[axis] ? 0 : index / size[axis];
#pragma unroll
            for (int array = 0; array < ARRAYS; array++) place[array] += (index - outer * size[axis]) * stride[array][axis];
            index = outer;
        }
    }

    template <int AXES, typename INDEX>
    __device__ static __forceinline__ long long offset(INDEX index, const long long (&size)[AXES],
                                                       const long long (&stride)[AXES]) {
        long long result = 0;
#pragma unroll
        for (int axis = 0; axis < AXES - 1; axis++) {
            const INDEX extent = static_cast<INDEX>(size[axis]);
            const INDEX outer = index / extent;
            result += (index - outer * extent) * stride[axis];
            index = outer;
        }
        return result + index * stride[AXES - 1];
    }
};
