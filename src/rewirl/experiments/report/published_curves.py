"""Learning curves that others have published, drawn beside runs of the same task; no number of a report is of them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from rewirl.experiments.report.published import base_of
from rewirl.experiments.report.run_groups import RunGroup, family

DATA = Path(__file__).with_suffix(".json")

PAPERS_WIDTH = 512
"""Of SimBa's critic; curves of other widths are drawn beside runs of the same width."""

_SUITE = "dm_control/"


@dataclass(frozen=True)
class PublishedCurve:
    """Returns of an agent on a task, computed from a table that its authors publish with their code."""

    agent: str
    """The dense agent, as Rewirl calls it."""
    width: int | None
    """Features of SimBa's critic."""
    task: str
    """With its version, which need not be that of the runs: HalfCheetah-v4; of the DeepMind Control Suite dog-run."""
    seeds: int
    source: str
    """Repository:file."""
    licence: str
    steps: NDArray[np.float64]
    """Environment steps, [points]; on the suite control steps, two for each action."""
    mean: NDArray[np.float64]
    """Evaluation return, mean over seeds, [points]."""
    deviation: NDArray[np.float64]
    """Standard deviation over seeds, dividing by their number, [points]."""

    @property
    def label(self) -> str:
        """What it is called in figures and tables."""
        width = "" if self.width is None else f", critic {self.width}"
        return f"{self.agent}{width}, published ({self.task})"


@lru_cache(maxsize=1)
def published_curves() -> tuple[PublishedCurve, ...]:
    """Return all of them."""
    data = json.loads(DATA.read_text(encoding="utf-8"))
    return tuple(
        PublishedCurve(
            curve["agent"],
            curve.get("width"),
            curve["task"],
            curve["seeds"],
            curve["source"],
            data["licences"][curve["source"].partition(":")[0]],
            1e3 * np.array(curve["thousands"], np.float64),
            np.array(curve["mean"], np.float64),
            np.array(curve["std"], np.float64),
        )
        for curve in data["curves"]
    )


def beside(groups: Sequence[RunGroup]) -> list[PublishedCurve]:
    """Return the published curves of the task and agents of some groups, with the steps of these runs.

    On the suite a run's step holds its action for several control steps, so published steps are divided by as many.
    Curves end where the longest of these runs is to end.

    Args:
        groups: of one environment. One whose environment is changed by arguments or wrappers is passed over.

    Returns:
        None where groups hold their actions for different numbers of control steps, since no axis is of both.
    """
    same = [item for item in groups if _action_repeat(item) is not None]
    repeats = {_action_repeat(item) for item in same}
    repeat = repeats.pop() if len(repeats) == 1 else None
    if repeat is None:
        return []
    last, widths = max(item.total for item in same), [PAPERS_WIDTH, *map(_width, same)]
    found = []
    for curve in published_curves():
        wanted = curve.agent in {family(item.agent) for item in same} and _same_task(curve.task, same[0].runs[0].env)
        drawn = curve.steps / repeat <= last
        if wanted and (curve.width is None or curve.width in widths) and drawn.sum() > 1:
            steps, mean, deviation = (each[drawn] for each in (curve.steps / repeat, curve.mean, curve.deviation))
            found.append(replace(curve, steps=steps, mean=mean, deviation=deviation))
    return found


def _action_repeat(item: RunGroup) -> int | None:
    """Return for how many control steps an action is held; None where anything else of the environment is changed."""
    arguments = item.task.get("env_kwargs", {})
    if not item.task.keys() <= {"env_kwargs"} or not isinstance(arguments, dict):
        return None
    repeat = arguments.get("action_repeat", 1)
    return repeat if arguments.keys() <= {"action_repeat"} and type(repeat) is int and repeat >= 1 else None


def _width(item: RunGroup) -> int | None:
    sizes = item.runs[0].settings.get("hidden_sizes")
    return sizes[0] if isinstance(sizes, list) and sizes and type(sizes[0]) is int else None


def _same_task(task: str, env: str) -> bool:
    """Tell whether a published task is that of an environment, whatever the version."""
    of_suite = "-v" not in task
    place = env.startswith(_SUITE) if of_suite else "/" not in env
    return place and base_of(task) == base_of(env)
