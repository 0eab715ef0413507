"""Report section: sparse agents compared with dense ones, or all with a baseline, over all environments together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from rewirl.experiments.report import aggregates, figures
from rewirl.experiments.report.document import Block, Figure, Heading, Items, Table, Text
from rewirl.experiments.report.figures import Style
from rewirl.experiments.report.labels import label_of
from rewirl.experiments.report.pairs import Pair, in_units_of_the_other, mean_share, repeated, stream, tested, values
from rewirl.experiments.report.run_groups import RunGroup
from rewirl.experiments.report.sections.comparison import INTERVALS, compared
from rewirl.experiments.report.sections.words import area, both_intervals, percent, probability, signed_percent

Groups = Sequence[tuple[RunGroup, RunGroup]]


def across(
    groups: Sequence[RunGroup],
    environments: Sequence[str],
    style: Style,
    words: str = "",
    baseline: str | None = None,
) -> list[Block]:
    """Return the section on all environments together, empty if there is one.

    Args:
        groups: of all environments.
        environments: their ids, in the order of the report.
        style: colours of the labels.
        words: which environments these are, if not all.
        baseline: label of the group that the others are compared with; None compares sparse agents with dense ones.
    """
    unit = "dense agent" if baseline is None else "baseline"
    heading = Heading(f"Over all environments{f', {words}' if words else ''}")
    if len(environments) < 2:
        return []
    found: dict[tuple[str, str], list[tuple[RunGroup, RunGroup]]] = {}
    left_out: list[str] = []
    for env in environments:
        for one, other in compared([item for item in groups if item.env == env], baseline):
            if in_units_of_the_other(values(one, other, "final")) is not None:
                found.setdefault((one.label, other.label), []).append((one, other))
            else:
                left_out.append(f"{one.label} over {other.label} on {env}")
    families = {labels: several for labels, pairs in found.items() if len(several := repeated(pairs)) > 1}
    scores = {
        labels: [score for pair in pairs if (score := in_units_of_the_other(values(*pair, "final"))) is not None]
        for labels, pairs in families.items()
    }
    if not families:
        who = (
            "No sparse agent can be compared with its dense one"
            if baseline is None
            else (f"No agent can be compared with {baseline}")
        )
        text = f"{who}, in positive returns, on two environments or more."
        return [heading, Text(text), *_without_unit(left_out, "")]
    without = [
        f"{labels[0]} over {labels[1]}, learning-curve area, with {one.env}"
        for labels, pairs in families.items()
        for one, other in pairs
        if in_units_of_the_other(values(one, other, "lca")) is None
    ]
    rows = [row for labels, pairs in families.items() for row in _rows(labels, pairs, scores[labels], unit)]
    over = "Sparse over dense" if baseline is None else f"Each over {baseline}"
    return [
        heading,
        Table(
            f"{over}, in units of the {unit}'s mean on the same environment. Each environment counts the same, in the "
            "IQM each run; one with a single run of either is left out where others have several. p is of Welch's test "
            "and not corrected for the number of comparisons.",
            ["comparison", "environments", "of", "measured", *INTERVALS],
            rows,
        ),
        *_without_unit(left_out + without, unit),
        *_of_other_settings(families),
        *_profiles(families, scores, style, unit),
    ]


def _without_unit(left_out: Sequence[str], unit: str) -> list[Block]:
    """Say what is left out as there is no unit for it."""
    whose = f"the {unit}'s mean" if unit else "the other's mean"
    text = f"Left out, as {whose} is not positive there and can be no unit:"
    return [Text(text), Items([f"{each}." for each in left_out])] if left_out else []


def _of_other_settings(families: Mapping[tuple[str, str], Groups]) -> list[Block]:
    """Say which agents that a user or a sweep gave one name have other settings on some environments."""
    options: dict[str, dict[str, str]] = {}
    for pairs in families.values():
        for item in (item for pair in pairs for item in pair if item.preset is None and item.of_paper is None):
            options.setdefault(item.label, {})[item.env] = label_of(item.agent, item.options)
    items = [
        f"{label}: {'; '.join(f'{words} on {env}' for env, words in own.items())}."
        for label, own in options.items()
        if len(set(own.values())) > 1
    ]
    return [Text("Settings differ between environments:"), Items(items)] if items else []


def _rows(labels: tuple[str, str], pairs: Groups, scores: Sequence[Pair], unit: str) -> list[list[str]]:
    rng = stream("across", *labels)
    samples = [pair[0] for pair in scores], [pair[1] for pair in scores]
    counted, number_of_samples = min(len(sample) for pair in scores for sample in pair), 2 * len(scores)
    start = [f"{labels[0]} over {labels[1]}", ", ".join(one.env for one, _ in pairs)]
    mean = aggregates.difference_of(aggregates.MEAN)
    of_means = aggregates.estimate(mean, *samples, rng=rng)
    of_iqm = aggregates.estimate(aggregates.IQM, samples[0], rng=rng)
    of_pairs = aggregates.estimate(aggregates.IMPROVEMENT, *samples, rng=rng)
    share = mean_share(pairs)
    short = "dense" if unit == "dense agent" else "baseline's"
    rows = [
        ["final return", *both_intervals(of_means, tested(scores), counted, number_of_samples, signed_percent)],
        [f"IQM of final returns / {short} mean", *both_intervals(of_iqm, None, counted, 0, area)],
        ["probability of improvement", *both_intervals(of_pairs, None, counted, 0, probability)],
        [f"share of the steps to the {short} final return", *both_intervals(share, None, counted, 0, percent)],
    ]
    areas = [in_units_of_the_other(values(*pair, "lca")) for pair in pairs]
    in_dense = [pair for pair in areas if pair is not None]
    if len(in_dense) == len(pairs):
        of_areas = aggregates.estimate(mean, [one for one, _ in in_dense], [other for _, other in in_dense], rng=rng)
        cells = both_intervals(of_areas, tested(in_dense), counted, number_of_samples, signed_percent)
        rows.insert(1, ["learning-curve area", *cells])
    return [[*start, *row] for row in rows]


def _profiles(
    families: Mapping[tuple[str, str], Groups], scores: Mapping[tuple[str, str], list[Pair]], style: Style, unit: str
) -> list[Block]:
    """Return a performance profile for every set of environments on which some agents are compared."""
    sets: dict[tuple[str, ...], list[tuple[str, str]]] = {}
    for labels, pairs in families.items():
        sets.setdefault(tuple(one.env for one, _ in pairs), []).append(labels)
    words = {envs: f" on {', '.join(envs)}" if len(sets) > 1 else "" for envs in sets}
    return [_profile({labels: scores[labels] for labels in of}, style, unit, words[envs]) for envs, of in sets.items()]


def _profile(scores: Mapping[tuple[str, str], list[Pair]], style: Style, unit: str, where: str) -> Figure:
    series = {}
    for labels, pairs in scores.items():
        rng = stream("profile", *labels)
        top = max(1.2, 1.05 * max(float(sample.max()) for pair in pairs for sample in pair))
        thresholds = np.linspace(0, top, 121)
        for index, label in enumerate(labels):
            if label not in series:
                sample = [pair[index] for pair in pairs]
                low, high = aggregates.interval(aggregates.profile_at(thresholds), sample, rng=rng, replicates=2000)
                series[label] = (thresholds, aggregates.performance_profile(sample, thresholds), low, high)
    alt = (
        f"The share of runs{where} whose final return, in units of the {unit}'s mean, is above the value on the axis. "
        "Bands are 95% intervals by bootstrap. Shown are " + ", ".join(series) + "."
    )
    svg = figures.lines(series, [], style, f"final return / {unit}'s mean", "share of runs above", (-0.02, 1.02))
    return Figure(svg, f"Performance profile{where}", alt)
