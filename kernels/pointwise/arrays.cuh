// What the operation of an ElementwiseKernel or a ReductionKernel may ask of its arrays, under CuPy's names. It stands
// for cupy/carray.cuh where CuPy is not installed.
//
//   CArray<T, NDIM, CONTIGUOUS, NARROW>   an array of any strides: a[i] in C order, a[{i, j}], size(), shape(), strides()
//   CIndexer<NDIM, NARROW>                where a thread is in the shape that all arrays have: set(i), get()
//
// NARROW says that 32 bits do for every offset in bytes. A thread has its own copies of both, in registers.
#pragma once
#include <math_constants.h>

#ifndef M_PI
#define M_PI 3.14159265358979323846
#endif
#define CUPY_FOR(i, n)                                                                        \
    for (ptrdiff_t i = blockIdx.x * static_cast<ptrdiff_t>(blockDim.x) + threadIdx.x; i < (n); \
         i += gridDim.x * static_cast<ptrdiff_t>(blockDim.x))

template <bool NARROW>
struct Offset {
    using Type = ptrdiff_t;
    using Unsigned = unsigned long long;
};
template <>
struct Offset<true> {
    using Type = int;
    using Unsigned = unsigned int;
};

template <typename T, int NDIM, bool CONTIGUOUS = false, bool NARROW = false>
class CArray {
public:
    static const int ndim = NDIM;
    static const bool c_contiguous = CONTIGUOUS;
    using index_t = typename Offset<NARROW>::Type;

    // Of a contiguous array the strides follow from the shape.
    template <typename Int>
    __device__ CArray(T* data, const Int* shape) : data_(data), size_(1) {
        for (int axis = NDIM - 1; axis >= 0; --axis) {
            shape_[axis] = shape[axis];
            strides_[axis] = size_ * sizeof(T);
            size_ *= shape[axis];
        }
    }
    template <typename Int>
    __device__ CArray(T* data, const Int* shape, const Int* strides) : data_(data), size_(1) {
        for (int axis = 0; axis < NDIM; ++axis) {
            shape_[axis] = shape[axis];
            strides_[axis] = strides[axis];
            size_ *= shape[axis];
        }
    }

    __device__ ptrdiff_t size() const { return size_; }
    __device__ const ptrdiff_t* shape() const { return shape_; }
    __device__ const ptrdiff_t* strides() const { return strides_; }

    __device__ T& operator[](ptrdiff_t i) { return *place(i); }
    __device__ const T& operator[](ptrdiff_t i) const { return *place(i); }
    template <typename Int>
    __device__ T& operator[](const Int (&index)[NDIM]) { return *place(&index[0]); }
    template <typename Int>
    __device__ const T& operator[](const Int (&index)[NDIM]) const { return *place(&index[0]); }
    template <typename Int>
    __device__ T& operator[](std::initializer_list<Int> index) { return *place(index.begin()); }
    template <typename Int>
    __device__ const T& operator[](std::initializer_list<Int> index) const { return *place(index.begin()); }

private:
    template <typename Int>
    __device__ T* place(const Int* index) const {
        index_t bytes = 0;
        for (int axis = 0; axis < NDIM; ++axis)
            bytes += static_cast<index_t>(strides_[axis]) * static_cast<index_t>(index[axis]);
        return reinterpret_cast<T*>(reinterpret_cast<char*>(data_) + bytes);
    }
    __device__ T* place(ptrdiff_t i) const {
        if (CONTIGUOUS) return data_ + i;
        index_t rest = static_cast<index_t>(i), bytes = 0;
        for (int axis = NDIM - 1; axis > 0; --axis) {
            const index_t size = static_cast<index_t>(shape_[axis]);
            bytes += static_cast<index_t>(strides_[axis]) * (rest % size);
            rest /= size;
        }
        return reinterpret_cast<T*>(reinterpret_cast<char*>(data_) + bytes + static_cast<index_t>(strides_[0]) * rest);
    }

    T* data_;
    ptrdiff_t size_;
    ptrdiff_t shape_[NDIM];
    ptrdiff_t strides_[NDIM];
};

// A single element: whatever the index, it is meant.
template <typename T, bool NARROW>
class CArray<T, 0, true, NARROW> {
public:
    static const int ndim = 0;

    __device__ explicit CArray(T* data) : data_(data) {}

    __device__ ptrdiff_t size() const { return 1; }
    __device__ const ptrdiff_t* shape() const { return nullptr; }
    __device__ const ptrdiff_t* strides() const { return nullptr; }
    template <typename Index>
    __device__ T& operator[](const Index&) { return *data_; }
    template <typename Index>
    __device__ const T& operator[](const Index&) const { return *data_; }

private:
    T* data_;
};

template <int NDIM, bool NARROW = false>
class CIndexer {
public:
    static const int ndim = NDIM;

    template <typename Int>
    __device__ explicit CIndexer(const Int* shape) : size_(1) {
        for (int axis = 0; axis < NDIM; ++axis) {
            shape_[axis] = shape[axis];
            index_[axis] = 0;
            size_ *= shape[axis];
        }
    }

    __device__ ptrdiff_t size() const { return size_; }
    __device__ const ptrdiff_t (&get() const)[NDIM] { return index_; }
    __device__ void set(ptrdiff_t i) {
        using Rest = typename Offset<NARROW>::Unsigned;
        Rest rest = static_cast<Rest>(i);
        for (int axis = NDIM - 1; axis > 0; --axis) {
            const Rest size = static_cast<Rest>(shape_[axis]);
            index_[axis] = rest % size;
            rest /= size;
        }
        index_[0] = NDIM == 1 ? i : rest;
    }

private:
    ptrdiff_t size_;
    ptrdiff_t shape_[NDIM];
    ptrdiff_t index_[NDIM];
};

template <bool NARROW>
class CIndexer<0, NARROW> {
public:
    static const int ndim = 0;

    __device__ ptrdiff_t size() const { return 1; }
    __device__ const ptrdiff_t* get() const { return nullptr; }
    __device__ void set(ptrdiff_t) {}
};
