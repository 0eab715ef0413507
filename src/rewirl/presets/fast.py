"""The settings of Sokar et al. 2022 with normalised observations on a topology that computes faster, in blocks."""

from __future__ import annotations

from typing import Any

from rewirl.presets.preset import Preset
from rewirl.presets.sokar import TASKS

_OPTIONS: dict[str, Any] = {"sparsity": 0.8, "structure": "4x1", "normalise_observations": True}

PRESETS = {f"fast/{agent}/{env}": Preset(f"ds-{agent}", env, _OPTIONS) for agent in ("td3", "sac") for env in TASKS}
