"""Candidates of a benchmark take turns, each in a process of its own that needs only a Python."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from rewirl.bench import interleaved, serve
from rewirl.bench.interleaved import Candidate

SCRIPT = """
import os

class Counting:
    packages = ("no-such-package",)
    versions = {"beads": "9"}

    def __init__(self, specification):
        print("chatter that must not reach the protocol")
        os.write(1, b"nor this")
        self.facts = {"connections": specification["connections"], "threads": os.environ.get("MKL_NUM_THREADS"),
                      "threads of Accelerate": os.environ.get("VECLIB_MAXIMUM_THREADS"),
                      "held back": os.environ.get("OPENBLAS_CORETYPE")}
        if hasattr(os, "sched_getaffinity"):
            self.facts["cores"] = sorted(os.sched_getaffinity(0))
        self.warm = False
        self.tasks = {"count": self.count, "count slowly": self.count}
        self.reports = {"warm": lambda seconds: [self.warm, seconds]}

    def warm_up(self):
        self.warm = True

    def count(self):
        return sum(1 for _ in range(1000))

KINDS = {"counting": Counting}
"""


@pytest.fixture
def script(tmp_path: Path) -> Path:
    path = tmp_path / "counting.py"
    path.write_text(SCRIPT)
    return path


def test_openblas_is_not_held_back(script: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENBLAS_CORETYPE", "Nehalem")
    candidate = Candidate("one", {"kind": "counting", "threads": 1, "connections": 7}, script)
    interleaved.measure([candidate], rounds=1, seconds=0.001)
    assert candidate.facts["held back"] is None


def test_a_candidate_is_warmed_up_timed_in_every_round_and_asked(script: Path) -> None:
    specification = {"kind": "counting", "threads": 3, "connections": 7}
    one, other = (Candidate(name, specification, script) for name in ("one", "other"))
    reports = interleaved.measure([one, other], rounds=3, seconds=0.002, shares={"count slowly": 0.5}, report="warm")
    assert reports == [[True, 0.002]] * 2
    for candidate in (one, other):
        assert list(candidate.rates) == ["count", "count slowly"]
        assert all(len(rates) == 3 and min(rates) > 1000 for rates in candidate.rates.values())
        assert (candidate.connections, candidate.facts["threads"]) == (7, "3")
        assert candidate.facts["threads of Accelerate"] == "3"
        assert candidate.versions["beads"] == "9" and "no-such-package" not in candidate.versions
        assert candidate.process is not None and candidate.process.poll() is not None


def test_another_one_is_first_in_every_round(monkeypatch: pytest.MonkeyPatch) -> None:
    timed: list[str] = []
    monkeypatch.setattr(Candidate, "start", lambda self: self.processor_shares.append(1.0))
    monkeypatch.setattr(Candidate, "time", lambda self, task, seconds: timed.append(self.name))
    rows = [Candidate(name, {"threads": 1}, rates={"count": []}) for name in "abc"]
    interleaved.measure(rows, rounds=4, seconds=1.0)
    assert "".join(timed) == "abc" + "bca" + "cab" + "abc"


@pytest.mark.skipif(not hasattr(os, "sched_getaffinity"), reason="this system cannot hold a process to cores")
def test_a_candidate_keeps_to_its_cores(script: Path) -> None:
    core = max(os.sched_getaffinity(0))
    held = Candidate("held", {"kind": "counting", "threads": 1, "connections": 1, "cores": [core]}, script)
    interleaved.measure([held], rounds=1, seconds=0.001)
    assert held.facts["cores"] == [core]


def test_a_candidate_needs_nothing_but_a_python(script: Path) -> None:
    specification = json.dumps({"kind": "counting", "threads": 1, "connections": 1})
    bare = [sys.executable, "-I", "-S", serve.__file__, str(script), specification]
    done = subprocess.run(bare, input="time count slowly 0.001\n", capture_output=True, text=True, check=True)
    ready, answer = map(json.loads, done.stdout.splitlines())
    assert ready["tasks"] == ["count", "count slowly"] and answer["rate"] > 0


def test_a_candidate_that_fails_to_start_is_named(script: Path) -> None:
    broken = Candidate("broken", {"kind": "counting", "threads": 1}, script)
    with pytest.raises(SystemExit, match="broken, 1 threads ended before it answered"):
        interleaved.measure([broken], rounds=1, seconds=0.001)


def test_a_slow_task_is_done_once_at_least() -> None:
    assert serve.rate(lambda: 5, 0.0)[0] > 0


def test_versions_that_differ_are_all_told() -> None:
    rows = [Candidate("a", {}, versions={"x": "1", "y": "1"}), Candidate("b", {}, versions={"x": "2", "y": "1"})]
    assert interleaved.merged_versions(rows) == {"x": "1 / 2", "y": "1"}
