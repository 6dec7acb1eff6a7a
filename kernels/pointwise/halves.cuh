// float16 and bfloat16 as CuPy has them: numbers that become float in any arithmetic, and are rounded when stored. It
// stands for cupy/float16.cuh and cupy/bfloat16.cuh where CuPy is not installed.
#pragma once
#include <cuda_bf16.h>
#include <cuda_fp16.h>

template <typename Storage>
class Half {
public:
    __device__ Half() {}
    __device__ Half(float value) : data_(value) {}
    explicit __device__ Half(double value) : data_(value) {}
    template <typename T>
    explicit __device__ Half(T value) : data_(static_cast<float>(value)) {}

    __device__ operator float() const { return static_cast<float>(data_); }

    template <typename T>
    __device__ Half& operator=(T value) { return *this = Half(value); }
    Half& operator=(const Half&) = default;

private:
    Storage data_;
};

using float16 = Half<__half>;
using bfloat16 = Half<__nv_bfloat16>;

template <typename T>
__device__ float16& operator+=(float16& x, T y) { return x = x + y; }
template <typename T>
__device__ float16& operator-=(float16& x, T y) { return x = x - y; }
template <typename T>
__device__ float16& operator*=(float16& x, T y) { return x = x * y; }
template <typename T>
__device__ float16& operator/=(float16& x, T y) { return x = x / y; }
