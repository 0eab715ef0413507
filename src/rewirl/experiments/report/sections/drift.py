"""Report section: how the topology drifts."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from rewirl.experiments.report import figures
from rewirl.experiments.report.document import Block, Figure, Heading, Table, Text, folded
from rewirl.experiments.report.run_data import RunData
from rewirl.experiments.report.run_groups import RunGroup
from rewirl.experiments.report.sections.words import MANY, STEPS, unit_of
from rewirl.printing import counted

_BEGIN = {"noise": "Noise begins", "actions": "Actions begin"}


def drift(groups: Sequence[RunGroup], environments: Sequence[str]) -> list[Block]:
    """Return the section on how the topology drifts.

    Args:
        groups: of all environments.
        environments: their ids, in the order of the report.
    """
    blocks: list[Block] = [Heading("How the topology drifts")]
    recorded = [item for item in groups if _recorded(item)]
    without = [f"{item.label} on {item.env}" for item in groups if item not in recorded]
    if without:
        blocks.append(Text(f"Not recorded by the runs of {'; '.join(without)}."))
    for env in environments:
        of_env = [item for item in recorded if item.env == env]
        if not of_env:
            continue
        table = _density_table(env, of_env)
        blocks += folded(f"{env}: every layer of every group", [table]) if len(of_env) > MANY else [table]
        drawn = [block for item in of_env for block in _drift_of(item)]
        many = len(of_env) > MANY and drawn
        blocks += folded(f"{env}: figures of every group", drawn) if many else drawn
    return blocks


def _recorded(item: RunGroup) -> list[RunData]:
    """Return the runs that a group's numbers are of and that recorded a topology until then."""
    return [run for run in item.full() if min(run.topologies, default=item.horizon + 1) <= item.horizon]


def _density_table(env: str, groups: Sequence[RunGroup]) -> Table:
    rows = []
    for item in groups:
        topologies = _recorded(item)[0].topologies
        for name, network in topologies[max(step for step in topologies if step <= item.horizon)].items():
            shapes, counts = network["shapes"], network["connections"]
            rows.append(
                [
                    item.label,
                    name,
                    _units(shapes, network.get("operations", [])),
                    ", ".join(f"{count}" for count in counts),
                    ", ".join(f"{count / math.prod(shape):.1%}" for count, shape in zip(counts, shapes, strict=True)),
                    ", ".join("dense" if alive is None else f"{alive:.1%}" for alive in network["initial_alive"]),
                ]
            )
    return Table(
        f"{env}: connections and density of every layer, in the order of the layers, and the share of its initial "
        "connections that are alive at the last record, of the first run of each group. A dense layer has all its "
        "connections always.",
        ["agent", "network", "units", "connections", "density", "initial connections alive"],
        rows,
    )


def _units(shapes: Sequence[Sequence[int]], operations: Sequence[str]) -> str:
    """Return the units of every layer, and what a network is made of that is no multilayer perceptron."""
    units = "-".join(map(str, [shapes[0][1], *(shape[0] for shape in shapes)]))
    return f"{units}: {', '.join(operations)}" if operations else units


