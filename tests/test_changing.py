"""Tasks that change as a run goes on: slippery Ant and permuted observations."""

from __future__ import annotations

import gymnasium
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

import rewirl
from rewirl import changing
from rewirl.agents import TD3Config
from rewirl.options.train import TrainConfig
from rewirl.storage.metrics_log import read_metrics
from rewirl.training import run as runs
from rewirl.training.progress import Silent
from rewirl.training.resume import resume

PERMUTED = {"env": "Pendulum-v1", "every": 150}
SMALL = TD3Config(hidden_sizes=(16, 16), batch_size=10, learning_starts=100)


def begun(env, steps, seed=0, actions=5):
    """What an episode that begins after so many steps of a run looks like."""
    env.set_wrapper_attr("rewirl_steps", steps)
    seen = [env.reset(seed=seed)[0]]
    for _ in range(actions):
        seen.append(env.step(np.full(env.action_space.shape, 0.3, np.float32))[0])
    return np.array(seen)


def friction(env, steps):
    env.set_wrapper_attr("rewirl_steps", steps)
    env.reset(seed=0)
    return env.get_wrapper_attr("friction")


def test_frictions_are_log_uniform_and_a_function_of_seed_and_task():
    env = gymnasium.make(changing.SLIPPERY_ANT, every=100, seed=3)
    drawn = np.array([friction(env, 100 * task + 1) for task in range(100)])
    assert 0.02 <= drawn.min() < 0.03 and 1.7 < drawn.max() <= 2
    assert np.log(drawn / 0.02).mean() == pytest.approx(np.log(100) / 2, abs=0.35)
    again = gymnasium.make(changing.SLIPPERY_ANT, every=100, seed=3)
    assert friction(again, 100 * 80 + 1) == drawn[80]  # whatever came before
    assert friction(gymnasium.make(changing.SLIPPERY_ANT, every=100, seed=4), 1) != drawn[0]
    assert friction(gymnasium.make(changing.SLIPPERY_ANT, low=0.5, high=0.5), 1) == pytest.approx(0.5)


def test_the_friction_is_that_of_what_touches_the_ground():
    """MuJoCo takes the larger friction of two bodies, so a slippery ground alone would change nothing."""
    env = gymnasium.make(changing.SLIPPERY_ANT, every=100, low=0.02, high=0.9)
    used = friction(env, 0)
    for _ in range(60):
        env.step(np.zeros(8, np.float32))
    data = env.unwrapped.data
    assert data.ncon > 0 and used < 0.9
    assert [contact.friction[0] for contact in data.contact] == [pytest.approx(used)] * data.ncon


def test_a_task_is_of_the_episodes_that_begin_after_its_first_step():
    env = gymnasium.make(changing.SLIPPERY_ANT, every=100)
    first, second, third = (friction(env, steps) for steps in (0, 101, 201))
    assert len({first, second, third}) == 3
    # After exactly 100 steps it is still the task of those: what has been learnt is evaluated there.
    assert friction(env, 100) == first and friction(env, 200) == second
    env.set_wrapper_attr("rewirl_steps", 90)
    env.reset(seed=0)
    for _ in range(20):  # counted without Rewirl too, and an episode keeps its task
        env.step(np.zeros(8, np.float32))
    assert env.get_wrapper_attr("friction") == first
    env.reset()
    assert env.get_wrapper_attr("friction") == second


def test_features_are_permuted_another_way_in_every_task():
    plain, env = gymnasium.make("Pendulum-v1"), gymnasium.make(changing.PERMUTED, env="Pendulum-v1", every=10, seed=2)
    expected = np.array([plain.reset(seed=0)[0]] + [plain.step(np.float32([0.3]))[0] for _ in range(5)])
    orders = set()
    for task in range(12):
        seen = begun(env, 10 * task + 1)
        (order,) = (o for o in np.ndindex(3, 3, 3) if len(set(o)) == 3 and np.array_equal(expected[:, o], seen))
        orders.add(order)
        assert np.array_equal(begun(env, 10 * task + 10), seen)
    assert len(orders) > 3
    assert env.observation_space.low.tolist() == [-8] * 3 and env.observation_space.contains(env.reset()[0])


