"""A report that no single run ends."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from rewirl.experiments.report import report
from rewirl.experiments.report.document import Block
from rewirl.experiments.report.run_data import RunData
from rewirl.experiments.report.sections.protocol import Problems


def report_on_sound_runs(
    runs: Sequence[RunData], problems: Problems, warn: Callable[[str], None], make: Callable[..., list[Block]] = report
) -> list[Block]:
    """Return the report on some runs, without those that it fails on.

    What is known to be wrong with a run is found when it is read. This is for what is not known: the shortest sequence
    of runs that fails ends with a run that is left out.

    Args:
        runs: at least one.
        problems: directories that could not be read, with the reason.
        warn: told of every run that is left out.
        make: the report.

    Raises:
        Exception: it fails on every run, which is then no fault of one.
    """
    kept, known = list(runs), list(problems)
    while True:
        try:
            return make(kept, known)
        except Exception as error:
            bad = _first_bad(kept, make)
            if bad is None or len(kept) == 1:
                raise
            reason = f"the report fails on it: {type(error).__name__}: {error}"
            warn(f"{kept[bad].path} is left out: {reason}")
            known.append((Path(kept[bad].path), reason))
            del kept[bad]


def _first_bad(runs: Sequence[RunData], make: Callable[..., list[Block]]) -> int | None:
    """Return the last run of the shortest sequence, from the first run on, that a report fails on."""
    sound, failing = 0, len(runs)
    while failing - sound > 1:
        middle = (sound + failing) // 2
        try:
            make(runs[:middle], [])
            sound = middle
        except Exception:
            failing = middle
    try:
        make(runs[:failing], [])
    except Exception:
        return failing - 1
    return None
