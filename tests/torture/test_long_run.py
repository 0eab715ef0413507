"""The fast part of the torture suite's long run."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace

import pytest
from long_run import Sample, judge, long_run, look, newest_step


def test_a_run_leaves_nothing_behind_once_its_replay_memory_is_full(tmp_path):
    options = ["--checkpoint-every", "1000", "--eval-every", "1000", "--eval-episodes", "2"]
    # Far more steps than are waited for: however seldom a busy machine looks, the run is still there.
    seen = long_run(tmp_path / "run", 10_000_000, 1_500, 0, 1, 0.05, *options, looks=40)
    assert "10,000,000 steps" in seen[0]


def test_what_is_seen_of_a_process(tmp_path):
    (tmp_path / "metrics.jsonl").write_text('{"event": "start", "step": 0}\n{"event": "end", "step": 12}\n{"event')
    assert newest_step(tmp_path / "metrics.jsonl") == 12
    sleeper = (
        "import subprocess, sys; subprocess.Popen([sys.executable, '-c', 'input()']); print('ready', flush=True); "
    )
    sleeper += "input()"
    with subprocess.Popen(
        [sys.executable, "-c", sleeper], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None and process.stdout.readline() == "ready\n"
        seen = look(process.pid, tmp_path)
        assert (seen.step, seen.threads, seen.children) == (12, 1, 1) and seen.memory > 1 and seen.disk > 0
        process.communicate("\n")


def test_a_file_that_is_left_open_is_seen_and_one_that_is_being_written_is_none(tmp_path):
    (tmp_path / "checkpoints" / "step-000001000").mkdir(parents=True)
    quiet = [Sample(step, 100.0, 2, 12, 1, 0.0) for step in range(1000, 9000, 1000)]
    # A look may fall into the writing of a checkpoint, in one half of the run more often than in the other.
    judge([replace(s, files=s.files + (s.step > 5000)) for s in quiet], 1000, tmp_path)
    with pytest.raises(AssertionError, match="open files became more"):
        judge([replace(s, files=s.files + s.step // 1000) for s in quiet], 1000, tmp_path)
