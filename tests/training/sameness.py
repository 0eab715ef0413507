"""Whether two runs are one and the same."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from rewirl.storage.checkpoint import load_latest
from rewirl.storage.metrics_log import read_metrics


def metrics(path: Path) -> list[dict[str, Any]]:
    return [
        {key: value for key, value in line.items() if key not in ("seconds", "core_share", "sha256")}
        for line in read_metrics(path / "metrics.jsonl")
    ]


def same_to_the_bit(one: Path, other: Path) -> None:
    first, second = (load_latest(path / "checkpoints", pytest.fail) for path in (one, other))
    assert first is not None and second is not None
    assert first.step == second.step
    assert first.arrays.keys() == second.arrays.keys()
    for name, array in first.arrays.items():
        assert array.dtype == second.arrays[name].dtype and array.tobytes() == second.arrays[name].tobytes(), name
    # How much of the log was on the disk when it was saved, and what its settings are, is no part of where a run is.
    aside = {"seconds": None, "metrics_offset": None, "metrics_sha256": None, "metrics_unwritten": None, "config": None}
    found, expected = {**first.values, **aside}, {**second.values, **aside}
    others = sorted(name for name in {*found, *expected} if found.get(name) != expected.get(name))
    assert found == expected, f"{', '.join(f'{name}: {found.get(name)}, not {expected.get(name)}' for name in others)}"
    assert (one / "policy" / "policy.safetensors").read_bytes() == (
        other / "policy" / "policy.safetensors"
    ).read_bytes()
