"""Kernels that tests add to a source, to ask its functions what they give."""

from __future__ import annotations

from cupysoft import simulator
from cupysoft.runtime.compile import compile
from cupysoft.runtime.sources import source

__all__ = ["launched"]


def launched(path: str, asked: str, kernel: str, threads: int, *arguments: object, seed: int | None = None) -> None:
    """Run a block of a kernel that `asked` adds to the source at `path`."""
    made = compile(source(path) + asked, name="asked.cu", arch="sm_90")
    simulator.Device(fast=False, seed=seed).launch(made, kernel, (1, 1, 1), (threads, 1, 1), [*arguments])
