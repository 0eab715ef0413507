"""Promises of the warm-up: random by default, a trained policy's actions where one is named, to the bit either way."""

from __future__ import annotations

import dataclasses
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import probe_environments as probes
import pytest
from gymnasium import spaces

from rewirl import seeding
from rewirl.agents import TD3Config
from rewirl.environments.environment import Environment
from rewirl.environments.source import environment_source
from rewirl.environments.spaces import UnsuitableEnvironmentError
from rewirl.options.resolve import resolve
from rewirl.options.train import TrainConfig
from rewirl.storage.checkpoint import load_latest
from rewirl.storage.policy_file import PolicyError
from rewirl.topology import TopologyConfig
from rewirl.training import run as runs
from rewirl.training import warm_up
from rewirl.training.progress import Silent
from rewirl.training.resume import resume
from rewirl.training.trained_policy import TrainedPolicy
from rewirl.training.warm_up import WarmUp, load_warm_up_policy

AGENT = TD3Config(
    hidden_sizes=(24, 16), topology=TopologyConfig(sparsity=0.5), batch_size=20, learning_starts=60, buffer_size=200
)


def config(**settings: Any) -> TrainConfig:
    return TrainConfig(
        **{
            "env": "rewirl-tests/Drift-v0",
            "env_module": "probe_environments",
            "total_timesteps": 120,
            "eval_every": 0,
            "checkpoint_every": 0,
            "threads": 1,
            **settings,
        }
    )


def trained(path: Path, settings: TrainConfig) -> Path:
    with runs.start(settings, AGENT, path, Silent()) as run:
        assert run.train().finished
    return path


def arrays(path: Path) -> dict[str, bytes]:
    found = load_latest(path / "checkpoints", pytest.fail)
    assert found is not None
    return {name: array.tobytes() for name, array in found.arrays.items()}


