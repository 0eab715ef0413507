"""What a group of runs is called: by the user, by its preset, by its sweep, or by its agent and options."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from fnmatch import fnmatchcase
from functools import lru_cache
from pathlib import Path
from typing import Any

from rewirl.agents import AGENTS
from rewirl.experiments.report.published import ENVIRONMENTS, task_of
from rewirl.experiments.report.run_data import RunData
from rewirl.experiments.sweep.names import LONGEST_LABEL, word
from rewirl.options import resolve
from rewirl.options.train import TrainConfig
from rewirl.presets import lookup
from rewirl.presets.sokar import SOFT_TARGETS
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
    "env_processes",
    "env_module",  # part of the environment's name where it matters, see `environment_names`
}
AMOUNTS = tuple(f"topology.{name}" for name in resolve.AMOUNTS)
"""Options of which one at most says how many connections there are."""

_HOW_SPARSE = (*resolve.AMOUNTS, "initial_sparsity", "actor_sparsity", "critic_sparsity")
"""Options of the topology that are nothing or 0 where every connection exists."""

OF_PAPER = "ds-drl/"
"""Begins the names of the presets of Sokar et al. 2022."""

NEARLY_ALL = 0.8
"""Share of the groups from which on what they have in common is said once."""

LONGEST = 80
"""Characters of a name by agent and options."""

Labels = Sequence[tuple[str, str]]
"""Names of groups, each with a pattern for the names of run directories, such as ("rigl", "*-rigl-*")."""


def options_of(run: RunData) -> dict[str, Any]:
    """Return the settings in which a run differs from the defaults of its agent in its environment.

    Args:
        run: any run. A setting that its version did not have yet counts as today's default.

    Returns:
        By name, as JSON values; nested ones by path, such as topology.sparsity.
    """
    options = _differing(run.agent, run.env, run.settings, run.train)
    handed_over = run.record["config"].get("environment")
    if isinstance(handed_over, dict):
        options |= _of_environment(handed_over)
    policy = run.record["config"].get("warm_up_policy")
    if isinstance(policy, dict) and "warm_up_policy" in options:  # each seed has its own, trained in the same way
        source = Path(str(run.train["warm_up_policy"])).name
        # A run with the defaults has no hash in its name, and in other names what looks like one may be a date.
        settings = re.fullmatch(rf"{re.escape(word(run.env))}-.+-([0-9a-f]{{8}})-\d+", source)
        alike = f"{policy.get('agent')} of {policy.get('step')} steps"
        options["warm_up_policy"] = f"{alike} {settings[1]}" if settings else alike
    return options


def setting(run: RunData, option: str) -> Any:
    """Return the value of an option of a run; None where it has none.

    Args:
        run: any run.
        option: its name, as in `options_of`.
    """
    return {**_flat(run.settings), **run.train}.get(option)


def agent_of_paper(agent: str, env: str, options: dict[str, Any], but: Iterable[str] = ()) -> str | None:
    """Return the agent of Sokar et al. 2022 that has just these options, as `published` calls it, or None.

    Args:
        agent: of the group.
        env: of the group; one of the paper's, whatever its version.
        options: see `options_of`.
        but: options that may be any.
    """

    def alike(request: dict[str, Any]) -> bool:
        return _but_for(but, options) == _but_for(but, _resolved(request))

    protocol = lookup.protocol(agent)
    if not protocol or task_of(env) not in ENVIRONMENTS:
        return None
    if alike({"agent": agent, "env": env, **protocol}):
        return agent
    if agent == "sac" and alike({"agent": agent, "env": env, **protocol, **SOFT_TARGETS}):
        return "sac-soft"
    return None


def _but_for(names: Iterable[str], options: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in options.items() if name not in {*names}}


def preset_of(agent: str, env: str, options: dict[str, Any]) -> str | None:
    """Return the name of the preset that has just these options; None if there is none, or these are the defaults.

    Args:
        agent: of the group.
        env: of the group.
        options: see `options_of`.
    """
    return next((name for name, of_preset in _presets(agent, env) if of_preset == options), None) if options else None


def without_environment(preset: str, env: str) -> str:
    """Return the name of a preset for a page that says the environment itself: rlx2/td3, but small/pendulum.

    Args:
        preset: its whole name.
        env: its environment.
    """
    if preset.endswith(f"/{env}"):
        return preset.removesuffix(f"/{env}")
    paper, _, task = preset.rpartition("/")
    return paper if re.fullmatch(r".*-v\d+", task) else preset  # Asterix-v1 stands for MinAtar/Asterix-v1


def unknown_agents(runs: Iterable[RunData]) -> str:
    """Return which agents are not known here, what follows, and what to do; "" where all are.

    Args:
        runs: those of the report.
    """
    agents = sorted({run.agent for run in runs} - AGENTS.keys())
    if not agents:
        return ""
    modules = dict.fromkeys(module_of(agent) or "MODULE" for agent in agents)
    who, theirs, them = ("agent", "its", "it is") if len(agents) == 1 else ("agents", "their", "they are")
    return (
        f"not known here: the {who} {', '.join(agents)}. So {theirs} FLOPs are left out, and all {theirs} settings "
        f"count as changed. If {them} your own, add --agent-module {' '.join(modules)}"
    )


def module_of(agent: str) -> str:
    """Return the module in the name of an agent of the user's own; "" of another one."""
    return agent.rpartition(":")[0]


