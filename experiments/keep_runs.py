"""Keeps what the queue has finished: the records of all runs, and the policy of the median seed of each agent and task.

python experiments/keep_runs.py              # from ~/rewirl-runs into results/
python experiments/write_results.py          # then: the indices and reports of what is kept

Nothing in the queue's directory is changed. A policy is checked before it is kept. policies.json of an experiment lists
those of the median seeds with the SHA-256 of their weights, and what has none yet.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

import rewirl
from rewirl.experiments.report.run_data import RunData, find_runs
from rewirl.experiments.report.run_groups import RunGroup, group_runs
from rewirl.printing import say
from rewirl.storage.metrics_log import last_event
from rewirl.storage.policy_file import PolicyError

RESULTS = Path(__file__).parents[1] / "results"
LARGEST = 1_000_000
"""Bytes of a policy that is kept."""
LIST = "policies.json"


def keep_records(source: Path, directory: Path) -> list[str]:
    """Copy the record of each finished run that is not kept yet.

    Args:
        source: an experiment in the queue's directory.
        directory: the same one below results/.

    Returns:
        The names of the runs that are new.
    """
    new = []
    for path in sorted(source.iterdir()):
        log = path / "metrics.jsonl"
        if last_event(log).get("event") == "end" and (path / "config.json").is_file():
            kept = directory / path.name
            if not (kept / "config.json").exists():
                kept.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(log, kept / "metrics.jsonl")
                shutil.copyfile(path / "config.json", kept / "config.json")
                new.append(path.name)
    return new


def median_run(group: RunGroup) -> RunData:
    """Return the run with the median final return; of an even number the lower one of the middle two."""
    full = group.full()
    return full[int(np.argsort(group.finals(), kind="stable")[(len(full) - 1) // 2])]


def keep_policies(source: Path, directory: Path) -> dict[str, Any]:
    """Copy the policy of the median seed of each group of kept runs, where there is one and it is sound.

    Args:
        source: an experiment in the queue's directory.
        directory: the same one below results/.

    Returns:
        By run the entry of the list: agent, environment, seed, final return and what its policy is.
    """
    groups, _ = group_runs(find_runs([directory])[0])
    entries = {}
    for group in groups:
        run = median_run(group)
        policy = run.path / "policy"
        if not policy.is_dir():
            _keep_policy(source / run.path.name / "policy", policy)
        manifest = policy / "manifest.json"
        sha256 = None
        if manifest.is_file():
            sha256 = json.loads(manifest.read_text(encoding="utf-8"))["files"]["policy.safetensors"]["sha256"]
        entries[run.path.name] = {
            "group": group.label,
            "env": group.env,
            "seed": run.seed,
            "seeds": group.seeds,
            "final_return": round(float(group.finals()[group.full().index(run)]), 1),
            "sha256": sha256,
        }
    return dict(sorted(entries.items()))


def _keep_policy(source: Path, kept: Path) -> None:
    """Copy a policy that is whole, sound and small enough; say why not."""
    if not source.is_dir():
        return
    size = sum(path.stat().st_size for path in source.iterdir())
    if size > LARGEST:
        say(f"{source} has {size:,} bytes, more than the {LARGEST:,} that are kept")
        return
    try:
        rewirl.load(source)
    except PolicyError as error:
        say(f"{source} is not kept: {error}")
        return
    half = kept.with_name(".policy.copying")
    shutil.rmtree(half, ignore_errors=True)
    shutil.copytree(source, half)
    half.rename(kept)


def main(arguments: Sequence[str] | None = None, results: Path = RESULTS) -> int:
    """Keep what is finished; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--directory", type=Path, default=Path.home() / "rewirl-runs", help="default: %(default)s")
    options = parser.parse_args(arguments)
    if not options.directory.is_dir():
        parser.error(f"no directory {options.directory}")
    for source in sorted(path for path in options.directory.iterdir() if path.is_dir()):
        directory = results / source.name
        new = keep_records(source, directory)
        if not directory.is_dir():
            continue
        entries = keep_policies(source, directory)
        lines = [f" {json.dumps(name)}: {json.dumps(entry)}" for name, entry in entries.items()]
        (directory / LIST).write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")
        policies = sum(entry["sha256"] is not None for entry in entries.values())
        print(f"{source.name}: {len(new)} new runs; {policies} of {len(entries)} groups have a policy")
    return 0


if __name__ == "__main__":
    sys.exit(main())
