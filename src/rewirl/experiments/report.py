"""The report on runs: what was run, what it shows beside the paper's numbers, and what is missing."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rewirl.experiments import figures, published, statistics
from rewirl.experiments.claims import WINDOW, Finding, common_step, difference, judge, share_of_steps, stream
from rewirl.experiments.document import Block, Code, Figure, Heading, Items, Table, Text
from rewirl.experiments.groups import Group, command, dense_of, group, label_of, shared_options
from rewirl.experiments.run_data import RunData
from rewirl.experiments.statistics import Estimate

SMOOTH = 5
"""Evaluations in the running mean of a drawn curve."""

Problems = Sequence[tuple[Path, str]]


def report(runs: Sequence[RunData], problems: Problems) -> list[Block]:
    """Return the report on some runs.

    Args:
        runs: any, at least one; finished or in progress.
        problems: directories that could not be read, with the reason.

    Raises:
        ValueError: there is no run.
    """
    if not runs:
        raise ValueError("no run to report on")
    groups, left_out = group(runs)
    labels = list(dict.fromkeys(item.label for item in groups))
    style = {label: number for number, label in enumerate(labels)}
    environments = list(dict.fromkeys(item.env for item in groups))
    findings = [finding for env in environments for finding in judge(groups, env)]
    blocks: list[Block] = [
        Heading("Rewirl report", 1),
        Text(
            f"{len(runs)} runs of {len(labels)} agents on {', '.join(environments)}, beside the numbers of Sokar et "
            f"al., "
            "Dynamic Sparse Training for Deep Reinforcement Learning, IJCAI 2022."
        ),
        *_claims(findings),
        *_what_was_run(groups),
    ]
    for env in environments:
        blocks += _environment(env, [item for item in groups if item.env == env], style)
    blocks += _across(groups, environments, style)
    blocks += _drift(groups, environments)
    blocks += _missing(groups, problems, [(run.path, reason) for run, reason in left_out], findings)
    blocks += _how()
    return blocks


def _claims(findings: Sequence[Finding]) -> list[Block]:
    blocks: list[Block] = [Heading("What the paper claims, and what these runs show")]
    if not findings:
        return [*blocks, Text("The paper claims nothing about these agents and environments together.")]
    rows = []
    for finding in findings:
        found = finding.estimate
        rows.append(
            [
                _claim_in_words(finding),
                finding.env,
                _verdict(finding),
                "-" if found is None else _measured(finding, found),
                f"{finding.runs[0]} and {finding.runs[1]}",
                "-" if not finding.step else f"{finding.step:,}",
            ]
        )
    return [
        *blocks,
        Table(
            "A claim holds or does not hold if the whole 95% interval says so; otherwise it is undecided.",
            ["claim", "environment", "verdict", "measured (95% interval)", "runs", "compared at steps"],
            rows,
        ),
        *(
            [
                Text(
                    "Where fewer than 1,000,000 steps are compared, the paper's claim, made of 1,000,000, is not "
                    "settled."
                )
            ]
            if any(0 < finding.step < published.STEPS for finding in findings)
            else []
        ),
    ]


def _verdict(finding: Finding) -> str:
    words = finding.verdict.upper() if finding.verdict == "does not hold" else finding.verdict
    return f"{words} at {finding.step:,} steps" if 0 < finding.step < published.STEPS else words


def _claim_in_words(finding: Finding) -> str:
    claim = finding.claim
    if claim.measure == "share":
        return f"{claim.agent} has the final return of {claim.other} after at most {claim.below:.0%} of the steps"
    what = "final return" if claim.measure == "final" else "learning-curve area"
    return f"{claim.agent} has a higher {what} than {claim.other}"


def _measured(finding: Finding, found: Estimate) -> str:
    if finding.claim.measure == "share":
        return _interval(found, _percent)
    unit = _signed if finding.claim.measure == "final" else _signed_area
    return "difference " + _interval(found, unit)


def _what_was_run(groups: Sequence[Group]) -> list[Block]:
    rows = []
    for item in groups:
        cut = [run for run in item.runs if run.last < item.horizon]
        running = [run for run in item.runs if not run.finished]
        rows.append(
            [
                item.label,
                item.env,
                ", ".join(map(str, item.seeds)),
                f"{item.horizon:,}",
                f"{len(running)} in progress or cut short" if running else "finished",
                ", ".join(f"seed {run.seed} to {run.last:,}" for run in cut) or "none",
                f"{item.parameters:,.0f}",
            ]
        )
    blocks: list[Block] = [
        Heading("What was run, and how"),
        Table(
            "Runs with the same settings but for the seed are one group; its label names the options that differ from "
            "the paper's. The numbers below are of the runs that have all the steps named here.",
            ["agent", "environment", "seeds", "steps", "state", "shorter runs, not counted", "connections"],
            rows,
        ),
    ]
    shared = shared_options([item.options for item in groups])
    if shared:
        words = label_of("all agents", shared)
        blocks.append(
            Text(f"These options differ from the paper's everywhere and are left out of the labels: {words}.")
        )
    differing = [(item, key, value) for item in groups for key, value in item.options.items() if key not in shared]
    if differing:
        blocks.append(
            Table(
                "Options that differ from the paper's settings for the agent and environment.",
                ["agent", "environment", "option", "value"],
                [[item.label, item.env, key, str(value)] for item, key, value in differing],
            )
        )
    runs = [run for item in groups for run in item.runs]
    blocks += [
        Table(
            "Versions and machines.",
            ["runs", "versions", "revision", "machine"],
            [[str(len(of)), *key] for key, of in _by(runs, _made_with).items()],
        ),
        Text("Each command makes one run again; the same seed on the same kind of processor gives the same numbers."),
        Code("\n".join(command(run) for run in runs)),
    ]
    return blocks


def _made_with(run: RunData) -> tuple[str, str, str]:
    record = run.record
    versions, machine = record.get("versions") or {}, record.get("machine") or {}
    return (
        ", ".join(f"{name} {version}" for name, version in versions.items() if version),
        str(record.get("git_revision") or "not recorded")[:12],
        f"{machine.get('cpu', 'unknown')}, {machine.get('cores', '?')} cores, {machine.get('instruction_set', '?')}; "
        f"{machine.get('platform', '')}",
    )


def _environment(env: str, groups: Sequence[Group], style: figures.Style) -> list[Block]:
    blocks: list[Block] = [Heading(env)]
    blocks += _curves(env, groups, style)
    blocks.append(_final_table(env, groups))
    blocks.append(_cost_table(env, groups))
    pairs = _pairs(groups)
    if pairs:
        blocks += [_improvement_table(env, pairs), _reach_table(env, pairs)]
    else:
        blocks.append(Text(f"On {env} there are no runs of a sparse agent and of its dense one to compare."))
    return blocks


def _curves(env: str, groups: Sequence[Group], style: figures.Style) -> list[Block]:
    steps = max(item.total for item in groups)
    seconds = max(float(run.seconds[-1]) for item in groups for run in item.runs)
    axes: list[tuple[str, str, Callable[[RunData], NDArray[Any]], float, str]] = [
        ("Return against steps", *_unit("environment steps", steps, lambda run: run.steps, _STEPS), ""),
        ("Return against arithmetic", "training FLOPs (10$^{12}$)", lambda run: run.flops, 1e12, ""),
        (
            "Return against time",
            *_unit("wall-clock time", seconds, lambda run: run.seconds, _TIMES),
            " Time is comparable only between runs that were timed alone on the same machine.",
        ),
    ]
    blocks: list[Block] = []
    for title, axis, of, unit, more in axes:
        series, thin = {}, []
        for item in groups:
            full = item.full()
            length = min(len(run.until(item.horizon)) for run in full)
            returns = np.stack([_smooth(run.returns[:length]) for run in full])
            at = np.mean([of(run)[:length] for run in full], axis=0) / unit
            series[item.label] = figures.spread(at, returns)
            thin += [(item.label, of(run) / unit, _smooth(run.returns)) for run in item.runs if run.last < item.horizon]
        ends = "; ".join(
            f"{item.label}: {np.mean(item.finals()):,.0f} at {item.horizon:,} steps ({_runs(len(item.full()))})"
            for item in groups
        )
        alt = (
            f"{title} on {env}: mean over runs with a band of one standard deviation, running mean of {SMOOTH} "
            f"evaluations; thin lines are single runs cut short. Final returns: {ends}.{more}"
        )
        svg = figures.lines(series, thin, style, axis, "evaluation return")
        blocks.append(Figure(svg, title, alt))
    rng = stream("points", env)
    places = {
        item.label: (item.parameters / 1e3, statistics.estimate(statistics.MEAN, [item.finals()], rng=rng))
        for item in groups
    }
    alt = f"Final return on {env} against the connections of actor and critics, with 95% intervals: " + "; ".join(
        f"{label}: {at:,.0f} thousand, {_interval(found)}" for label, (at, found) in places.items()
    )
    svg = figures.points(places, style, "connections (thousands)", "final return")
    return [*blocks, Figure(svg, "Return against connections", alt + ".")]


_STEPS = (("millions", 1e6), ("thousands", 1e3))
_TIMES = (("hours", 3600.0), ("minutes", 60.0), ("seconds", 1.0))


def _unit(
    name: str, top: float, of: Callable[[RunData], NDArray[Any]], units: Sequence[tuple[str, float]]
) -> tuple[str, Callable[[RunData], NDArray[Any]], float]:
    """Return an axis with the largest unit of which it shows at least a quarter."""
    word, unit = next((pair for pair in units if top >= 0.25 * pair[1]), units[-1])
    return f"{name} ({word})", of, unit


def _final_table(env: str, groups: Sequence[Group]) -> Table:
    rows = []
    rng = stream("final", env)
    for item in groups:
        finals, areas = item.finals(), item.areas() / 5000
        paper = published.number(item.preset, env)
        counted = len(finals)
        of_mean = statistics.estimate(statistics.MEAN, [finals], rng=rng)
        rows.append(
            [
                item.label,
                f"{item.horizon:,}",
                str(counted),
                f"{np.mean(finals):,.0f} ± {np.std(finals):,.0f}",
                _bounds(of_mean, counted),
                f"{statistics.iqm([finals]):,.0f}",
                "-"
                if paper is None
                else f"{paper.final:,.0f}" + ("" if paper.final_std is None else f" ± {paper.final_std:,.0f}"),
                f"{np.mean(areas):.3f} ± {np.std(areas):.3f}",
                _bounds(statistics.estimate(statistics.MEAN, [areas], rng=rng), counted, _area),
                "-" if paper is None else f"{paper.lca:.3f}",
            ]
        )
    return Table(
        f"{env}: final return and learning-curve area (LCA / 5,000), mean ± standard deviation over runs, 95% "
        f"intervals "
        "of the mean. The paper's numbers are of the v3 task, 1,000,000 steps and 5 seeds: compare agents with each "
        "other, not columns to the digit.",
        [
            "agent",
            "steps",
            "runs",
            "final return",
            "95% interval",
            "IQM",
            "paper",
            "LCA / 5,000",
            "95% interval",
            "paper",
        ],
        rows,
    )


def _cost_table(env: str, groups: Sequence[Group]) -> Table:
    rows = []
    for item in groups:
        full = item.full()
        flops, seconds = ([_at(run, of, item.horizon) for run in full] for of in ("flops", "seconds"))
        rows.append(
            [
                item.label,
                f"{item.horizon:,}",
                f"{item.parameters:,.0f}",
                f"{np.mean(flops):.3g}",
                f"{np.mean(seconds):,.0f} ± {np.std(seconds):,.0f}",
                ", ".join(sorted({str(run.train.get("threads", "?")) for run in full})),
            ]
        )
    return Table(
        f"{env}: what training takes. FLOPs count the products of forward and backward passes as Evci et al. 2020. "
        "Seconds are the wall clock's, with acting, learning and evaluating; they say something about speed only if "
        "the runs had the same machine to themselves.",
        ["agent", "steps", "connections", "FLOPs", "seconds", "threads"],
        rows,
    )


def _pairs(groups: Sequence[Group]) -> list[tuple[Group, Group]]:
    """Return each sparse group with the dense one of the same environment that differs by the least options."""
    pairs = []
    for item in groups:
        agent = dense_of(item.agent)
        rivals = [other for other in groups if other.agent == agent]
        if not rivals:
            continue
        own = {key: value for key, value in item.options.items() if not key.startswith("topology.")}
        pairs.append((item, min(rivals, key=lambda other: _differing(own, other.options))))
    return pairs


def _differing(one: dict[str, Any], other: dict[str, Any]) -> int:
    """Return in how many options two groups differ."""
    return sum(key not in one or key not in other or one[key] != other[key] for key in {*one, *other})


def _improvement_table(env: str, pairs: Sequence[tuple[Group, Group]]) -> Table:
    rows = []
    rng = stream("improvement", env)
    for one, other in pairs:
        step = common_step(one, other)
        finals = one.finals(step), other.finals(step)
        counted = min(map(len, finals))
        samples = [[values] for values in finals]
        probability = statistics.estimate(statistics.IMPROVEMENT, *samples, rng=rng)
        of_iqm = statistics.estimate(statistics.difference_of(statistics.IQM), *samples, rng=rng)
        rows.append(
            [
                f"{one.label} over {other.label}",
                f"{step:,}",
                f"{len(finals[0])} and {len(finals[1])}",
                _sure(difference(one, other, "final"), counted, _signed),
                _sure(of_iqm, counted, _signed),
                _sure(difference(one, other, "lca"), counted, _signed_area),
                _sure(probability, counted, _probability),
            ]
        )
    return Table(
        f"{env}: sparse over dense, with 95% intervals. Where one of them has fewer steps, both are compared there. "
        "A difference is undecided if its interval contains 0, a probability if it contains 0.5.",
        [
            "comparison",
            "steps",
            "runs",
            "difference of final returns",
            "difference of IQMs",
            "difference of LCA / 5,000",
            "probability of improvement",
        ],
        rows,
    )


def _reach_table(env: str, pairs: Sequence[tuple[Group, Group]]) -> Table:
    rows = []
    for one, other in pairs:
        step = common_step(one, other)
        level = float(other.finals(step).mean())
        runs = one.full(step)
        steps = [_time(run, run.steps, level, step) for run in runs]
        seconds = [_time(run, run.seconds, level, step) for run in runs]
        reached = [value for value in steps if math.isfinite(value)]
        share = share_of_steps(one, other)
        rows.append(
            [
                one.label,
                f"{level:,.0f} ({other.label}, {step:,} steps)",
                f"{len(reached)} of {len(runs)}",
                _mean_or(steps),
                _sure(share, min(len(runs), len(other.full(step))), _percent),
                _mean_or(seconds),
                f"{np.mean([_at(run, 'seconds', step) for run in other.full(step)]):,.0f}",
            ]
        )
    return Table(
        f"{env}: steps and seconds until a sparse agent has the final return of the dense one, measured like it, as "
        f"the "
        f"mean of {WINDOW} evaluations. For seconds see the table above.",
        [
            "agent",
            "return to reach",
            "runs that reach it",
            "steps",
            "share of the steps (95% interval)",
            "seconds",
            "seconds of the dense agent",
        ],
        rows,
    )


def _across(groups: Sequence[Group], environments: Sequence[str], style: figures.Style) -> list[Block]:
    if len(environments) < 2:
        return []
    blocks: list[Block] = [Heading("Across environments")]
    # Scores in units of the dense agent's mean final return, of each pair at the step that both reach.
    families: dict[tuple[str, str], dict[str, dict[str, NDArray[np.float64]]]] = {}
    for env in environments:
        for one, other in _pairs([item for item in groups if item.env == env]):
            step = common_step(one, other)
            unit = other.finals(step).mean()
            if unit <= 0:
                continue
            family = families.setdefault((one.label, other.label), {"sparse": {}, "dense": {}})
            family["sparse"][env], family["dense"][env] = one.finals(step) / unit, other.finals(step) / unit
    rows, series = [], {}
    for (label, dense), family in families.items():
        if len(family["sparse"]) < 2:
            continue
        samples = [list(family["sparse"].values()), list(family["dense"].values())]
        rng = stream("across", label)
        counted = min(len(task) for sample in samples for task in sample)
        rows.append(
            [
                label,
                ", ".join(family["sparse"]),
                _sure(statistics.estimate(statistics.IQM, samples[0], rng=rng), counted, _area),
                _sure(statistics.estimate(statistics.MEAN, samples[0], rng=rng), counted, _area),
                _sure(statistics.estimate(statistics.IMPROVEMENT, *samples, rng=rng), counted, _probability),
            ]
        )
        top = max(1.2, 1.05 * max(task.max() for sample in samples for task in sample))
        thresholds = np.linspace(0, top, 121)
        for name, sample in ((label, samples[0]), (dense, samples[1])):
            if name not in series:
                low, high = statistics.interval(statistics.profile_at(thresholds), sample, rng=rng, replicates=2000)
                series[name] = (thresholds, statistics.performance_profile(sample, thresholds), low, high)
    if not rows:
        text = "No sparse agent can be compared with its dense one, in positive returns, on two environments or more."
        return [*blocks, Text(text)]
    alt = (
        "Performance profile: the share of runs whose final return, in units of the dense agent's mean, is above the "
        "value on the axis. Bands are 95% intervals. Shown are " + ", ".join(series) + "."
    )
    svg = figures.lines(series, [], style, "final return / dense agent's mean", "share of runs above", (-0.02, 1.02))
    return [
        *blocks,
        Table(
            "Final returns in units of the dense agent's mean on the same environment, with 95% intervals.",
            ["agent", "environments", "IQM", "mean", "probability of improvement over dense"],
            rows,
        ),
        Figure(svg, "Performance profile", alt),
    ]


def _drift(groups: Sequence[Group], environments: Sequence[str]) -> list[Block]:
    blocks: list[Block] = [Heading("How the topology drifts")]
    recorded = [item for item in groups if any(run.topologies for run in item.runs)]
    without = [f"{item.label} on {item.env}" for item in groups if item not in recorded]
    if without:
        blocks.append(Text(f"Not recorded by the runs of {'; '.join(without)}."))
    for env in environments:
        of_env = [item for item in recorded if item.env == env]
        if not of_env:
            continue
        blocks.append(_density_table(env, of_env))
        for item in of_env:
            blocks += _drift_of(item)
    return blocks


def _density_table(env: str, groups: Sequence[Group]) -> Table:
    rows = []
    for item in groups:
        run = next(run for run in item.runs if run.topologies)
        for name, network in run.topologies[max(run.topologies)].items():
            shapes, counts = network["shapes"], network["connections"]
            rows.append(
                [
                    item.label,
                    name,
                    "-".join(map(str, [shapes[0][1], *(shape[0] for shape in shapes)])),
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


def _drift_of(item: Group) -> list[Block]:
    runs = [run for run in item.runs if run.topologies]
    common = sorted(set.intersection(*(set(run.topologies) for run in runs)))
    if not common:
        return []
    first, last = runs[0].topologies[common[0]], common[-1]
    shares: dict[str, list[NDArray[np.float64]]] = {}
    for run in runs:
        for name, network in run.topologies[common[0]].items():
            kind = "critics" if name.startswith("critic") else name
            for index, alive in enumerate(network["initial_alive"]):
                if alive is not None:
                    values = [run.topologies[step][name]["initial_alive"][index] for step in common]
                    shares.setdefault(f"{kind}, layer {index + 1}", []).append(np.array(values))
    if not shares:
        return []  # dense: the table says so
    axis, _, unit = _unit("environment steps", last, lambda run: run.steps, _STEPS)
    at = np.array(common) / unit
    series = {label: figures.spread(at, 100 * np.array(values)) for label, values in shares.items()}
    ends = "; ".join(f"{label}: {mean[-1]:.0f}%" for label, (_, mean, _, _) in series.items())
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
            f"{_runs(len(runs))} (and both critics). At {last:,} steps: {ends}.",
        )
    ]
    observations = first["actor"]["shapes"][0][1] if "actor" in first else 0
    for name in ("actor", "critic1"):
        ends_of = [
            [run.topologies[step].get(name, {}).get("input_connections") for run in runs] for step in (common[0], last)
        ]
        if any(values is None for both in ends_of for values in both):
            continue
        before, after = (np.mean(both, axis=0) for both in ends_of)
        top = np.argsort(-after, kind="stable")[:3]
        blocks.append(
            Figure(
                figures.inputs(before, after, observations),
                f"{item.label} on {item.env}: inputs of the {'actor' if name == 'actor' else 'first critic'}",
                f"Connections of every input in the first layer at the start and at {last:,} steps, mean over "
                f"{_runs(len(runs))}; from {before.min():.0f} to {before.max():.0f} at the start, from "
                f"{after.min():.0f} to "
                f"{after.max():.0f} at the end, most at the inputs {', '.join(map(str, top))}."
                + ("" if name == "actor" else f" Actions begin at index {observations}."),
            )
        )
    return blocks


def _missing(
    groups: Sequence[Group], problems: Problems, left_out: Problems, findings: Sequence[Finding]
) -> list[Block]:
    items = []
    for item in groups:
        full = item.full()
        if published.number(item.preset, item.env) is None:
            continue
        lacking = []
        if len(full) < published.SEEDS:
            lacking.append(f"{len(full)} of the paper's {published.SEEDS} seeds")
        if item.horizon < published.STEPS:
            lacking.append(f"{item.horizon:,} of its {published.STEPS:,} steps")
        if lacking:
            items.append(f"{item.label} on {item.env}: {' and '.join(lacking)}.")
    for item in groups:
        for run in item.runs:
            if not run.finished:
                items.append(
                    f"{item.label} on {item.env}, seed {run.seed}: in progress or cut short at {run.last:,} of "
                    f"{run.total:,} steps."
                )
    for finding in findings:
        if finding.verdict == "missing":
            none = [
                name
                for name, count in zip((finding.claim.agent, finding.claim.other), finding.runs, strict=True)
                if not count
            ]
            items.append(f"{' and '.join(none)} on {finding.env}: no run, so a claim cannot be judged.")
    here = {published.base_of(item.env) for item in groups}
    absent = [env for env in published.ENVIRONMENTS if env not in here]
    if absent:
        items.append(f"Environments of the paper without any run: {', '.join(absent)}.")
    blocks: list[Block] = [Heading("What is missing")]
    blocks.append(Items(list(dict.fromkeys(items))) if items else Text("Nothing of the paper's seeds and steps."))
    if problems or left_out:
        blocks += [
            Heading("Directories that were left out", 3),
            Items([f"`{path}`: {reason}" for path, reason in [*problems, *left_out]]),
        ]
    return blocks


def _how() -> list[Block]:
    return [
        Heading("How the numbers are made"),
        Items(
            [
                "Return: undiscounted sum of rewards of an evaluation episode without exploration noise, mean over the "
                "episodes of an evaluation.",
                f"Final return of a run: mean of its last {WINDOW} evaluations, up to the steps named beside it. Runs "
                "that end before are not in it.",
                "LCA: mean over all evaluations up to there; divided by 5,000 as in the paper's tables.",
                "± is the standard deviation over runs, dividing by their number.",
                "IQM: mean of the middle half of the runs. Probability of improvement: share of pairs of runs in which "
                "the first has the higher final return; a tie counts half.",
                "Intervals: 95%, percentiles of a stratified bootstrap over runs with a fixed seed (10,000 replicates; "
                "2,000 for profiles). Few runs make them too narrow: with normal returns the interval of a difference "
                "of means holds the true one in 67% of all cases with 2 runs each, 81% with 3 and 87% with 5.",
            ]
        ),
    ]


# --- Numbers and words ---


def _bounds(found: Estimate, runs: int, show: Callable[[float], str] = lambda value: f"{value:,.0f}") -> str:
    return f"{show(found.low)} to {show(found.high)}" if runs > 1 else "one run"


def _sure(found: Estimate, runs: int, show: Callable[[float], str]) -> str:
    return _interval(found, show) if runs > 1 else f"{show(found.value)} (one run)"


def _interval(found: Estimate, show: Callable[[float], str] = lambda value: f"{value:,.0f}") -> str:
    return f"{show(found.value)} ({show(found.low)} to {show(found.high)})"


def _area(value: float) -> str:
    return f"{value:.3f}"


def _probability(value: float) -> str:
    return f"{value:.2f}"


def _signed(value: float) -> str:
    return f"{value:+,.0f}"


def _signed_area(value: float) -> str:
    return f"{value:+.3f}"


def _percent(value: float) -> str:
    return f"{value:.0%}" if math.isfinite(value) else "never"


def _runs(count: int) -> str:
    return "1 run" if count == 1 else f"{count} runs"


def _mean_or(values: Sequence[float]) -> str:
    return f"{np.mean(values):,.0f}" if np.isfinite(values).all() else "not all reach it"


def _at(run: RunData, column: str, step: int) -> float:
    values: NDArray[np.float64] = getattr(run, column)
    return float(values[len(run.until(step)) - 1])


def _time(run: RunData, times: NDArray[Any], level: float, step: int) -> float:
    return statistics.time_to_reach(times.astype(np.float64), run.until(step), level, WINDOW)


def _smooth(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the running mean over the last SMOOTH values, over fewer at the start, float64 [evaluations]."""
    sums = np.cumsum(np.concatenate([[0.0], values]))
    last = np.arange(1, len(values) + 1)
    first = np.maximum(last - SMOOTH, 0)
    result: NDArray[np.float64] = (sums[last] - sums[first]) / (last - first)
    return result


def _by(runs: Sequence[RunData], key: Callable[[RunData], Any]) -> dict[Any, list[RunData]]:
    found: dict[Any, list[RunData]] = {}
    for run in runs:
        found.setdefault(key(run), []).append(run)
    return found
