"""Trials in processes of their own, of limited memory and time: a crash, a hang or a flood counts and ends nothing."""

from __future__ import annotations

import json
import os
import resource
import signal
import sys
import traceback
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TypeVar

from scenario import Score

PATIENCE_SECONDS = 60.0
"""How long one trial may take before it counts as hanging."""

GROWTH = 256 * 2**20
"""Bytes of memory a trial may take at its worst."""

_ADDRESSES = 2**30  # bytes of address space a process may take on: what asks for more gets a MemoryError

T = TypeVar("T")


def contained(
    trials: Sequence[T], attempt: Callable[[T], list[str]], at_once: int = 40
) -> Iterator[tuple[T, list[str]]]:
    """Make an attempt at every trial, many in one forked process; a new one goes on where one dies.

    Args:
        trials: what is attempted, in order.
        attempt: returns words about what came of it; what it raises is a problem, and so is a dead process.
        at_once: trials of one process.

    Yields:
        Each trial with the words of the attempt; the first is "problem" if it did not end well.
    """
    done = 0
    while done < len(trials):
        part = trials[done : done + at_once]
        answers, status = _forked(part, attempt)
        for answer in answers:
            yield trials[done], answer
            done += 1
        if len(answers) < len(part):
            how = signal.Signals(os.WTERMSIG(status)).name if os.WIFSIGNALED(status) else f"status {status}"
            yield trials[done], ["problem", f"its process died: {how}" + (" (a hang)" if how == "SIGALRM" else "")]
            done += 1


def _forked(part: Sequence[T], attempt: Callable[[T], list[str]]) -> tuple[list[list[str]], int]:
    reading, writing = os.pipe()
    sys.stdout.flush()
    sys.stderr.flush()
    child = os.fork()
    if child == 0:
        status = 1
        try:
            os.close(reading)
            _confine()
            with os.fdopen(writing, "w") as pipe:
                for trial in part:
                    pipe.write(json.dumps(_watched(trial, attempt)) + "\n")
                    pipe.flush()
            status = 0
        finally:
            os._exit(status)
    os.close(writing)
    with os.fdopen(reading) as pipe:
        answers = [json.loads(line) for line in pipe if line.endswith("\n")]
    _, status = os.waitpid(child, 0)
    return answers, status


def _confine() -> None:
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    _, hard = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (_memory("VmSize") + _ADDRESSES, hard))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _watched(trial: T, attempt: Callable[[T], list[str]]) -> list[str]:
    Path("/proc/self/clear_refs").write_text("5")  # the peak counts from here
    before = _memory("VmRSS")
    signal.setitimer(signal.ITIMER_REAL, PATIENCE_SECONDS)
    try:
        answer = attempt(trial)
    except BaseException as error:
        where = "; ".join(f"{Path(f.filename).name}:{f.lineno}" for f in traceback.extract_tb(error.__traceback__)[-3:])
        return ["problem", f"{type(error).__name__}: {str(error)[:300]} ({where})"]
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
    grown = _memory("VmHWM") - before
    return answer if grown <= GROWTH else ["problem", f"it took {grown / 2**20:.0f} MiB of memory", *answer]


def _memory(name: str) -> int:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(name + ":"):
            return int(line.split()[1]) * 1024
    raise AssertionError(f"the system does not tell {name}")


def tally(score: Score, answer: list[str], what: str) -> None:
    """Count one attempt by its answer; what did not end well becomes a problem."""
    score.faults += 1
    score.survived += answer[0] != "problem"
    score.compared += "compared" in answer
    score.refused += answer[0] == "refused"
    if answer[0] == "problem":
        score.problems.append(f"{what}: {' '.join(answer[1:])}")
