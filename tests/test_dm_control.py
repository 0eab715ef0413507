"""Tasks of the DeepMind Control Suite: the suite's own numbers, by name, and continued to the bit."""

from __future__ import annotations

import json
import warnings
from dataclasses import replace

import gymnasium
import mujoco
import numpy as np
import pytest
from sameness import metrics, same_to_the_bit

pytest.importorskip("dm_control", reason="tests of dm_control: `make test` runs them in an environment of their own")

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # of libraries that draw
    from dm_control import suite

import rewirl
from rewirl import dm_control
from rewirl.environments.identity import nearest_environment
from rewirl.environments.source import environment_source
from rewirl.environments.spaces import UnsuitableEnvironmentError
from rewirl.experiments.sweep.file import read_sweep
from rewirl.experiments.sweep.plan import check, plan
from rewirl.options.resolve import resolve
from rewirl.training import run as runs
from rewirl.training.progress import Silent
from rewirl.training.resume import resume

FISH = "dm_control/fish-swim-v0"


def played(env, seed, steps):
    """Observations and rewards of an episode of random actions."""
    rng = np.random.default_rng(seed)
    observation, _ = env.reset(seed=seed)
    heard = [observation]
    for _ in range(steps):
        observation, reward, *_ = env.step(rng.uniform(-1, 1, env.action_space.shape))
        heard += [observation, [reward]]
    return np.concatenate(heard, dtype=np.float64)


def test_every_task_of_the_suite_has_a_name():
    names = {name for name in gymnasium.registry if name.startswith("dm_control/")}
    assert len(names) == len(suite.ALL_TASKS) and {"dm_control/dog-run-v0", "dm_control/humanoid-walk-v0"} <= names
    assert nearest_environment("dm_control/dogrun-v0", gymnasium.registry) == "dm_control/dog-run-v0"
    with pytest.raises(UnsuitableEnvironmentError, match="did you mean dm_control/walker-walk-v0"):
        environment_source("dm_control/walkr-walk-v0")


@pytest.mark.parametrize("domain, task", [("fish", "swim"), ("quadruped", "walk"), ("manipulator", "bring_ball")])
def test_it_is_the_suites_task(domain, task):
    """Observations in the order of the task's specification, row by row; rewards, bounds and the limit are its own."""
    env = environment_source(f"dm_control/{domain}-{task}-v0").make_training().env
    plain = suite.load(domain, task, {"random": 7})
    spec = plain.action_spec()
    assert np.array_equal(env.action_space.low, spec.minimum) and np.array_equal(env.action_space.high, spec.maximum)
    observation, _ = env.reset(seed=7)
    now, rng = plain.reset(), np.random.default_rng(0)
    for _ in range(20):
        expected = np.concatenate([np.ravel(now.observation[name]) for name in plain.observation_spec()])
        assert observation.dtype == np.float32 and np.array_equal(observation, expected.astype(np.float32))
        action = rng.uniform(spec.minimum, spec.maximum)
        observation, reward, terminated, truncated, _ = env.step(action)
        now = plain.step(action)
        assert (reward, terminated, truncated) == (now.reward, False, False)
    env.close()


def test_a_repeated_action_is_held_and_its_rewards_are_summed():
    one = gymnasium.make("dm_control/cartpole-swingup-v0")
    two = gymnasium.make("dm_control/cartpole-swingup-v0", action_repeat=2)
    one.reset(seed=3), two.reset(seed=3)
    rng, steps, truncated = np.random.default_rng(0), 0, False
    while not truncated:
        action = rng.uniform(-1, 1, 1)
        _, first, *_ = one.step(action)
        expected, second, _, over, _ = one.step(action)
        observation, reward, terminated, truncated, _ = two.step(action)
        assert np.array_equal(observation, expected) and reward == first + second and not terminated
        steps += 1
        assert truncated == over
    assert steps == two.unwrapped.max_episode_steps == 500
    with pytest.raises(ValueError, match="action_repeat must be at least 1, got 0"):
        dm_control.Task("cartpole", "swingup", action_repeat=0)


