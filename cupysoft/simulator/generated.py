"""What `ElementwiseKernel` and `ReductionKernel` share: their parameters, and a kernel for each kind of arguments."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..errors import LaunchError
from .kernels import RawKernel
from .signature import array_or_scalar, checked_name, parsed

__all__ = ["GeneratedKernels"]


class GeneratedKernels:
    """Kernels of one operation, whose text is made when their kind of arguments is met.

    Parameters
    ----------
    name : str
    in_params, out_params : str
    preamble : str
        CUDA C++ in front of each.
    options : tuple of str
        Options of the compiler.
    """

    def __init__(self, name: str, in_params: str, out_params: str, preamble: str, options: tuple[str, ...]) -> None:
        self.name = self.__name__ = checked_name(name)
        self.in_params = parsed(name, in_params, const=True)
        self.out_params = parsed(name, out_params, const=False)
        self.params = self.in_params + self.out_params
        self.nin, self.nout, self.nargs = len(self.in_params), len(self.out_params), len(self.params)
        self.preamble, self.options = preamble, options
        self._kernels: dict[str, RawKernel] = {}
        self._codes: dict[tuple[type, ...], str] = {}

    @property
    def cached_codes(self) -> dict[tuple[type, ...], str]:
        """The text that was made last for each tuple of the inputs' scalar types."""
        return dict(self._codes)

    @property
    def cached_code(self) -> str:
        """The text that was made for the first types that were met."""
        if not self._codes:
            raise LaunchError(f"{self.name}: there is no code before the first call; it depends on the arguments")
        return next(iter(self._codes.values()))

    def _given(self, args: tuple[Any, ...]) -> list[Any]:
        """Each parameter's argument; None for an output that is to be made."""
        if len(args) not in (self.nin, self.nargs):
            raise LaunchError(
                f"{self.name}: {len(args)} arguments were given; it takes {self.nin} inputs, and {self.nout} outputs"
                " if any"
            )
        for parameter, value in zip(self.in_params, args, strict=False):
            array_or_scalar(f"{self.name}: {parameter.name}", value)
        return [*args, *[None] * (self.nargs - len(args))]

    def _kernel(self, text: str, placeholders: dict[str, np.dtype[Any]]) -> RawKernel:
        """The kernel of a text, made for these dtypes of the placeholders."""
        types = tuple((each.dtype or placeholders[each.type]).type for each in self.in_params)
        self._codes[types] = text
        kernel = self._kernels.get(text)
        if kernel is None:
            kernel = self._kernels[text] = RawKernel(text, self.name, self.options)
        return kernel
