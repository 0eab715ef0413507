"""Report section: what the networks of runs make of each feature of the observation."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from rewirl.experiments.report.document import Block, Heading, Table, Text, folded
from rewirl.experiments.report.run_data import RunData
from rewirl.experiments.report.run_groups import RunGroup
from rewirl.experiments.report.sections.words import MANY
from rewirl.printing import counted

STRONGEST, WEAKEST = 6, 3
"""How many inputs of a network are shown; networks with as many in all are shown whole."""


def which_inputs(groups: Sequence[RunGroup]) -> list[Block]:
    """Return the section on inputs, empty if no run has recorded any.

    Args:
        groups: of all environments.
    """
    tables = [_table(item) for item in groups if any(run.inputs for run in item.full())]
    if not tables:
        return []
    text = (
        "What networks make of each feature at the end of a run. Strength is the sum of the magnitudes of the weights "
        "that an input has in the first layer. Attribution is the mean magnitude of the gradients of the outputs by "
        "it, over transitions of the replay memory, as networks see them. Both are shares of the sum over all inputs. "
        f"Of networks with many inputs the {STRONGEST} strongest and the {WEAKEST} weakest are shown."
    )
    shown = folded(f"Inputs of {len(tables)} groups", tables) if len(tables) > MANY else tables
    return [Heading("Which inputs matter"), Text(text), *shown]


def _table(item: RunGroup) -> Table:
    recorded = [run for run in item.full() if run.inputs]
    runs = [run for run in recorded if _sizes(run) == _sizes(recorded[0])]
    rows: list[list[str]] = []
    for kind, names in _kinds(runs[0]).items():
        connections, strengths, attributions = (
            [_of_run(run, names, score) for run in runs] for score in ("connections", "strength", "attribution")
        )
        shares = np.stack([_share(each) for each in strengths if each is not None])
        order = np.argsort(-shares.mean(axis=0), kind="stable")
        shown = order if len(order) <= STRONGEST + WEAKEST else np.r_[order[:STRONGEST], order[-WEAKEST:]]
        attributed = [_share(each) for each in attributions if each is not None]
        for place, index in enumerate(shown):
            if len(shown) < len(order) and place == STRONGEST:
                rows.append([kind, f"... {len(order) - len(shown):,} between", "", "", ""])
            rows.append(
                [
                    kind,
                    _named(int(index), runs[0]),
                    f"{np.mean([each[index] for each in connections if each is not None]):.0f}",
                    _percent(shares[:, index]),
                    _percent(np.stack(attributed)[:, index]) if attributed else "not recorded",
                ]
            )
    return Table(
        f"{item.label} on {item.env}: inputs, strongest first, mean ± standard deviation over "
        f"{counted(len(runs), 'run')}.",
        ["network", "input", "connections", "share of strength", "share of attribution"],
        rows,
    )


def _sizes(run: RunData) -> dict[str, int]:
    return {name: len(scores["strength"] or ()) for name, scores in run.inputs.items()}


def _kinds(run: RunData) -> dict[str, list[str]]:
    """Return the networks that are counted together by what they are called then: critics for critic1 and critic2."""
    kinds: dict[str, list[str]] = {}
    for name in run.inputs:
        kinds.setdefault(name.rstrip("0123456789"), []).append(name)
    return {base if len(names) == 1 else f"{base}s": names for base, names in kinds.items()}


def _of_run(run: RunData, names: Sequence[str], score: str) -> NDArray[np.float64] | None:
    """Return the mean of a score over networks of one kind, float64 [inputs]; None where one has none."""
    values = [run.inputs.get(name, {}).get(score) for name in names]
    known = [each for each in values if each is not None]
    return np.mean(np.array(known, np.float64), axis=0) if len(known) == len(values) else None


def _share(values: NDArray[np.float64]) -> NDArray[np.float64]:
    total = values.sum()
    return values / total if total > 0 else np.zeros_like(values)


def _percent(shares: NDArray[np.float64]) -> str:
    return f"{100 * shares.mean():.1f}% ± {100 * shares.std():.1f}"


def _named(index: int, run: RunData) -> str:
    observations = min(len(scores["strength"] or ()) for scores in run.inputs.values())  # others take actions too
    if index >= observations:
        return f"action {index - observations}"
    noise = run.noise_from is not None and index >= run.noise_from
    return f"observation {index}{' (noise)' if noise else ''}"
