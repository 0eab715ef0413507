"""Deep RL agents with sparse networks that rewire themselves while they train, and are faster for it."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from rewirl import learners

if TYPE_CHECKING:
    from rewirl.api import (
        Callback,
        CheckpointError,
        DivergedError,
        Evaluation,
        FaultyEnvironmentError,
        LayerTopology,
        Moment,
        ObservationError,
        Policy,
        PolicyError,
        RunDirectoryError,
        RunInUseError,
        Transitions,
        UnsuitableEnvironmentError,
        WandbCallback,
        from_preset,
        load,
        resume,
        tune,
    )
    from rewirl.learners import *  # noqa: F403

__version__ = "0.2.0"

__all__ = [
    "Callback",
    "CheckpointError",
    "DivergedError",
    "Evaluation",
    "FaultyEnvironmentError",
    "LayerTopology",
    "Moment",
    "ObservationError",
    "Policy",
    "PolicyError",
    "RunDirectoryError",
    "RunInUseError",
    "Transitions",
    "UnsuitableEnvironmentError",
    "WandbCallback",
    "from_preset",
    "load",
    "resume",
    "tune",
]
_API = frozenset(__all__)
__all__ += learners.__all__


def __getattr__(name: str) -> Any:
    """Import the agents when they are first asked for, so that `import rewirl` costs next to nothing."""
    if name in _API:
        return getattr(importlib.import_module("rewirl.api"), name)
    if name in learners.__all__:
        return getattr(learners, name)
    from rewirl.options import sb3

    hint = sb3.hint(name, sb3.NAMES)
    problem = f"module 'rewirl' has no attribute {name!r}"
    raise AttributeError(f"{problem}; {hint}" if hint else problem)


def __dir__() -> list[str]:
    """Return what is public."""
    return [*__all__, "__version__"]
