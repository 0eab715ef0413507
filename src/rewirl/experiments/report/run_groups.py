"""Groups of runs that differ only by their seed, and what they show together."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rewirl.agents import AGENTS, AgentConfig
from rewirl.experiments.report.metrics import final_return, learning_curve_area
from rewirl.experiments.report.run_data import RunData
from rewirl.options.resolve import agent_settings, papers_settings
from rewirl.options.train import TrainConfig
from rewirl.presets.sokar import SOFT_TARGETS
from rewirl.printing import quoted, visible
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


@dataclass(frozen=True)
class RunGroup:
    """Runs of one agent with the same settings on one environment."""

    env: str
    agent: str
    label: str
    """The agent, and the options that differ from the paper's; those that all groups of a report have are left out."""
    preset: str | None
    """What the paper's presets call it, or None if any option differs from them."""
    options: dict[str, Any]
    """Those options by name, as JSON values; nested ones by path, such as topology.sparsity."""
    runs: tuple[RunData, ...]
    """By seed, each once."""

    @cached_property
    def horizon(self) -> int:
        """Steps that its final numbers are of: of the longest finished run, or while none is, of the shortest run."""
        finished = [run.last for run in self.runs if run.finished]
        return max(finished) if finished else min(run.last for run in self.runs)

    @property
    def total(self) -> int:
        """Steps that the longest of its runs is to have."""
        return max(run.total for run in self.runs)

    def full(self, step: int | None = None) -> tuple[RunData, ...]:
        """Return the runs that go to a step, the horizon unless another is given; the others are cut short."""
        step = self.horizon if step is None else step
        return tuple(run for run in self.runs if run.last >= step)

    def finals(self, step: int | None = None) -> NDArray[np.float64]:
        """Return the final return of each run that goes to a step, as if the run ended there, float64 [runs]."""
        step = self.horizon if step is None else step
        return np.array([final_return(run.until(step).tolist()) for run in self.full(step)])

    def areas(self, step: int | None = None) -> NDArray[np.float64]:
        """Return the learning-curve area up to a step of each run that goes there, float64 [runs]."""
        step = self.horizon if step is None else step
        return np.array([learning_curve_area(run.until(step).tolist()) for run in self.full(step)])

    @property
    def parameters(self) -> float:
        """Connections of the networks that learn, mean over runs."""
        return float(np.mean([run.parameters for run in self.runs]))

    @property
    def seeds(self) -> list[int]:
        """Seeds of all runs."""
        return [run.seed for run in self.runs]


def group_runs(runs: Sequence[RunData]) -> tuple[list[RunGroup], list[tuple[RunData, str]]]:
    """Sort runs into groups.

    Args:
        runs: of any agents, environments and settings.

    Returns:
        The groups by environment and label; and the runs left out, with the reason: of two runs with the same settings
        and seed, the longer one counts.
    """
    runs_by_seed: dict[tuple[str, str, str], dict[int, RunData]] = {}
    options: dict[tuple[str, str, str], dict[str, Any]] = {}
    left_out = []
    for run in runs:
        own = options_of(run)
        key = (run.env, run.agent, json.dumps(own, sort_keys=True))
        options[key] = own
        same = runs_by_seed.setdefault(key, {})
        other = same.get(run.seed)
        if other is not None:
            run, other = (run, other) if run.last > other.last else (other, run)
            left_out.append((other, f"has the settings and the seed of {run.path}, which is not shorter"))
        same[run.seed] = run
    shared = shared_options(list(options.values()))
    groups = []
    for key, same in runs_by_seed.items():
        env, agent, _ = key
        soft = agent == "sac" and options[key] == SOFT_TARGETS
        preset = "sac-soft" if soft else None if options[key] else agent
        differing = {name: value for name, value in options[key].items() if name not in shared}
        label = preset or label_of(agent, differing)
        groups.append(RunGroup(env, agent, label, preset, options[key], tuple(same[seed] for seed in sorted(same))))
    rank = {agent: number for number, agent in enumerate(AGENTS)}
    return sorted(groups, key=lambda item: (item.env, rank.get(item.agent, len(rank)), item.label)), left_out


