"""Environments with features of noise."""

from __future__ import annotations

import gymnasium
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

import rewirl
from rewirl import noisy
from rewirl.agents import TD3Config
from rewirl.options.train import TrainConfig
from rewirl.storage.metrics_log import read_metrics
from rewirl.training import run as runs
from rewirl.training.progress import Silent
from rewirl.training.resume import resume

KWARGS = {"env": "Pendulum-v1", "fraction": 0.9}


class Features(gymnasium.Env):
    """An environment with so many features, which is never stepped."""

    def __init__(self, features):
        self.observation_space = gymnasium.spaces.Box(-1, 1, (features,))
        self.action_space = gymnasium.spaces.Box(-1, 1, (1,))


def rollout(env, seed, steps=20):
    observation, _ = env.reset(seed=seed)
    seen = [observation]
    for _ in range(steps):
        observation, reward, *_ = env.step(np.array([0.3], np.float32))
        seen.append(np.append(observation, reward))
    return seen


def test_the_real_features_come_first_and_are_what_they_were():
    plain, wrapped = gymnasium.make("Pendulum-v1"), gymnasium.make(noisy.ID, **KWARGS)
    for a, b in zip(rollout(plain, 3), rollout(wrapped, 3), strict=True):
        assert np.array_equal(a[:3], b[:3])
        assert len(b) - len(a) == 27
    assert wrapped.observation_space.shape == (30,) and wrapped.observation_space.dtype == np.float32
    assert np.array_equal(wrapped.observation_space.low[:3], plain.observation_space.low)
    assert np.isinf(wrapped.observation_space.high[3:]).all()


def test_a_matrix_of_observations_is_flattened_row_by_row():
    matrix = gymnasium.wrappers.ReshapeObservation(gymnasium.make("Pendulum-v1"), (3, 1))
    wrapped = noisy.NoisyObservations(matrix, 0.5)
    assert wrapped.observation_space.shape == (6,)
    observation, _ = wrapped.reset(seed=3)
    assert wrapped.observation_space.contains(observation)
    np.testing.assert_array_equal(observation[:3], matrix.reset(seed=3)[0].reshape(-1))


@pytest.mark.parametrize("fraction", [0.0, 0.3, 0.5, 0.9, 0.95, 0.99])
def test_all_features_and_the_fraction_say_how_many_are_real(fraction):
    for real in range(1, 400):
        made = noisy.NoisyObservations(Features(real), fraction)
        assert noisy.real_features(made.real + made.noise, fraction) == real


def test_noise_is_standard_normal_and_decided_by_the_seed():
    env = gymnasium.make(noisy.ID, **KWARGS)
    first, again, other = (np.array([row[3:30] for row in rollout(env, seed, 150)[1:]]) for seed in (1, 1, 2))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)
    assert first.mean() == pytest.approx(0, abs=0.05) and first.std() == pytest.approx(1, abs=0.05)
    quiet = gymnasium.make(noisy.ID, **KWARGS, std=0.0)
    assert not rollout(quiet, 1)[1][3:30].any()


@pytest.mark.parametrize(("fraction", "features"), [(0.0, 3), (0.5, 6), (0.7, 10), (0.9, 30), (0.99, 300)])
def test_the_fraction_is_that_of_all_features(fraction, features):
    env = gymnasium.make(noisy.ID, env="Pendulum-v1", fraction=fraction)
    assert env.observation_space.shape == (features,)
    assert (env.unwrapped.__class__.__name__, env.get_wrapper_attr("real")) == ("PendulumEnv", 3)


def begun(steps, seed=0, **kwargs):
    """What an episode of such a seed, begun after so many steps of a run, looks like."""
    env = gymnasium.make(noisy.ID, **KWARGS, **kwargs)
    env.set_wrapper_attr("rewirl_steps", steps)
    return np.array([row[:30] for row in rollout(env, seed)])


def test_all_features_are_permuted_anew_every_so_many_steps():
    plain, first = begun(0), begun(999, permute_every=1000)
    assert np.array_equal(plain, first)  # the first environment is without a permutation
    second, still, third = (begun(steps, permute_every=1000) for steps in (1000, 1999, 2000))
    assert np.array_equal(second, still)
    orders = [[int(np.flatnonzero(plain[0] == value)[0]) for value in row[0]] for row in (second, third)]
    assert sorted(orders[0]) == sorted(orders[1]) == list(range(30)) and orders[0] != orders[1]
    assert min(orders[0][:3]) >= 3 or max(orders[0].index(i) for i in range(3)) >= 3  # real ones among the noise
    for order, seen in zip(orders, (second, third), strict=True):
        assert np.array_equal(plain[:, order], seen)  # the same at every step of the episode
    another = begun(1000, seed=5, permute_every=1000)
    assert np.array_equal(begun(0, seed=5)[:, orders[0]], another)  # and in every episode


