"""Settings of an agent of the user's own: which names and types they may have, whoever looks at the agent first."""

from __future__ import annotations

import typing
from dataclasses import dataclass, field, replace
from enum import Enum
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest

from rewirl.agents import AGENTS, AgentConfig, TD3Config
from rewirl.agents.config import setting
from rewirl.cli import inspection, train, tune
from rewirl.cli.errors import UsageError
from rewirl.cli.parse import parse_run
from rewirl.cli.sweep import sweep
from rewirl.exact import from_values
from rewirl.options import option
from rewirl.options.option import options
from rewirl.options.resolve import agent_settings
from rewirl.replay import Replay
from rewirl.training.scales import of_scales
from rewirl.training.schedules import asked_for, of_schedules


class Colour(Enum):
    RED = 1


def settings(monkeypatch: Any, name: str, kind: Any, default: Any = None, **more: Any) -> type[AgentConfig]:
    """Enter an agent with a setting of this name and type; return the class of its settings."""
    members = {"__annotations__": {name: kind, **more}, name: default, **dict.fromkeys(more), "__module__": __name__}
    own = dataclass(frozen=True)(type("Own", (TD3Config,), members))
    monkeypatch.setitem(AGENTS, "own", replace(AGENTS["ds-td3"], name="own", config=own))
    return own


@pytest.mark.parametrize(
    ("name", "kind", "command", "taken"),
    [
        ("run_dir", float | None, train.train, "run_dir an option of rewirl train"),
        ("preset", float | None, train.train, "preset an option of rewirl train"),
        ("help", float | None, train.train, "help an option of rewirl train"),
        ("check", bool, train.train, "no_check an option of rewirl train"),
        ("trials", int | None, tune.tune, "trials an option of rewirl tune"),
        ("json", bool, inspection.inspect, "json an option of rewirl inspect"),
    ],
)
def test_a_setting_is_not_called_as_what_the_command_has(monkeypatch, name, kind, command, taken):
    settings(monkeypatch, name, kind, False if kind is bool else None)
    said = f"^{name} is a setting of Own, and {taken}; rename the first$"
    for more in ([], ["--help"]):
        with pytest.raises(UsageError, match=said):
            command(["--agent", "own", "--env", "Pendulum-v1", *more])
    # Nobody else minds: other agents, Python, and recorded runs.
    assert inspection.inspect(["--agent", "td3", "--env", "Pendulum-v1"]) == 0
    assert getattr(agent_settings("own", "Pendulum-v1"), name) in (None, False)


def test_names_of_sweeps_and_what_says_no_to_a_number_are_free(monkeypatch):
    settings(monkeypatch, "check", float | None, no_gamma=float | None)
    assert parse_run("train", ["--agent", "own", "--check", "0.5"], no_check=(bool, False, "")).agent.check == 0.5
    settings(monkeypatch, "directory", float | None)
    with pytest.raises(UsageError, match="no experiment 'mine'"):  # its options were read before
        sweep(["mine", "--dry-run", "--directory", "nowhere"])


def test_a_setting_of_a_run_is_no_setting_of_an_agent(monkeypatch):
    settings(monkeypatch, "seed", float | None)
    with pytest.raises(ValueError, match=r"^seed is a setting of Own and of TrainConfig; rename the first$"):
        agent_settings("own", "Pendulum-v1")
    assert "gamma" in option.all_options()  # it is left out of what all agents have


@pytest.mark.parametrize(
    ("kind", "default", "said"),
    [
        (Literal[1, 2, 3], 1, r"Literal\[1, 2, 3\]"),
        (list[int], (), r"list\[int\]"),
        (dict, field(default_factory=dict), "dict"),
        (dict[int, float], field(default_factory=dict), r"dict\[int, float\]"),
        (tuple, (), "tuple"),
        (tuple[int, int], (1, 2), r"tuple\[int, int\]"),
        (tuple[int | None, ...], (), r"tuple\[int \| None, \.\.\.\]"),
        (Path | None, None, r".*Path \| None"),
        (Colour, Colour.RED, "Colour"),
        (Any, None, "Any"),
    ],
)
def test_a_type_of_which_there_are_no_settings_is_refused_as_a_type(monkeypatch, kind, default, said):
    own = settings(monkeypatch, "mine", kind, default)
    message = f"^the setting mine of Own has the type {said}, which none may have: there are bool, int, float, "
    with pytest.raises(ValueError, match=message):
        own()
    with pytest.raises(ValueError, match=message):
        from_values(own, {})
    with pytest.raises(ValueError, match=message):
        agent_settings("own", "Pendulum-v1")
    with pytest.raises(UsageError, match=message):
        train.train(["--agent", "own", "--help"])


def test_a_type_that_python_cannot_find_is_refused_too(monkeypatch):
    settings(monkeypatch, "mine", "Missing")
    with pytest.raises(ValueError, match="the types of the settings of Own cannot be found: name 'Missing' is not"):
        options("own")


class Plain(AgentConfig):
    """Without the settings of TD3."""


def test_a_setting_called_as_one_of_rewirls_is_none_of_those(monkeypatch):
    own: dict[str, Any] = {"bound": 0.1, "epsilon_start": 0.0, "epsilon_end": 1.0, "epsilon_steps": 10**9}
    own |= {"buffer_minimum": 1, "n_steps_after": 7, "rollout_steps": "long", "policy_delay": "much"}
    members = {"__annotations__": {name: type(value) for name, value in own.items()}, "__module__": __name__}
    config = dataclass(frozen=True)(type("Own", (Plain,), {**members, **own}))()
    assert all(setting(config, name, 3) == 3 and not asked_for(config, name) for name in own)
    assert list(of_schedules(config, 10, 10)) == []
    assert setting(replace(TD3Config(), policy_delay=5), "policy_delay") == 5
    agent = AGENTS["td3"].make(settings(monkeypatch, "bound", float, 0.1)(hidden_sizes=(8,)), 3, 1, 0)
    replay, zeros = Replay(10, 3, 1, 0), np.zeros(3, np.float32)
    replay.add(zeros, zeros[:1], 1.0, zeros, False)
    assert list(of_scales(replay, agent)) == []


@pytest.mark.parametrize(
    ("kind", "default", "value"),
    [
        (bool, True, False),
        (Literal["a", "b"] | float, "a", 0.5),
        (tuple[float, ...] | None, None, (1.0, 2.0)),
        (tuple[Literal["a", "b"], ...], (), ("a", "b")),
        (dict[str, Any], field(default_factory=dict), {"a": [1]}),
        (typing.Dict[str, float], field(default_factory=dict), {"a": 1.5}),  # noqa: UP006
        (tuple[tuple[int, ...], ...], (), ((1, 2), ())),
    ],
)
def test_any_other_type_is_taken(monkeypatch, kind, default, value):
    settings(monkeypatch, "mine", kind, default)
    assert agent_settings("own", "Pendulum-v1", mine=value).mine == value
