"""The core's own tests (tests/native/*.cpp), built and run under sanitizers."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sysconfig
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def tool(name):
    """The program of this name, that of the virtual environment first."""
    found = shutil.which(name, path=os.pathsep.join([sysconfig.get_path("scripts"), os.environ["PATH"]]))
    assert found, f"{name} is not installed; it is part of rewirl[test]"
    return found


def run(*command):
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if "unexpected memory mapping" in done.stderr:  # of older thread sanitizers, under randomised addresses
        done = subprocess.run(("setarch", "-R", *command), capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{' '.join(command)}\n{done.stdout}\n{done.stderr}"
    return done.stdout


# Who writes what at the same time is the same with every instruction set, so for threads one is compiled.
@pytest.mark.parametrize(
    ("sanitizers", "portable_only", "targets", "arguments"),
    [("address,undefined", "OFF", ["native_tests", "limits"], []), ("thread", "ON", ["native_tests"], ["pool"])],
)
def test_native_tests_pass_under(sanitizers, portable_only, targets, arguments, tmp_path):
    settings = {
        "CMAKE_BUILD_TYPE": "Debug",
        "CMAKE_MAKE_PROGRAM": tool("ninja"),
        "REWIRL_NATIVE_TESTS": "ON",
        "REWIRL_SANITIZE": sanitizers,
        "REWIRL_PORTABLE_ONLY": portable_only,
    }
    run(
        tool("cmake"), "-S", str(ROOT), "-B", str(tmp_path), "-G", "Ninja", *(f"-D{k}={v}" for k, v in settings.items())
    )
    run(tool("cmake"), "--build", str(tmp_path), "--target", *targets)
    output = run(str(tmp_path / "native_tests"), *arguments)
    passed, failed = map(int, re.fullmatch(r"(?s).*?(\d+) passed, (\d+) failed\n", output).groups())
    assert failed == 0
    assert passed > 10
    if not arguments:  # what benchmarks/limits.py runs is built beside them
        counts = {"dense": 128 * 128, **dict.fromkeys(("random", "even", "banded", "4x1", "8x1"), 32 * 128)}
        output = run(str(tmp_path / "limits"), "2", "128", "0.25", "2", "2", *counts)
        contestants = json.loads(output)["contestants"]
        assert {each["name"]: each["connections"] for each in contestants} == counts
        for each in contestants:  # how fast they are is not for a test to say, nor how many rounds were steady
            assert list(each["shares"]) == ["forward", "input gradient", "weight gradient", "all three"]
            assert all(share > 0 for shares in each["shares"].values() for share in shares), each
