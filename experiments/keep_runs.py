"""Keeps what the queue has finished: the records of all runs, and for each agent and task a policy.

It is that of the seed with the median final return, or of the next to it that has one.

python experiments/keep_runs.py              # from ~/rewirl-runs into results/
python experiments/write_results.py          # then: the indices and reports of what is kept

Nothing in the queue's directory is changed. A policy is checked before it is kept. policies.json of an experiment lists
what is kept with the SHA-256 of its weights, and what has none yet.
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
from rewirl.storage.run_directory import hash_of

RESULTS = Path(__file__).parents[1] / "results"
LARGEST = 1_000_000
"""Bytes of a policy that is kept."""
LIST = "policies.json"


def keep_records(source: Path, directory: Path) -> list[str]:
    """Copy the record of each finished run that is not kept yet, or is kept as it was before it went on.

    Args:
        source: an experiment in the queue's directory.
        directory: the same one below results/.

    Returns:
        The names of the runs that are new, or longer.
    """
    new = []
    for path in sorted(source.iterdir()):
        log = path / "metrics.jsonl"
        if last_event(log).get("event") == "end" and (path / "config.json").is_file():
            kept = directory / path.name
            if not (kept / "config.json").exists() or end_of(path) > end_of(kept):
                kept.mkdir(parents=True, exist_ok=True)
                if (kept / "policy").is_dir():
                    shutil.rmtree(kept / "policy")  # it was of fewer steps
                shutil.copyfile(log, kept / "metrics.jsonl")
                (kept / "config.json").write_text(record_to_keep(path, directory.name), encoding="utf-8")
                new.append(path.name)
    return new


def record_to_keep(run: Path, experiment: str) -> str:
    """Return the record of a run; a policy of the same experiment, which it was warmed up by, is named by where it is
    kept, below results/, rather than by its place on that machine."""
    text = (run / "config.json").read_text(encoding="utf-8")
    record = json.loads(text)
    policy = record["config"]["train"].get("warm_up_policy")
    if policy is None or Path(policy).parent.name != run.absolute().parent.name:
        return text
    record["config"]["train"]["warm_up_policy"] = f"{RESULTS.name}/{experiment}/{Path(policy).name}"
    record["config_hash"] = hash_of(record["config"])
    return json.dumps(record, indent=1) + "\n"


def end_of(run: Path) -> int:
    """Return the step at which a run's record ends, 0 if it does not."""
    end = last_event(run / "metrics.jsonl")
    return int(end["step"]) if end.get("event") == "end" else 0


def from_the_median(group: RunGroup) -> list[RunData]:
    """Return a group's full runs, that of the median final return first, then what is next to it in rank, lower first.

    Of an even number the median is the lower one of the middle two.
    """
    full = group.full()
    order = np.argsort(group.finals(), kind="stable")
    median = (len(full) - 1) // 2
    return [full[order[rank]] for rank in sorted(range(len(full)), key=lambda rank: (abs(rank - median), rank))]


def keep_policies(source: Path, directory: Path) -> dict[str, Any]:
    """Copy the policy of the median seed of each group of kept runs, or of the seed next to it that has a sound one.

    Args:
        source: an experiment in the queue's directory.
        directory: the same one below results/.

    Returns:
        By run the entry of the list: agent, environment, seed, final return and what its policy is.
    """
    groups, _ = group_runs(find_runs([directory])[0])
    entries = {}
    for group in groups:
        runs = from_the_median(group)
        run = runs[0]
        for other in runs:
            if _keep_policy(source / other.path.name / "policy", other.path / "policy"):
                run = other
                break
        manifest = run.path / "policy" / "manifest.json"
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


def _keep_policy(source: Path, kept: Path) -> bool:
    """Copy a policy that is whole, sound and small enough, or say why not; return whether it is there."""
    if kept.is_dir() or not source.is_dir():
        return kept.is_dir()
    size = sum(path.stat().st_size for path in source.iterdir())
    if size > LARGEST:
        say(f"{source} has {size:,} bytes, more than the {LARGEST:,} that are kept")
        return False
    try:
        rewirl.load(source)
        step = json.loads((source / "policy.json").read_text(encoding="utf-8")).get("step")
    except PolicyError as error:
        say(f"{source} is not kept: {error}")
        return False
    if step is not None and step != end_of(kept.parent):
        say(f"{source} is not kept: it is of step {step:,}, its record of {end_of(kept.parent):,}")
        return False
    half = kept.with_name(".policy.copying")
    shutil.rmtree(half, ignore_errors=True)
    shutil.copytree(source, half)
    half.rename(kept)
    return True


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
