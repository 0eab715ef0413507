"""Promises about runs in environments of parts, matrices and numbered actions: saved, resumed, evaluated and used."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import probe_environments as probes
import pytest
from sameness import metrics, same_to_the_bit
from stand_in import StandInAgent, StandInReplay

import rewirl
from rewirl.agents import AGENTS, TD3Config
from rewirl.environments.environment import Environment
from rewirl.environments.source import environment_source
from rewirl.environments.spaces import UnsuitableEnvironmentError
from rewirl.options.train import TrainConfig
from rewirl.storage.checkpoint import load_latest
from rewirl.storage.policy_file import PolicyError, load_policy, save_policy
from rewirl.topology import TopologyConfig
from rewirl.training import run as runs
from rewirl.training.divergence import DivergedError
from rewirl.training.evaluation import Evaluator, SerialEvaluations
from rewirl.training.evaluation_process import ParallelEvaluations
from rewirl.training.loop import Training
from rewirl.training.progress import Silent
from rewirl.training.resume import resume
from rewirl.training.trained_policy import TrainedPolicy

AGENT = TD3Config(
    hidden_sizes=(16, 12),
    topology=TopologyConfig(sparsity=0.5, adapt_every=20),
    learning_starts=60,
    batch_size=16,
    buffer_size=150,
)


def config(**changes: Any) -> TrainConfig:
    settings = {
        "env": "rewirl-tests/Parts-v0",
        "env_module": "probe_environments",
        "total_timesteps": 220,
        "eval_every": 55,
        "eval_episodes": 2,
        "checkpoint_every": 100,
        "threads": 1,
    }
    return TrainConfig(**{**settings, **changes})


@pytest.fixture(scope="module")
def parts(tmp_path_factory):
    """A run of 220 steps in an environment of parts."""
    path = tmp_path_factory.mktemp("parts") / "run"
    with runs.start(config(), AGENT, path, Silent()) as run:
        assert run.train().finished
        assert len(run.environment.env.unwrapped.actions) == 220
    return path


@pytest.mark.parametrize("at", [30, 95, 171])
def test_resumed_in_parts_is_the_uninterrupted_run_to_the_bit(tmp_path, parts, at):
    path = tmp_path / "run"
    with runs.start(config(), AGENT, path, Silent()) as run:
        run.train(lambda: run.training.step >= at)
    with resume(path, Silent()) as run:
        assert run.train().finished
    same_to_the_bit(path, parts)


def test_evaluated_in_a_process_beside_training_it_is_the_same_run(tmp_path, parts, monkeypatch, capfd):
    started = []
    start = ParallelEvaluations._start
    monkeypatch.setattr(ParallelEvaluations, "_start", lambda self: started.append(self) or start(self))
    with runs.start(config(threads=2), AGENT, tmp_path / "run", Silent()) as run:
        run.train()
    assert len(started) == 1 and capfd.readouterr() == ("", "")
    same_to_the_bit(tmp_path / "run", parts)
    assert metrics(tmp_path / "run") == metrics(parts)


def test_a_checkpoint_of_other_parts_is_refused(tmp_path, parts):
    saved = load_latest(parts / "checkpoints", pytest.fail)
    settings = config(env_kwargs={"renamed": True})
    with runs.Run(settings, AGENT, Silent()) as run, pytest.raises(ValueError, match=r"Parts-v0 is not .* Dict\('a'"):
        run.training.load_state(saved.arrays, saved.values)
    # Earlier versions said nothing of it.
    before = {name: value for name, value in saved.values.items() if name != "spaces"}
    with runs.Run(config(), AGENT, Silent()) as run:
        run.training.load_state(saved.arrays, before)
        assert run.training.step == 220


@pytest.mark.parametrize(
    "spaces", [3, {}, {"observation_size": 10, "bounds": 3}, {"observation_size": "x", "bounds": {}}]
)
def test_nonsense_for_spaces_in_a_checkpoint_is_refused(parts, spaces):
    saved = load_latest(parts / "checkpoints", pytest.fail)
    with runs.Run(config(), AGENT, Silent()) as run, pytest.raises(ValueError):
        run.training.load_state(saved.arrays, {**saved.values, "spaces": spaces})


def observed(*batch: int) -> dict[str, Any]:
    rng = np.random.default_rng(3)
    return {
        "clock": rng.integers(0, 9, batch),
        "more": (rng.normal(size=(*batch, 1)), {"last": rng.normal(size=(*batch, 2))}),
        "way": rng.normal(size=(*batch, 2, 3)),
    }


def test_a_policy_knows_the_shapes_without_its_environment(parts):
    policy = rewirl.load(parts)
    one, many = policy.predict(observed()), policy.predict(observed(5))
    assert one.shape == (2, 3) and many.shape == (5, 2, 3) and one.dtype == many.dtype == np.float32
    high = np.arange(1.0, 7.0).reshape(2, 3)
    assert (many >= -1).all() and (many <= high).all()
    for index in range(5):
        each = {
            "clock": observed(5)["clock"][index],
            "more": (observed(5)["more"][0][index], {"last": observed(5)["more"][1]["last"][index]}),
            "way": observed(5)["way"][index],
        }
        np.testing.assert_allclose(policy.predict(each), many[index], rtol=2e-5, atol=1e-6)
    with pytest.raises(ValueError, match=r"observation is no dict of 'way', 'clock', 'more'"):
        policy.predict(np.zeros(10))
    evaluated = [line for line in metrics(parts) if line["event"] == "evaluation"]
    assert policy.evaluate(2).returns == tuple(evaluated[-1]["returns"])


def test_the_python_face_takes_and_gives_the_environments_shapes():
    with rewirl.TD3(probes.Parts, hidden_sizes=(8,), learning_starts=20) as agent:
        agent.learn(30)
        assert agent.predict(observed()).shape == (2, 3)
        assert agent.predict(observed(4)).shape == (4, 2, 3)
        environment = probes.Parts()
        observation, _ = environment.reset(seed=0)
        environment.step(agent.predict(observation).astype(np.float64))


def test_a_policy_of_vectors_serves_where_there_are_as_many_features(tmp_path, parts):
    """As one of version 0.1, which said nothing of shapes."""
    arrays, values = load_policy(parts / "policy")
    bounds = {name: values["bounds"][name] for name in ("low", "high", "dtype")}
    kept = {name: value for name, value in values.items() if name != "observation_space"}
    save_policy(tmp_path / "policy", arrays, {**kept, "bounds": bounds})
    policy = TrainedPolicy.load(tmp_path / "policy")
    policy.check_fits(Environment(probes.Parts(), "Parts"))
    vector, _ = rewirl.environments.observations.flatten(TrainedPolicy.load(parts).spaces.observations, observed())
    assert policy.predict(vector[0]).shape == (6,)
    np.testing.assert_array_equal(policy.predict(vector[0]), rewirl.load(parts).predict(observed()).reshape(-1))


def test_a_policy_of_other_parts_is_refused(tmp_path, parts):
    policy = TrainedPolicy.load(parts)
    policy.check_fits(Environment(probes.Parts(), "Parts"))
    with pytest.raises(UnsuitableEnvironmentError, match=r"does not fit the policy: the observations Dict\('a'"):
        policy.check_fits(Environment(probes.Parts(renamed=True), "Parts"))
    with pytest.raises(UnsuitableEnvironmentError, match="10 observations and 5 actions"):
        policy.check_fits(Environment(probes.Parts(discrete=True), "Parts"))
    arrays, values = load_policy(parts / "policy")
    save_policy(tmp_path / "policy", arrays, {**values, "observation_space": {"box": [2, 6]}})
    with pytest.raises(PolicyError, match="observation_size is 10, but the observation space has 12 features"):
        TrainedPolicy.load(tmp_path / "policy")


def test_the_first_actions_may_be_those_of_a_policy_of_parts(tmp_path, parts):
    settings = config(warm_up_policy=str(parts), total_timesteps=61, eval_every=0)
    with runs.start(settings, AGENT, tmp_path / "run", Silent()) as run:
        run.train()
        expected = TrainedPolicy.load(parts).act(run.training.replay.observations[:50])
        assert np.abs(run.training.replay.actions[:50] - expected).mean() < 0.2
    refused = config(warm_up_policy=str(parts), env_kwargs={"renamed": True})
    with pytest.raises(UnsuitableEnvironmentError, match="does not fit the policy"):
        runs.start(refused, AGENT, tmp_path / "other", Silent())


def test_agents_that_take_a_box_refuse_discrete_actions_with_the_remedy():
    with pytest.raises(
        UnsuitableEnvironmentError, match=r"action space Discrete, but ds-td3 takes Box.*TransformAction"
    ):
        runs.Run(config(env_kwargs={"discrete": True}), AGENT, Silent())


class Choosing(StandInAgent):
    """The stand-in with numbered actions: the largest of its outputs, or sometimes any."""

    name = "choosing"

    def predict(self, observations):
        return super().predict(observations).argmax(axis=1)

    def explore(self, observation, environment=0):
        if self.rng.random() < 0.3:
            return int(self.rng.integers(self.action_size))
        return int(self.predict(observation[None])[0])


def choosing(total: int, recorded: list[Any] | None = None) -> tuple[Training, StandInReplay]:
    environment = Environment(probes.Parts(discrete=True), "Parts-v0")
    sizes = environment.observation_size, environment.action_size
    assert sizes == (10, 5)
    replay = StandInReplay(80, *sizes)
    training = Training(
        Choosing(*sizes), replay, environment, config(total_timesteps=total), 40, lambda: ({}, {}), Silent()
    )
    training.evaluations = SerialEvaluations(
        Evaluator(lambda: Environment(probes.Parts(discrete=True), "Parts-v0"), 3, seed=0)
    )
    return training, replay


def test_an_agent_may_choose_one_of_several_actions():
    training, replay = choosing(150)
    outcome = training.run(150)
    assert outcome.finished and outcome.evaluation is not None and len(outcome.evaluation.returns) == 3
    taken = training.environment.env.actions
    assert len(taken) == 150 and {int(each) for each in taken} == {-2, -1, 0, 1, 2}
    rows = replay.rows[:, 10:15]
    assert (rows.sum(axis=1) == 1).all() and np.isin(rows, (0, 1)).all()
    last = [replay.rows[index, 10:15].argmax() - 2 for index in np.arange(150 - 80, 150) % 80]
    assert last == [int(each) for each in taken[-80:]]


@pytest.mark.parametrize("at", [25, 97])
def test_resumed_with_numbered_actions_is_the_same_run(at):
    whole, replay = choosing(130)
    whole.run(130)
    first, _ = choosing(130)
    first.run(130, lambda: first.step >= at)
    arrays, values = first.state()
    assert arrays["episode/actions"].dtype == np.int64 and arrays["episode/actions"].shape == (at % 30,)
    assert values["spaces"]["discrete_actions"] == {"size": 5, "start": -2, "dtype": "int64"}
    second, again = choosing(130)
    second.load_state(arrays, values)
    second.run(130)
    assert again.rows.tobytes() == replay.rows.tobytes()
    assert second.agent.weights.tobytes() == whole.agent.weights.tobytes()
    arrays["episode/actions"] = arrays["episode/actions"] + 9
    with pytest.raises(ValueError, match="not within the bounds"):
        choosing(130)[0].load_state(arrays, values)


def test_a_choice_that_is_none_ends_the_run():
    training, _ = choosing(60)
    training.agent.explore = lambda observation, environment: 5
    with pytest.raises(DivergedError, match="its actions are not integers from 0 to 4"):
        training.run(60)


def test_in_an_environment_of_the_programs_own_the_policy_says_its_spaces_too():
    source = environment_source(probes.Parts)
    with runs.Run(config(eval_every=0), AGENT, Silent(), source) as run:
        run.train(lambda: run.training.step >= 10)
        assert run.policy_state()[1]["observation_space"] == run.environment.spaces.observations.values()


@pytest.fixture
def discrete_sac(monkeypatch):
    """The settings of an agent of three networks that chooses between numbered actions."""
    monkeypatch.syspath_prepend(Path(__file__).parents[1] / "agents")
    from discrete_sac import ENTRY, DiscreteSACConfig

    monkeypatch.setitem(AGENTS, ENTRY.name, ENTRY)
    return DiscreteSACConfig(
        hidden_sizes=(16, 12),
        topology=TopologyConfig(sparsity=0.4, adapt_every=20),
        learning_starts=60,
        batch_size=16,
        buffer_size=150,
    )


@pytest.mark.parametrize("env, module", [("rewirl-tests/Parts-v0", "probe_environments"), ("CartPole-v1", None)])
def test_an_agent_with_numbered_actions_trains_resumes_and_is_evaluated(tmp_path, discrete_sac, env, module, capfd):
    kwargs = {"discrete": True} if module else {}
    settings = config(agent="discrete-sac", env=env, env_module=module, env_kwargs=kwargs)
    whole, parts_, beside = (tmp_path / name for name in ("whole", "parts", "beside"))
    with runs.start(settings, discrete_sac, whole, Silent()) as run:
        assert run.train().finished
    with runs.start(settings, discrete_sac, parts_, Silent()) as run:
        run.train(lambda: run.training.step >= 133)
    with resume(parts_, Silent()) as run:
        run.train()
    same_to_the_bit(parts_, whole)
    with runs.start(dataclasses.replace(settings, threads=2), discrete_sac, beside, Silent()) as run:
        run.train()
    assert metrics(beside) == metrics(whole) and capfd.readouterr() == ("", "")
    policy = rewirl.load(whole)
    environment = environment_source(env, kwargs, module).make_training().env
    observation, _ = environment.reset(seed=0)
    action = policy.predict(observation)
    assert environment.action_space.contains(action)
    environment.step(action)
    evaluated = [line for line in metrics(whole) if line["event"] == "evaluation"]
    assert policy.evaluate(2).returns == tuple(evaluated[-1]["returns"])
    # Its actions before the first update may be those of a policy, with a random one now and then.
    warm = dataclasses.replace(settings, warm_up_policy=str(whole), total_timesteps=61, eval_every=0)
    with runs.start(warm, discrete_sac, tmp_path / "warm", Silent()) as run:
        run.train()
        replay = run.training.replay
        chosen = TrainedPolicy.load(whole).act(replay.observations[:60])
        assert 45 <= (replay.actions[:60].argmax(axis=1) == chosen).sum() <= 60
    with pytest.raises(UnsuitableEnvironmentError, match="action space Box, but discrete-sac takes Discrete"):
        runs.Run(config(agent="discrete-sac"), discrete_sac, Silent())


def test_a_policy_whose_network_does_not_choose_as_its_spaces_say_is_refused(tmp_path, parts):
    arrays, values = load_policy(parts / "policy")
    actions = {"discrete_actions": {"size": 6, "start": 0, "dtype": "int64"}}
    save_policy(tmp_path / "policy", arrays, {**values, **actions})
    with pytest.raises(PolicyError, match="its network chooses Box actions, its spaces have Discrete"):
        TrainedPolicy.load(tmp_path / "policy")
