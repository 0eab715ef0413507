"""The core's own tests (tests/native/*.cpp) under sanitizers."""

from __future__ import annotations

import json
import re
import subprocess

import pytest
from builds import BUILDS


def run(*command):
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if "unexpected memory mapping" in done.stderr:  # of older thread sanitizers, under randomised addresses
        done = subprocess.run(("setarch", "-R", *command), capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{' '.join(command)}\n{done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.mark.parametrize(("sanitizers", "arguments"), [("address,undefined", []), ("thread", ["pool"])])
def test_native_tests_pass_under(sanitizers, arguments):
    directory = BUILDS[sanitizers].end()
    output = run(str(directory / "native_tests"), *arguments)
    passed, failed = map(int, re.fullmatch(r"(?s).*?(\d+) passed, (\d+) failed\n", output).groups())
    assert failed == 0
    assert passed > 10


@pytest.mark.parametrize("sanitizers", ["address,undefined"])
def test_what_measures_the_peak_runs_under(sanitizers):
    """What benchmarks/limits.py runs; how fast it is, and how many rounds were steady, is not for a test to say."""
    counts = {"dense": 128 * 128, **dict.fromkeys(("random", "even", "banded", "4x1", "8x1"), 32 * 128)}
    output = run(str(BUILDS[sanitizers].end() / "limits"), "2", "128", "0.25", "2", "2", *counts)
    contestants = json.loads(output)["contestants"]
    assert {each["name"]: each["connections"] for each in contestants} == counts
    for each in contestants:
        assert list(each["shares"]) == ["forward", "input gradient", "weight gradient", "all three"]
        assert all(share > 0 for shares in each["shares"].values() for share in shares), each
