"""From what was asked for to a task that can be tuned, and the checks before anything is written."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rewirl.experiments.sweep.error import SweepError
from rewirl.experiments.sweep.plan import PlannedRun, check, plan
from rewirl.experiments.tune.best import corner
from rewirl.experiments.tune.error import TuneError
from rewirl.experiments.tune.space import asked_space, usual_space
from rewirl.experiments.tune.study import Task, optuna
from rewirl.options.resolve import resolve
from rewirl.training.warm_up import lasting


def make_task(
    request: Mapping[str, Any],
    sample: Sequence[str] = (),
    trials: int = 50,
    seeds: Sequence[int] = (0,),
    seed: int = 0,
    prune: bool = True,
) -> Task:
    """Return what is tuned.

    Args:
        request: what all runs have, as for `resolve`.
        sample: as for `asked_space`; none is `usual_space`.
        trials: of the study in all.
        seeds: of the runs of a trial.
        seed: decides what is sampled.
        prune: whether bad trials end early.

    Raises:
        ValueError: something is unknown or impossible, or cannot be sampled; says what.
    """
    optuna()
    asked = dict(request)
    settings = resolve(asked)
    if not settings.run.eval_every:
        raise TuneError("tuning compares evaluations, but eval_every is 0; give the steps between two of them")
    if asked.get("warm_up_policy"):  # a study may go on from another working directory
        asked["warm_up_policy"] = lasting(asked["warm_up_policy"])
    space = asked_space(sample, asked) if sample else usual_space(asked)
    if not space:
        raise TuneError("there is nothing to sample: what would be has values of its own; say what to sample")
    task = Task(asked, space, trials, tuple(dict.fromkeys(seeds)), seed, prune)
    corner(task)
    return task


def usual_directory(task: Task) -> Path:
    """Return where a study is unless one says otherwise: tune/ENVIRONMENT-AGENT."""
    run = resolve(task.request).run
    return Path("tune") / f"{run.env}-{run.agent}".replace("/", "-").replace(":", "-")


def checked(task: Task, directory: Path) -> tuple[dict[str, PlannedRun], list[str]]:
    """Check that runs of a trial can be made here.

    Returns:
        The runs by name as they are without sampling, or where no such run is possible of the smallest trial; and what
        runs of a trial will say of their settings.

    Raises:
        SweepError: environment or agent cannot be made, or nothing would be learnt; says why.
    """
    smallest = plan(task.requests(0, corner(task)), directory)
    said = list(check(smallest.values()))
    usual = plan(dataclasses.replace(task, space={}).requests(0, {}), directory)
    try:
        check(usual.values())
    except SweepError:  # what is sampled takes the place of what does not fit, as a sparsity that of lambdas
        return smallest, said
    return usual, said