def test_the_end_of_a_task_is_no_time_limit():
    env = gymnasium.make("dm_control/lqr-lqr_2_1-v0")
    env.reset(seed=0)
    assert env.unwrapped.max_episode_steps is None
    with env.unwrapped._task.physics.reset_context():  # at rest in the middle, where the regulator is done
        pass
    *_, terminated, truncated, _ = env.step(np.zeros(1))
    assert terminated and not truncated


@pytest.mark.parametrize("task", ["fish-swim", "finger-turn_hard", "point_mass-hard", "humanoid-run"])
def test_a_seed_decides_an_episode_whatever_was_played_before(task):
    used, fresh = (gymnasium.make(f"dm_control/{task}-v0") for _ in range(2))
    first = played(used, 1, 30)
    again = played(used, 5, 30)
    assert np.array_equal(again, played(fresh, 5, 30)) and not np.array_equal(again, first)


def test_one_that_is_handed_over_can_be_made_again_by_anybody():
    source = environment_source(gymnasium.make(FISH, action_repeat=2)).examine(True)
    assert (source.why, source.changes, source.id, dict(source.kwargs)) == ("", (), FISH, {"action_repeat": 2})


def test_versions_of_mujoco_that_do_not_go_with_it_say_what_to_install(monkeypatch):
    def load(*_):
        raise AttributeError("'MjModel' object has no attribute 'flex_vertedge'")

    monkeypatch.setattr(dm_control.suite, "load", load)
    with pytest.raises(UnsuitableEnvironmentError, match=r"flex_vertedge.*pip install 'rewirl\[dm-control\]'"):
        environment_source(FISH).make_training()


def test_a_preset_trains_and_goes_on_to_the_bit(tmp_path):
    run, agent = resolve(
        {
            "preset": "simba/ds-simba/cheetah-run-v0", "total_timesteps": 800, "learning_starts": 700,
            "eval_every": 400, "eval_episodes": 1, "hidden_sizes": (24, 24), "actor_hidden_sizes": (16,),
            "adapt_every": 30, "batch_size": 32, "buffer_size": 900, "threads": 1,
        }
    )  # fmt: skip
    assert (run.env, run.env_kwargs, agent.n_critics) == ("dm_control/cheetah-run-v0", {"action_repeat": 2}, 1)
    paths = [tmp_path / name for name in ("whole", "parts")]
    with runs.start(replace(run, threads=2), agent, paths[0], Silent()) as whole:  # evaluated in another process
        assert whole.train().finished and whole.agent.updates == 200
    assert json.loads((paths[0] / "config.json").read_text())["versions"]["mujoco"] == mujoco.__version__
    with runs.start(run, agent, paths[1], Silent()) as part:
        part.train(lambda: part.training.step >= 733)  # in the middle of an episode
    with resume(paths[1], Silent()) as part:
        part.train()
    same_to_the_bit(*paths)
    heard = [
        [line for line in metrics(path) if line["event"] in ("episode", "evaluation", "topology")] for path in paths
    ]
    assert heard[0] == heard[1]
    assert [line["lengths"] for line in heard[0] if line["event"] == "evaluation"] == [[500]] * 3


@pytest.mark.parametrize("name", ["dense", "dog-run", "dog-width"])
def test_runs_of_the_experiments_can_start(tmp_path, name):
    planned = plan(read_sweep(f"frontier/{name}", {"buffer_size": 100}).requests, tmp_path).values()
    *_, last = (run for run in planned if run.config.env.startswith("dm_control/"))
    check([last])


def test_a_policy_is_evaluated_in_its_task_again(tmp_path):
    agent = rewirl.DSTD3("dm_control/pendulum-swingup-v0", seed=0, hidden_sizes=(16,), threads=1)
    agent.save(tmp_path / "policy")
    agent.close()
    assert rewirl.load(tmp_path / "policy").evaluate(episodes=1).returns[0] >= 0