def test_tasks_inside_of_tasks_change_too():
    inner = gymnasium.make(changing.SLIPPERY_ANT, every=100)
    outer = changing.Permuted(inner, every=1_000_000)
    assert friction(outer, 101) == friction(inner, 101) != friction(outer, 0)


def test_a_run_is_resumed_and_evaluated_as_it_was(tmp_path):
    """Pendulum's episodes have 200 steps: the second is permuted another way, and evaluations from step 151 on."""
    config = TrainConfig(
        env=changing.PERMUTED, env_module="rewirl.changing", env_kwargs=PERMUTED, total_timesteps=420, eval_every=200,
        eval_episodes=1, threads=1,
    )  # fmt: skip
    with runs.start(config, SMALL, tmp_path / "whole", Silent()) as whole:
        assert whole.train().finished
        expected = bits(whole.training.state())
    for at in (190, 330):
        with runs.start(config, SMALL, tmp_path / str(at), Silent(), check=False) as first:
            first.train(lambda run=first.training, at=at: run.step >= at)
        with resume(tmp_path / str(at), Silent()) as second:
            assert second.train().finished
            assert bits(second.training.state()) == expected
    evaluations = [line for line in read_metrics(tmp_path / "whole" / "metrics.jsonl") if line["event"] == "evaluation"]
    assert list(rewirl.load(tmp_path / "whole").evaluate(1).returns) == evaluations[-1]["returns"]


def test_a_run_on_slippery_ant_is_resumed_to_the_bit(tmp_path):
    config = TrainConfig(
        env=changing.SLIPPERY_ANT, env_module="rewirl.changing", env_kwargs={"every": 60}, total_timesteps=260,
        eval_every=0, threads=1,
    )  # fmt: skip
    with runs.start(config, SMALL, tmp_path / "whole", Silent()) as whole:
        assert whole.train().finished
        expected = bits(whole.training.state())
    with runs.start(config, SMALL, tmp_path / "parts", Silent(), check=False) as first:
        first.train(lambda: first.training.step >= 230)
    with resume(tmp_path / "parts", Silent()) as second:
        assert second.train().finished
        assert bits(second.training.state()) == expected


def bits(state):
    arrays, values = state
    return {name: array.tobytes() for name, array in arrays.items()}, {**values, "seconds": None}


@pytest.mark.filterwarnings("ignore::UserWarning")  # advice: Pendulum has actions in [-2, 2], and this is a wrapper
def test_they_are_environments_as_gymnasium_wants_them():
    check_env(changing.make_permuted(**PERMUTED), skip_render_check=True)
    check_env(changing.make_slippery_ant(), skip_render_check=True)


@pytest.mark.parametrize(
    ("make", "arguments", "message"),
    [
        (changing.make_permuted, {"every": 0}, "every must be a number of steps, at least 1, got 0"),
        (changing.make_permuted, {"every": 1.5}, "every must be"),
        (changing.make_permuted, {"seed": -1}, "seed must be 0 or more"),
        (changing.make_permuted, {"env": "FrozenLake-v1"}, r"a Box of observations.*FlattenObservation\(env\)"),
        (changing.make_slippery_ant, {"low": 0.0}, "low must be more than 0"),
        (changing.make_slippery_ant, {"low": 3.0}, "at most high"),
        (changing.make_slippery_ant, {"high": float("inf")}, "must be finite"),
    ],
)
def test_what_cannot_be_is_refused(make, arguments, message):
    with pytest.raises(ValueError, match=message):
        make(**{**(PERMUTED if make is changing.make_permuted else {}), **arguments})
    with pytest.raises(ValueError, match=r"environments of MuJoCo, and .* is none"):
        changing.Slippery(gymnasium.make("Pendulum-v1"))
