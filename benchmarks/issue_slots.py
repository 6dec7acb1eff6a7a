"""Count what the kernels issue for an element, from their machine code, beside what each GPU can at full bandwidth.

No GPU is needed: kernels are assembled for each architecture and disassembled with NVIDIA's nvdisasm. What counts as an
element's instructions: cupysoft/runtime/issue_slots.py; as the common path: cupysoft/runtime/machine_blocks.py. The
throughput of the pipes is that of the table "Throughput of Native Arithmetic Instructions" in NVIDIA's CUDA guides, and
the rest of the data sheets: cupysoft/simulator/profile/processors.py.

    python -m benchmarks.issue_slots [--dtypes float32,float16] [--lengths 512,8192] [--functions softmax]
"""

from __future__ import annotations

import argparse

import ml_dtypes
import numpy as np

from benchmarks.measure import table
from cupysoft.arrays import layout
from cupysoft.ops import plans
from cupysoft.ops.plans_float32 import prefers_float32, prefers_integers
from cupysoft.runtime.limits import limits_of
from cupysoft.runtime.plan import Plan
from cupysoft.simulator.profile.processors import Processor, processor
from cupysoft.simulator.profile.slots import slots_of_plan

GPUS = ("A100", "H100", "B200", "RTX 5090")
# A warp's rows and a block's in registers; in shared memory, with their terms or without, as there is room; in parts.
LENGTHS = (512, 8192, 16384, 32768, 65536, 1 << 18)
SHOWN = ("issue", "float32", "float64", "integer", "wide conversion", "load/store")


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dtypes", default="float32,float16,bfloat16,float64", help="comma-separated names")
    parser.add_argument("--lengths", default=",".join(map(str, LENGTHS)), help="comma-separated lengths of rows")
    parser.add_argument("--gpus", default=",".join(GPUS), help="comma-separated names")
    parser.add_argument("--functions", default="softmax", help="comma-separated: softmax, log_softmax")
    options = parser.parse_args()
    lengths = [int(each) for each in options.lengths.split(",")]
    for function in options.functions.split(","):
        for dtype in options.dtypes.split(","):
            print(f"\n{function}, {dtype}: instructions issued an element / at full bandwidth")
            lines = (rows(function, dtype, length, gpu) for length in lengths for gpu in options.gpus.split(","))
            print(table([each for some in lines for each in some]))


def rows(function: str, dtype: str, length: int, gpu: str) -> list[dict[str, object]]:
    """One line for each way there is: what is issued on each pipe, beside what may be."""
    kind, of = np.dtype(getattr(ml_dtypes, dtype, dtype)), processor(gpu)
    shared = limits_of(of.arch).shared
    told = [{}, {"float32": True}, {"integers": True}]
    ways = [(plan_of(function, kind, length, shared, each), each) for each in told]
    best = {"float32": prefers_float32(kind, of.arch), "integers": prefers_integers(kind, of.arch)}
    chosen = next(plan for plan, each in reversed(ways) if all(best[way] for way in each)).kernels
    seen: dict[object, Plan] = {plan.kernels: plan for plan, _ in ways}
    return [line(plan, kind.itemsize, of, length, kernels == chosen) for kernels, plan in seen.items()]


def line(plan: Plan, itemsize: int, of: Processor, length: int, chosen: bool) -> dict[str, object]:
    """One way of computing."""
    found = slots_of_plan(plan, itemsize, of)
    return {
        "row": length,
        "kernel": plan.steps[0].kernel.name.split("<")[0] + ", integers" * ("ByIntegers" in plan.steps[0].kernel.name),
        "GPU": of.name,
        "chosen": "yes" if chosen else "",
        **{pipe: f"{found.issued[pipe]:.1f} / {found.budget[pipe]:.0f}" for pipe in SHOWN},
        "binds": found.binds,
        "bandwidth": f"{found.share:.0%}",
    }


def plan_of(function: str, dtype: np.dtype, length: int, shared: int, way: dict[str, bool]) -> Plan:
    """Plan rows of contiguous, aligned arrays."""
    rows = layout((64, length), (1,), [(length, 1), (length, 1)])
    return plans.softmax(rows, dtype, (16, 16), log=function == "log_softmax", shared=shared, **way)


if __name__ == "__main__":
    main()
