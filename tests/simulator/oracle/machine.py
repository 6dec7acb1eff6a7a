"""Runs a kernel's threads one after the other, each as far as it gets, until all have ended."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np

from tests.simulator.harness import Array
from tests.simulator.oracle.instructions import decode
from tests.simulator.oracle.reader import Function, Text, read
from tests.simulator.oracle.thread import LOCAL, SHARED, Arrival, Frame, Memory, Step, Thread
from tests.simulator.oracle.warps import exchange, reduce_block

__all__ = ["run"]

#: A thread that runs longer than this is taken to spin for ever.
_PATIENCE = 20_000


def run(
    ptx: str,
    name: str,
    grid: tuple[int, int, int],
    block: tuple[int, int, int],
    arguments: Sequence[Array | np.generic],
    dynamic: int = 0,
) -> None:
    """Run a kernel on contiguous arrays and NumPy scalars, in place."""
    module = read(ptx)
    kernel = module.functions[name]
    code = {
        id(function): [decode(statement, function, module) for statement in function.code]
        for function in module.functions.values()
    }
    memory = Memory()
    symbols = {
        key: memory.add(memoryview(bytearray(variable.content)))
        for key, variable in module.variables.items()
        if variable.space in ("global", "const")
    }
    passed = [_bytes_of(each, memory) for each in arguments]
    parameters = dict(zip(kernel.parameters, passed, strict=True))
    for z, y, x in itertools.product(*map(range, reversed(grid))):
        special = {"%ctaid.x": x, "%ctaid.y": y, "%ctaid.z": z}
        for axis, letter in enumerate("xyz"):
            special |= {f"%nctaid.{letter}": grid[axis], f"%ntid.{letter}": block[axis]}
        _Block(module, kernel, code, memory, symbols, parameters, special, block, dynamic).run()


def _bytes_of(argument: Array | np.generic, memory: Memory) -> bytearray:
    if isinstance(argument, np.ndarray):
        return bytearray(memory.add(argument.data.cast("B")).to_bytes(8, "little"))
    return bytearray(argument.tobytes())


class _Block:
    """The threads of one block."""

    def __init__(
        self,
        module: Text,
        kernel: Function,
        code: dict[int, list[Step]],
        memory: Memory,
        symbols: dict[str, int],
        parameters: dict[str, bytearray],
        special: dict[str, int],
        block: tuple[int, int, int],
        dynamic: int,
    ) -> None:
        self.code = code
        places = {"shared": 0, "local": 0}
        symbols = dict(symbols)
        for name, variable in {**module.variables, **kernel.variables}.items():
            if variable.space in places:
                start = -(-places[variable.space] // 16) * 16
                symbols[name], places[variable.space] = start, start + (variable.size or dynamic)
        shared = memoryview(bytearray(places["shared"]))
        self.threads = []
        for number in range(block[0] * block[1] * block[2]):
            segments = {SHARED >> 40: shared, LOCAL >> 40: memoryview(bytearray(places["local"]))}
            own = _places(number, block)
            frame = Frame(kernel, 0, dict(parameters))
            space = Memory({**memory.segments, **segments})
            self.threads.append(Thread(number, {**special, **own}, space, symbols, [frame]))

    def run(self) -> None:
        """Run to the end; RuntimeError says that nobody can go on."""
        while any(not thread.exited for thread in self.threads):
            for thread in self.threads:
                if not thread.exited and thread.arrival is None:
                    self._advance(thread)
            if not (self._warps() | self._barriers()) and any(not thread.exited for thread in self.threads):
                raise RuntimeError("the threads wait for one another for ever")

    def _advance(self, thread: Thread) -> None:
        for _ in range(_PATIENCE):
            frame = thread.frames[-1]
            code = self.code[id(frame.function)]
            result = code[frame.place](thread)
            thread.exited = not thread.frames
            if thread.exited:
                return
            if isinstance(result, Arrival):
                thread.arrival = result
                return
            if result is None:
                thread.frames[-1].place += 1
            else:
                frame.place = result
        raise RuntimeError(f"thread {thread.number} does not end")

    def _warps(self) -> bool:
        """Let the groups of lanes go on that are complete, and tell whether there was one."""
        groups: dict[Any, dict[int, Thread]] = {}
        for thread in self.threads:
            if thread.arrival is not None and thread.arrival.barrier < 0:
                key = (thread.number // 32, id(thread.arrival.statement), thread.arrival.mask)
                groups.setdefault(key, {})[thread.number % 32] = thread
        found = False
        for (warp, _, mask), lanes in groups.items():
            mates = self.threads[32 * warp : 32 * warp + 32]
            living = {thread.number % 32 for thread in mates if not thread.exited and mask >> thread.number % 32 & 1}
            if living == set(lanes):
                arrival = next(iter(lanes.values())).arrival
                assert arrival is not None
                exchange(arrival, lanes)
                self._release(list(lanes.values()))
                found = True
        return found

    def _barriers(self) -> bool:
        """Open the barriers at which as many threads are as they wait for; without a count, all that live."""
        groups: dict[int, list[Thread]] = {}
        for thread in self.threads:
            if thread.arrival is not None and thread.arrival.barrier >= 0:
                groups.setdefault(thread.arrival.barrier, []).append(thread)
        living = sum(not thread.exited for thread in self.threads)
        found = False
        for waiting in groups.values():
            count = max(thread.arrival.count for thread in waiting if thread.arrival is not None)
            if len(waiting) == (count or living):
                reduce_block(waiting)
                self._release(waiting)
                found = True
        return found

    def _release(self, threads: list[Thread]) -> None:
        for thread in threads:
            thread.arrival = None
            thread.frames[-1].place += 1


def _places(number: int, block: tuple[int, int, int]) -> dict[str, int]:
    """Special registers that differ from thread to thread."""
    lane = number % 32
    return {
        "%tid.x": number % block[0],
        "%tid.y": number // block[0] % block[1],
        "%tid.z": number // (block[0] * block[1]),
        "%laneid": lane,
        "%lanemask_eq": 1 << lane,
        "%lanemask_lt": (1 << lane) - 1,
        "%lanemask_le": (2 << lane) - 1,
        "%lanemask_gt": (-(2 << lane)) & 0xFFFFFFFF,
        "%lanemask_ge": (-(1 << lane)) & 0xFFFFFFFF,
    }
