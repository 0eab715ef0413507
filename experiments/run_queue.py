"""Executes all runs of the queue in its order; the same command continues where it was cut.

python experiments/run_queue.py --hours 8      # at most so long, one thread a run, as many at once as there are cores
python experiments/run_queue.py --status       # what is left

Runs that are kept under results/ are copied into the directory first, and not made again. Ctrl-C and SIGTERM save all
runs.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from rewirl.experiments.sweep.error import SweepError
from rewirl.experiments.sweep.file import narrowed, read_sweep
from rewirl.experiments.sweep.plan import PlannedRun, check, plan, run_status
from rewirl.experiments.sweep.pool import ProcessPool
from rewirl.experiments.sweep.session import run_session
from rewirl.printing import counted

RESULTS = Path(__file__).parents[1] / "results"


@dataclass(frozen=True)
class Part:
    """Some runs of a sweep; nothing said of agents, environments or seeds is all of them."""

    sweep: str
    """Name of an experiment, or a TOML file."""
    directory: str
    """Where its runs are, below the directory of the queue as below results/."""
    agents: tuple[str, ...] = ()
    envs: tuple[str, ...] = ()
    seeds: tuple[int, ...] = ()


TD3 = ("td3", "ds-td3", "static-td3")
TASKS = ("HalfCheetah-v5", "Hopper-v5", "Walker2d-v5", "Ant-v5", "Humanoid-v5")

QUEUE = (
    *(Part("ds-drl/paper", "ds-drl", TD3, (task,), (0, 1, 2)) for task in TASKS),
    Part("ds-drl/why-ds-sac", "why-ds-sac"),
    *(Part("ds-drl/paper", "ds-drl", TD3, (task,), (3, 4)) for task in TASKS),
    Part("ds-drl/paper", "ds-drl", ("sac", "ds-sac")),
    Part("ds-drl/why-humanoid", "why-humanoid"),
    Part("ds-drl/figures", "figures"),
    Part("blocks/screening", "blocks"),
    Part("blocks/rewiring", "blocks"),
    Part("blocks/at-90", "blocks"),
    Part("blocks/normalised", "blocks"),
    Part("blocks/settings", "blocks"),
    Part("blocks/fast-settings", "blocks"),
    Part("blocks/batch-96", "blocks"),
    Part("blocks/width", "blocks"),
    Part("blocks/paper", "blocks"),
    Part("frontier/xqc-rewiring", "frontier"),
    Part("frontier/humanoid", "frontier"),
    Part("frontier/dense", "frontier", envs=("HalfCheetah-v5",)),  # of walker-run another MuJoCo, by hand
    Part("frontier/per-hour", "frontier"),
    Part("frontier/simba-width", "frontier"),
    Part("frontier/xqc-sparsity", "frontier"),
    Part("small/tasks", "small"),
    Part("on-policy/cartpole", "on-policy"),
    Part("on-policy/half-cheetah", "on-policy"),
    Part("on-policy/pqn-cartpole", "pqn"),
    Part("streams/mujoco", "streams"),
    Part("discrete/breakout", "minatar"),
    Part("discrete/breakout-size", "minatar"),
    Part("plasticity/slippery-ant", "plasticity"),
)


def planned(parts: Sequence[Part], directory: Path) -> dict[str, PlannedRun]:
    """Return all runs by name in the order of the queue; one that is in several parts is made once, for the first.

    Raises:
        SweepError: a part asks for what there is not.
    """
    runs: dict[str, PlannedRun] = {}
    identities: set[str] = set()
    for part in parts:
        sweep = narrowed(read_sweep(part.sweep), part.agents, part.envs, part.seeds)
        for name, run in plan(sweep.requests, directory / part.directory).items():
            if run.identity not in identities:
                identities.add(run.identity)
                runs[name] = run
    return runs


def take_over(runs: Mapping[str, PlannedRun], parts: Sequence[Part], kept: Path) -> None:
    """Copy runs that are kept into the directory of the queue, where they are not there yet."""
    sources = {run.identity: run.path for run in planned(parts, kept).values()}
    for run in runs.values():
        source = sources[run.identity]
        if source.is_dir() and not run.path.exists():
            half = run.path.with_name(f".{run.path.name}.copying")
            shutil.rmtree(half, ignore_errors=True)
            shutil.copytree(source, half)
            half.rename(run.path)


def status(runs: Mapping[str, PlannedRun]) -> None:
    """Print the runs that are left."""
    left = [(run, where) for run in runs.values() if (where := run_status(run)).state != "finished"]
    for run, where in left:
        print(
            f"{run.path.parent.name}/{run.name}: {where.state}, step {where.step:,} of {run.config.total_timesteps:,}"
        )
    print(f"{counted(len(runs), 'run')}, {len(runs) - len(left)} finished, {len(left)} left")


def main(arguments: Sequence[str] | None = None, parts: Sequence[Part] = QUEUE, kept: Path = RESULTS) -> int:
    """Work through the queue; return the exit code."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else (os.cpu_count() or 1)
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--directory", type=Path, default=Path.home() / "rewirl-runs", help="default: %(default)s")
    parser.add_argument("--hours", type=float, help="save all runs after so long, and start new ones only if they fit")
    parser.add_argument("--workers", type=int, default=cores, help="runs side by side; default: one per core")
    parser.add_argument("--status", action="store_true", help="list what is left, and stop there")
    options = parser.parse_args(arguments)
    if options.workers < 1 or (options.hours is not None and not options.hours > 0):
        parser.error("--workers must be at least 1 and --hours positive")
    try:
        runs = planned(parts, options.directory)
        take_over(runs, parts, kept)
        if options.status:
            status(runs)
            return 0
        check(runs.values())
    except SweepError as error:
        parser.error(str(error))
    return run_session(runs, ProcessPool(options.workers), options.hours)


if __name__ == "__main__":
    sys.exit(main())
