"""Report section: what others have published of the same task, and where it is from."""

from __future__ import annotations

from collections.abc import Sequence

from rewirl.experiments.report.document import Block, Table
from rewirl.experiments.report.published_curves import PublishedCurve
from rewirl.printing import number


def published_table(env: str, curves: Sequence[PublishedCurve]) -> list[Block]:
    """Return a table of the last points of published curves as they are drawn; nothing where there is no curve.

    Args:
        env: the environment of the runs.
        curves: as `beside` returns them.
    """
    if not curves:
        return []
    rows = [
        [
            curve.label,
            f"{curve.steps[-1]:,.0f}",
            f"{number(float(curve.mean[-1]))} ± {number(float(curve.deviation[-1]))}",
            str(curve.seeds),
            curve.source,
            curve.licence,
        ]
        for curve in curves
    ]
    return [
        Table(
            f"{env}: published by others, drawn in grey, and in no other number of this report. Mean ± "
            "standard deviation over seeds of one evaluation, with code and hardware of their own. Steps are those of "
            "these runs: where an action is held for several control steps, it is one.",
            ["published", "steps", "return", "seeds", "source", "licence"],
            rows,
        )
    ]
