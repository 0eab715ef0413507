"""A run of a sweep that fails in a user's own code says where."""

from __future__ import annotations

import pytest

from rewirl.experiments.sweep.file import read_sweep
from rewirl.experiments.sweep.plan import plan
from rewirl.experiments.sweep.worker import make_run
from rewirl.plugins import place_of
from rewirl.training.progress import Silent

RULE = """
import numpy as np
from rewirl.topology import Rule

class Wrong(Rule):
    def drop_score(self, state, fraction, rng):
        return np.abs(state.weights) + np.ones(len(state.weights) + 1)

    def grow(self, state, occupied, count, rng):
        return occupied
"""
SWEEP = """
agents = ["ds-td3"]
envs = ["Pendulum-v1"]
seeds = [0]
rule = "rules_that_fail:Wrong"
sparsity = 0.5
adapt_every = 5
hidden_sizes = [12, 12]
batch_size = 8
learning_starts = 20
total_timesteps = 40
eval_every = 0
"""


def test_the_file_and_the_line_are_in_the_reason(tmp_path, monkeypatch):
    (tmp_path / "rules_that_fail.py").write_text(RULE)
    (tmp_path / "s.toml").write_text(SWEEP)
    monkeypatch.syspath_prepend(str(tmp_path))
    (run,) = plan(read_sweep(str(tmp_path / "s.toml")).requests, tmp_path / "runs").values()
    ended = make_run(run, Silent(), lambda: False)
    assert ended["ended"] == "failed" and "could not be broadcast" in ended["reason"]
    assert ended["reason"].endswith(f" ({tmp_path / 'rules_that_fail.py'}, line 7)")


def test_errors_of_rewirl_have_no_place():
    with pytest.raises(ValueError) as refused:
        read_sweep("no/such.toml")
    refused.value.__traceback__ = refused.value.__traceback__.tb_next  # without this file
    assert place_of(refused.value) == ""
