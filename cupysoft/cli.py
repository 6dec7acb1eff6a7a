"""The command line: ``python -m cupysoft demo | info | verify | compile``."""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
from collections.abc import Sequence
from typing import Any

from cupysoft import cli_compile
from cupysoft._version import __version__
from cupysoft.errors import CupysoftError
from cupysoft.tables import text_table

__all__ = ["main", "text_table"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command.

    Parameters
    ----------
    arguments : sequence of str, optional
        Words of the command line; those of the process by default.

    Returns
    -------
    int
        Exit status: 0, or 1 where something failed or did not agree, or 2 where the words were wrong.
    """
    options = _parser().parse_args(arguments)
    try:
        return int(options.command(options))
    except CupysoftError as error:
        message = str(error).removeprefix("cupysoft: ")
        if options.command is cli_compile.run:
            message = cli_compile.named(message)
        print(f"cupysoft: {message}", file=sys.stderr)
        return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m cupysoft", description="Softmax for CuPy and NumPy.")
    parser.add_argument("--version", action="version", version=f"cupysoft {__version__}")
    commands = parser.add_subparsers(required=True, metavar="command")
    demo = commands.add_parser("demo", help="the lesson of the ladder, and every backend beside SciPy, measured")
    demo.set_defaults(command=_demo)
    info = commands.add_parser("info", help="versions, devices, NVRTC, cache folder and size")
    info.set_defaults(command=_info)
    verify = commands.add_parser("verify", help="count results whose bits are not those of the rigorous reference")
    verify.set_defaults(command=_verify)
    verify.add_argument("--elements", type=_number, default=10**6, metavar="1e7", help="elements of input (1e6)")
    verify.add_argument("--seed", type=_seed, default=0, metavar="N", help="seed of the input, 0 or more (0)")
    verify.add_argument(
        "--backend", action="append", metavar="host", help="host, CPU, simulated, GPU; may be repeated (all)"
    )
    verify.add_argument("--dtype", action="append", metavar="float32", help="element type; may be repeated (all)")
    for command in (demo, info, verify):
        command.add_argument("--json", action="store_true", help="print JSON")
    cli_compile.add_to(commands)
    return parser


def _number(text: str) -> int:
    try:
        number = int(float(text))
    except (ValueError, OverflowError):
        number = 0
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of at least 1, as 1e7 is")
    return number


def _seed(text: str) -> int:
    try:
        seed = int(text)
    except ValueError:
        seed = -1
    if seed < 0:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number of at least 0")
    return seed


def _info(options: argparse.Namespace) -> int:
    from cupysoft.info import collect

    found = collect()
    if options.json:
        print(json.dumps(found, indent=2))
        return 0
    for section, content in found.items():
        print(section)
        for name, value in content.items():
            for each in value if isinstance(value, list) and name != "architectures" else [value]:
                print(f"  {name:<14}{_shown(each)}")
    return 0


def _shown(value: Any) -> str:
    if isinstance(value, list):
        return " ".join(map(str, value))
    return "not installed" if value is None else str(value)


def _demo(options: argparse.Namespace) -> int:
    from cupysoft import demo
    from cupysoft.demo_attention import attention_compared

    found = list(demo.backends())
    rungs = demo.ladder() if any(each.name.startswith("simulated") for each in found) else []
    compared = list(demo.comparisons(found))
    attention = list(attention_compared(found))
    agreed = not any(each.differ_scipy or each.differ_reference for each in compared)
    good = all(each.good for each in attention)
    if options.json:
        parts: dict[str, Sequence[Any]] = {"ladder": rungs, "comparisons": compared, "attention": attention}
        content = {name: [dataclasses.asdict(each) for each in part] for name, part in parts.items()}
        print(json.dumps(content, indent=2))
        return 0 if agreed and good else 1
    _print_ladder(rungs)
    _print_comparisons(compared)
    print(f"\n{_verdict(compared) if agreed else 'SOME RESULTS DIFFER.'}\n")
    _print_attention(attention)
    print(f"\n{_ATTENTION_GOOD if good else 'SOME ERRORS OF ATTENTION ARE TOO LARGE.'}")
    return 0 if agreed and good else 1


_ATTENTION_GOOD = "No error of attention is above 1.5 times that of the naive composition and 2 ulp."


def _verify(options: argparse.Namespace) -> int:
    from cupysoft.verify_table import verify

    return verify(options.elements, options.seed, options.backend, options.dtype, as_json=options.json)


def _verdict(compared: Sequence[Any]) -> str:
    """Say what the agreement of all results means: it depends on what is installed to compare with."""
    if compared[0].differ_reference is not None:
        return "Every result has the bits of the true value, rounded once."
    if compared[0].differ_scipy is not None:
        return "Every result has SciPy's bits. python-flint knows the true ones: pip install python-flint"
    return "There is nothing to compare with. SciPy or python-flint would do: pip install scipy python-flint"


def _print_ladder(rungs: Sequence[Any]) -> None:
    from cupysoft.demo import LADDER_ROWS

    print("The ladder: float32 kernels, a thread a row, counted on the simulated device\n")
    if not rungs:
        print("  left out: only the simulated device can count, and it needs packages that are not there, or too old:")
        print('  pip install "llvmlite>=0.50" cuda-bindings "cuda-toolkit[nvrtc,cudart,cccl]"\n')
        return
    header = ["kernel", "reads of x", "of scratch", "bytes/element"]
    header += [f"softmax of {[int(value) for value in row]}" for row in LADDER_ROWS]
    rows = [[r.title, f"{r.reads:g}", f"{r.scratch_reads:g}", f"{r.bytes:.1f}", *_answers(r)] for r in rungs]
    print(text_table(header, rows))
    print("\nThe naive kernel overflows beyond 88.7. The misprint adds the new term before scaling, and scales by")
    print("exp(m - previous m). Rungs that deliver (m, l) get their answer from a pointwise tail: one read more.\n")


def _answers(rung: Any) -> list[str]:
    pairs = zip(rung.answers, rung.right, strict=True)
    return [" ".join(f"{value:.4g}" for value in answer) + ("" if right else "  WRONG") for answer, right in pairs]


def _print_comparisons(compared: Sequence[Any]) -> None:
    from cupysoft.demo import COMPARED

    print(f"Every backend on {COMPARED[0]} rows of {COMPARED[1]} normal logits, sigma 8, beside SciPy in float64")
    print("rounded once, and beside a rigorous reference in ball arithmetic\n")
    header = [
        "operation",
        "backend",
        "dtype",
        "elements",
        "differ from SciPy",
        "from the true bits",
        "ms",
        "SciPy's ms",
    ]
    rows = [
        [
            each.operation,
            each.backend,
            each.dtype,
            each.elements,
            "-" if each.differ_scipy is None else each.differ_scipy,
            "-" if each.differ_reference is None else each.differ_reference,
            f"{each.milliseconds:.2f}",
            "-" if each.scipy_milliseconds is None else f"{each.scipy_milliseconds:.2f}",
        ]
        for each in compared
    ]
    print(text_table(header, rows))


def _print_attention(attention: Sequence[Any]) -> None:
    print("Attention of normal numbers, one head of 64, beside the naive composition in the same dtype: the largest")
    print("error, and the memory that is needed beside arguments and result\n")
    header = ["backend", "dtype", "queries x keys", "error", "naive", "extra KiB", "naive KiB", "ms", "naive ms"]
    rows = [
        [
            each.backend,
            each.dtype,
            f"{each.length} x {each.length}",
            f"{each.error:.1e}",
            f"{each.naive_error:.1e}",
            each.extra // 1024,
            each.naive_extra // 1024,
            f"{each.milliseconds:.2f}",
            f"{each.naive_milliseconds:.2f}",
        ]
        for each in attention
    ]
    print(text_table(header, rows))
