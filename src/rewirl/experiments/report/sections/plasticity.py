"""Report section: whether networks can still learn, by dormant units, effective rank and weight norms."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rewirl.agents.plasticity import MEASURES
from rewirl.experiments.report import figures
from rewirl.experiments.report.document import Block, Heading, Table, Text
from rewirl.experiments.report.run_groups import RunGroup
from rewirl.experiments.report.sections.drift import kinds_of
from rewirl.experiments.report.sections.words import MANY, STEPS, figure_of, legend_of, unit_of
from rewirl.printing import counted, number

_NAMES = {"dormant": "dormant units (%)", "effective_rank": "effective rank", "weight_norm": "norm of the weights"}

Curve = tuple[NDArray[np.int64], NDArray[np.float64]]
"""Steps, and by run the values there, [runs, steps]."""


def plasticity(groups: Sequence[RunGroup], environments: Sequence[str], style: figures.Style) -> list[Block]:
    """Return the section on plasticity; nothing where no run recorded it.

    Args:
        groups: of all environments.
        environments: their ids, in the order of the report.
        style: colours.
    """
    blocks: list[Block] = []
    for env in environments:
        curves = {item.label: _curves(item) for item in groups if item.env == env}
        curves = {label: of for label, of in curves.items() if of}
        if curves:
            blocks += [_table(env, curves), *legend_of(list(curves), style), *_figures(env, curves, groups, style)]
    if not blocks:
        return []
    text = (
        "A unit is dormant whose mean activation on a batch is at most 2.5% of the mean of its layer. The effective "
        "rank is of the last hidden layer on that batch: how many of the largest singular values make up 99% of their "
        "sum (Kumar et al. 2021). It is at most the size of the batch. The norm is Euclidean, of all weights of a "
        "network, biases left out. In networks that lose the ability to learn, the dormant units and the norm often "
        "grow, and the rank falls (Dohare et al. 2024)."
    )
    return [Heading("Plasticity"), Text(text), *blocks]


def _curves(item: RunGroup) -> dict[str, dict[str, Curve]]:
    """Return by kind of network and measure the curve of a group, at the steps that all runs recorded which count."""
    runs = [run for run in item.full() if run.plasticity]
    recorded = set.intersection(*(set(run.plasticity) for run in runs)) if runs else set()
    common = sorted(step for step in recorded if step <= item.horizon)
    if not common:
        return {}
    names = set.intersection(*(set(run.plasticity[step]) for run in runs for step in common))
    result: dict[str, dict[str, Curve]] = {}
    kinds = kinds_of([name for name in runs[0].plasticity[common[0]] if name in names])
    for kind in dict.fromkeys(kinds.values()):
        members = [name for name, its_kind in kinds.items() if its_kind == kind]
        result[kind] = {
            measure: (
                np.array(common),
                np.array([[np.mean([run.plasticity[s][n][measure] for n in members]) for s in common] for run in runs])
                * (100 if measure == "dormant" else 1),
            )
            for measure in MEASURES
        }
    return result


def _table(env: str, curves: dict[str, dict[str, dict[str, Curve]]]) -> Table:
    rows = []
    for label, of_group in curves.items():
        for kind, measures in of_group.items():
            cells, steps = [], measures["dormant"][0]
            ends = (0, -1) if len(steps) > 1 else (0,)
            for measure in MEASURES:
                _, values = measures[measure]
                mean = values.mean(axis=0)
                cells.append(" → ".join(number(float(mean[at])) for at in ends))
            rows.append([label, kind, *cells, " → ".join(f"{steps[at]:,}" for at in ends)])
    return Table(
        f"{env}: at the first and at the last record, mean over the runs of each group and over networks of one kind.",
        ["agent", "network", *_NAMES.values(), "steps"],
        rows,
    )


def _figures(
    env: str, curves: dict[str, dict[str, dict[str, Curve]]], groups: Sequence[RunGroup], style: figures.Style
) -> list[Block]:
    """Draw a figure for each kind of network and measure, with a line for each agent."""
    blocks: list[Block] = []
    counts = {item.label: sum(bool(run.plasticity) for run in item.full()) for item in groups if item.env == env}
    for kind in dict.fromkeys(kind for of_group in curves.values() for kind in of_group):
        having = {label: of_group[kind] for label, of_group in curves.items() if kind in of_group}
        last = max(int(measures["dormant"][0][-1]) for measures in having.values())
        axis, unit = unit_of("environment steps", last, STEPS)
        for measure, name in _NAMES.items():
            series: dict[str, Any] = {
                label: figures.spread(measures[measure][0] / unit, measures[measure][1])
                for label, measures in having.items()
            }
            values = "; ".join(
                f"{label} {number(float(curve[1][-1]))} ({counted(counts[label], 'run')})"
                for label, curve in series.items()
            )
            ends = f"At the last record: {values}." if len(curves) <= MANY else "The table has the last records."
            draw = partial(figures.lines, series, [], style, axis, name, (0, None))
            blocks.append(
                figure_of(
                    draw,
                    len(curves),
                    f"{env}, {kind}: {name}",
                    f"Mean and standard deviation over runs. {ends}",
                )
            )
    return blocks
