"""What a person sees while an agent learns: one live line on a terminal, a line per evaluation anywhere else.

Nothing of it is worth a run: what a full disk, a closed pipe or a terminal that is gone does not take is left out.
"""

from __future__ import annotations

import contextlib
import sys
import time
from collections import deque
from typing import TYPE_CHECKING, Protocol, TextIO

import numpy as np

from rewirl.printing import is_terminal, message, number, say, show
from rewirl.training.evaluation import Evaluation

if TYPE_CHECKING:
    from rich.live import Live

_REFRESH_SECONDS = 0.25
_SPEED_WINDOW_SECONDS = 30.0
_HEARTBEAT_SECONDS = 60.0
_LEAST_SECONDS, _LEAST_STEPS = 1.0, 10
"""What a speed is told from at least."""
_EPISODES = 10
"""Latest training episodes whose mean return is shown."""


class Progress(Protocol):
    """What the training loop tells whoever watches."""

    def begin(self, step: int, total: int, learning_starts: int = 0, warm_up: str = "random actions") -> None:
        """Training goes from step `step` to step `total`.

        Args:
            step: steps of the run that are done.
            total: steps of the whole run.
            learning_starts: steps before the first update.
            warm_up: what acts until then.
        """

    def step(self, step: int) -> None:
        """Step `step` is done."""

    def episode(self, total_reward: float) -> None:
        """An episode of training is over; its undiscounted return."""

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

    def begin(self, step: int, total: int, learning_starts: int = 0, warm_up: str = "random actions") -> None:
        """See Progress."""

    def step(self, step: int) -> None:
        """See Progress."""

    def episode(self, total_reward: float) -> None:
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

    def begin(self, step: int, total: int, learning_starts: int = 0, warm_up: str = "random actions") -> None:
        """See Progress."""
        self.to.begin(step, total, learning_starts, warm_up)

    def step(self, step: int) -> None:
        """See Progress."""
        self.to.step(step)

    def episode(self, total_reward: float) -> None:
        """See Progress."""
        self.to.episode(total_reward)

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
    """Steps per second over the last half minute, and the time that is left at that speed.

    Steps before the first update are many times as fast as those after it, so they tell nothing of the time left.
    """

    def __init__(self) -> None:
        """Be at step 0 of 0."""
        self.total = 0
        self.done = 0
        self.learning_starts = 0
        self._warm_up = ""
        self._marks: deque[tuple[float, int]] = deque()
        self._returns: deque[tuple[int, float]] = deque(maxlen=_EPISODES)
        self._now = self._first = 0

    def begin(self, step: int, total: int, learning_starts: int = 0, warm_up: str = "random actions") -> None:
        """See Progress."""
        self.total, self.learning_starts, self._warm_up = total, learning_starts, warm_up
        self._now, self._first = step, step + 1
        self._restart(step)

    def step(self, step: int) -> None:
        """See Progress."""
        self._now = step
        if step in (self.learning_starts, self._first):  # an evaluation of the beginning comes before the first step
            self._restart(step)

    def episode(self, total_reward: float) -> None:
        """See Progress."""
        self._returns.append((self._now + 1, total_reward))  # it is told before its last step is

    def _restart(self, step: int) -> None:
        self.done = step
        self._marks.clear()
        self._marks.append((time.perf_counter(), step))

    def mark(self, step: int) -> None:
        """Note that the run is at this step at least: an evaluation tells of an earlier one."""
        if self.done < self.learning_starts <= step:
            self._restart(step)
        now = time.perf_counter()
        self.done = max(step, self.done)
        self._marks.append((now, self.done))
        while len(self._marks) > 2 and now - self._marks[1][0] > _SPEED_WINDOW_SECONDS:
            self._marks.popleft()

    def speed(self) -> float:
        """Return steps per second; 0 where there is too little to tell from."""
        if not self._marks:
            return 0.0
        (then, first), (now, last) = self._marks[0], self._marks[-1]
        seconds, steps = now - then, last - first
        if seconds < _LEAST_SECONDS or (steps < _LEAST_STEPS and seconds < _SPEED_WINDOW_SECONDS):
            return 0.0
        return steps / seconds

    def left(self) -> float | None:
        """Return the seconds that are left at the speed of updates; None where that is not known yet."""
        speed = self.speed()
        return None if self.done < self.learning_starts or speed <= 0 else (self.total - self.done) / speed

    def words(self) -> list[str]:
        """Return in words the speed, and the time left or how long the warm-up takes."""
        speed, left = self.speed(), self.left()
        pace = [f"{speed:,.0f} steps/s"] if speed > 0 else []
        if self.done < self.learning_starts:
            return [*pace, f"{self._warm_up} until step {self.learning_starts:,}"]
        return pace if left is None else [*pace, f"{duration(left)} left"]

    def training_return(self, until: int | None = None) -> str:
        """Return in words the mean return of the latest training episodes; "" before the first.

        Args:
            until: those that were over after this step alone; None is all.
        """
        returns = [value for step, value in self._returns if until is None or step <= until]
        return f"training return {number(float(np.mean(returns)), least=1)}" if returns else ""


