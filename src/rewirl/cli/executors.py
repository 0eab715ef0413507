"""Options of the commands that make many runs side by side: where they are made, and for how long."""

from __future__ import annotations

from typing import Any

from rewirl.cli.errors import UsageError, require_at_least_one, usage_errors
from rewirl.cli.fields import Field
from rewirl.experiments.sweep.executor import Executor
from rewirl.experiments.sweep.pool import ProcessPool
from rewirl.processes import cores

WORKERS: Field = (
    int | None,
    None,
    "Runs side by side. None is one per core, or as many as the Ray cluster has CPUs.",
)
RAY: Field = (
    str | None,
    None,
    "Address of a Ray cluster to make the runs on: host:port, auto, or local for a new one on this machine. "
    "Its nodes must share --directory. None is this machine alone, without Ray.",
)


def refuse_impossible(options: Any) -> None:
    """Refuse a number of workers or hours that cannot be.

    Raises:
        UsageError: names the option.
    """
    if options.workers is not None:
        require_at_least_one("--workers", options.workers)
    if options.hours is not None and not 0 < options.hours < float("inf"):
        raise UsageError(f"--hours must be positive, got {options.hours}")


def executor(options: Any) -> Executor:
    """Return what executes the runs: processes here, or a Ray cluster.

    Raises:
        UsageError: Ray is not installed, or there is no such cluster.
    """
    if options.ray is None:
        return ProcessPool(options.workers or cores())
    from rewirl.experiments.sweep.cluster import Cluster

    with usage_errors():
        return Cluster(options.ray, options.workers)


def in_words(seconds: float) -> str:
    """Return a time as hours, minutes or seconds."""
    if seconds < 60:
        whole = max(round(seconds), 1)
        return f"{whole} second{'s' if whole > 1 else ''}"
    return f"{seconds / 3600:.1f} hours" if seconds >= 3600 else f"{seconds / 60:.1f} minutes"
