"""Promises of learning-rate schedules: the formulas, in every optimiser, the same after a resume."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

import rewirl
from rewirl.agents import SACConfig, TD3Config, make_agent
from rewirl.agents.temperature import Temperature
from rewirl.nn import Ensemble
from rewirl.replay import Replay


def test_the_formulas_by_hand():
    linear = TD3Config(
        learning_rate=1e-3, learning_rate_schedule="linear", learning_rate_end=2e-4, learning_rate_updates=8
    )
    assert [linear.learning_rate_at(u) for u in (1, 5, 9, 1000)] == pytest.approx([1e-3, 6e-4, 2e-4, 2e-4])
    cosine = SACConfig(learning_rate=1e-3, learning_rate_schedule="cosine", learning_rate_updates=4)
    expected = [1e-3, 1e-3 * (1 + math.sqrt(0.5)) / 2, 5e-4, 1e-3 * (1 - math.sqrt(0.5)) / 2, 0, 0]
    assert [cosine.learning_rate_at(u) for u in range(1, 7)] == pytest.approx(expected, abs=1e-12)
    assert [TD3Config(learning_rate=0.25).learning_rate_at(u) for u in (1, 10**9)] == [0.25, 0.25]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"learning_rate_schedule": "linear"}, "learning_rate_schedule linear needs learning_rate_updates"),
        ({"learning_rate_updates": 5}, "belong to a learning_rate_schedule"),
        ({"learning_rate_end": 1e-5}, "belong to a learning_rate_schedule"),
        ({"learning_rate_schedule": "linear", "learning_rate_updates": 0}, "learning_rate_updates must be at least 1"),
        ({"learning_rate_schedule": "step"}, "learning_rate_schedule must be"),
    ],
)
def test_impossible_schedules_are_refused(options, words):
    with pytest.raises(ValueError, match=words):
        TD3Config(**options)


@pytest.mark.parametrize(("name", "kind"), [("ds-td3", TD3Config), ("sac", SACConfig)])
def test_every_optimiser_follows_it(monkeypatch, name, kind):
    rates: dict[str, list[float]] = {"critics": [], "actor": [], "temperature": []}
    regress, step, temper = Ensemble.regress, Ensemble.step, Temperature.update

    def regressed(self: Any, x: Any, y: Any, w: Any, errors: Any, rate: float, *rest: Any) -> Any:
        rates["critics"].append(rate)
        return regress(self, x, y, w, errors, rate, *rest)

    def stepped(self: Any, x: Any, gradients: Any, rate: float, *rest: Any) -> Any:
        rates["actor"].append(rate)
        return step(self, x, gradients, rate, *rest)

    def tempered(self: Any, entropy: float, rate: float) -> None:
        rates["temperature"].append(rate)
        temper(self, entropy, rate)

    monkeypatch.setattr(Temperature, "update", tempered)
    monkeypatch.setattr(Ensemble, "regress", regressed)
    monkeypatch.setattr(Ensemble, "step", stepped)
    config = kind(
        hidden_sizes=(8, 8), batch_size=4, learning_rate_schedule="linear", learning_rate_updates=4, learning_rate=0.01
    )
    agent = make_agent(name, config, 3, 1, seed=0)
    replay, rng = Replay(20, 3, 1, 0), np.random.default_rng(0)
    for _ in range(20):
        replay.add(rng.standard_normal(3), np.zeros(1), 0.0, rng.standard_normal(3), False)
    for _ in range(6):
        agent.update(replay)
    expected = [0.01, 0.0075, 0.005, 0.0025, 0.0, 0.0]
    assert rates["critics"] == pytest.approx(expected)
    assert rates["actor"] == pytest.approx(expected if kind is SACConfig else expected[1::2])
    assert rates["temperature"] == pytest.approx(expected if kind is SACConfig else [])
    agent.close()


def test_a_schedule_goes_on_after_a_resume_as_if_never_stopped(tmp_path):
    small: dict[str, Any] = {"hidden_sizes": (8,), "learning_starts": 20, "batch_size": 4, "threads": 1}
    small |= {"buffer_size": 100, "learning_rate_schedule": "cosine", "learning_rate_updates": 60}
    with rewirl.DSSAC("Pendulum-v1", **small) as whole:
        whole.learn(70)
        expected = whole.topology["actor"][0].weights.data.tobytes()
    with rewirl.DSSAC("Pendulum-v1", **small) as first:
        first.learn(45, run_dir=tmp_path / "run", eval_every=0)
    with rewirl.resume(tmp_path / "run") as second:
        second.learn(25)
        assert second.topology["actor"][0].weights.data.tobytes() == expected
