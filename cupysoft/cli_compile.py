"""The command ``compile``: kernels into the cache, for machines without a compiler."""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cupysoft.runtime.plan import KernelRef

__all__ = ["add_to", "named", "run"]

# What attention is compiled for where no shapes are given: head_dim, and numbers of queries, few and many.
_HEAD_DIMS, _QUERIES, _KEYS = (64, 128), (1, 4096), 4096
_ATTENTION = ("q", "k", "v", "mask", "bias", "bias_dtype", "kv_lengths", "scale", "softcap", "precision")


def add_to(commands: Any) -> None:
    """Add the command to a parser's commands."""
    ahead = commands.add_parser("compile", help="compile kernels into the cache, for machines without a compiler")
    ahead.set_defaults(command=run)
    ahead.add_argument("--arch", action="append", required=True, metavar="sm_90", help="architecture; may be repeated")
    ahead.add_argument("--dtype", action="append", metavar="float32", help="element type; may be repeated (all)")
    ahead.add_argument("--columns", action="append", type=int, metavar="1000", help="row length; may be repeated (all)")
    ahead.add_argument("--kind", choices=("cubin", "ptx"), default="cubin", help="ptx is for the simulated device")
    ahead.add_argument(
        "--operation", action="append", metavar="softmax", help="operation, attention too; may be repeated (all)"
    )
    exact = ahead.add_argument_group("one shape, instead of row lengths")
    exact.add_argument("--shape", type=_sizes, metavar="8,64,100", help="shape of the input")
    exact.add_argument("--axis", type=_axis, default=-1, metavar="0,2", help="reduced axes, or none for all (-1)")
    exact.add_argument("--b", type=_sizes, metavar="100", help="shape of logsumexp's weights")
    exact.add_argument("--return-sign", action="store_true", help="logsumexp with its sign")
    call = ahead.add_argument_group("one call of attention, instead of calls without options of head_dim 64 and 128")
    for name in ("q", "k", "v", "mask", "bias", "kv-lengths"):
        call.add_argument(f"--{name}", type=_sizes, metavar="2,8,100,64", help=f"shape of {name.replace('-', '_')}")
    call.add_argument("--bias-dtype", metavar="float32", help="element type of the bias (that of q)")
    call.add_argument("--precision", metavar="ieee", help="of float32: tf32x3, ieee or tf32 (tf32x3)")
    call.add_argument("--scale", type=float, metavar="0.1", help="as in the call: its sign matters")
    call.add_argument("--softcap", type=float, metavar="30", help="as in the call: whether there is one matters")


def named(message: str) -> str:
    """Put the command in the place of the functions that check the same arguments."""
    return re.sub(r"^warmup(_attention)?: ", "compile: ", message)


def run(options: argparse.Namespace) -> int:
    """Compile; 0 if there is a folder for it."""
    from cupysoft.runtime.ahead import Compilation, compile_all

    def progress(step: Compilation) -> None:
        print(f"[{step.done}/{step.total}] {step.arch} {step.kernel.name}", flush=True)

    done = [
        each
        for arch in dict.fromkeys(options.arch)
        for each in compile_all([arch], tuple(_kernels(options, arch)), progress, options.kind)
    ]
    folder = next((each.result.path.parent for each in done if each.result.path is not None), None)
    print(f"{len(done)} kernels in {folder or 'no folder: the cache is in memory only (see CUPYSOFT_CACHE_DIR)'}")
    return 0 if folder else 1


def _kernels(options: argparse.Namespace, arch: str) -> Iterator[KernelRef]:
    """What the words ask for."""
    from cupysoft.errors import ShapeError

    if any(getattr(options, name) is not None for name in _ATTENTION):
        if options.q is None or options.k is None:
            raise ShapeError("compile: a call of attention is described by --q and --k at least")
        if options.operation not in (None, ["attention"]) or options.shape or options.columns:
            raise ShapeError(
                "compile: --q and what goes with it describe attention; other operations are another command"
            )
        yield from _of_call(options, arch)
        return
    others = options.operation and [each for each in options.operation if each != "attention"]
    if others is None or others:
        yield from _of_softmax(options, others, arch)
    everything = options.operation is None and options.shape is None and options.columns is None
    if everything or "attention" in (options.operation or ()):
        yield from _of_attention(options.dtype, arch)


def _of_softmax(options: argparse.Namespace, operations: list[str] | None, arch: str) -> tuple[KernelRef, ...]:
    from cupysoft.errors import ShapeError
    from cupysoft.ops.calls import OPERATIONS, kernels_of
    from cupysoft.ops.warmup_arguments import DTYPES, all_calls, calls_of, known_dtypes

    if options.shape is not None:
        calls = calls_of(
            operations or OPERATIONS,
            options.dtype or "float32",
            options.columns,
            shape=options.shape,
            axis=options.axis,
            b=False if options.b is None else options.b,
            return_sign=options.return_sign,
        )
    elif options.b is not None or options.return_sign or options.axis != -1:
        raise ShapeError(
            "compile: --axis, --b and --return-sign belong to --shape; without it all of them are compiled"
        )
    else:
        if options.dtype is None and known_dtypes() != DTYPES:
            print("cupysoft: bfloat16 is left out; it comes with: pip install ml_dtypes", file=sys.stderr)
        calls = all_calls(operations, options.dtype, options.columns)
    return kernels_of(calls, arch)


def _of_attention(dtypes: list[str] | None, arch: str) -> Iterator[KernelRef]:
    """Calls without options, of contiguous arrays of a batch and heads."""
    from cupysoft.ops.warmup_arguments import known_dtypes
    from cupysoft.ops.warmup_attention import kernels_of_attention

    for dtype in dtypes or [name for name in known_dtypes() if not name.startswith("complex")]:
        for dim in _HEAD_DIMS:
            for queries in _QUERIES:
                shapes = {"q": (2, 2, queries, dim), "k": (2, 2, _KEYS, dim), "v": (2, 2, _KEYS, dim)}
                yield from kernels_of_attention(arch, shapes, dtype, {})


def _of_call(options: argparse.Namespace, arch: str) -> Iterator[KernelRef]:
    import numpy as np

    from cupysoft.ops.warmup_attention import kernels_of_attention

    shapes = {"q": options.q, "k": options.k, "v": options.k if options.v is None else options.v}
    for dtype in options.dtype or ["float32"]:
        extra = {"mask": np.bool_, "bias": options.bias_dtype or dtype, "kv_lengths": np.int64}
        given = {name: (shape, of) for name, of in extra.items() if (shape := getattr(options, name)) is not None}
        call = {"scale": options.scale, "softcap": options.softcap, "precision": options.precision}
        yield from kernels_of_attention(arch, shapes, dtype, given, **call)


def _sizes(text: str) -> tuple[int, ...]:
    try:
        return tuple(map(int, filter(None, text.split(","))))
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} does not list integers, as 8,64,100 does") from None


def _axis(text: str) -> int | tuple[int, ...] | None:
    if text == "none":
        return None
    axes = _sizes(text)
    return axes if "," in text else axes[0]
