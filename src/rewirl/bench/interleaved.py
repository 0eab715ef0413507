"""Times candidates in turn, slice by slice, each in a process of its own and only one at a time."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median, quantiles
from typing import Any

from rewirl.bench import blas, serve

IDLE_LOAD_ALLOWED = 0.02
"""Share of the time of others that a waiting candidate may compute, as a spinning thread would."""

PROCESSOR_SHARE_EXPECTED = 0.9
"""A candidate that computes all the time has all of a core's time, unless the machine is busy."""


@dataclass
class Candidate:
    """One row of the table: what it is, the rates measured so far, and the process that measures them."""

    name: str
    specification: dict[str, Any]
    """What the process builds it from, as JSON values: its `kind` and `threads`; `cores` are those it may run on."""

    script: Path = field(default_factory=Path)
    """The file that defines this kind, see `rewirl.bench.serve`."""

    python: str = sys.executable
    """The Python that runs it."""

    facts: dict[str, Any] = field(default_factory=dict)
    rates: dict[str, list[float]] = field(default_factory=dict)
    processor_shares: list[float] = field(default_factory=list)
    idle_seconds: float = 0.0
    versions: dict[str, str] = field(default_factory=dict)
    process: subprocess.Popen[str] | None = None

    @property
    def threads(self) -> int:
        """How many threads it may use."""
        return int(self.specification["threads"])

    @property
    def sparsity(self) -> float | None:
        """Share of absent connections; None is dense."""
        sparsity: float | None = self.specification.get("sparsity")
        return sparsity

    @property
    def connections(self) -> int | None:
        """Connections of its networks, if it has networks."""
        connections: int | None = self.facts.get("connections")
        return connections

    def __str__(self) -> str:
        """Return name, sparsity and threads."""
        sparse = "" if self.sparsity is None else f" {self.sparsity:.0%} sparse,"
        return f"{self.name},{sparse} {self.threads} threads"

    def start(self) -> None:
        """Start the process and wait until it has warmed up.

        Raises:
            SystemExit: it ended before.
        """
        count = str(self.threads)
        limits = (*(f"{name}_NUM_THREADS" for name in ("OMP", "MKL", "OPENBLAS")), "VECLIB_MAXIMUM_THREADS")
        environment = os.environ | dict.fromkeys(limits, count)
        for name in blas.HELD_BACK:
            environment.pop(name, None)
        environment["CUDA_VISIBLE_DEVICES"] = ""  # peers would take a GPU if they saw one
        self.process = subprocess.Popen(
            [self.python, "-P", serve.__file__, str(self.script), json.dumps(self.specification)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment,
        )  # fmt: skip
        ready = self._answer()
        self.rates = {task: [] for task in ready["tasks"]}
        self.facts, self.versions = ready["facts"], ready["versions"]

    def time(self, task: str, seconds: float) -> None:
        """Let the process time one slice of a task and keep the rate."""
        self._ask("time", task, seconds)
        answer = self._answer()
        self.rates[task].append(answer["rate"])
        self.processor_shares.append(answer["processor_share"])
        self.idle_seconds += answer["idle_seconds"]

    def report(self, name: str, seconds: float) -> Any:
        """Return one of its reports, which takes about so many seconds."""
        self._ask("report", name, seconds)
        return self._answer()["report"]

    def stop(self) -> None:
        """End the process; idempotent."""
        if self.process is not None:
            self.process.kill()
            self.process.communicate()

    def _ask(self, verb: str, name: str, seconds: float) -> None:
        assert self.process is not None and self.process.stdin is not None
        self.process.stdin.write(f"{verb} {name} {seconds}\n")
        self.process.stdin.flush()

    def _answer(self) -> dict[str, Any]:
        assert self.process is not None and self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            raise SystemExit(f"{self} ended before it answered; its error is above")
        return dict(json.loads(line))


def measure(
    candidates: Sequence[Candidate],
    rounds: int,
    seconds: float,
    shares: Mapping[str, float] | None = None,
    report: str | None = None,
) -> list[Any]:
    """Start all candidates, then time them in rounds: one slice each, one at a time, another one first every round.

    Args:
        candidates: the candidates; their rates are filled.
        rounds: how many turns each gets.
        seconds: length of a slice.
        shares: tasks whose slice is this share of it.
        report: what to ask each of them at the end, for as long as a slice.

    Returns:
        The reports, in the order of the candidates; empty without `report`.
    """
    shares = shares or {}
    try:
        for number, candidate in enumerate(candidates, 1):
            say(f"warm-up {number}/{len(candidates)}: {candidate}")
            candidate.start()
        for number in range(rounds):
            say(f"round {number + 1}/{rounds}")
            first = number % len(candidates)
            for candidate in [*candidates[first:], *candidates[:first]]:
                for task in candidate.rates:
                    candidate.time(task, seconds * shares.get(task, 1.0))
        reports = [candidate.report(report, seconds) for candidate in candidates] if report else []
    finally:
        for candidate in candidates:
            candidate.stop()
    timed = rounds * seconds * sum(shares.get(task, 1.0) for candidate in candidates for task in candidate.rates)
    for doubt in doubts(candidates, timed):
        say(f"warning: {doubt}")
    return reports


def doubts(candidates: Sequence[Candidate], seconds: float) -> list[str]:
    """Return reasons to doubt the measured rates; `seconds` is how long all candidates together were timed."""
    reasons = [
        f"{candidate} computed for {candidate.idle_seconds:.1f} s while others were timed; all rates may be too low"
        for candidate in candidates
        if len(candidates) > 1 and candidate.idle_seconds > IDLE_LOAD_ALLOWED * seconds
    ]
    share = median(share for candidate in candidates for share in candidate.processor_shares)
    if share < PROCESSOR_SHARE_EXPECTED:
        reasons.append(
            f"the machine was busy with something else, candidates had {share:.0%} of a core; rates are too low and "
            "ratios doubtful"
        )
    return reasons


def merged_versions(candidates: Sequence[Candidate]) -> dict[str, str]:
    """Return the versions that candidates use; where they differ, all of them."""
    by_package: dict[str, list[str]] = {}
    for candidate in candidates:
        for name, number in candidate.versions.items():
            numbers = by_package.setdefault(name, [])
            if number not in numbers:
                numbers.append(number)
    return {name: " / ".join(numbers) for name, numbers in by_package.items()}


def ratio(one: Sequence[float], other: Sequence[float]) -> float:
    """Return the median over the rounds of how much higher one rate is than the other in the same round."""
    return median(a / b for a, b in zip(one, other, strict=True))


def spread(rates: Sequence[float]) -> float:
    """Return the interquartile range as a share of the median: how restless the machine was."""
    if len(rates) < 2:
        return 0.0
    lower, middle, upper = quantiles(rates, n=4, method="inclusive")
    return (upper - lower) / middle


def say(text: str) -> None:
    """Print progress or a warning where it does not disturb the result."""
    print(text, file=sys.stderr, flush=True)
