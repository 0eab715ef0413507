"""A sample of the hostile files, those that once got in among them; the rest is for `python tests/torture/run.py`."""

from __future__ import annotations

import os
import re
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
from attacks import Attack, at_random, systematic
from file_changes import config_json, document, put, rewritten
from hostile_files import count
from hostile_values import enormous_actor
from victims import make_runs, policy_of

import rewirl
from rewirl.cli.main import main
from rewirl.storage.policy_file import PolicyError

# Each of these was taken for good, ended in a traceback, took hours, or took gigabytes.
ONCE_HARMFUL = [
    r"^agent/actor\.hidden1\.values has nan$",
    r"^agent/actor\.hidden1\.v is negative$",
    r"^agent/actor\.hidden1\.born in the future$",
    r"^replay has an action of 7$",
    r"^ends of 7$",
    r"^episode has wide actions$",
    r"^episode lacks its actions$",
    r"^warm_up\.state\.state is 1\.5$",
    r"^step is 1\.5$",
    r"^the step of another moment$",
    r"^total_timesteps is missing$",
    r"^metrics_offset is None$",
    r"^agent\.adaptation\.rewired is 10000",
    r"^seconds is 10000",
    r"^diagnostics is 5$",
    r"^agent is 5$",
    r"^temperature of e\^1e308$",
    r"^agent\.temperature\.log is 10000",
    r"^policy: many names, the last one twice$",
    r"^policy: observation_size is 1099511627776$",
    r"^policy: bounds\.dtype is '\(f4'$",
    r"^policy: actor is \[\]$",
    r"^policy: seed is None$",
    r"^policy: environment is 'x'$",
    r"^policy: an enormous sparse actor$",
    r"^policy: actor\.operations\.1\.eps is 10000",
    r"^actor\.operations\.0\.momentum is 10000",
    r"^the whole checkpoint of another seed$",
    r"^the whole checkpoint of a dense agent$",
    r"^metrics\.jsonl a directory$",
    r"^metrics\.jsonl a link$",
    r"^checkpoints a link$",
]


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda descriptor: None)
        return make_runs(tmp_path_factory.mktemp("runs"))


@pytest.fixture(scope="module")
def known(runs: dict[str, Path]) -> list[Attack]:
    return list(systematic(runs, np.random.default_rng(0)))


def test_what_once_got_in_is_refused_by_name(runs, known, tmp_path):
    for pattern in ONCE_HARMFUL:
        agents = {attack.agent for attack in known if re.search(pattern, attack.name)}
        assert agents, pattern
    chosen = [a for a in known if a.agent in ("ds-td3", "td3") and any(re.search(p, a.name) for p in ONCE_HARMFUL[:16])]
    chosen = list({attack.name: attack for attack in chosen}.values())
    rest = [a for a in known if any(re.search(p, a.name) for p in ONCE_HARMFUL[16:])]
    chosen += list({attack.name: attack for attack in rest}.values())
    score = count(iter(chosen), runs, tmp_path)
    assert score.faults == len(chosen) == score.survived == score.refused
    assert len(chosen) >= len(ONCE_HARMFUL)


def test_a_sample_of_everything_known_is_survived(runs, known, tmp_path):
    some = known[::211]
    score = count(iter(some), runs, tmp_path)
    assert score.faults == len(some) == score.survived


def test_settings_of_any_kind_are_refused_or_work(runs, tmp_path):
    some = (a for a in at_random(runs, np.random.default_rng(5)) if a.target in ("config", "fresh"))
    score = count((next(some) for _ in range(30)), runs, tmp_path)
    assert score.faults == 30 == score.survived


def test_a_policy_imports_nothing_when_it_is_loaded_and_its_module_when_it_is_evaluated(runs, tmp_path, monkeypatch):
    run = tmp_path / "run"
    shutil.copytree(runs["td3"], run)
    named = document(put(("environment", "module"), "a_strangers_module"))
    rewritten(policy_of, "policy.json", named)(run)
    (tmp_path / "a_strangers_module.py").write_text("import pathlib\npathlib.Path('trace').touch()\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.path", [*sys.path])
    sys.modules.pop("a_strangers_module", None)
    policy = rewirl.load(run)
    policy.predict(np.zeros(3))
    assert not (tmp_path / "trace").exists()
    with pytest.raises(SystemExit):
        main(["evaluate", str(run), "--episodes", "1"])
    assert (tmp_path / "trace").exists()  # as docs/security.md says


@pytest.mark.parametrize("command", ["resume", "inspect"])
@pytest.mark.parametrize(
    ("at", "value"),
    [(("train", "env_module"), "a_strangers_module"), (("agent", "topology", "rule"), "a_strangers_module:X")],
)
def test_a_run_directory_names_modules_that_are_imported(runs, tmp_path, monkeypatch, command, at, value):
    run = tmp_path / "run"
    shutil.copytree(runs["ds-td3"], run)
    for saved in ("checkpoints", "policy"):  # the run has just begun: nothing else says what is wanted of it
        shutil.rmtree(run / saved)
    (run / "metrics.jsonl").unlink()
    config_json(put(("config", *at), value))(run)
    (tmp_path / "a_strangers_module.py").write_text("import pathlib\npathlib.Path('trace').touch()\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.path", [str(tmp_path), *sys.path])
    sys.modules.pop("a_strangers_module", None)
    with pytest.raises(SystemExit):
        main([command, str(run)])
    assert (tmp_path / "trace").exists()  # as docs/security.md says


def test_a_policy_that_asks_for_terabytes_is_refused(runs, tmp_path):
    run = tmp_path / "run"
    shutil.copytree(runs["td3"], run)
    enormous_actor(run)
    with pytest.raises(PolicyError, match="too few connections for its size"):
        rewirl.load(run)