def shared_options(options: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Return the options that several groups all have, with the same value; a single group shares none.

    Args:
        options: of each group.
    """
    if len(options) < 2:
        return {}
    first, *others = options
    return {key: value for key, value in first.items() if all(key in other and other[key] == value for other in others)}


def options_of(run: RunData, usual_of: Callable[[str, str], AgentConfig] = papers_settings) -> dict[str, Any]:
    """Return the settings in which a run differs from the paper's for its agent and environment.

    Args:
        run: any run. A setting that its version did not have yet counts as today's default.
        usual_of: settings of an agent in an environment to compare with, instead of the paper's.
    """
    defaults: dict[str, Any] = {}
    if run.agent in AGENTS:
        defaults = _flat(to_values(usual_of(run.agent, run.env)))
    options = {
        key: value for key, value in _flat(run.settings).items() if key not in defaults or defaults[key] != value
    }
    usual = asdict(TrainConfig())
    options |= {
        key: value
        for key, value in run.train.items()
        if key not in _IMMATERIAL and (key not in usual or usual[key] != value)
    }
    handed_over = run.record["config"].get("environment")
    if isinstance(handed_over, dict):
        options |= _of_environment(handed_over)
    policy = run.record["config"].get("warm_up_policy")
    if isinstance(policy, dict) and "warm_up_policy" in options:  # each seed has its own, trained in the same way
        options["warm_up_policy"] = f"{policy.get('agent')} of {policy.get('step')} steps"
    return options


def _of_environment(handed_over: dict[str, Any]) -> dict[str, Any]:
    """Return what an environment that a program handed over has besides its name, as options."""
    recipe, changes = handed_over.get("recipe"), handed_over.get("changes")
    if not isinstance(recipe, dict):
        return {"env_changes": changes} if changes else {}
    kwargs = {f"{wrapper['name']}": wrapper["kwargs"] for wrapper in recipe["wrappers"]}
    return {
        **({"env_kwargs": recipe["kwargs"]} if recipe["kwargs"] else {}),
        **{f"wrapper {name}": values for name, values in kwargs.items() if values},
    }


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


def command(run: RunData) -> str:
    """Return the command that makes a run again, or in words what does where no command can.

    Whatever the run's files say, it is that one command.
    """
    if run.record["config"].get("environment") is not None:
        return visible(
            f"# {run.agent} on {run.env}, seed {run.seed}: made by a Python program, and only from Python again"
        )
    words = ["rewirl", "train", *_typed("agent", run.agent), *_typed("env", run.env), *_typed("seed", run.seed)]
    if run.total != TrainConfig().total_timesteps:
        words += _typed("total_timesteps", run.total)
    if run.train.get("env_module"):
        words += _typed("env_module", run.train["env_module"])
    for key, value in options_of(run, agent_settings).items():
        value = run.train[key] if key == "warm_up_policy" else value
        words += _typed(key.rpartition(".")[2], value)
    return " ".join([*words, *_typed("threads", run.train.get("threads", 1))])


def _typed(option: str, value: Any) -> list[str]:
    """Return an option as it is typed, each word quoted; nothing for one that is left out."""
    flag = "--" + option.replace("_", "-")
    if value is None or value is False:
        return []
    if value is True:
        return [quoted(flag)]
    if isinstance(value, list):
        return [quoted(flag), *(quoted(each) for each in value)]
    word = json.dumps(value) if isinstance(value, dict) else str(value)
    if word.startswith("-") and isinstance(value, str):
        return [quoted(f"{flag}={word}")]  # or it would be an option itself
    return [quoted(flag), quoted(word)]


def dense_of(agent: str) -> str | None:
    """Return the dense agent that a sparse one is compared with, or None for a dense one."""
    for prefix in ("static-", "ds-"):
        if agent.startswith(prefix):
            return agent.removeprefix(prefix)
    return None


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
