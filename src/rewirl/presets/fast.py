"""The settings of Sokar et al. 2022 with a topology that computes faster: sparser, and in blocks."""

from __future__ import annotations

from typing import Any

from rewirl.presets.preset import Preset
from rewirl.presets.sokar import TASKS

_TOPOLOGY: dict[str, Any] = {"sparsity": 0.8, "structure": "8x1"}

PRESETS = {f"fast/{agent}/{env}": Preset(f"ds-{agent}", env, _TOPOLOGY) for agent in ("td3", "sac") for env in TASKS}