def _drift_of(item: RunGroup) -> list[Block]:
    runs = _recorded(item)
    common = sorted(set.intersection(*({step for step in run.topologies if step <= item.horizon} for run in runs)))
    if not common:
        return []
    first, last = runs[0].topologies[common[0]], common[-1]
    kinds = kinds_of(first)
    shares: dict[str, list[NDArray[np.float64]]] = {}
    for run in runs:
        for name, network in run.topologies[common[0]].items():
            kind = kinds[name]
            for index, alive in enumerate(network["initial_alive"]):
                if alive is not None:
                    values = [run.topologies[step][name]["initial_alive"][index] for step in common]
                    shares.setdefault(f"{kind}, layer {index + 1}", []).append(np.array(values))
    if not shares:
        return []  # dense: the table says so
    axis, unit = unit_of("environment steps", last, STEPS)
    at = np.array(common) / unit
    series = {label: figures.spread(at, 100 * np.array(values)) for label, values in shares.items()}
    blocks: list[Block] = [
        Figure(
            figures.lines(
                series,
                [],
                {label: number for number, label in enumerate(series)},
                axis,
                "initial connections alive (%)",
                (0, 105),
            ),
            f"{item.label} on {item.env}: initial connections alive",
            f"Share of the initial connections that exist, per sparse layer, mean and standard deviation over "
            f"{counted(len(runs), 'run')}{_together(kinds)}, until step {last:,}: {'; '.join(series)}.",
        )
    ]
    observations = min(network["shapes"][0][1] for network in first.values())  # other networks take actions too
    noise = runs[0].noise_from
    if noise is not None:
        blocks += _noise_figure(item, runs, common, noise, observations, kinds)
    for kind in dict.fromkeys(kinds.values()):
        name = next(name for name in first if kinds[name] == kind)
        ends_of = [
            [run.topologies[step].get(name, {}).get("input_connections") for run in runs] for step in (common[0], last)
        ]
        if any(values is None for both in ends_of for values in both):
            continue
        before, after = (np.mean(both, axis=0) for both in ends_of)
        top = np.argsort(-after, kind="stable")[:3]
        begins = {} if noise is None else {"noise": noise}
        if len(before) > observations:
            begins["actions"] = observations
        blocks.append(
            Figure(
                figures.inputs(before, after, begins),
                f"{item.label} on {item.env}: inputs of the {name if kind == name else f'first {_base(name)}'}",
                f"Connections of every input in the first layer, mean over {counted(len(runs), 'run')}. At the start "
                f"they are from {before.min():.0f} to {before.max():.0f}. At {last:,} steps they are "
                f"from {after.min():.0f} to {after.max():.0f}, most at the inputs {', '.join(map(str, top))}."
                + "".join(f" {_BEGIN[word]} at index {begin}." for word, begin in begins.items()),
            )
        )
    return blocks


def _base(name: str) -> str:
    """Return the name of a network without its number: critic for critic2."""
    return name.rstrip("0123456789")


def kinds_of(networks: Iterable[str]) -> dict[str, str]:
    """Return by network the name of those that are drawn together: critics for critic1 and critic2."""
    sizes = Counter(map(_base, networks))
    return {name: f"{_base(name)}s" if sizes[_base(name)] > 1 else name for name in networks}


def _together(kinds: dict[str, str]) -> str:
    """Return in words which networks are drawn together, in brackets."""
    together = [f"{'both' if n == 2 else 'all'} {kind}" for kind, n in Counter(kinds.values()).items() if n > 1]
    return f" (and {', '.join(together)})" if together else ""


def _noise_figure(
    item: RunGroup, runs: Sequence[RunData], common: Sequence[int], noise: int, observations: int, kinds: dict[str, str]
) -> list[Block]:
    """Draw the connections of real features and of noise, as Grooten et al. 2023 do."""
    series: dict[str, list[NDArray[np.float64]]] = {}
    for run in runs:
        for name in run.topologies[common[0]]:
            records = [run.topologies[step][name]["input_connections"] for step in common]
            if any(record is None for record in records):
                continue  # a dense layer
            counts = np.array(records, np.float64)
            kind = kinds[name]
            series.setdefault(f"{kind}, real features", []).append(counts[:, :noise].mean(1))
            series.setdefault(f"{kind}, noise", []).append(counts[:, noise:observations].mean(1))
    if not series:
        return []
    axis, unit = unit_of("environment steps", common[-1], STEPS)
    curves = {label: figures.spread(np.array(common) / unit, np.array(values)) for label, values in series.items()}
    ends = "; ".join(f"{label}: {mean[0]:.1f} to {mean[-1]:.1f}" for label, (_, mean, _, _) in curves.items())
    figure = Figure(
        figures.lines(
            curves,
            [],
            {label: number for number, label in enumerate(curves)},
            axis,
            "connections of a feature",
            (0, None),
        ),
        f"{item.label} on {item.env}: connections of real features and of noise",
        f"Connections of a feature in the first layer, mean over the {noise} real ones and over the "
        f"{observations - noise} of noise; mean and standard deviation over {counted(len(runs), 'run')}"
        f"{_together(kinds)}. From the first record to {common[-1]:,} steps: {ends}.",
    )
    return [figure]
