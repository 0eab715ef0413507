"""Settings of an agent of the user's own: which names and types they may have, whoever looks at the agent first."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from enum import Enum
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest

import rewirl
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
    ("name", "what"),
    [
        ("run_dir", "run_dir is a setting of Own and an option of rewirl train; rename the first"),
        ("preset", "preset is a setting of Own and an option of rewirl train; rename the first"),
        ("help", "help is a setting of Own and an option of every command; rename the first"),
        ("trials", "trials is a setting of Own and an option of rewirl tune; rename the first"),
        ("runs", "runs is a setting of Own and a word of sweep files; rename the first"),
        ("check", "check is a setting of Own, and no_check is an option of rewirl train; rename the first"),
        ("seed", "seed is a setting of Own and of TrainConfig; rename the first"),
    ],
)
def test_a_setting_is_not_called_as_what_commands_have(monkeypatch, name, what):
    settings(monkeypatch, name, float | None)
    with pytest.raises(ValueError, match=f"^{what}$"):
        agent_settings("own", "Pendulum-v1")
    for command in (train.train, tune.tune, inspection.inspect):
        with pytest.raises(UsageError, match=f"^{what}$"):
            command(["--agent", "own", "--help"])
    with pytest.raises(UsageError, match=f"^{what}$"):
        sweep(["ds-drl/table-1", "--dry-run"])
    with pytest.raises(ValueError, match=f"^{what}$"):
        rewirl.tune("Pendulum-v1", "own")


def test_a_setting_is_not_called_as_what_says_no_to_another(monkeypatch):
    settings(monkeypatch, "mine", bool, False, no_mine=float | None)
    with pytest.raises(ValueError, match="mine is a setting of Own, and no_mine is another one; rename the first"):
        options("own")


def test_no_name_of_a_command_is_left_out(monkeypatch):
    there = {"help"}
    for module, command, arguments in (
        (train, train.train, ["--dry-run"]),
        (tune, tune.tune, []),
        (inspection, inspection.inspect, []),
    ):

        def parsed(name, arguments, **fields):
            there.update(fields)
            raise UsageError(name)

        monkeypatch.setattr(module, "parse_run", parsed)
        with pytest.raises(UsageError):
            command(arguments)
    assert there <= option.TAKEN.keys()
    assert "preset" in vars(parse_run("train", ["--agent", "td3"])).keys() & option.TAKEN.keys()


@pytest.mark.parametrize(
    ("kind", "default", "said"),
    [
        (Literal[1, 2, 3], 1, r"Literal\[1, 2, 3\]"),
        (list[int], (), r"list\[int\]"),
        (dict, field(default_factory=dict), "dict"),
        (dict[str, float], field(default_factory=dict), r"dict\[str, float\]"),
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
    ],
)
def test_any_other_type_is_taken(monkeypatch, kind, default, value):
    settings(monkeypatch, "mine", kind, default)
    assert agent_settings("own", "Pendulum-v1", mine=value).mine == value
