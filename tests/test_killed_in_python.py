"""The promise of Python as one test: in pieces, killed again and again, and still the same bits as undisturbed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import probe_environments as probes
import pytest
from sameness import metrics, same_to_the_bit

import rewirl

OPTIONS: dict[str, Any] = {
    **{"seed": 5, "n_envs": 4, "normalise_observations": True, "scale_rewards": True, "threads": 1},
    **{"hidden_sizes": (12, 8), "learning_starts": 30, "batch_size": 8, "buffer_size": 150, "adapt_every": 15},
}
OFTEN: dict[str, Any] = {"eval_every": 45, "eval_episodes": 2, "checkpoint_every": 40}
PIECES = (70, 61, 79)
PROGRAM = "import pathlib, sys, test_killed_in_python as t; t.learn(pathlib.Path('run'), int(sys.argv[1]))"
KILLS = {1: 97, 2: 158}
"""Process by process the step after which it is killed: in the second and the third piece, past a checkpoint."""


def environment() -> Any:
    """Nothing but this program can make it: no id, and a wrapper that does not say what it was made with."""
    return probes.Halved(probes.Uneven())


class Watch(rewirl.Callback):
    """Writes into the record what it sees, ends a piece early, and may end the process in the middle of all."""

    def __init__(self, kill_at: int | None = None) -> None:
        self.kill_at = kill_at

    def on_step(self, moment: rewirl.Moment) -> bool:
        if moment.step % 20 == 0:
            moment.record(largest=float(abs(moment.agent.replay.rewards).max()), so_far=moment.step)
        if moment.step == self.kill_at:
            os.kill(os.getpid(), signal.SIGKILL)
        return moment.step != 50

    def on_evaluation(self, moment: rewirl.Moment) -> None:
        assert moment.evaluation is not None
        moment.record(best=max(moment.evaluation.returns), nothing=0.0)


def learn(path: Path, process: int) -> None:
    """Train what is left of the pieces, from the directory where there is one."""
    watch = Watch(KILLS.get(process))
    ends = [50, 120, 181, 260]  # the first piece is ended by the callback, and what it lacked is one more
    assert ends[-1] == 50 + sum(PIECES)
    agent = rewirl.resume(path, env=environment) if path.exists() else rewirl.DSTD3(environment, **OPTIONS)
    with agent:
        for end in ends:
            if agent.steps < end:
                agent.learn(end - agent.steps, run_dir=path, callback=watch, **OFTEN)


def test_in_pieces_with_a_callback_normalised_of_a_function_four_at_once_killed_and_resumed(tmp_path: Path) -> None:
    learn(tmp_path / "whole", 0)
    for process, step in KILLS.items():
        killed = subprocess.run(
            [sys.executable, "-c", PROGRAM, str(process)],
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(map(str, sys.path))},
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert killed.returncode == -signal.SIGKILL, killed.stderr
        saved = max(int(each.name[-9:]) for each in (tmp_path / "run" / "checkpoints").glob("step-*"))
        assert 0 < saved < step, "what came after the checkpoint is lost, and learnt again"
    learn(tmp_path / "run", 3)
    same_to_the_bit(tmp_path / "run", tmp_path / "whole")
    # A piece's last checkpoint has the log up to itself: that the piece has ended is learnt no second time.
    one, other = (
        [line for line in metrics(tmp_path / name) if line["event"] not in ("checkpoint", "end")]
        for name in ("run", "whole")
    )
    assert one == other
    assert {line["event"] for line in one} >= {"callback", "evaluation", "episode", "topology", "diagnostics"}
    steps = [line["so_far"] for line in one if "so_far" in line]
    assert steps == list(range(20, 261, 20)), "each number of the callback once"
    here, there = (rewirl.load(tmp_path / name).evaluate(2, env=environment) for name in ("run", "whole"))
    assert here.returns == there.returns
    with pytest.raises(rewirl.UnsuitableEnvironmentError, match="only that program can make it"):
        rewirl.resume(tmp_path / "run")
