"""Which versions of the large dependencies Rewirl is tested with, and the one warning about newer ones."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator

TESTED = {"gymnasium": "1.4", "mujoco": "4.0", "numpy": "2.5", "scipy": "1.18", "tyro": "1.0"}
"""The newest version of each, without its patch: a newer patch is as good."""

SILENT = "REWIRL_UNTESTED"
"""An environment variable; set to `quiet` there is no warning."""

_warned = False


class UntestedVersionWarning(UserWarning):
    """A dependency is newer than what Rewirl was tested with."""


def untested() -> str:
    """Return a line that names what is installed and newer than what was tested; empty if nothing is.

    It is returned once in a process, and not where `REWIRL_UNTESTED` is `quiet`.
    """
    global _warned
    if _warned or os.environ.get(SILENT) == "quiet":
        return ""
    _warned = True
    newer = list(_newer())
    if not newer:
        return ""
    return (
        f"newer than what this version of Rewirl was tested with: {', '.join(newer)}. If something breaks, install the "
        f"tested version; {SILENT}=quiet silences this line"
    )


def _newer() -> Iterator[str]:
    import importlib.metadata  # it takes a while, in which Ctrl-C would be a traceback

    for package, tested in TESTED.items():
        try:
            installed = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
        if _minor(installed) > _minor(tested):
            yield f"{package} {installed} (tested: {tested})"


def _minor(version: str) -> tuple[int, int]:
    found = re.match(r"(\d{1,9})\.(\d{1,9})", version)
    return (int(found[1]), int(found[2])) if found else (0, 0)
