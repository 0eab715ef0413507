"""What runs recorded of the inputs of their networks, checked."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rewirl.saved import fields, listed, number, shown

SCORES = ("connections", "strength", "attribution")
LARGEST = 2.0**200


def latest_inputs(lines: Sequence[dict[str, Any]]) -> dict[str, dict[str, list[float] | None]]:
    """Return what the last line that has it says of inputs, as `agents.importance.input_importance`; else nothing.

    Args:
        lines: the topology lines of a log, in their order.

    Raises:
        ValueError: it is impossible; the message says what.
    """
    saved: Any = next((line["inputs"] for line in reversed(lines) if "inputs" in line), {})
    return {name: _scores(scores) for name, scores in fields(saved, "the inputs of a run").items()}


def _scores(saved: Any) -> dict[str, list[float] | None]:
    values = fields(saved, "the inputs of a network")
    scores: dict[str, list[float] | None] = {}
    for name in SCORES:
        if name == "attribution" and values.get(name) is None:
            scores[name] = None
            continue
        scores[name] = [number(each, f"the {name} of an input") for each in listed(values[name], name)]
    lengths = {len(each) for each in scores.values() if each is not None}
    if len(lengths) != 1 or not all(0 <= each <= LARGEST for own in scores.values() for each in own or ()):
        raise ValueError(f"the inputs of a network have impossible scores: {shown(saved)}")
    return scores
