"""Whatever is not finite while an agent learns is said at once, with the step, and nothing of it is kept."""

from __future__ import annotations

import re
from types import SimpleNamespace

import gymnasium
import numpy as np
import pytest
from gymnasium import spaces

import rewirl
from rewirl.agents import Policy
from rewirl.environments.environment import FaultyEnvironmentError
from rewirl.nn import mlp_network
from rewirl.training.divergence import DivergedError, not_finite

SMALL = {"hidden_sizes": (16, 16), "batch_size": 20, "learning_starts": 50, "buffer_size": 1000}


def options_of(agent):
    if agent in ("DSSimBa", "DSXQC", "DSCrossQ"):  # their networks have sizes of other names
        return {"batch_size": 20, "learning_starts": 50, "buffer_size": 1000}
    if agent == "DSPPO":
        return {"hidden_sizes": (16, 16), "batch_size": 26, "rollout_steps": 52}
    return SMALL


@pytest.mark.parametrize("agent", ["TD3", "DSTD3", "SAC", "DSSAC", "DSSimBa", "DSXQC", "DSCrossQ", "DSPPO"])
def test_an_agent_that_diverges_is_noticed_at_the_update_and_not_at_an_evaluation(agent, tmp_path):
    learner = getattr(rewirl, agent)("Pendulum-v1", seed=0, learning_rate=1e20, **options_of(agent))
    with pytest.raises(DivergedError) as raised:
        learner.learn(2_000, run_dir=tmp_path / "run", eval_every=1_000, checkpoint_every=1_000)
    learner.close()
    step = int(re.search(r"by step ([\d,]+)", str(raised.value))[1].replace(",", ""))
    assert 50 <= step < 60
    assert not list((tmp_path / "run" / "checkpoints").glob("*"))


class Broken(gymnasium.Env):
    """Returns what it is told to at step 7."""

    observation_space = spaces.Dict(at=spaces.Box(-9, 9, (2,)), on=spaces.Box(0, 1, (1,), np.int8))
    action_space = spaces.Box(-1.0, 1.0, (1,))

    def __init__(self, at=0.0, reward=0.0):
        self.broken, self.steps = (at, reward), 0

    def reset(self, *, seed=None, options=None):
        return {"at": np.zeros(2, np.float32), "on": np.zeros(1, np.int8)}, {}

    def step(self, action):
        self.steps += 1
        at, reward = self.broken if self.steps == 7 else (0.0, 0.0)
        return {"at": np.array([0, at]), "on": np.ones(1, np.int8)}, reward, False, False, {}


@pytest.mark.parametrize(
    "broken, said",
    [
        ({"at": np.nan}, r"observation\['at'\]\[1\] is nan"),
        ({"at": 1e39}, r"observation\['at'\]\[1\] is 1e\+39"),
        ({"reward": np.nan}, "the reward is nan"),
        ({"reward": -np.inf}, "the reward is -inf"),
    ],
)
def test_an_environment_that_returns_nan_is_named_with_the_step(broken, said):
    with (
        rewirl.DSTD3(Broken(**broken), seed=0, **SMALL) as agent,
        pytest.raises(FaultyEnvironmentError, match=f"{said}.*at training step 7 "),
    ):
        agent.learn(20)


def test_agents_and_policies_refuse_what_is_not_finite(tmp_path):
    with rewirl.DSSAC("Pendulum-v1", seed=0, **SMALL) as agent:
        agent.save(tmp_path / "policy")
        for policy in (agent, rewirl.load(tmp_path / "policy")):
            with pytest.raises(ValueError, match=r"observation\[2\] is nan, .* give allow_nonfinite=True"):
                policy.predict([0, 1, np.nan])
            assert np.isnan(policy.predict([0, 1, np.nan], allow_nonfinite=True)).all()
            both = policy.predict([[0, 1, 2], [0, np.inf, 2]], allow_nonfinite=True)
            assert np.isfinite(both[0]).all() and np.isnan(both[1]).all()


def test_what_is_no_array_is_left_to_what_saves_it():
    agent = SimpleNamespace(
        name="td3", updates=1, diagnostics=dict, state=lambda: ({"own": [1.0], "b": np.array([np.inf])}, {})
    )
    assert not_finite(agent) == "b is not finite"


def test_a_choice_of_outputs_that_are_nan_is_no_choice():
    weights = np.ones(6, np.float32)
    policy = Policy(mlp_network([2, 3], [None], [weights], [np.array([0, 1, np.nan], np.float32)]), head="greedy")
    assert policy.predict(np.zeros((1, 2), np.float32)).tolist() == [-1]
    assert policy.predict(np.zeros((3, 2), np.float32)).tolist() == [-1, -1, -1]
