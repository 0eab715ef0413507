"""Promises about what survives a reset: it is named at the start and on resuming, or saved where it is offered."""

from __future__ import annotations

import json
import tracemalloc

import gymnasium
import numpy as np
import probe_environments as probes
import pytest
from test_run import AGENT, config

import rewirl
from rewirl.environments import memory as memory_module
from rewirl.environments.environment import Environment
from rewirl.environments.memory import memory_of, memory_of_spare
from rewirl.environments.source import environment_source
from rewirl.storage.policy_file import load_policy
from rewirl.training import run as runs
from rewirl.training.progress import Silent
from rewirl.training.resume import resume


class Curriculum(probes.Drift):
    """Becomes harder with every episode that ends."""

    def __init__(self):
        super().__init__()
        self.level = 0

    def step(self, action):
        observation, reward, terminated, truncated, info = super().step(action)
        self.level += truncated
        return observation, reward - self.level, terminated, truncated, info


class Late(probes.Drift):
    """Counts its episodes and rewards by them at their end alone."""

    episodes = 0

    def step(self, action):
        observation, reward, terminated, truncated, info = super().step(action)
        if truncated:
            Late.episodes += 1
        return observation, float(Late.episodes) if truncated else reward, terminated, truncated, info


def memory(env):
    found = memory_of(Environment(env, "it"))
    return None if found is None else found.place


class Wide(gymnasium.Env):
    """Observes very many numbers."""

    observation_space = gymnasium.spaces.Box(-1, 1, (50_000,), np.float32)
    action_space = gymnasium.spaces.Box(-1, 1, (1,), np.float32)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.steps = 0
        return np.zeros(50_000, np.float32), {}

    def step(self, action):
        self.steps += 1
        return np.full(50_000, action[0], np.float32), 0.0, self.steps >= 200, False, {}


def test_large_observations_are_compared_in_little_memory():
    tracemalloc.start()
    assert memory_of(Environment(Wide(), "it")) is None
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 10 * 200_000  # ten observations, of 200


@pytest.mark.parametrize(
    ("make", "place"),
    [
        (lambda: gymnasium.wrappers.NormalizeObservation(probes.Drift()), "NormalizeObservation (obs_rms)"),
        (lambda: gymnasium.wrappers.NormalizeReward(probes.Drift()), "return_rms"),
        (lambda: probes.Remembering(probes.Drift()), "Remembering (seen, total)"),
        (Curriculum, "level"),
        (probes.Restless, "_own"),
        (Late, "Late"),  # a variable of the class: nothing but the outcome tells
    ],
)
def test_what_survives_a_reset_is_named(make, place):
    assert place in memory(make())


@pytest.mark.parametrize(
    "make",
    [
        probes.Drift,
        probes.Changing,
        probes.Parts,
        lambda: probes.Offering(probes.Drift()),
        lambda: gymnasium.make("HalfCheetah-v5"),
        lambda: gymnasium.make("Hopper-v5"),
        lambda: gymnasium.make("Pendulum-v1"),
        lambda: gymnasium.make("CartPole-v1"),
    ],
)
def test_what_is_a_function_of_seed_actions_and_steps_is_left_in_peace(make):
    assert memory(make()) is None


def run_of(name):
    return config(env=f"rewirl-tests/{name}-v0", eval_every=100)


def test_a_run_is_warned_remembers_it_and_says_so_when_resumed(tmp_path, capsys):
    with runs.start(run_of("Remembering"), AGENT, tmp_path / "run", Silent()) as run:
        assert "Remembering (seen, total): reset with the same seed" in capsys.readouterr().err
        run.train(lambda: run.training.step >= 100)
    record = json.loads((tmp_path / "run" / "config.json").read_text())["config"]["environment_memory"]
    assert record["place"].endswith("Remembering (seen, total)")
    with resume(tmp_path / "run", Silent()):
        assert "not continued to the bit" in capsys.readouterr().err


def test_nothing_is_made_where_it_is_not_to_be(tmp_path, capsys):
    with runs.start(run_of("Remembering"), AGENT, tmp_path / "run", Silent(), check=False):
        assert capsys.readouterr().err == ""
    made = []

    def make():
        made.append(probes.Drift())
        return made[-1]

    small = {"hidden_sizes": [16, 16], "learning_starts": 50, "batch_size": 10, "buffer_size": 500, "threads": 1}
    with rewirl.DSTD3(make, **small) as agent:
        agent.learn(60, run_dir=tmp_path / "other", eval_every=0, check=False)
    assert len(made) == 1


