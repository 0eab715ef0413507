"""What a person sees while an agent learns: one live line on a terminal, a line per evaluation anywhere else.

Nothing of it is worth a run: what a full disk, a closed pipe or a terminal that is gone does not take is left out.
"""

from __future__ import annotations

import contextlib
import sys
import time
from collections import deque
from typing import TYPE_CHECKING, Protocol, TextIO

from rewirl.printing import is_terminal, message, number, say, show
from rewirl.training.evaluation import Evaluation

if TYPE_CHECKING:
    from rich.live import Live

_REFRESH_SECONDS = 0.25
_SPEED_WINDOW_SECONDS = 30.0


class Progress(Protocol):
    """What the training loop tells whoever watches."""

    def begin(self, step: int, total: int) -> None:
        """Training goes from step `step` to step `total`."""

    def step(self, step: int) -> None:
        """Step `step` is done."""

    def evaluated(self, step: int, evaluation: Evaluation, density: float) -> None:
        """An evaluation after step `step` found this; `density` was that of the trained networks together.

        Training may have gone on meanwhile.
        """

    def message(self, text: str) -> None:
        """Show a line that stays: a warning, a checkpoint."""

    def end(self) -> None:
        """Training ended; idempotent."""


class Silent:
    """Shows nothing but messages, which go to the standard error."""

    def begin(self, step: int, total: int) -> None:
        """See Progress."""

    def step(self, step: int) -> None:
        """See Progress."""

    def evaluated(self, step: int, evaluation: Evaluation, density: float) -> None:
        """See Progress."""

    def message(self, text: str) -> None:
        """See Progress."""
        say(text)

    def end(self) -> None:
        """See Progress."""


class Switchable:
    """Progress that can be shown or not from one call of `learn` to the next."""

    def __init__(self) -> None:
        """Show nothing until told otherwise."""
        self.to: Progress = Silent()
        """What is told everything from now on."""

    def begin(self, step: int, total: int) -> None:
        """See Progress."""
        self.to.begin(step, total)

    def step(self, step: int) -> None:
        """See Progress."""
        self.to.step(step)

    def evaluated(self, step: int, evaluation: Evaluation, density: float) -> None:
        """See Progress."""
        self.to.evaluated(step, evaluation, density)

    def message(self, text: str) -> None:
        """See Progress."""
        self.to.message(text)

    def end(self) -> None:
        """See Progress."""
        self.to.end()


class Timed:
    """Steps per second over the last half minute, and the time that is left at that speed."""

    def __init__(self) -> None:
        """Be at step 0 of 0."""
        self.total = 0
        self.done = 0
        self._marks: deque[tuple[float, int]] = deque()

    def begin(self, step: int, total: int) -> None:
        """See Progress."""
        self.total, self.done = total, step
        self._marks.clear()
        self._marks.append((time.perf_counter(), step))

    def mark(self, step: int) -> None:
        """Note that the run is at this step at least: an evaluation tells of an earlier one."""
        now = time.perf_counter()
        self.done = max(step, self.done)
        self._marks.append((now, self.done))
        while len(self._marks) > 2 and now - self._marks[1][0] > _SPEED_WINDOW_SECONDS:
            self._marks.popleft()

    def speed(self) -> float:
        """Return steps per second."""
        if not self._marks:
            return 0.0
        (then, first), (now, last) = self._marks[0], self._marks[-1]
        return (last - first) / (now - then) if now > then else 0.0

    def speed_and_left(self) -> str:
        """Return speed and time left in words."""
        speed = self.speed()
        left = duration((self.total - self.done) / speed) if speed > 0 else "?"
        return f"{speed:,.0f} steps/s, {left} left"


class PlainLines(Timed):
    """One line per evaluation, for logs and pipes."""

    def __init__(self, stream: TextIO | None = None) -> None:
        """Write to `stream`; None is the standard output."""
        super().__init__()
        self._stream = sys.stdout if stream is None else stream

    def step(self, step: int) -> None:
        """See Progress."""

    def evaluated(self, step: int, evaluation: Evaluation, density: float) -> None:
        """See Progress."""
        self.mark(step)
        self.message(
            f"step {step:,} of {self.total:,}: return {_return(evaluation)}, "
            f"density {density:.3f}, {self.speed_and_left()}"
        )

    def message(self, text: str) -> None:
        """See Progress."""
        show(text, self._stream)

    def end(self) -> None:
        """See Progress."""


class LiveLine(Timed):
    """One line that moves, on a terminal; evaluations and messages stay above it."""

    def __init__(self) -> None:
        """Prepare the console; the line appears with `begin`."""
        super().__init__()
        from rich.console import Console

        self._console = Console(highlight=False)
        self._live: Live | None = None
        self._next = 0.0
        self._last = ""

    def begin(self, step: int, total: int) -> None:
        """See Progress."""
        from rich.live import Live

        super().begin(step, total)
        self._live = Live(console=self._console, auto_refresh=False, transient=True)
        self._live.start()
        self._console.show_cursor(True)  # a second Ctrl-C ends the process at once and could not bring it back

    def step(self, step: int) -> None:
        """See Progress."""
        now = time.perf_counter()
        if now >= self._next:
            self._next = now + _REFRESH_SECONDS
            self.mark(step)
            self._draw()

    def evaluated(self, step: int, evaluation: Evaluation, density: float) -> None:
        """See Progress."""
        self.mark(step)
        self._last = f"return {number(evaluation.mean, least=1)}  density {density:.3f}  "
        self.message(f"step {step:>11,}  return {_return(evaluation, 10)}")
        self._draw()

    def message(self, text: str) -> None:
        """See Progress."""
        with contextlib.suppress(OSError, ValueError):
            self._console.print(message(text), markup=False, emoji=False)

    def end(self) -> None:
        """See Progress."""
        if self._live is not None:
            with contextlib.suppress(OSError, ValueError):
                self._live.stop()
            self._live = None

    def _draw(self) -> None:
        from rich.text import Text

        if self._live is not None:
            share = self.done / self.total
            bar = "█" * round(20 * share)
            line = f"{bar:░<20} {share:6.1%}  step {self.done:,}  {self._last}{self.speed_and_left()}"
            with contextlib.suppress(OSError, ValueError):
                self._live.update(Text(line, no_wrap=True, overflow="ellipsis"), refresh=True)


def _return(evaluation: Evaluation, width: int = 0) -> str:
    mean, deviation = evaluation.mean, evaluation.std
    return f"{number(mean, least=1):>{width}} +- {number(deviation, mean, least=1)}"


def for_this_terminal() -> Progress:
    """Return the live line if the standard output is a terminal, plain lines otherwise."""
    return LiveLine() if is_terminal(sys.stdout) else PlainLines()


def duration(seconds: float) -> str:
    """Return a number of seconds as h:mm:ss."""
    whole = round(seconds)
    return f"{whole // 3600}:{whole % 3600 // 60:02d}:{whole % 60:02d}"
