"""A little of every scenario; `python tests/torture/run.py` does more of it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

COMMAND = Path(__file__).parent / "run.py"
RUNS = {
    "kills": 4,
    "disk-full": 6,
    "directory": 5,
    "signals": 4,
    "locks": 3,
    "many-agents": 24,
    "reports": 40,
    "log-bits": 60,
}


def torture(*arguments: str) -> subprocess.CompletedProcess[str]:
    # A process of its own: the scenarios fork, and must not do so beside the threads of other tests.
    command = [sys.executable, str(COMMAND), *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)


@pytest.fixture(scope="module")
def scores(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    """Return what came of all scenarios, in one process: importing and the runs they compare with cost the most."""
    file = tmp_path_factory.mktemp("torture") / "scores.json"
    ran = torture(*(f"{name}={runs}" for name, runs in RUNS.items()), "--json", str(file))
    assert file.exists() and ran.stderr == "", ran.stdout + ran.stderr
    scores: dict[str, dict[str, Any]] = json.loads(file.read_text())
    assert ran.returncode == (0 if all(not score["problems"] for score in scores.values()) else 1)
    return scores


@pytest.mark.parametrize("name", RUNS)
def test_it_holds(scores: dict[str, dict[str, Any]], name: str) -> None:
    score = scores[name]
    assert score["problems"] == []
    assert score["survived"] == score["faults"] >= RUNS[name] // 2 and score["compared"] > 0


def test_what_does_not_hold_is_said_and_makes_the_command_fail(tmp_path: Path) -> None:
    """Let every process find its run damaged, by importing a module that does so in place of the real comparison."""
    program = """
import runpy, sys
sys.argv = [sys.argv[1], "kills", "--runs", "1"]
sys.path[:0] = [sys.argv[0].rpartition("/")[0], sys.argv[0].rpartition("/")[0] + "/../training"]
import trainees
def differs(*_):
    raise AssertionError("the second weight differs")
trainees.same_run = differs
runpy.run_path(sys.argv[0], run_name="__main__")
"""
    ran = subprocess.run(
        [sys.executable, "-c", program, str(COMMAND)], capture_output=True, text=True, timeout=600, check=False
    )
    assert ran.returncode == 1, ran.stderr
    assert "DID NOT HOLD" in ran.stdout and "the second weight differs" in ran.stdout


def test_an_unknown_scenario_is_refused_with_those_there_are() -> None:
    ran = torture("kills", "floods=3")
    assert ran.returncode == 2 and "no scenario 'floods'; there are" in ran.stderr and "kills" in ran.stderr
