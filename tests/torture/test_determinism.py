"""The fast part of the torture suite's determinism."""

from __future__ import annotations

import shlex

import pytest
from determinism import VARIANTS, between_instruction_sets, same_seed

from rewirl import _core

SMALL = "--env rewirl-tests/Drift-v0 --env-module probe_environments --learning-starts 60 "
SMALL += "--hidden-sizes 128 128 --batch-size 64"


@pytest.mark.parametrize(
    "kind", ["ds-sac", "ds-crossq", "xqc of two processes", "ds-td3 that wanders, of two environments"]
)
def test_a_seed_gives_one_result_whatever_the_process_the_threads_and_the_evaluations(kind, tmp_path):
    variants = VARIANTS[::2]  # evaluated in one thread and in two, not evaluated; each a process
    score = same_seed(tmp_path, [kind], 300, *shlex.split(SMALL), variants=variants)
    assert score.problems == [] and score.compared == 3


@pytest.mark.skipif(len(_core.available_instruction_sets()) < 2, reason="this machine has one instruction set")
def test_instruction_sets_differ_by_rounding_alone_at_first(tmp_path):
    for _, _, updates, distance in between_instruction_sets(tmp_path, "ds-td3", [10]):
        assert 0 < distance < 1e-3, updates
