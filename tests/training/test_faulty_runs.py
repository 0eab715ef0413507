"""Promises of runs whose environment fails: nothing that was learnt is lost, and they are resumed to the bit."""

from __future__ import annotations

import dataclasses

import probe_environments as probes
import pytest
from sameness import metrics, same_to_the_bit
from test_run import AGENT, config

from rewirl.agents import DQNConfig, Policy, PPOConfig, PQNConfig, StreamACConfig, StreamQConfig
from rewirl.environments.environment import FaultyEnvironmentError
from rewirl.environments.spaces import UnsuitableEnvironmentError
from rewirl.storage.checkpoint import load_latest
from rewirl.training import run as runs
from rewirl.training.evaluation import SerialEvaluations
from rewirl.training.progress import Silent
from rewirl.training.resume import resume

AGENTS = {
    "td3": dataclasses.replace(AGENT, n_steps=3, normalise_observations=True, scale_rewards=True, learning_starts=20),
    "ppo": PPOConfig(topology=AGENT.topology, hidden_sizes=(24, 16), rollout_steps=48, batch_size=16),
    "dqn": DQNConfig(topology=AGENT.topology, hidden_sizes=(24, 16), learning_starts=20, batch_size=8, update_every=4),
    "pqn": PQNConfig(topology=AGENT.topology, hidden_sizes=(24, 16), rollout_steps=48, batch_size=16),
    "stream-ac": StreamACConfig(topology=AGENT.topology, hidden_sizes=(24, 16)),
    "stream-q": StreamQConfig(topology=AGENT.topology, hidden_sizes=(24, 16), epsilon_steps=200),
    "stream-sarsa": StreamQConfig(topology=AGENT.topology, hidden_sizes=(24, 16), epsilon_steps=200),
}
COUNTED = {"dqn", "pqn", "stream-q", "stream-sarsa"}
"""Agents of numbered actions."""


def asked(agent, count, **settings):
    name = "StumblingChoices" if agent in COUNTED else "Stumbling"
    of = {"env": f"rewirl-tests/{name}-v0", "n_envs": count, "eval_every": 40, "checkpoint_every": 0}
    return config(**{**of, "agent": f"ds-{agent}", "total_timesteps": 150, **settings})


def told(path):
    return [line for line in metrics(path) if line["event"] != "checkpoint"]


@pytest.fixture(autouse=True)
def falls(monkeypatch):
    """Of no test the falls of another one."""
    monkeypatch.setattr(probes.Stumbling, "falls", {})
    return probes.Stumbling.falls


@pytest.mark.parametrize(
    ("agent", "count"), [(agent, count) for agent in AGENTS for count in (1, 3) if count == 1 or agent[:6] != "stream"]
)
def test_a_run_whose_environment_fails_once_is_resumed_where_it_was_to_the_bit(agent, count, tmp_path, falls):
    whole = tmp_path / "whole"
    with runs.start(asked(agent, count), AGENTS[agent], whole, Silent()) as run:
        assert run.train().finished
    calls = {name: -number for name, number in falls.items()}
    assert calls["step"] > 200 and calls["reset"] > 25  # of evaluations too
    places = [("step", share) for share in (0.2, 0.35, 0.5, 0.65, 0.8, 0.9)] + [("reset", 0.3), ("reset", 0.7)]
    for number, (name, share) in enumerate(places):
        path = tmp_path / str(number)
        falls.clear()
        falls[name] = int(share * calls[name])
        run = runs.start(asked(agent, count), AGENTS[agent], path, Silent())
        with run, pytest.raises(FaultyEnvironmentError, match="no ground"):
            run.train()
        saved = load_latest(path / "checkpoints", pytest.fail)
        assert saved is not None and saved.step == run.training.step > 0
        with resume(path, Silent()) as run:
            assert run.train().finished
        same_to_the_bit(path, whole)
        assert told(path) == told(whole)


def test_a_fault_before_the_first_step_saves_nothing(tmp_path, falls):
    run = runs.start(asked("td3", 1, eval_every=0), AGENTS["td3"], tmp_path / "run", Silent())
    run.check_memory()  # which plays a spare environment, unless a run before has: the fall is not for that one
    falls.clear()
    falls["reset"] = 1
    with run, pytest.raises(FaultyEnvironmentError, match="no ground"):
        run.train()
    assert not list((tmp_path / "run" / "checkpoints").glob("step-*"))