def sweep_label(run: RunData) -> str | None:
    """Return what a sweep called the agent of a run in the name of its directory, or None."""
    name = re.sub(rf"-[0-9a-f]{{8}}-{run.seed}$", "", run.name)
    begin = f"{word(run.env)}-"
    if name == run.name or not name.startswith(begin):
        return None
    label = name.removeprefix(begin)
    usable = re.fullmatch(rf"[A-Za-z0-9][A-Za-z0-9_.-]{{0,{LONGEST_LABEL - 1}}}", label)
    return label if usable and label != word(run.agent) else None


def given_label(runs: Sequence[RunData], labels: Labels) -> str | None:
    """Return the first name whose pattern fits the directory of each of some runs, or None."""
    return next((name for name, pattern in labels if all(fnmatchcase(run.name, pattern) for run in runs)), None)


def label_of(agent: str, options: dict[str, Any]) -> str:
    """Return the name of an agent with some options.

    Args:
        agent: its name.
        options: see `options_of`.
    """
    return ", ".join([agent, *([text] if (text := options_in_words(options)) else [])])


def options_in_words(options: dict[str, Any]) -> str:
    """Return options as text.

    Args:
        options: see `options_of`.
    """
    amounts = [name for name in AMOUNTS if options.get(name) is not None]
    said = {name: value for name, value in options.items() if not amounts or name not in AMOUNTS or name in amounts}
    return ", ".join(_in_words(name, value) for name, value in said.items())  # one amount replaces the others


def common_options(groups: Sequence[tuple[bool, dict[str, Any]]]) -> dict[str, Any]:
    """Return the options that nearly all of several groups have, with the same value; a single group shares none.

    How many connections there are is said of each group. Other options of the topology count for sparse groups alone.

    Args:
        groups: whether it is dense and options (see `options_of`) of each.
    """
    counts: Counter[str] = Counter()
    common = {}
    for _, options in groups:
        for name, value in options.items():
            word = f"{name} {json.dumps(value, sort_keys=True)}"
            counts[word] += 1
            may = sum(may_have(dense, name) for dense, _ in groups)
            if name not in AMOUNTS and counts[word] >= NEARLY_ALL * max(2, may):
                common[name] = value
    return common


def may_have(dense: bool, option: str) -> bool:
    """Return whether an option can change anything of a group: those of the topology only of one that is sparse."""
    return not (option.startswith("topology.") and dense)


def is_dense(agent: str, settings: dict[str, Any]) -> bool:
    """Return whether an agent has every connection from the first step to the last: td3 has not with a sparsity.

    Args:
        agent: its name, which tells where the settings have no topology.
        settings: of the agent, as the record of a run has them.
    """
    topology = settings.get("topology")
    if not isinstance(topology, dict):
        return agent not in AGENTS or AGENTS[agent].dense
    amounts = [topology.get(name) for name in _HOW_SPARSE]
    return ":" not in str(topology.get("structure")) and not any(  # N:M says how many there are, whatever else does
        any(amount) if isinstance(amount, list) else amount for amount in amounts
    )


