"""Groups of runs that differ only by their seed, and what they show together."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rewirl.agents import AGENTS
from rewirl.experiments.report import published
from rewirl.experiments.report.labels import (
    LONGEST,
    OF_PAPER,
    Labels,
    agent_of_paper,
    common_options,
    given_label,
    is_dense,
    label_of,
    options_of,
    preset_of,
    shared_options,
    short_names,
    sweep_label,
    without_environment,
)
from rewirl.experiments.report.made_with import made_by
from rewirl.experiments.report.metrics import final_return, learning_curve_area
from rewirl.experiments.report.mujoco_version import environment_names, mujoco_of
from rewirl.experiments.report.published import Published
from rewirl.experiments.report.run_data import RunData
from rewirl.experiments.report.warm_up_policies import options_of_all
from rewirl.options.train import TrainConfig
from rewirl.printing import quoted, visible


@dataclass(frozen=True)
class RunGroup:
    """Runs of one agent with the same settings on one environment."""

    env: str
    """Its name; with the version of MuJoCo or the module where the runs of a report are of several."""
    agent: str
    label: str
    """What it is called; no two groups on an environment are called the same."""
    preset: str | None
    """The preset whose settings it has, by its whole name; see `labels.preset_of`."""
    of_paper: str | None
    """The agent of Sokar et al. whose settings it has; see `labels.agent_of_paper`."""
    options: dict[str, Any]
    """Options that differ from the defaults; see `labels.options_of`."""
    runs: tuple[RunData, ...]
    """By seed, each once."""
    named: tuple[str, ...] = ()
    """Options that its label says."""

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
        """Return the runs that go to a step, the horizon unless another is given; the others are cut short.

        A run whose first evaluation is later than that has nothing to show there.
        """
        step = self.horizon if step is None else step
        return tuple(run for run in self.runs if run.steps[0] <= step <= run.last)

    def finals(self, step: int | None = None) -> NDArray[np.float64]:
        """Return the final return of each run that goes to a step, as if the run ended there, float64 [runs]."""
        step = self.horizon if step is None else step
        return np.array([final_return(run.until(step).tolist()) for run in self.full(step)])

    def areas(self, step: int | None = None) -> NDArray[np.float64]:
        """Return the learning-curve area up to a step of each run that goes there, float64 [runs]."""
        step = self.horizon if step is None else step
        return np.array([learning_curve_area(run.until(step).tolist()) for run in self.full(step)])

    @property
    def dense(self) -> bool:
        """Whether it has every connection, whatever its agent is called; see `labels.is_dense`."""
        return is_dense(self.agent, self.runs[0].settings)

    @property
    def task(self) -> dict[str, Any]:
        """Arguments and wrappers of its environment, which make another task of it."""
        return {name: value for name, value in self.options.items() if name.startswith(("env_", "wrapper"))}

    @property
    def mujoco(self) -> str:
        """The version of MuJoCo that computed its environment, or "" where none did."""
        return mujoco_of(self.runs[0])

    @property
    def parameters(self) -> float:
        """Connections of the networks that learn at its horizon, mean over the runs that go there."""
        return float(np.mean([run.connections[len(run.until(self.horizon)) - 1] for run in self.full()]))

    @property
    def seeds(self) -> list[int]:
        """Seeds of all runs."""
        return [run.seed for run in self.runs]

    @property
    def published(self) -> Published | None:
        """What Sokar et al. have for it, or None."""
        return published.numbers_of(self.of_paper, self.env)

    @property
    def by_options(self) -> bool:
        """Whether its settings are those of no preset and no paper, so that its options say what it is."""
        return self.agent in AGENTS and self.preset is None and self.of_paper is None


def group_runs(runs: Sequence[RunData], labels: Labels = ()) -> tuple[list[RunGroup], list[tuple[RunData, str]]]:
    """Sort runs into groups.

    Args:
        runs: of any agents, environments and settings.
        labels: names that groups are to have.

    Returns:
        The groups by environment and label; and the runs left out, with the reason: of two runs with the same settings
        and seed, the longer one counts.
    """
    runs_by_seed: dict[tuple[str, str, str], dict[int, RunData]] = {}
    options: dict[tuple[str, str, str], dict[str, Any]] = {}
    left_out = []
    for run, name, own in zip(runs, environment_names(runs), options_of_all(runs), strict=True):
        key = (name, run.agent, json.dumps(own, sort_keys=True))
        options[key] = own
        same = runs_by_seed.setdefault(key, {})
        other = same.get(run.seed)
        if other is not None:
            run, other = sorted((run, other), key=_rank, reverse=True)
            left_out.append((other, _why_left_out(other, run)))
        same[run.seed] = run
    groups = []
    for key, same in runs_by_seed.items():
        env, agent, _ = key
        members = tuple(same[seed] for seed in sorted(same))
        task = members[0].env
        preset = preset_of(agent, task, options[key])
        of_paper = agent_of_paper(agent, task, options[key])
        called = {sweep_label(run) for run in members}
        by_sweep = called.pop() if len(called) == 1 else None
        by_preset = OF_PAPER + of_paper if of_paper else preset and without_environment(preset, task)
        label = given_label(members, labels) or by_preset or by_sweep or ""
        groups.append(RunGroup(env, agent, label, preset, of_paper, options[key], members))
    unnamed = [item for item in groups if not item.label]
    names = iter(short_names([(item.env, item.agent, item.options) for item in unnamed], common_to(groups)))
    groups = [item if item.label else _named(item, *next(names)) for item in groups]
    rank = {agent: number for number, agent in enumerate(AGENTS)}
    groups = _told_apart(groups)
    return sorted(groups, key=lambda item: (item.env, rank.get(item.agent, len(rank)), item.label)), left_out


def unused(labels: Labels, runs: Sequence[RunData]) -> Iterator[tuple[str, str, str]]:
    """Yield the labels that no group gets, each with its pattern and the reason.

    Args:
        labels: names that groups were to have.
        runs: those of the report.
    """
    groups = group_runs(runs)[0] if labels else []
    before: list[tuple[str, str]] = []
    for name, pattern in labels:
        fitting = [run for run in runs if given_label([run], [(name, pattern)])]
        whole = [item for item in groups if given_label(item.runs, [(name, pattern)])]
        if not fitting:
            yield name, pattern, f"no run directory fits {pattern}; one here is {runs[0].name}"
        elif not whole:
            yield name, pattern, f"{fitting[0].name} fits, but not all runs with the same settings do"
        elif all(given_label(item.runs, before) is not None for item in whole):
            yield name, pattern, "a label before it fits the same runs"
        before.append((name, pattern))


def common_to(groups: Sequence[RunGroup]) -> dict[str, Any]:
    """Return the options that nearly all groups have that are of no preset; see `labels.common_options`."""
    return common_options([(item.dense, item.options) for item in groups if item.by_options])


def _named(item: RunGroup, label: str, named: tuple[str, ...]) -> RunGroup:
    return replace(item, label=label, named=named)


def _told_apart(groups: Sequence[RunGroup]) -> list[RunGroup]:
    """Return groups of which no two on an environment are called the same.

    Where two would be, all of that name get longer ones, on other environments too: means over environments are by
    name, and the one that is alone on its environment may be either of the two.
    """
    result = list(groups)
    counts = Counter((item.env, item.label) for item in groups)
    for label in dict.fromkeys(label for (_, label), count in counts.items() if count > 1):
        same = [number for number, item in enumerate(groups) if item.label == label]
        kinds = {_kind(groups[number]): groups[number] for number in same}
        shared = shared_options([kind.options for kind in kinds.values()])
        of_one_agent = len({kind.agent for kind in kinds.values()}) == 1
        taken = {item.label for number, item in enumerate(result) if number not in same}
        for position, (of, kind) in enumerate(kinds.items(), 1):
            own = {key: value for key, value in kind.options.items() if key not in shared}
            plain = label if of_one_agent else f"{label}, {kind.agent}"  # the one with the defaults; others say more
            name, named = label_of(label, own) if own else plain, (*kind.named, *own)
            if len(name) > LONGEST:
                name, named = f"{label} ({position})", ()
            name = f"{name} ({position})" if name in taken else name
            taken.add(name)
            for number in same:
                if _kind(groups[number]) == of:
                    result[number] = _named(groups[number], name, named)
    return result


def _kind(item: RunGroup) -> tuple[str, str]:
    """Return what groups of one name have in common on all environments: agent and options."""
    return item.agent, json.dumps(item.options, sort_keys=True)


def _rank(run: RunData) -> tuple[Any, ...]:
    """Return by what one of two runs of the same settings and seed counts: the longer, then whatever the order is."""
    return run.last, made_by(run), run.returns.tolist(), str(run.path)


def _why_left_out(run: RunData, kept: RunData) -> str:
    common = np.intersect1d(run.steps, kept.steps)  # one that was extended was evaluated at its first end too
    one, other = (each.returns[np.isin(each.steps, common)] for each in (run, kept))
    same = len(common) > 0 and np.array_equal(one, other)
    reason = f"has the settings and the seed of {kept.path}, which is not shorter. "
    reason += "Their returns are the same" if same else "Their returns differ"
    differ = [pair for pair in zip(made_by(run), made_by(kept), strict=True) if pair[0] != pair[1]]
    if differ:
        this, that = (", ".join(words) for words in zip(*differ, strict=True))
        reason += f". It was made with {this}. The other was made with {that}"
    return reason


def area_unit(groups: Sequence[RunGroup]) -> tuple[float, str]:
    """Return what the learning-curve areas of some groups are divided by, and their name: as in the paper, or by 1."""
    if any(item.published is not None for item in groups):
        return float(published.LCA_UNIT), f"LCA / {published.LCA_UNIT:,}"
    return 1.0, "learning-curve area"


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
    for key, value in options_of(run).items():
        value = run.train[key] if key == "warm_up_policy" else value
        words += _typed(key.rpartition(".")[2], value)
    return " ".join([*words, *_typed("threads", run.train.get("threads", 1))])


def _typed(option: str, value: Any) -> list[str]:
    """Return an option as it is typed, each word quoted; nothing for one that is left out."""
    flag = "--" + option.replace("_", "-")
    if value is None:
        return []
    if isinstance(value, bool):
        return [quoted(flag if value else flag.replace("--", "--no-", 1))]
    if isinstance(value, list):
        return [quoted(flag), *(quoted(each) for each in value)]
    word = json.dumps(value) if isinstance(value, dict) else str(value)
    if word.startswith("-") and isinstance(value, str):
        return [quoted(f"{flag}={word}")]  # or it would be an option itself
    return [quoted(flag), quoted(word)]


def family(agent: str) -> str:
    """Return the algorithm of an agent, whatever its topology: td3 of td3, static-td3 and ds-td3."""
    return agent.removeprefix("static-").removeprefix("ds-")