def test_an_environment_that_stays_faulty_fails_at_the_same_step_again(tmp_path):
    settings = asked("td3", 1, env="rewirl-tests/Nan-v0", env_kwargs={"at": 29}, eval_every=0)
    run = runs.start(settings, AGENTS["td3"], tmp_path / "run", Silent())
    for _ in range(3):
        with run, pytest.raises(FaultyEnvironmentError, match="training step 29"):
            run.train()
        saved = load_latest(tmp_path / "run" / "checkpoints", pytest.fail)
        assert saved is not None and saved.step == 28
        run = resume(tmp_path / "run", Silent())
    run.close()


def test_a_program_that_trains_on_after_a_fault_has_another_episode(tmp_path, falls):
    falls["step"] = 50
    with runs.start(asked("td3", 1, eval_every=0), AGENTS["td3"], tmp_path / "run", Silent()) as run:
        with pytest.raises(FaultyEnvironmentError, match="no ground"):
            run.train()
        episode = run.training.collection.episodes[0]
        assert run.training.step == 49 and episode.idle and episode.observation is None and not episode.faulty
        assert run.train().finished


class Beside(SerialEvaluations):
    """Evaluates beside training, as a process of its own does, until seven steps later; fails after step 80."""

    def __init__(self, evaluator, error):
        super().__init__(evaluator)
        self.error, self.asked = error, 0

    def begin(self, agent, when, step=0, state=None):
        arrays, values = agent.policy_state()
        super().begin(
            Policy.from_state({name: array.copy() for name, array in arrays.items()}, values), when, step, state
        )
        self.asked = 0

    def ready(self):
        self.asked += 1
        return self.asked > 7

    def collect(self, stop=lambda: False):
        if self._begun[1] == "evaluation after step 80":
            raise self.error
        return super().collect(stop)


@pytest.mark.parametrize("agent", ["td3", "ppo"])
@pytest.mark.parametrize(("error", "threads"), [(FaultyEnvironmentError, 1), (UnsuitableEnvironmentError, 2)])
@pytest.mark.parametrize("training_too", [False, True])
def test_an_evaluation_beside_training_that_fails_is_played_by_the_resumed_run(
    agent, error, threads, training_too, tmp_path
):
    asked_for = asked(agent, 1, threads=threads)
    with runs.start(asked_for, AGENTS[agent], tmp_path / "whole", Silent()) as run:
        assert run.train().finished
    with runs.start(asked_for, AGENTS[agent], tmp_path / "run", Silent()) as run:
        run.training.evaluations = Beside(run.evaluator(run.config.eval_episodes), error("no ground"))
        step = run.environment.step
        if training_too:

            def fails(action):
                if run.training.step == 84:
                    raise FaultyEnvironmentError("no wheels")
                return step(action)

            run.environment.step = fails
        with pytest.raises(error, match="no ground"):
            run.train()
    saved = load_latest(tmp_path / "run" / "checkpoints", pytest.fail)
    assert saved is not None and saved.step == run.training.step == (84 if training_too else 87)
    with resume(tmp_path / "run", Silent()) as run:
        assert run.train().finished
    same_to_the_bit(tmp_path / "run", tmp_path / "whole")
    # The line of the evaluation comes after those of the steps beside it.
    of_step = [
        sorted(told(tmp_path / name), key=lambda line: (line["event"], line["step"])) for name in ("run", "whole")
    ]
    assert of_step[0] == of_step[1]


def test_a_fault_before_the_first_evaluation_that_is_recorded_is_saved(tmp_path, falls):
    with runs.Run(asked("td3", 1, total_timesteps=30, eval_every=0), AGENTS["td3"], Silent()) as run:
        run.train()
        run.configure(dataclasses.replace(run.config, total_timesteps=200, eval_every=100, eval_episodes=1))
        run.record_in(tmp_path / "run")
        falls["step"] = 40
        with pytest.raises(FaultyEnvironmentError, match="no ground"):
            run.train()
    saved = load_latest(tmp_path / "run" / "checkpoints", pytest.fail)
    assert saved is not None and saved.step == run.training.step == 69


def test_an_evaluation_that_is_owed_is_checked_when_it_is_loaded(tmp_path):
    with runs.start(asked("td3", 1), AGENTS["td3"], tmp_path / "run", Silent()) as run:
        run.training.evaluations = Beside(run.evaluator(1), FaultyEnvironmentError("no ground"))
        with pytest.raises(FaultyEnvironmentError, match="no ground"):
            run.train()
        arrays, values = run.training.state()
        for name, wrong in {"step": -1, "policy": {}, "kept": 3, "fields": {}, "diagnostics": {"loss": "low"}}.items():
            with pytest.raises(ValueError, match=r"saved|state of a training run|network"):
                run.training.load_state(arrays, {**values, "owed": {**values["owed"], name: wrong}})
        with pytest.raises(ValueError, match="state of a training run"):
            run.training.load_state(arrays, {**values, "owed": {}})
