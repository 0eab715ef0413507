"""Of the command `inspect`: what a run's networks make of each feature of the observation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rewirl.printing import number

STRONGEST, WEAKEST = 10, 5
"""How many inputs of a network are shown; networks with as many in all are shown whole."""


def lines_of_inputs(inputs: Mapping[str, Mapping[str, Any]], observation_size: int) -> list[str]:
    """Return a table of the strongest and the weakest inputs of each network.

    Args:
        inputs: the result of `input_importance`.
        observation_size: features of an observation; later inputs are actions.
    """
    lines = []
    for name, scores in inputs.items():
        strengths: Sequence[float] = scores["strength"]
        order = sorted(range(len(strengths)), key=lambda i: -strengths[i])
        left_out = max(len(order) - STRONGEST - WEAKEST, 0)
        lines += [
            "",
            f"{f'inputs of {name}, strongest first':<40} {'connections':>11} {'strength':>10} {'attribution':>12}",
        ]
        for place, index in enumerate(order):
            if left_out and STRONGEST <= place < STRONGEST + left_out:
                if place == STRONGEST:
                    lines.append(f"  ... {left_out:,} between")
                continue
            attribution = "-" if scores["attribution"] is None else number(scores["attribution"][index])
            lines.append(
                f"  {named_input(index, observation_size):<38} {scores['connections'][index]:>11,} "
                f"{number(strengths[index]):>10} {attribution:>12}"
            )
    return lines


def named_input(index: int, observation_size: int) -> str:
    """Return what an input is called: observation 3, or action 0."""
    return f"observation {index}" if index < observation_size else f"action {index - observation_size}"
