"""What runs recorded of dormant units, effective rank and weight norms."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rewirl.agents.plasticity import measures_in
from rewirl.saved import count, number, shown

Plasticity = dict[int, dict[str, dict[str, float]]]
"""By step and network the measures of `agents.plasticity.MEASURES`."""

_LARGEST = {"dormant": 1.0, "effective_rank": 2.0**31, "weight_norm": 2.0**100}


def plasticity_of(lines: Sequence[Mapping[str, Any]]) -> Plasticity:
    """Return what the diagnostics of a log say of its networks.

    Args:
        lines: of the log, with the event `diagnostics` among them.

    Raises:
        ValueError: a measure is impossible; names it.
    """
    found: Plasticity = {}
    for line in lines:
        networks = measures_in(line) if line["event"] == "diagnostics" else {}
        for name, measures in networks.items():
            for measure, value in measures.items():
                if not 0 <= number(value, f"{measure} of {shown(name)}") <= _LARGEST[measure]:
                    raise ValueError(f"{measure} of {shown(name)} is {shown(value)}, which is impossible")
        if networks:
            found[count(line["step"], "the step of diagnostics")] = networks
    return found
