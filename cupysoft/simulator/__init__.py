"""The device without a GPU: the PTX of CUDA kernels, translated to machine code and run on the CPU."""

from __future__ import annotations

from .device import Device, current
from .elementwise import ElementwiseKernel
from .from_cupy import from_cupy
from .kernels import RawKernel, RawModule
from .reduction import ReductionKernel

__all__ = ["Device", "ElementwiseKernel", "RawKernel", "RawModule", "ReductionKernel", "current", "from_cupy"]