def test_an_episode_keeps_its_permutation_and_the_next_one_has_the_next():
    env = gymnasium.make(noisy.ID, **KWARGS, permute_every=15)
    plain = gymnasium.make(noisy.ID, **KWARGS)
    for a, b in zip(rollout(env, 0), rollout(plain, 0), strict=True):  # 20 steps, counted without Rewirl too
        assert np.array_equal(a, b)
    assert np.array_equal(np.array([row[:30] for row in rollout(env, 1)]), begun(15, seed=1, permute_every=15))
    assert env.observation_space.contains(env.reset(seed=1)[0])
    assert np.isinf(env.observation_space.low).all() and np.isinf(env.observation_space.high).all()
    assert not plain.has_wrapper_attr("rewirl_steps")


def test_a_run_in_changing_permutations_is_resumed_and_evaluated_as_it_was(tmp_path):
    """Pendulum's episodes have 200 steps: the second, and evaluations from step 150 on, are permuted."""
    config = TrainConfig(
        env=noisy.ID,
        env_module="rewirl.noisy",
        env_kwargs={**KWARGS, "permute_every": 150},
        total_timesteps=450,
        eval_every=200,
        eval_episodes=1,
        threads=1,
    )
    agent = TD3Config(hidden_sizes=(16, 16), batch_size=10, learning_starts=100)
    with runs.start(config, agent, tmp_path / "whole", Silent()) as whole:
        assert whole.train().finished
        expected = bits(whole.training.state())
    for at in (190, 330):
        with runs.start(config, agent, tmp_path / str(at), Silent()) as first:
            first.train(lambda run=first.training, at=at: run.step >= at)
        with resume(tmp_path / str(at), Silent()) as second:
            assert second.train().finished
            assert bits(second.training.state()) == expected
    evaluations = [line for line in read_metrics(tmp_path / "whole" / "metrics.jsonl") if line["event"] == "evaluation"]
    assert list(rewirl.load(tmp_path / "whole").evaluate(1).returns) == evaluations[-1]["returns"]


def test_a_run_whose_noise_is_drawn_anew_is_resumed_to_the_bit(tmp_path):
    settings = {"env": noisy.ID, "env_module": "rewirl.noisy", "env_kwargs": KWARGS, "threads": 1, "eval_every": 0}
    config = TrainConfig(**settings, total_timesteps=160)
    common = {"hidden_sizes": (16, 16), "batch_size": 10, "learning_starts": 100}
    agent = TD3Config(**common, resample_noise_from=3)
    with runs.start(config, agent, tmp_path / "whole", Silent()) as whole:
        assert whole.train().finished
        expected = bits(whole.training.state())
    with runs.start(config, agent, tmp_path / "parts", Silent()) as first:
        first.train(lambda: first.training.step >= 130)
    with resume(tmp_path / "parts", Silent()) as second:
        assert second.train().finished
        assert bits(second.training.state()) == expected
    with runs.Run(config, TD3Config(**common), Silent()) as other:
        other.train()
        assert bits(other.training.state())[0] != expected[0]


def test_noise_to_be_drawn_anew_has_to_be_somewhere_and_to_stay_there():
    config = TrainConfig(env=noisy.ID, env_module="rewirl.noisy", env_kwargs=KWARGS, eval_every=0)
    with pytest.raises(ValueError, match="observations have 30 features"):
        runs.Run(config, TD3Config(resample_noise_from=30), Silent())
    moving = TrainConfig(env=noisy.ID, env_kwargs={**KWARGS, "permute_every": 10}, eval_every=0)
    with pytest.raises(ValueError, match="changes in its course"):
        runs.Run(moving, TD3Config(resample_noise_from=3), Silent())
    with pytest.raises(ValueError, match="resample_noise_from must be 0 or more"):
        TD3Config(resample_noise_from=-1)


def bits(state):
    arrays, values = state
    return {name: array.tobytes() for name, array in arrays.items()}, {**values, "seconds": None}


@pytest.mark.filterwarnings("ignore::UserWarning")  # advice: Pendulum has actions in [-2, 2], and this is a wrapper
def test_it_is_an_environment_as_gymnasium_wants_it():
    check_env(noisy.make(**KWARGS), skip_render_check=True)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"fraction": 1.0}, "fraction must be"),
        ({"fraction": -0.1}, "fraction must be"),
        ({"fraction": 0.5, "std": float("nan")}, "std must be"),
        ({"env": "FrozenLake-v1", "fraction": 0.5}, r"a Box of observations.*FlattenObservation\(env\)"),
        ({"fraction": 0.5, "permute_every": -1}, "permute_every must be"),
        ({"fraction": 0.5, "permute_every": 1.5}, "permute_every must be"),
    ],
)
def test_what_cannot_be_is_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        noisy.make(**{"env": "Pendulum-v1", **arguments})