def short_names(
    groups: Sequence[tuple[str, str, dict[str, Any]]], common: dict[str, Any]
) -> list[tuple[str, tuple[str, ...]]]:
    """Return for some groups names by agent and options, each with the options that it says.

    What is common is left out, as long as no two on an environment are called the same, nor two that differ in it
    anywhere: means over environments are by name. A name that is too long is the agent's with a number.

    Args:
        groups: environment, agent and options (see `options_of`) of each.
        common: options that nearly all groups have.
    """
    said = [own if agent in AGENTS else _telling(agent, own, groups) for _, agent, own in groups]
    for name, value in common.items():
        rest = [_without(own, name, value) for own in said]
        called = [label_of(agent, own) for (_, agent, _), own in zip(groups, rest, strict=True)]
        here = {(env, label) for (env, *_), label in zip(groups, called, strict=True)}
        meant = {(label, name in own and name not in left) for label, own, left in zip(called, said, rest, strict=True)}
        if len(here) == len(groups) and len(meant) == len(set(called)):
            said = rest
    full = [label_of(agent, own) for (_, agent, _), own in zip(groups, said, strict=True)]
    long = list(dict.fromkeys(name for name in full if len(name) > LONGEST))
    return [
        (f"{agent} ({long.index(name) + 1})", ()) if name in long else (name, tuple(own))
        for (_, agent, _), name, own in zip(groups, full, said, strict=True)
    ]


def shared_options(options: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Return the options that several groups all have, with the same value; a single group shares none.

    Args:
        options: of each group.
    """
    if len(options) < 2:
        return {}
    first, *others = options
    return {key: value for key, value in first.items() if all(key in other and other[key] == value for other in others)}


def _without(options: dict[str, Any], name: str, value: Any) -> dict[str, Any]:
    return {key: own for key, own in options.items() if (key, own) != (name, value)}


def _telling(agent: str, own: dict[str, Any], groups: Sequence[tuple[str, str, dict[str, Any]]]) -> dict[str, Any]:
    """Return how sparse a group is and what tells it from others of its agent, of which nothing knows the defaults."""
    others = [options for _, other, options in groups if other == agent]
    said = AMOUNTS if any(own.get(name) is not None for name in AMOUNTS) else ()
    return {
        name: value
        for name, value in own.items()
        if name in said or any(options.get(name) != value for options in others)
    }


def _differing(agent: str, env: str, settings: dict[str, Any], train: dict[str, Any]) -> dict[str, Any]:
    usual, of_agent = _defaults(agent, env) if agent in AGENTS else (to_values(TrainConfig()), {})
    topology = settings.get("topology")
    idle = [f"topology.{name}" for name in resolve.overruled(topology if isinstance(topology, dict) else {})]
    own = {key: value for key, value in _flat(settings).items() if key not in idle}
    return {
        **{key: value for key, value in own.items() if key not in of_agent or of_agent[key] != value},
        **{
            key: value
            for key, value in train.items()
            if key not in _IMMATERIAL and (key not in usual or usual[key] != value)
        },
    }


@lru_cache(maxsize=64)
def _defaults(agent: str, env: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the settings of a run and of its agent that nobody changed."""
    run, of_agent = resolve.resolve({"agent": agent, "env": env})
    return to_values(run), _flat(to_values(of_agent))


def _resolved(request: dict[str, Any]) -> dict[str, Any]:
    """Return the options of a run that somebody asked for, as `options_of` has them."""
    run, of_agent = resolve.resolve(request)
    return _differing(run.agent, run.env, to_values(of_agent), to_values(run))


@lru_cache(maxsize=64)
def _presets(agent: str, env: str) -> list[tuple[str, dict[str, Any]]]:
    """Return the presets of an agent in an environment with their options."""
    presets = []
    for name in lookup.names():
        preset = lookup.preset(name)
        if (preset.agent, preset.env) == (agent, env):
            presets.append((name, _resolved({"preset": name})))
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


def _in_words(option: str, value: Any) -> str:
    name = option.rpartition(".")[2].replace("_", "-")
    if isinstance(value, bool):
        return name if value else f"no {name}"
    return f"{name} {' '.join(map(str, value)) if isinstance(value, (list, tuple)) else value}"


def _flat(values: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in values.items():
        if isinstance(value, dict) and prefix + key == "topology":
            flat |= _flat(value, "topology.")
        else:
            flat[prefix + key] = list(value) if isinstance(value, tuple) else value
    return flat
