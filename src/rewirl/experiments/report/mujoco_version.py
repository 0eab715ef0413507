"""Which MuJoCo computed the environment of a run: another version is another environment."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

import gymnasium

from rewirl.experiments.report.made_with import mujoco_versions
from rewirl.experiments.report.run_data import RunData

Item = TypeVar("Item")


def mujoco_of(run: RunData) -> str:
    """Return the version of MuJoCo that computed the environment of a run, or "" where none did; of several, each.

    Only of Gymnasium's other environments and of MinAtar it is known that none did.
    """
    spec = gymnasium.registry.get(run.env.rpartition(":")[2])
    entry = "" if spec is None else str(spec.entry_point)
    others = entry.startswith("gymnasium.envs.") and not entry.startswith("gymnasium.envs.mujoco")
    if others or run.env.startswith("MinAtar/"):
        return ""
    return mujoco_versions(run)


def environment_names(runs: Sequence[RunData]) -> list[str]:
    """Return what the environment of each run is called: with MuJoCo's version or the module where there are several.

    Runs are only pooled and compared in environments of one name. Two modules may register one name differently; a run
    without a module is of a program that imported any.
    """
    versions: dict[str, set[str]] = {}
    modules: dict[str, set[str]] = {}
    for run in runs:
        versions.setdefault(run.env, set()).add(mujoco_of(run))
        modules.setdefault(run.env, set()).add(_module_of(run))

    def name(run: RunData) -> str:
        version = f" (MuJoCo {mujoco_of(run)})" if len(versions[run.env]) > 1 else ""
        several = len(modules[run.env] - {""}) > 1
        return run.env + version + (f" (module {_module_of(run) or 'unknown'})" if several else "")

    return [name(run) for run in runs]


def _module_of(run: RunData) -> str:
    return str(run.train.get("env_module") or "")


def by_version(items: Sequence[Item], of: Callable[[Item], str]) -> dict[str, list[Item]]:
    """Return what may be pooled over environments, by the words for it.

    Args:
        items: any.
        of: returns the version of MuJoCo of one, "" for none.

    Returns:
        All of them under "", unless there are several versions; then those of each under its name.
    """
    versions = list(dict.fromkeys(of(item) for item in items))
    if len([version for version in versions if version]) < 2:
        return {"": list(items)}
    return {
        f"MuJoCo {version}" if version else "without MuJoCo": [item for item in items if of(item) == version]
        for version in versions
    }