@pytest.fixture(scope="module")
def teacher(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return trained(tmp_path_factory.mktemp("teacher") / "run", config(seed=7))


def test_without_a_policy_the_first_actions_are_uniform_from_their_own_stream():
    warm_up, rng = WarmUp(5, Environment(probes.Drift(), "Drift").actions), seeding.generator(5, "warm-up")
    for _ in range(3):
        np.testing.assert_array_equal(warm_up.action(np.zeros(3, np.float32)), rng.uniform(-1, 1, 2).astype(np.float32))


def test_the_first_actions_are_the_policys_with_the_papers_noise_and_no_more_than_the_first(tmp_path, teacher):
    path = trained(tmp_path / "run", config(warm_up_policy=str(teacher)))
    saved = load_latest(path / "checkpoints", pytest.fail)
    replay, policy = saved.arrays["replay/transitions"], TrainedPolicy.load(teacher)
    observations, actions = replay[:, :3], replay[:, 3:5]
    noise = actions[:60] - np.vstack([policy.act(observations[i : i + 1]) for i in range(60)])
    inside = np.abs(actions[:60]) < 1
    expected = seeding.generator(0, "warm-up").normal(0.0, 0.1, (60, 2))
    assert inside.any() and 0.05 < noise[inside].std() < 0.15
    np.testing.assert_allclose(noise[inside], expected[inside], atol=1e-6)
    assert np.abs(actions[60:] - policy.act(np.ascontiguousarray(observations[60:]))).max() > 0.5


def test_the_record_has_the_policy_with_its_hash_and_the_default_has_none(tmp_path, teacher, monkeypatch):
    monkeypatch.chdir(teacher.parent)
    record = json.loads((trained(tmp_path / "run", config(warm_up_policy="run")) / "config.json").read_text())["config"]
    assert record["train"]["warm_up_policy"] == str(teacher)
    with runs.Run(config(warm_up_policy="run"), AGENT, Silent()) as run:  # as Python makes it, which records it later
        assert run.config.warm_up_policy == run.training.config.warm_up_policy == str(teacher)
    about = record["warm_up_policy"]
    assert (about["agent"], about["seed"], about["step"]) == ("ds-td3", 7, 120)
    assert len(about["sha256"]) == 64
    assert "warm_up_policy" not in json.loads((teacher / "config.json").read_text())["config"]


def test_it_resumes_to_the_bit_and_needs_the_policy_only_while_it_warms_up(tmp_path, teacher):
    mine = tmp_path / "teacher"
    shutil.copytree(teacher, mine)
    whole = trained(tmp_path / "whole", config(warm_up_policy=str(mine)))
    for at in (31, 90, 60):
        path = tmp_path / f"stopped at {at}"
        with runs.start(config(warm_up_policy=str(mine)), AGENT, path, Silent()) as run:
            run.train(lambda run=run, at=at: run.training.step >= at)
        if at == 60:  # the first 60 actions have been chosen
            shutil.rmtree(mine)
        with resume(path, Silent()) as run:
            run.train()
        assert arrays(path) == arrays(whole)


def test_a_policy_that_changed_or_went_during_the_warm_up_is_refused(tmp_path, teacher):
    mine, path = tmp_path / "teacher", tmp_path / "run"
    shutil.copytree(teacher, mine)
    with runs.start(config(warm_up_policy=str(mine)), AGENT, path, Silent()) as run:
        run.train(lambda: run.training.step >= 20)
    shutil.rmtree(mine)
    with pytest.raises(PolicyError, match="does not exist"):
        resume(path, Silent())
    trained(mine, config(seed=8, total_timesteps=70))
    with pytest.raises(PolicyError, match=r"has changed since the run began .* of step 70 now, it was of step 120"):
        resume(path, Silent())
    shutil.rmtree(mine)
    shutil.copytree(teacher, mine)
    with resume(path, Silent()) as run:
        assert run.train().finished


def test_a_policy_of_another_environment_or_with_other_spaces_is_refused_at_the_door(tmp_path, teacher):
    with pytest.raises(UnsuitableEnvironmentError, match="was trained in rewirl-tests/Drift-v0, not in Pendulum-v1"):
        runs.start(config(env="Pendulum-v1", warm_up_policy=str(teacher)), AGENT, tmp_path / "run", Silent())
    with pytest.raises(UnsuitableEnvironmentError, match="other bounds"):
        runs.start(
            config(env_kwargs={"high": [1.0, 5.0]}, warm_up_policy=str(teacher)), AGENT, tmp_path / "run", Silent()
        )
    source = dataclasses.replace(environment_source(probes.Spaces), name="rewirl-tests/Drift-v0")
    larger = Environment(probes.Spaces(spaces.Box(-1.0, 1.0, (4,))), "Drift")
    with pytest.raises(UnsuitableEnvironmentError, match="has 4 observations"):
        load_warm_up_policy(teacher, larger, source)
    with pytest.raises(PolicyError, match="does not exist"):
        runs.start(config(warm_up_policy=str(tmp_path / "none")), AGENT, tmp_path / "run", Silent())
    assert not (tmp_path / "run").exists()


def test_a_policy_that_is_replaced_while_it_is_read_is_refused(teacher, monkeypatch):
    sums = iter(["one", "another"])
    monkeypatch.setattr(warm_up, "_digest", lambda path: next(sums))
    with pytest.raises(PolicyError, match="was replaced while it was read"):
        load_warm_up_policy(teacher, Environment(probes.Drift(), "Drift"), environment_source(probes.Drift))


@pytest.mark.parametrize(("wrong", "what"), [("", "a directory"), (3, "a word")])
def test_an_impossible_setting_is_refused(wrong, what):
    with pytest.raises(ValueError, match=f"warm_up_policy must be {what}, got"):
        resolve({"warm_up_policy": wrong})


def test_a_policy_that_comes_with_rewirl_is_taken_by_its_name_and_found_from_anywhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    of_pendulum = config(env="Pendulum-v1", env_module=None, warm_up_policy="Pendulum-v1/small")
    with runs.start(of_pendulum, AGENT, tmp_path / "run", Silent()) as run:
        run.train(lambda: run.training.step >= 20)
    record = json.loads((tmp_path / "run" / "config.json").read_text())["config"]
    assert record["train"]["warm_up_policy"] == "Pendulum-v1/small" and len(record["warm_up_policy"]["sha256"]) == 64
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    with resume(tmp_path / "run", Silent()) as run:
        assert run.train().finished
    with pytest.raises(PolicyError, match=r"there is no .*small2, and .*; did you mean Pendulum-v1/small\?"):
        runs.start(
            dataclasses.replace(of_pendulum, warm_up_policy="Pendulum-v1/small2"), AGENT, tmp_path / "r", Silent()
        )
    shutil.copytree(tmp_path / "run", "Pendulum-v1/small")  # a directory goes first, as everywhere
    with runs.Run(of_pendulum, AGENT, Silent()) as run:
        assert run.config.warm_up_policy == str(tmp_path / "elsewhere" / "Pendulum-v1" / "small")


def test_a_policy_trained_with_other_arguments_of_the_environment_is_refused(tmp_path):
    task = {"env": "rewirl/Noisy-v0", "env_module": "rewirl.noisy"}
    there, here = ({"env": f"{name}-v5", "fraction": 0.5} for name in ("HalfCheetah", "Walker2d"))
    path = trained(tmp_path / "teacher", config(**task, env_kwargs=there, total_timesteps=70))
    with pytest.raises(UnsuitableEnvironmentError, match=r"with env_kwargs .*HalfCheetah-v5.*, not .*Walker2d-v5"):
        runs.start(config(**task, env_kwargs=here, warm_up_policy=str(path)), AGENT, tmp_path / "run", Silent())
