// Elements of a type that a kernel is told when it runs, so that one text serves all types.
#pragma once
#include "numerics/elements.cuh"

enum Type { FLOAT16, BFLOAT16, FLOAT32, FLOAT64 };

struct AnyElements {
    void* first;
    Type type;

    __device__ __forceinline__ Format format() const {
        if (type == FLOAT16) return format_of<Float16>();
        if (type == BFLOAT16) return format_of<Bfloat16>();
        return type == FLOAT32 ? format_of<float>() : format_of<double>();
    }
    __device__ __forceinline__ AnyElements operator+(long long offset) const {
        const int shift = type == FLOAT64 ? 3 : type == FLOAT32 ? 2 : 1;
        return {static_cast<char*>(first) + (offset << shift), type};
    }
    __device__ __forceinline__ double load(long long at) const {
        if (type == FLOAT16) return element<Float16>(at);
        if (type == BFLOAT16) return element<Bfloat16>(at);
        return type == FLOAT32 ? element<float>(at) : element<double>(at);
    }
    __device__ __forceinline__ void store(long long at, double value) const {
        if (type == FLOAT16) put<Float16>(at, value);
        else if (type == BFLOAT16) put<Bfloat16>(at, value);
        else if (type == FLOAT32) put<float>(at, value);
        else put<double>(at, value);
    }

  private:
    template <typename T>
    __device__ __forceinline__ double element(long long at) const {
        return widen(Element<T>::load(static_cast<const T*>(first)[at]));
    }
    template <typename T>
    __device__ __forceinline__ void put(long long at, double value) const {
        static_cast<T*>(first)[at] = Element<T>::round(value);
    }
};
