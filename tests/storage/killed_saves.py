"""Run by tests in a process of its own, which forks and kills: `killed_saves.py <scenario> <directory>`."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import numpy as np
from faults import kill_everywhere

from rewirl.storage.checkpoint import save_checkpoint
from rewirl.storage.policy_file import save_policy

ARRAYS = {"agent/w": np.arange(6, dtype=np.float32), "replay/rewards": np.arange(4.0)}


def save(root: Path, step: int, content: str) -> None:
    save_checkpoint(root, step, ARRAYS, {"content": content}, keep=1)


SCENARIOS = {
    "rotate": (lambda root: save(root, 1, "old"), lambda root: save(root, 2, "new")),
    "replace": (lambda root: save(root, 1, "old"), lambda root: save(root, 1, "new")),
    "policy": (
        lambda root: save_policy(root / "policy", ARRAYS, {"content": "old"}),
        lambda root: save_policy(root / "policy", ARRAYS, {"content": "new"}),
    ),
}

if __name__ == "__main__":
    os.fsync = lambda descriptor: None  # still a place to be killed at, but nobody waits for the disk
    kill_everywhere(Path(sys.argv[2]), *SCENARIOS[sys.argv[1]])
