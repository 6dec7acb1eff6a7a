"""What a launch can reach: the arrays among its arguments and its module's variables, and the addresses they get."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import numpy.typing as npt

from ..forking import unforked
from .arguments import Region
from .checks.layout import ALLOCATION_FIELDS, FIRST_ALLOCATION, WINDOW_SHIFT, AllocationField, window
from .fresh import flags_at
from .ptx import Variable

__all__ = ["AddressMap", "Variables"]


class Variables:
    """Global and constant variables of one loaded module; they keep their contents from launch to launch.

    A variable has a window of its own, the same in every launch, so that a pointer to it may be kept in memory.
    """

    def __init__(self) -> None:
        self._storage: dict[str, npt.NDArray[np.uint8]] = {}
        self._regions: dict[str, Region] = {}
        self._numbers: dict[str, int] = {}
        self._pointers: dict[str, Variable] = {}
        self._checked: bool | None = None
        self._lock = threading.Lock()

    def require(self, variables: Sequence[Variable], checked: bool) -> list[int]:
        """Addresses of `variables`, which come into being where they are new."""
        with unforked(), self._lock:
            for variable in variables:
                if variable.name not in self._storage:
                    self._create(variable)
                    self._checked = None
        self.relocate(checked)
        return [self.address(variable.name, checked) for variable in variables]

    def relocate(self, checked: bool) -> None:
        """Write the addresses that initialisers ask for; checked and unchecked kernels know different ones."""
        if self._checked is not checked:
            with unforked(), self._lock:
                self._relocate(checked)
                self._checked = checked

    def view(self, name: str) -> npt.NDArray[np.uint8]:
        """The bytes of a variable."""
        return self._storage[name]

    def address(self, name: str, checked: bool) -> int:
        """Address that kernels know the variable by."""
        return window(self._numbers[name], 0) if checked else self._regions[name].address

    def number(self, name: str) -> int:
        """Number of a variable's window."""
        return self._numbers[name]

    @property
    def regions(self) -> list[Region]:
        """Every variable, in the order of the windows."""
        return list(self._regions.values())

    def _create(self, variable: Variable) -> None:
        align = max(variable.align, 256)
        block = np.zeros(variable.size + align, np.uint8)
        start = -_address_of(block) % align
        storage = block[start : start + variable.size]
        initial = np.frombuffer(variable.initial, np.uint8)
        storage[: initial.size] = initial
        size = variable.size
        self._numbers[variable.name] = FIRST_ALLOCATION + len(self._storage)
        self._storage[variable.name] = storage
        self._regions[variable.name] = Region(variable.name, _address_of(storage), size, 0, True, 0, 0, size)
        if variable.relocations:
            self._pointers[variable.name] = variable

    def _relocate(self, checked: bool) -> None:
        for name, variable in self._pointers.items():
            for place in variable.relocations:
                if place.symbol in self._storage:
                    value = self.address(place.symbol, checked) + place.addend
                    raw = value.to_bytes(8, "little")[: place.size]
                    self._storage[name][place.offset : place.offset + place.size] = np.frombuffer(raw, np.uint8)


class _Windows:
    """Which window each array has, so that a pointer that one launch leaves in memory is good in the next one too.

    The arrays that were passed last keep theirs, `most` of them, whatever is passed beside them.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._places: OrderedDict[tuple[int, int], int] = OrderedDict()
        self._lock = threading.Lock()

    def of(self, extents: Sequence[tuple[int, int]]) -> list[int]:
        """Numbers of the arrays of a launch, given by address and size; equal ones have the same."""
        with unforked(), self._lock:
            for extent in extents:
                if extent in self._places:
                    self._places.move_to_end(extent)
            for extent in extents:
                if extent not in self._places:
                    full = len(self._places) >= max(self._most, len(extents))
                    self._places[extent] = self._places.popitem(last=False)[1] if full else len(self._places)
            return [self._places[extent] for extent in extents]


_WINDOWS = _Windows(128)
#: Numbers that are left to the variables of a module.
_OF_VARIABLES = 64


@dataclass(frozen=True)
class AddressMap:
    """The regions of one launch, and the table of them that the checks read.

    Attributes
    ----------
    regions : list of Region or None
        By number; None where a number means no array.
    addresses : list of int
        What the kernel gets for each array argument.
    numbers : list of int
        Number of each array argument; the same memory passed twice has one number.
    extra : list of int
        Address of each region that is no argument.
    """

    regions: list[Region | None]
    addresses: list[int]
    numbers: list[int]
    extra: list[int]

    @classmethod
    def build(cls, arguments: Sequence[Region], variables: Variables, extra: Sequence[Region] = ()) -> AddressMap:
        """Give every region a window; `extra` is memory that is neither an argument nor a variable."""
        regions: list[Region | None] = [None] * FIRST_ALLOCATION
        regions += variables.regions
        begin = FIRST_ALLOCATION + _OF_VARIABLES
        while begin < len(regions):
            begin *= 4
        numbers = [begin + place for place in _WINDOWS.of([(each.address, each.size) for each in arguments])]
        regions += [None] * (max(numbers, default=-1) + 1 - len(regions))
        addresses = []
        for number, region in zip(numbers, arguments, strict=True):
            first = regions[number] or region
            if region.writable and not first.writable:
                first = replace(first, writable=True)
            regions[number] = first
            addresses.append(window(number, first.placement) + region.start)
        others = [window(number, region.placement) for number, region in enumerate(extra, len(regions))]
        regions += extra
        return cls(regions, addresses, numbers, others)

    @cached_property
    def table(self) -> npt.NDArray[np.int64]:
        """Rows of `AllocationField`, by number, for the checks."""
        table = np.zeros((len(self.regions), ALLOCATION_FIELDS), np.int64)
        for number, region in enumerate(self.regions):
            if region is not None:
                virtual = window(number, region.placement)
                table[number, AllocationField.VIRTUAL] = virtual
                table[number, AllocationField.SIZE] = region.size
                table[number, AllocationField.DELTA] = region.address - virtual
                table[number, AllocationField.WRITABLE] = region.writable
                table[number, AllocationField.WRITTEN] = flags_at(region.address, region.size)
        return table

    def of(self, address: int) -> tuple[Region, int] | None:
        """The region that a window's address is meant for, and the byte in it."""
        number = address >> WINDOW_SHIFT
        region = self.regions[number] if 0 <= number < len(self.regions) else None
        if region is None:
            return None
        return region, address - window(number, region.placement)

    def at_host(self, address: int) -> tuple[Region, int] | None:
        """A region that holds a host address, the smallest, and the byte in it."""
        known = [each for each in self.regions if each and each.address <= address < each.address + each.size]
        region = min(known, key=lambda each: each.size, default=None)
        return None if region is None else (region, address - region.address)


def _address_of(array: npt.NDArray[np.uint8]) -> int:
    address: int = array.__array_interface__["data"][0]
    return address
