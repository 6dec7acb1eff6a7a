"""The plans of this package through CuPy's double: what is handed over has the sizes of the kernel's parameters."""

from __future__ import annotations

import pytest

from cupysoft.ops.ladder import RUNGS, ladder_plan, tail_plan
from cupysoft.runtime import ahead, launch
from cupysoft.runtime.cuda import CupyDevice
from cupysoft.runtime.plan import Plan
from tests.runtime.cupy_double import CupyDouble, DeviceArray

PLANS = {rung.kernel: ladder_plan(rung, 64, 1000) for rung in RUNGS} | {"ladder_tail": tail_plan(64, 1000)}


@pytest.mark.parametrize("plan", PLANS.values(), ids=PLANS)
def test_every_plan_fits_its_kernels(cupy_double: CupyDouble, plan: Plan) -> None:
    roles = dict.fromkeys(each for step in plan.steps for each in step.args if isinstance(each, str))
    arrays = {role: DeviceArray(cupy_double, 0x1000 * (at + 1)) for at, role in enumerate(roles)}
    launch.run(plan, arrays, CupyDevice())
    assert len(cupy_double.launches) == len(plan.steps)
    for step, done in zip(plan.steps, cupy_double.launches, strict=True):
        compiled = ahead.compiled(step.kernel, "sm_90", "ptx")
        sizes = [each.size for each in compiled.parameters[compiled.names[step.kernel.name]]]
        assert [len(each) for each in done.args] == sizes
        assert (done.grid, done.block, done.shared, done.stream) == (step.grid, step.block, step.shared, 7)
        for argument, handed in zip(step.args, done.args, strict=True):
            if isinstance(argument, str):
                assert handed == arrays[argument].data.ptr.to_bytes(8, "little")
            else:
                assert handed == argument.tobytes()
