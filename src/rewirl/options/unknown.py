"""What is said of an option that an agent does not have: what it is called here, or why there is none."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable
from typing import Any

from rewirl.agents import AGENTS, ReplayConfig, agent_entry
from rewirl.hints import did_you_mean
from rewirl.options import sb3
from rewirl.printing import program

_MEMORY = "it has no replay memory, which this option is about"
_ONCE = "it learns from every step once, by itself: there are no batches and no updates between steps"
_TRACES = "its targets have one step, and eligibility traces look further: trace_decay"
_TARGETS = "it has no target networks"
_OF_STREAMS = {"batch_size": _ONCE, "updates_per_step": _ONCE, "n_steps": _TRACES, "n_steps_after": _TRACES}
_WHOLE = "it learns from whole rollouts, each several times: epochs"
_OF_ADVANTAGES = {"n_steps_after": "its advantages look over all steps of a rollout: gae_lambda"}
_OF_RETURNS = {"n_steps_after": "its returns look over all steps of a rollout: return_lambda"}

_OF_GYMNASIUM = ("max_episode_steps", "render_mode")

_SAME = {"activation": "hidden_layers", "hidden_layers": "activation", "n_timesteps": "total_timesteps"}
"""What some agents call otherwise than others, and RL Zoo's files than ours."""


class UnknownOptionError(TypeError, ValueError):
    """There is no option of this name: a TypeError, as for any keyword; a ValueError, as for options in files."""


def unknown_option(agent: str, name: str, known: Iterable[str], see: str | None = None) -> UnknownOptionError:
    """Return the error that an agent has no such option.

    Args:
        agent: its name.
        name: of what is no option.
        known: the names there are, the nearest of which is named.
        see: what lists them where there are many; None is the help of the agent's class.
    """
    if see is None:
        see = in_the_shell(agent) if ":" in agent else f"help(rewirl.{agent_entry(agent).python})"
    return UnknownOptionError(f"{agent} has no option {name!r}; {_hint(agent, name, list(known), see)}")


def unknown_keyword(method: Callable[..., Any], name: str, there: dict[str, str]) -> UnknownOptionError:
    """Return the error that a function or method has no such keyword.

    Args:
        method: the function or bound method.
        name: of the keyword.
        there: what stands for those of Stable-Baselines3, a table of `options.sb3`.
    """
    arguments = inspect.signature(method).parameters
    known = [each for each, argument in arguments.items() if argument.kind is not argument.VAR_KEYWORD]
    hint = sb3.hint(name, there) or did_you_mean(name, known)
    return UnknownOptionError(f"{method.__name__}() has no argument {name!r}; {hint}")


def refuse_unknown(method: Callable[..., Any], names: Iterable[str], there: dict[str, str]) -> None:
    """Refuse keywords that a function or method does not have; arguments as for `unknown_keyword`.

    Raises:
        UnknownOptionError: there is one; says what it is called here.
    """
    for name in names:
        raise unknown_keyword(method, name, there)


def in_the_shell(agent: str) -> str:
    """Return the command that lists the options of an agent."""
    return f"{program()} train --agent {agent} --help"


def _of_others(name: str, known: list[str]) -> str:
    """Return what stands for an option of other agents here, or which dense ones have it; "" if none has."""
    if _SAME.get(name) in known:
        return f"that is here: {_SAME[name]}"
    having = [
        entry.name
        for entry in AGENTS.values()
        if entry.dense and name in entry.config.__dataclass_fields__ and name not in entry.without
    ]
    return f"it is an option of {', '.join(having)}" if having else ""


def _hint(agent: str, name: str, known: list[str], see: str) -> str:
    entry = agent_entry(agent)
    if name in entry.without:
        return entry.without[name]
    if not entry.replay:
        rollouts = "rollout_steps" in known
        if rollouts and name in sb3.OF_ROLLOUTS:
            return sb3.hint(name, sb3.OF_ROLLOUTS)
        if rollouts and name == "updates_per_step":
            return _WHOLE
        why = _OF_STREAMS if not rollouts else _OF_ADVANTAGES if "gae_lambda" in known else _OF_RETURNS
        if name in why:
            return why[name]
        if name == "tau":
            return _TARGETS
        if name in ReplayConfig.__dataclass_fields__:
            return _MEMORY
    if name == "topology":
        return "its settings are options of their own, such as sparsity=0.9"
    if name in _OF_GYMNASIUM:
        return f"what gymnasium.make takes goes into env_kwargs, such as env_kwargs={{{name!r}: ...}}"
    return sb3.hint(name, sb3.ARGUMENTS) or _of_others(name, known) or did_you_mean(name, known, see)