@pytest.mark.parametrize(("threads", "at"), [(1, 30), (1, 45), (1, 97), (1, 215), (2, 45), (2, 215)])
def test_what_offers_its_state_is_resumed_to_the_bit_and_evaluated_with_it(tmp_path, at, threads, capsys):
    import dataclasses

    settings = dataclasses.replace(run_of("Offering"), threads=threads)
    with runs.start(settings, AGENT, tmp_path / "whole", Silent()) as run:
        run.train()
    with runs.start(settings, AGENT, tmp_path / "parts", Silent()) as run:
        run.train(lambda: run.training.step >= at)
    with resume(tmp_path / "parts", Silent()) as run:
        run.train()
    assert "is kept" not in capsys.readouterr().err
    parts, whole = (load_policy(tmp_path / name / "policy") for name in ("parts", "whole"))
    assert parts[1]["environment"]["state"][0]["seen"] > 400 and parts[1] == whole[1]
    for name, array in whole[0].items():
        np.testing.assert_array_equal(array, parts[0][name])
    evaluations = [
        [
            (line["step"], line["returns"])
            for line in map(json.loads, (tmp_path / name / "metrics.jsonl").read_text().splitlines())
            if line["event"] == "evaluation"
        ]
        for name in ("parts", "whole")
    ]
    assert evaluations[0] == evaluations[1]
    last = rewirl.load(tmp_path / "whole").evaluate(2)
    assert list(last.returns) == evaluations[1][-1][1]


def test_how_often_it_is_evaluated_changes_no_evaluation(tmp_path):
    finals = []
    for every in (50, 400):
        import dataclasses

        settings = dataclasses.replace(run_of("Offering"), eval_every=every)
        with runs.start(settings, AGENT, tmp_path / str(every), Silent()) as run:
            finals.append(run.train().evaluation.returns)
    assert finals[0] == finals[1]


def test_a_layer_that_goes_on_with_the_dict_it_was_given_changes_nobody_elses(tmp_path):
    class Adopting(probes.Offering):
        def load_rewirl_state(self, values):
            self.kept = values

        def reset(self, **options):
            self.kept["total"] += 1.0
            return super().reset(**options)

        def rewirl_state(self):
            return self.kept

    environment = environment_source(lambda: Adopting(probes.Drift())).make_training()
    saved = [{"total": 1.0}]
    for _ in range(2):
        environment.load_state(saved)
        environment.reset(0)
        assert environment.state() == [{"total": 2.0}] and saved == [{"total": 1.0}]


@pytest.mark.parametrize("total, why", [(object(), ""), ({3: 1}, "the key 3 is no text")])
def test_a_state_that_cannot_be_kept_is_a_fault_that_is_named(total, why):
    class Odd(probes.Offering):
        def rewirl_state(self):
            return {"total": total}

    environment = environment_source(lambda: Odd(probes.Drift())).make_training()
    with pytest.raises(RuntimeError, match=rf"rewirl_state\(\) returned what no JSON file can hold: .*{why}"):
        environment.state()
    with pytest.raises(RuntimeError, match="2 states were saved, but 1"):
        environment.load_state([1, 2])


def test_a_registered_environment_that_keeps_nothing_is_played_once_in_a_process(monkeypatch):
    played = []
    monkeypatch.setattr(
        memory_module, "memory_of", lambda environment: played.append(environment) or memory_of(environment)
    )
    monkeypatch.setattr(memory_module, "_KEEP_NOTHING", {})
    try:
        gymnasium.register("Once-v0", probes.Drift, max_episode_steps=20)
        for _ in range(3):
            assert memory_of_spare(environment_source("Once-v0")) is None
        assert len(played) == 1
        assert memory_of_spare(environment_source("Once-v0", {"max_episode_steps": 30})) is None
        assert len(played) == 2, "other arguments make another environment"
        assert memory_of_spare(environment_source("Once-v0", wrapper=["probe_environments:Remembering"])) is not None
        assert len(played) == 3, "and so do wrappers"
        del gymnasium.registry["Once-v0"]
        gymnasium.register("Once-v0", Curriculum)
        for count in (4, 5):
            assert memory_of_spare(environment_source("Once-v0")).place.startswith("Curriculum")
            assert len(played) == count, "what keeps something is found each time"
    finally:
        gymnasium.registry.pop("Once-v0", None)