class PlainLines(Timed):
    """One line per evaluation, and one after a minute without any, for logs and pipes."""

    def __init__(self, stream: TextIO | None = None) -> None:
        """Write to `stream`; None is the standard output."""
        super().__init__()
        self._stream = sys.stdout if stream is None else stream
        self._next = 0.0

    def begin(self, step: int, total: int, learning_starts: int = 0, warm_up: str = "random actions") -> None:
        """See Progress."""
        super().begin(step, total, learning_starts, warm_up)
        self._next = time.perf_counter() + _HEARTBEAT_SECONDS

    def step(self, step: int) -> None:
        """See Progress."""
        super().step(step)
        if time.perf_counter() >= self._next:
            self.mark(step)
            self._line(step, [])

    def evaluated(self, step: int, evaluation: Evaluation, density: float) -> None:
        """See Progress."""
        self.mark(step)
        untrained = " untrained" if step <= self.learning_starts else ""
        self._line(step, [f"return {_return(evaluation)}{untrained}", f"density {density:.3f}"])

    def _line(self, step: int, news: list[str]) -> None:
        self._next = time.perf_counter() + _HEARTBEAT_SECONDS
        parts = [*news, *filter(None, [self.training_return(step)]), *self.words()]
        self.message(f"step {step:,} of {self.total:,}: {', '.join(parts)}")

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
        self._return = self._density = ""

    def begin(self, step: int, total: int, learning_starts: int = 0, warm_up: str = "random actions") -> None:
        """See Progress."""
        from rich.live import Live

        super().begin(step, total, learning_starts, warm_up)
        self._live = Live(console=self._console, auto_refresh=False, transient=True)
        self._live.start()
        self._console.show_cursor(True)  # a second Ctrl-C ends the process at once and could not bring it back

    def step(self, step: int) -> None:
        """See Progress."""
        super().step(step)
        now = time.perf_counter()
        if now >= self._next:
            self._next = now + _REFRESH_SECONDS
            self.mark(step)
            self._draw()

    def evaluated(self, step: int, evaluation: Evaluation, density: float) -> None:
        """See Progress."""
        self.mark(step)
        self._return, self._density = f"return {number(evaluation.mean, least=1)}", f"density {density:.3f}"
        untrained = "  untrained" if step <= self.learning_starts else ""
        self.message(f"step {step:>11,}  return {_return(evaluation, 10)}{untrained}")
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
            line = self.line(self._console.width)
            with contextlib.suppress(OSError, ValueError):
                self._live.update(Text(line, no_wrap=True, overflow="ellipsis"), refresh=True)

    def line(self, width: int) -> str:
        """Return the line for a terminal of so many columns: what matters least gives way first."""
        share = self.done / self.total
        bar = "█" * round(20 * share)
        *pace, left = self.words() or [""]
        parts = {  # in their order on the line, with their rank
            f"{bar:░<20}": 5,
            f"{share:6.1%}": 0,
            f"step {self.done:,}": 1,
            self._return: 3,
            self.training_return(): 4,
            self._density: 7,
            "".join(pace): 6,
            left: 2,
        }
        ranks = {text: rank for text, rank in parts.items() if text}
        while len("  ".join(ranks)) > width and len(ranks) > 1:
            del ranks[max(ranks, key=lambda text: ranks[text])]
        return "  ".join(ranks)


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
