"""What `inspect` prints of a run's dormant units, effective rank and weight norms."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from rewirl.printing import number


def plasticity_lines(measures: Mapping[str, Mapping[str, float]]) -> Iterator[str]:
    """Yield a line for each network, and one before them.

    Args:
        measures: as `agents.plasticity.measures_in` returns them; of no network there is no line.
    """
    if measures:
        yield f"\n{'at the newest checkpoint':<24} {'dormant units':>13} {'effective rank':>14} {'norm of weights':>15}"
    for name, of in measures.items():
        norm = number(of["weight_norm"])
        yield f"{name:<24} {of['dormant']:>13.1%} {of['effective_rank']:>14,.0f} {norm:>15}"
