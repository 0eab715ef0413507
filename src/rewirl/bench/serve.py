"""The process of one candidate: loads it, warms it up, then times its tasks when told to.

The parent (`interleaved.Candidate`) starts `python -P serve.py SCRIPT SPECIFICATION`, the latter a JSON object. SCRIPT
defines KINDS; `KINDS[specification["kind"]](specification)` is the candidate, see `Candidate`. One JSON line says
that the warm-up is over; then each line `time TASK SECONDS` or `report NAME SECONDS` is answered with one JSON line.
Everything else that libraries print is dropped, so that the protocol stays clean.

Only the standard library is needed here: candidates may live in a Python without Rewirl.
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


class Candidate(Protocol):
    """The interface of a candidate; `reports` and `versions` may be missing."""

    tasks: dict[str, Task]
    """What can be timed, by name."""

    facts: dict[str, Any]
    """Its properties, as JSON values, such as `connections`."""

    packages: tuple[str, ...]
    """Distributions whose versions are reported."""

    versions: dict[str, str]
    """Further versions, such as a commit."""

    reports: dict[str, Callable[[float], Any]]
    """Further reports by name: each takes the seconds that it may last, and returns JSON values."""

    def warm_up(self) -> None:
        """Work until the speed is that of a long run."""


def versions(*packages: str) -> dict[str, str]:
    """Return Python's version and that of each installed distribution among these."""
    installed = {"python": platform.python_version()}
    for package in packages:
        try:
            installed[package] = version(package)
        except PackageNotFoundError:
            continue
    return installed


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


def load(script: str) -> dict[str, Callable[[dict[str, Any]], Candidate]]:
    """Return the KINDS that a script defines; its folder is not put where imports are searched."""
    spec = importlib.util.spec_from_file_location("candidate_script", script)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    kinds: dict[str, Callable[[dict[str, Any]], Candidate]] = module.KINDS
    return kinds


def main(script: str, specification: dict[str, Any]) -> None:
    """Serve one candidate until the parent goes away."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)

    def answer(**values: Any) -> None:
        print(json.dumps(values), file=answers, flush=True)

    if specification.get("cores"):
        os.sched_setaffinity(0, specification["cores"])  # before libraries count cores to size their thread pools
    candidate = load(script)[specification["kind"]](specification)
    candidate.warm_up()
    used_versions = versions(*candidate.packages) | getattr(candidate, "versions", {})
    answer(tasks=list(candidate.tasks), facts=candidate.facts, versions=used_versions)
    idle_from = time.process_time()
    for line in sys.stdin:
        idle_seconds = time.process_time() - idle_from
        verb, rest = line.split(maxsplit=1)
        name, seconds = rest.rsplit(maxsplit=1)
        if verb == "report":
            answer(report=candidate.reports[name](float(seconds)))
        else:
            task = candidate.tasks[name]
            rate(task, 0.1 * float(seconds))  # the other candidates have emptied the caches since
            per_second, processor_share = rate(task, float(seconds))
            answer(rate=per_second, processor_share=processor_share, idle_seconds=idle_seconds)
        idle_from = time.process_time()


if __name__ == "__main__":
    main(sys.argv[1], json.loads(sys.argv[2]))
