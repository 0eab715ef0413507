"""The view of a sweep: a live table on a terminal, a line per event anywhere else."""

from __future__ import annotations

import contextlib
import sys
import time
from collections import Counter
from collections.abc import Mapping
from typing import TYPE_CHECKING

from rewirl.experiments.sweep.schedule import OVER, Row, View
from rewirl.printing import counted, is_terminal, message, number, show
from rewirl.training.progress import duration

if TYPE_CHECKING:
    from rich.console import RenderableType

_REFRESH_SECONDS = 0.5
_LINE_SECONDS = 60.0
_ORDER = ("running", "failed", "left out", "in use", "stopped", "waiting", "no time", "finished")
_STYLES = {"running": "bold", "failed": "red", "left out": "red", "in use": "yellow", "finished": "green"}


class Nothing:
    """A view that shows nothing."""

    def changed(self, row: Row, text: str) -> None:
        """See View."""

    def message(self, text: str) -> None:
        """See View."""

    def refresh(self, rows: Mapping[str, Row]) -> None:
        """See View."""

    def close(self, rows: Mapping[str, Row]) -> None:
        """See View."""


class Lines:
    """A line per event of a run, and one per run and minute while it learns."""

    def __init__(self) -> None:
        """Write to the standard output."""
        self._printed_at: dict[str, float] = {}

    def changed(self, row: Row, text: str) -> None:
        """See View."""
        self._printed_at[row.run.name] = time.monotonic()
        show(f"{row.run.name}: {text}{_result(row)}", sys.stdout)

    def message(self, text: str) -> None:
        """See View."""
        show(text, sys.stdout)

    def refresh(self, rows: Mapping[str, Row]) -> None:
        """See View."""
        now = time.monotonic()
        for name, row in rows.items():
            if row.state == "running" and now - self._printed_at.get(name, now) > _LINE_SECONDS:
                self._printed_at[name] = now
                step, total, last_return, speed, left = cells(row)
                text = f"{name}: step {step} of {total}, return {last_return}, {speed} steps/s, {left} left"
                show(text, sys.stdout)

    def close(self, rows: Mapping[str, Row]) -> None:
        """See View."""


class Table:
    """A live table of all runs; a line per event stays above it."""

    def __init__(self) -> None:
        from rich.console import Console
        from rich.live import Live

        self._console = Console(highlight=False)
        self._live = Live(console=self._console, auto_refresh=False, transient=True)
        self._live.start()
        self._console.show_cursor(True)  # a second Ctrl-C ends the process at once and could not bring it back
        self._next = 0.0

    def changed(self, row: Row, text: str) -> None:
        """See View."""
        self.message(f"{row.run.name}: {text}{_result(row)}")

    def message(self, text: str) -> None:
        """See View."""
        with contextlib.suppress(OSError, ValueError):
            self._console.print(message(text), markup=False, emoji=False)

    def refresh(self, rows: Mapping[str, Row]) -> None:
        """See View."""
        now = time.monotonic()
        if now >= self._next:
            self._next = now + _REFRESH_SECONDS
            with contextlib.suppress(OSError, ValueError):
                self._live.update(table(rows, self._console.height - 4), refresh=True)

    def close(self, rows: Mapping[str, Row]) -> None:
        """See View."""
        with contextlib.suppress(OSError, ValueError):
            self._live.stop()


def table(rows: Mapping[str, Row], height: int) -> RenderableType:
    """Return the table of a sweep: as many rows as fit, those that need attention first.

    Args:
        rows: the state of all runs.
        height: lines of the terminal.
    """
    from rich.table import Table as RichTable
    from rich.text import Text

    rich_table = RichTable(box=None, pad_edge=False, caption=summary(rows), caption_justify="left")
    rich_table.add_column("run", overflow="fold")
    rich_table.add_column("state", no_wrap=True)
    for column in ("step", "of", "return", "steps/s", "left"):
        rich_table.add_column(column, justify="right", no_wrap=True)
    ordered = sorted(rows.values(), key=lambda row: _ORDER.index(row.state))
    for row in ordered[: max(height, 1)]:
        rich_table.add_row(Text(message(row.run.name)), row.state, *cells(row), style=_STYLES.get(row.state, ""))
    return rich_table


def cells(row: Row) -> tuple[str, str, str, str, str]:
    """Return step, total, last return, steps per second and time left of a run as text."""
    speed = row.pace.speed() if row.state == "running" else 0.0
    return (
        f"{row.pace.done:,}",
        f"{row.pace.total:,}",
        "" if row.last_return is None else number(row.last_return, least=1),
        f"{speed:,.0f}" if speed else "",
        "" if not speed or (left := row.pace.left()) is None else duration(left),
    )


def summary(rows: Mapping[str, Row]) -> str:
    """Return how many runs are in which state."""
    counts = Counter(row.state for row in rows.values())
    return f"{counted(len(rows), 'run')}: " + ", ".join(f"{counts[state]} {state}" for state in _ORDER if counts[state])


def for_this_terminal() -> View:
    """Return the table if the standard output is a terminal, lines otherwise."""
    return Table() if is_terminal(sys.stdout) else Lines()


def _result(row: Row) -> str:
    if row.state not in OVER or row.last_return is None:
        return ""
    step = {"finished": row.run.config.total_timesteps, "stopped": row.saved or 0}.get(row.state)
    when = "" if row.last_return_step == step else f" at step {row.last_return_step:,}"
    return f", return {number(row.last_return, least=1)}{when}"
