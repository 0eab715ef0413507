"""What a path is that holds no run, for whoever took it for one."""

from __future__ import annotations

from pathlib import Path

from rewirl.printing import typed
from rewirl.storage.files import exists
from rewirl.storage.policy_file import DOCUMENT as POLICY


def why_no_run(path: Path, config: str) -> str:
    """Return why a path holds no run, and where one is: in it, or above it.

    Args:
        path: absolute, without the record of a run.
        config: file name of that record.
    """
    if not exists(path):
        return "there is no such directory"
    above = next((f"; {each} is one" for each in path.parents if _is_run(each, config)), "")
    if not path.is_dir():
        return f"it is a file; a run is a directory{above}"
    if exists(path / POLICY):
        use = "rewirl evaluate, watch and export take" if typed() else "rewirl.load reads"
        return f"it is a saved policy, which {use}; to train on takes the directory of a run"
    inside = sorted(each.parent for each in path.glob(f"*/{config}") if _is_run(each.parent, config))
    return f"it has no {config}{f'; runs are in it, such as {inside[0].name}' if inside else above}"


def _is_run(path: Path, config: str) -> bool:
    """Tell whether a directory looks like a run: other programs have a file of that name too."""
    return exists(path / config) and exists(path / "metrics.jsonl")
