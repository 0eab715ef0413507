"""What numbers of a run depend on besides its settings: versions, revision, processor.

A run may have begun with one and gone on with another; its record has the first, its log the others.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from rewirl.experiments.report.run_data import RunData


def made_by(run: RunData) -> tuple[str, str, str, str]:
    """Return what a run was computed by, in words: Rewirl, its revision, the instruction set, Gymnasium."""
    return (
        _each(run, lambda maker: f"rewirl {_version(maker, 'rewirl')}"),
        _each(run, lambda maker: f"revision {_revision(maker)}"),
        _each(run, lambda maker: str(_machine(maker).get("instruction_set", "unknown instruction set"))),
        _each(run, lambda maker: f"Gymnasium {_version(maker, 'gymnasium')}"),
    )


def described(run: RunData) -> tuple[str, str, str]:
    """Return all versions, the revision and the machine of a run, in words."""
    return _each(run, _versions_in_words), revision_of(run), _each(run, _machine_in_words)


def revision_of(run: RunData) -> str:
    """Return the start of the revision that made a run, and whether that was changed."""
    return _each(run, _revision)


def mujoco_versions(run: RunData) -> str:
    """Return the version of MuJoCo that a run was made with; of one that changed it, each."""
    return _each(run, lambda maker: _version(maker, "mujoco"))


def _each(run: RunData, words: Callable[[dict[str, Any]], str]) -> str:
    return " then ".join(dict.fromkeys(words(maker) for maker in run.makers))


def _versions(maker: dict[str, Any]) -> dict[str, Any]:
    return maker.get("versions") or {}


def _versions_in_words(maker: dict[str, Any]) -> str:
    return ", ".join(f"{name} {version}" for name, version in _versions(maker).items() if version)


def _version(maker: dict[str, Any], package: str) -> str:
    return str(_versions(maker).get(package) or "of unknown version")


def _machine(maker: dict[str, Any]) -> dict[str, Any]:
    return maker.get("machine") or {}


def _revision(maker: dict[str, Any]) -> str:
    revision = str(maker.get("git_revision") or "not recorded")
    return revision[:12] + ("-dirty" if revision[12:].endswith("-dirty") else "")


def _machine_in_words(maker: dict[str, Any]) -> str:
    machine = _machine(maker)
    return (
        f"{machine.get('cpu', 'unknown')}, {machine.get('cores', '?')} cores, {machine.get('instruction_set', '?')}; "
        f"{machine.get('platform', '')}"
    )
