"""Makes the policies that come with Rewirl, and their cards, from the kept ones.

python experiments/bundle_policies.py        # from results/ into src/rewirl/pretrained/

Of each task the best sparse agent comes first, by the final return of the seed that is kept. Further ones follow as
long as all archives together take at most 2 MB. Each plays 100 episodes that are new to it; what is there already and
has not changed is not played again.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import json
import math
import re
import subprocess
import sys
import zipfile
from collections.abc import Sequence
from itertools import zip_longest
from pathlib import Path
from typing import Any

import rewirl
from rewirl.storage import pretrained
from rewirl.storage.policy_file import POLICY_FILES

RESULTS = Path(__file__).parents[1] / "results"
LARGEST = 2_000_000
"""Bytes of all archives together."""

EPISODES, SEED = 100, 1_000_000
"""Of the return on a card; no run has this seed, so no policy has seen its episodes."""

Candidate = tuple[str, dict[str, Any], Path]
"""The name of a policy, its entry in policies.json, and its directory."""


def candidates(results: Path) -> list[Candidate]:
    """Return the kept policies of sparse agents: the best one of every task, then every second best, and so on."""
    by_task: dict[str, list[Candidate]] = {}
    for file in sorted(results.glob("*/policies.json")):
        for run, entry in json.loads(file.read_text(encoding="utf-8")).items():
            directory = file.parent / run / "policy"
            if entry["sha256"] is None or sparsity(rewirl.load(directory)) == 0:
                continue
            name = f"{entry['env']}/{re.sub(r'[^A-Za-z0-9.]+', '-', entry['group'])}"
            by_task.setdefault(entry["env"], []).append((name, entry, directory))
    for task in by_task.values():
        task.sort(key=lambda candidate: -candidate[1]["final_return"])
    return [each for rank in zip_longest(*by_task.values()) for each in rank if each is not None]


def sparsity(policy: rewirl.Policy) -> float:
    """Return the share of the weights that do not exist."""
    layers = policy.topology["actor"]
    return 1 - sum(layer.connections for layer in layers) / sum(math.prod(layer.shape) for layer in layers)


def archived(directory: Path) -> bytes:
    """Return a policy as an archive whose bytes depend on its files alone."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as files:
        for name in sorted(POLICY_FILES):
            files.writestr(zipfile.ZipInfo(name), (directory / name).read_bytes(), zipfile.ZIP_DEFLATED, 9)
    return buffer.getvalue()


def card(candidate: Candidate, content: bytes) -> dict[str, Any]:
    """Return what is said about a policy, after its episodes have been played."""
    _, entry, directory = candidate
    policy = rewirl.load(directory)
    layers = policy.topology["actor"]
    command = [sys.executable, "-m", "rewirl", "evaluate", str(directory)]
    played = subprocess.run(
        [*command, "--episodes", str(EPISODES), "--seed", str(SEED), "--json"], check=True, capture_output=True
    )
    evaluation = json.loads(played.stdout)
    return {
        "sha256": hashlib.sha256(content).hexdigest(),
        "bytes": len(content),
        "return_mean": round(evaluation["return_mean"], 1),
        "return_std": round(evaluation["return_std"], 1),
        "episodes": EPISODES,
        "evaluation_seed": SEED,
        "sizes": [layers[0].shape[1], *(layer.shape[0] for layer in layers)],
        "connections": sum(layer.connections for layer in layers),
        "sparsity": round(sparsity(policy), 3),
        "agent": policy.about["agent"],
        "environment": entry["env"],
        "steps": policy.about["step"],
        "seed": entry["seed"],
        "made": f"results/{directory.parents[1].name}, run {directory.parent.name}: of seeds "
        f"{', '.join(map(str, entry['seeds']))} the one with the median final return, or the next to it whose policy "
        "is kept",
        "versions": json.loads((directory.parent / "config.json").read_text(encoding="utf-8"))["versions"],
    }


def main(arguments: Sequence[str] | None = None, results: Path = RESULTS, target: Path = pretrained.DIRECTORY) -> int:
    """Make the bundle; return the exit code."""
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args(
        arguments
    )
    file = target / pretrained.CARDS
    before = json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}
    cards: dict[str, Any] = {}
    for candidate in candidates(results):
        name, _, directory = candidate
        if name in cards:
            continue  # of another experiment, and worse
        content = archived(directory)
        if sum(each["bytes"] for each in cards.values()) + len(content) > LARGEST:
            print(f"{name}: {len(content):,} bytes are too many")
            continue
        known = before.get(name, {})
        same = known.get("sha256") == hashlib.sha256(content).hexdigest()
        cards[name] = known if same else card(candidate, content)
        target.mkdir(parents=True, exist_ok=True)
        (target / pretrained.archive(name).name).write_bytes(content)
        print(f"{name}: {cards[name]['return_mean']:,.0f}, {len(content):,} bytes")
    for stale in {path.name for path in target.glob("*.zip")} - {pretrained.archive(name).name for name in cards}:
        (target / stale).unlink()
    file.write_text(json.dumps(dict(sorted(cards.items())), indent=1) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
