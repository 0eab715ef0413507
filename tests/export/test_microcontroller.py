"""Exported C on an emulated Cortex-M4, where the tools for it are installed."""

from __future__ import annotations

import importlib.util
import shutil
from pathlib import Path

import pytest
from policies import discrete, policy_of

from rewirl.export.plan import plan_of

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "microcontroller.py"


@pytest.fixture(scope="module")
def microcontroller():
    spec = importlib.util.spec_from_file_location("microcontroller", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    if any(shutil.which(tool) is None for tool in (module.COMPILER, module.SIZE, module.EMULATOR)):
        pytest.skip("no compiler for Arm or no QEMU")
    return module


@pytest.mark.parametrize("int8", [False, True])
@pytest.mark.parametrize("agent", ["td3", "simba"])
def test_it_acts_there_as_its_arrays_say(microcontroller, agent, int8):
    plan = plan_of(policy_of(agent, "4x1"), int8)
    device = microcontroller.on_device(plan)
    microcontroller.check(plan, device)
    assert plan.bytes < device.flash < plan.bytes + 4000
    assert plan.products * 3 < device.instructions < plan.products * 100


def test_numbered_actions(microcontroller):
    plan = plan_of(discrete("unstructured"))
    microcontroller.check(plan, microcontroller.on_device(plan))
