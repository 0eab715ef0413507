"""What made a run: versions of packages, the revision of the source, the processor."""

from __future__ import annotations

import contextlib
import functools
import importlib.metadata
import os
import platform
import subprocess
from pathlib import Path
from typing import Any

from rewirl._revision import REVISION

_PACKAGES = ("rewirl", "numpy", "gymnasium", "mujoco", "dm_control")


def versions() -> dict[str, str | None]:
    """Return the versions of Python and of the packages that matter; None for one that is not installed."""
    return {"python": platform.python_version(), **{name: _version(name) for name in _PACKAGES}}


def made_with(instruction_set: str, kernels: int | None) -> dict[str, Any]:
    """Return what a run is made with, for its record.

    Args:
        instruction_set: what the core runs on, such as "avx512".
        kernels: generation of its kernels.

    Returns:
        JSON values: `versions`, `git_revision`, and `machine` with platform, cpu, cores and what was given.
    """
    return {
        "versions": versions(),
        "git_revision": git_revision(),
        "machine": {
            "platform": platform.platform(),
            "cpu": processor(),
            "cores": os.cpu_count(),
            "instruction_set": instruction_set,
            "kernels": kernels,
        },
    }


@functools.cache  # what is loaded stays, whatever is installed meanwhile
def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


@functools.cache
def git_revision() -> str | None:
    """Return the revision of Rewirl's own source, marked "-dirty" if it has changes, or None if nobody knows.

    Source that is run where it lies is asked once in a process; an installed package says what it was built from.
    """
    here = Path(__file__).resolve()
    try:
        # Installed inside somebody else's repository, the package is not one of its files.
        _git(here.parent, "ls-files", "--error-unmatch", here.name)
        return _git(here.parent, "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*")
    except (OSError, subprocess.SubprocessError):
        return REVISION


def _git(directory: Path, *arguments: str) -> str:
    command = ["git", "-C", str(directory), *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True, timeout=10).stdout.strip()


def processor() -> str:
    """Return the name of this machine's processor, as runs record it."""
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text(errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
