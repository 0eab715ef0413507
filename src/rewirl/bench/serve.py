"""The process of one contestant: loads it, warms it up, then times its tasks when told to.

The parent (`interleaved.Contestant`) starts `python -P serve.py SCRIPT SPECIFICATION`, the latter a JSON object. SCRIPT
defines KINDS; `KINDS[specification["kind"]](specification)` is the contestant, see `Contestant`. One JSON line says
that the warm-up is over; then each line `time TASK SECONDS` or `report NAME SECONDS` is answered with one JSON line.
Everything else that libraries print is dropped, so that the protocol stays clean.

Nothing but the standard library is needed here: contestants may live in a Python that has not got Rewirl.
"""

from __future__ import annotations

import importlib.util
import json
import os
import platform
import sys
import time
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version
from typing import Any, Protocol

Task = Callable[[], int]
"""Does some work, much more than reading a clock, and returns how much in the task's unit: updates, steps, calls."""


class Contestant(Protocol):
    """What a contestant shows; `reports` and `versions` may be missing."""

    tasks: dict[str, Task]
    """What can be timed, by name."""

    facts: dict[str, Any]
    """What is said about it, as JSON values; `connections` is one of them."""

    packages: tuple[str, ...]
    """Distributions whose versions are of interest."""

    versions: dict[str, str]
    """Further versions, such as a commit."""

    reports: dict[str, Callable[[float], Any]]
    """What can be asked besides, by name: takes about how many seconds it may last, returns JSON values."""

    def warm_up(self) -> None:
        """Work until the speed is that of a long run."""


def versions(*packages: str) -> dict[str, str]:
    """Return Python's version and that of each installed distribution among these."""
    found = {"python": platform.python_version()}
    for package in packages:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def rate(task: Task, seconds: float) -> tuple[float, float]:
    """Do a task again and again for about so many seconds.

    Returns:
        Its units per second, and the processor time it had as a share of the time that passed (above 1 with threads).
    """
    done = 0
    computed = time.process_time()
    start = now = time.perf_counter()
    while now - start < seconds or not done:
        done += task()
        now = time.perf_counter()
    return done / (now - start), (time.process_time() - computed) / (now - start)


def load(script: str) -> dict[str, Callable[[dict[str, Any]], Contestant]]:
    """Return the KINDS that a script defines; its folder is not put where imports are searched."""
    spec = importlib.util.spec_from_file_location("contestant_script", script)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    kinds: dict[str, Callable[[dict[str, Any]], Contestant]] = module.KINDS
    return kinds


def main(script: str, specification: dict[str, Any]) -> None:
    """Serve one contestant until the parent goes away."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)

    def answer(**values: Any) -> None:
        print(json.dumps(values), file=answers, flush=True)

    if specification.get("cores"):
        os.sched_setaffinity(0, specification["cores"])  # before libraries count cores to size their thread pools
    contestant = load(script)[specification["kind"]](specification)
    contestant.warm_up()
    found = versions(*contestant.packages) | getattr(contestant, "versions", {})
    answer(tasks=list(contestant.tasks), facts=contestant.facts, versions=found)
    idle_from = time.process_time()
    for line in sys.stdin:
        idle_seconds = time.process_time() - idle_from
        verb, rest = line.split(maxsplit=1)
        name, seconds = rest.rsplit(maxsplit=1)
        if verb == "report":
            answer(report=contestant.reports[name](float(seconds)))
        else:
            task = contestant.tasks[name]
            rate(task, 0.1 * float(seconds))  # the other contestants have emptied the caches since
            per_second, processor_share = rate(task, float(seconds))
            answer(rate=per_second, processor_share=processor_share, idle_seconds=idle_seconds)
        idle_from = time.process_time()


if __name__ == "__main__":
    main(sys.argv[1], json.loads(sys.argv[2]))
