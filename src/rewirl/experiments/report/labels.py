"""What a group of runs is called: by the user, by its preset, by its sweep, or by its agent and options."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from fnmatch import fnmatchcase
from functools import lru_cache
from typing import Any

from rewirl.agents import AGENTS, AgentConfig
from rewirl.experiments.report.run_data import RunData
from rewirl.experiments.sweep.names import LONGEST_LABEL, word
from rewirl.options.resolve import papers_settings, resolve
from rewirl.options.train import TrainConfig
from rewirl.presets import lookup
from rewirl.presets.sokar import SOFT_TARGETS, TD3_LAMBDAS
from rewirl.storage.values import to_values

# Settings of a run that change nothing of what is learnt, and those that every group has of its own.
_IMMATERIAL = {
    "agent",
    "env",
    "seed",
    "total_timesteps",
    "checkpoint_every",
    "keep_checkpoints",
    "threads",
    "env_module",
}
_OF_THE_PAPER = "ds-drl/"

Labels = Sequence[tuple[str, str]]
"""Names of groups, each with a pattern for the names of run directories, such as ("rigl", "*-rigl-*")."""


def options_of(run: RunData, usual_of: Callable[[str, str], AgentConfig] = papers_settings) -> dict[str, Any]:
    """Return the settings in which a run differs from the paper's for its agent and environment.

    Args:
        run: any run. A setting that its version did not have yet counts as today's default.
        usual_of: settings of an agent in an environment to compare with, instead of the paper's.

    Returns:
        By name, as JSON values; nested ones by path, such as topology.sparsity.
    """
    options = _differing(run.agent, run.env, run.settings, run.train, usual_of)
    handed_over = run.record["config"].get("environment")
    if isinstance(handed_over, dict):
        options |= _of_environment(handed_over)
    policy = run.record["config"].get("warm_up_policy")
    if isinstance(policy, dict) and "warm_up_policy" in options:  # each seed has its own, trained in the same way
        options["warm_up_policy"] = f"{policy.get('agent')} of {policy.get('step')} steps"
    return options


def preset_of(agent: str, env: str, options: dict[str, Any]) -> str | None:
    """Return the preset that has just these options, without its environment; None if there is none.

    Args:
        agent: of the group.
        env: of the group.
        options: see `options_of`.

    Returns:
        Such as rlx2/td3; those of Sokar et al. without the paper, such as ds-td3 or sac-soft. No options at all are
        those of the agent itself, whatever the environment. The defaults are called so in the paper's environments.
    """
    if not options:
        return agent
    if agent in AGENTS and options == _defaults(agent, env):
        return f"{agent} (defaults)" if env.rpartition("-v")[0] in TD3_LAMBDAS else agent
    if agent == "sac" and options == SOFT_TARGETS:
        return "sac-soft"  # whatever the version of the environment
    names = [name for name, of_preset in _presets(agent, env) if of_preset == options]
    return names[0].rpartition("/")[0].removeprefix(_OF_THE_PAPER) if names else None


def sweep_label(run: RunData) -> str | None:
    """Return what a sweep called the agent of a run in the name of its directory, or None."""
    name = re.sub(rf"-[0-9a-f]{{8}}-{run.seed}$", "", run.path.name)
    begin = f"{word(run.env)}-"
    if name == run.path.name or not name.startswith(begin):
        return None
    label = name.removeprefix(begin)
    usable = re.fullmatch(rf"[A-Za-z0-9][A-Za-z0-9_.-]{{0,{LONGEST_LABEL - 1}}}", label)
    return label if usable and label != run.agent else None


def given_label(runs: Sequence[RunData], labels: Labels) -> str | None:
    """Return the first name whose pattern fits the directory of each of some runs, or None."""
    return next((name for name, pattern in labels if all(fnmatchcase(run.path.name, pattern) for run in runs)), None)


def label_of(agent: str, options: dict[str, Any]) -> str:
    """Return the name of an agent with some options.

    Args:
        agent: its name.
        options: see `options_of`.
    """
    labelled = dict(options)
    for one, other in (("topology.sparsity", "topology.lambdas"), ("topology.lambdas", "topology.sparsity")):
        if labelled.get(one) is not None and labelled.get(other, 0) is None:
            del labelled[other]  # the one replaces the other
    words = [f"{key.rpartition('.')[2].replace('_', '-')} {_text(value)}" for key, value in labelled.items()]
    return ", ".join([agent, *words])


def shared_options(options: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Return the options that several groups all have, with the same value; a single group shares none.

    Args:
        options: of each group.
    """
    if len(options) < 2:
        return {}
    first, *others = options
    return {key: value for key, value in first.items() if all(key in other and other[key] == value for other in others)}


def _differing(
    agent: str,
    env: str,
    settings: dict[str, Any],
    train: dict[str, Any],
    usual_of: Callable[[str, str], AgentConfig] = papers_settings,
) -> dict[str, Any]:
    defaults: dict[str, Any] = {}
    if agent in AGENTS:
        defaults = _flat(to_values(usual_of(agent, env)))
    usual = to_values(TrainConfig())
    return {
        **{key: value for key, value in _flat(settings).items() if key not in defaults or defaults[key] != value},
        **{
            key: value
            for key, value in train.items()
            if key not in _IMMATERIAL and (key not in usual or usual[key] != value)
        },
    }


@lru_cache(maxsize=64)
def _defaults(agent: str, env: str) -> dict[str, Any]:
    """Return the options of a run whose settings nobody changed."""
    run, of_agent = resolve({"agent": agent, "env": env})
    return _differing(agent, env, to_values(of_agent), to_values(run))


@lru_cache(maxsize=64)
def _presets(agent: str, env: str) -> list[tuple[str, dict[str, Any]]]:
    """Return the presets of an agent in an environment with their options."""
    presets = []
    for name in lookup.names():
        preset = lookup.preset(name)
        if (preset.agent, preset.env) == (agent, env):
            run, of_agent = resolve({"preset": name})
            presets.append((name, _differing(agent, env, to_values(of_agent), to_values(run))))
    return presets


def _of_environment(handed_over: dict[str, Any]) -> dict[str, Any]:
    """Return what an environment that a program handed over has besides its name, as options."""
    recipe = handed_over.get("recipe")
    if not isinstance(recipe, dict):
        return _of_what_nobody_else_makes(handed_over)
    kwargs = {f"{wrapper['name']}": wrapper["kwargs"] for wrapper in recipe["wrappers"]}
    return {
        **({"env_kwargs": recipe["kwargs"]} if recipe["kwargs"] else {}),
        **{f"wrapper {name}": values for name, values in kwargs.items() if values},
    }


def _of_what_nobody_else_makes(handed_over: dict[str, Any]) -> dict[str, Any]:
    changes, like = handed_over.get("changes") or [], handed_over.get("likeness")
    like = like if isinstance(like, dict) else {}
    attributes = {name.partition(" ")[2]: value for name, value in dict(like.get("attributes") or {}).items()}
    found = {
        "env_changes": [f"{each}={attributes[each]}" if each in attributes else each for each in changes],
        "env_kwargs": like.get("arguments"),
        "env_max_episode_steps": like.get("max_episode_steps"),
    }
    return {name: value for name, value in found.items() if value}


def _text(value: Any) -> str:
    return " ".join(map(str, value)) if isinstance(value, (list, tuple)) else str(value)


def _flat(values: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in values.items():
        if isinstance(value, dict) and prefix + key == "topology":
            flat |= _flat(value, "topology.")
        else:
            flat[prefix + key] = list(value) if isinstance(value, tuple) else value
    return flat
