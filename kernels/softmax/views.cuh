// Where the elements are: rows and columns of strided views, by value.
//
// A row is an index over the BATCH axes, a column an index over the REDUCED axes, innermost axis first; axes that are not
// needed have size 1 and stride 0. ARRAYS arrays are seen jointly, each with its own strides, in elements of that array.
// All fields are 64-bit, so the structure is the same bytes to the compiler and to NumPy.
#pragma once

template <int ARRAYS, int BATCH, int REDUCED>
struct View {
    static constexpr int REDUCED_AXES = REDUCED;
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

    template <int ARRAY>
    __device__ __forceinline__ long long column(long long index) const {
        return offset<REDUCED>(index, reduced_size, reduced_stride[ARRAY]);
    }

  private:
    template <int AXES>
    __device__ static __forceinline__ long long offset(long long index, const long long (&size)[AXES],
                                                       const long long (&stride)[AXES]) {
        long long result = 0;
#pragma unroll
        for (int axis = 0; axis < AXES - 1; axis++) {
            const long long outer = index / size[axis];
            result += (index - outer * size[axis]) * stride[axis];
            index = outer;
        }
        return result + index * stride[AXES - 1];
    }
};
