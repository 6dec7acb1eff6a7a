"""Generated kernels: the fast version, the masked one in drawn orders, the checks and the oracle agree to the bit."""

from __future__ import annotations

import pytest
from hypothesis import given, note, settings
from hypothesis import strategies as st

from cupysoft import simulator
from cupysoft.simulator import launch, workspace
from cupysoft.simulator.device import LoadedModule
from tests.simulator.generated.agreement import compare, on_device, on_oracle
from tests.simulator.generated.kernel import Kernel
from tests.simulator.generated.strategies import kernels

#: Each example compiles a kernel three times, so there are few of them.
FEW = max(6, settings.default.max_examples // 3) if settings.default is not None else 6


@settings(max_examples=FEW)
@given(kernels(), st.integers(0, 99), st.sampled_from([1, 2, 3, 7, 30]))
def test_every_way_to_run_a_kernel_gives_the_same_bits(kernel: Kernel, seed: int, budget: int) -> None:
    """`budget`: so many blocks a warp runs before another one has its turn, where usually there are many more."""
    note(kernel.text)
    module = LoadedModule(kernel.text)
    ways = {
        "fast": simulator.Device(check=False),
        "masked": simulator.Device(check=False, fast=False),
        "drawn": simulator.Device(check=False, seed=seed),
        "checked": simulator.Device(check=True),
        "checked and drawn": simulator.Device(check=True, seed=seed),
    }
    results = {"oracle": on_oracle(kernel)}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(launch, "_KEPT", 0)  # no launch takes over the memory of an earlier one
        results |= {name: on_device(device, module)(kernel) for name, device in ways.items()}
        patch.setattr(workspace, "_BUDGET", budget)
        for name in ("fast", "masked", "checked"):
            results[f"{name} in short turns"] = on_device(ways[name], module)(kernel)
    compare(kernel, results)
