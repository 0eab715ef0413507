"""Makes the policies that come with Rewirl, and their cards, from the kept ones.

python experiments/bundle_policies.py        # from results/ into src/rewirl/pretrained/

BUNDLED says which; a card says where its run stands among the kept seeds. Each policy plays 100 episodes that are new
to it; one that is there already is not played again.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import json
import math
import subprocess
import sys
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import rewirl
from rewirl.experiments.report.run_data import find_runs
from rewirl.experiments.report.run_groups import group_runs
from rewirl.storage import pretrained
from rewirl.storage.policy_file import POLICY_FILES

RESULTS = Path(__file__).parents[1] / "results"
LARGEST = 2_000_000
"""Bytes of all archives together."""

EPISODES, SEED = 100, 1_000_000
"""Of the return on a card; no run has this seed, so no policy has seen its episodes."""

BUNDLED = {
    "BipedalWalker-v3/small": "small/BipedalWalker-v3-small-21670c79-0",
    "CartPole-v1/rigl": "cartpole/CartPole-v1-rigl-b096822b-2",
    "CartPole-v1/set": "cartpole/CartPole-v1-set-5bd986af-1",
    "HalfCheetah-v5/ds-td3": "ds-drl/HalfCheetah-v5-ds-td3-3",
    "Hopper-v5/static-td3": "ds-drl/Hopper-v5-static-td3-0",
    "LunarLanderContinuous-v3/small": "small/LunarLanderContinuous-v3-small-5f915d03-0",
    "MountainCarContinuous-v0/small": "small/MountainCarContinuous-v0-small-03ebe7ed-2",
    "Pendulum-v1/small": "small/Pendulum-v1-small-c15c05fe-0",
    "Pusher-v5/small": "small/Pusher-v5-small-cb409556-1",
    "Swimmer-v5/small": "small/Swimmer-v5-small-bcfc6810-0",
    "Walker2d-v5/ds-td3": "ds-drl/Walker2d-v5-ds-td3-1",
    "Walker2d-v5/static-td3": "ds-drl/Walker2d-v5-static-td3-0",
}
"""The run of each policy, below results/."""


def standing(run: Path) -> str:
    """Return in words how a run ends among all kept runs of its agent and task."""
    groups, _ = group_runs(find_runs([run.parent])[0])
    group = next(group for group in groups if any(each.path == run for each in group.runs))
    finals = dict(zip((each.path for each in group.full()), group.finals(), strict=True))
    among = f"; its {len(finals)} kept seeds end between {min(finals.values()):,.0f} and {max(finals.values()):,.0f}"
    return f"ends at a final return of {finals[run]:,.0f}{among if len(finals) > 1 else ''}"


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


def card(run: Path, content: bytes) -> dict[str, Any]:
    """Return what is said about a policy, after its episodes have been played.

    Args:
        run: its directory.
        content: the archive.
    """
    policy = rewirl.load(run / "policy")
    layers = policy.topology["actor"]
    command = [sys.executable, "-m", "rewirl", "evaluate", str(run / "policy")]
    played = subprocess.run(
        [*command, "--episodes", str(EPISODES), "--seed", str(SEED), "--json"], check=True, capture_output=True
    )
    evaluation = json.loads(played.stdout)
    record = json.loads((run / "config.json").read_text(encoding="utf-8"))
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
        "environment": record["config"]["train"]["env"],
        "steps": policy.about["step"],
        "seed": record["config"]["train"]["seed"],
        "made": "",
        "versions": record["versions"],
    }


def main(
    arguments: Sequence[str] | None = None,
    results: Path = RESULTS,
    target: Path = pretrained.DIRECTORY,
    bundled: Mapping[str, str] = BUNDLED,
) -> int:
    """Make the bundle; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.parse_args(arguments)
    contents = {name: archived(results / run / "policy") for name, run in bundled.items()}
    total = sum(map(len, contents.values()))
    if total > LARGEST:
        parser.error(f"all archives together take {total:,} bytes, more than {LARGEST:,}; leave some out")
    file = target / pretrained.CARDS
    before = json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}
    cards: dict[str, Any] = {}
    target.mkdir(parents=True, exist_ok=True)
    for name, content in contents.items():
        run = results / bundled[name]
        known = before.get(name, {})
        same = known.get("sha256") == hashlib.sha256(content).hexdigest()
        cards[name] = {**(known if same else card(run, content)), "made": f"results/{bundled[name]} {standing(run)}"}
        (target / pretrained.archive(name).name).write_bytes(content)
        print(f"{name}: {cards[name]['return_mean']:,.0f}, {len(content):,} bytes")
    for stale in {path.name for path in target.glob("*.zip")} - {pretrained.archive(name).name for name in cards}:
        (target / stale).unlink()
    file.write_text(json.dumps(dict(sorted(cards.items())), indent=1) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
