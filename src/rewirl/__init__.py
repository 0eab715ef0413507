"""Deep RL agents with sparse networks that rewire themselves while they train, and are faster for it."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from rewirl import learners

if TYPE_CHECKING:
    from rewirl.api import load
    from rewirl.learners import *  # noqa: F403

__version__ = "0.2.0"

__all__ = ["load"]
__all__ += learners.__all__


def __getattr__(name: str) -> Any:
    """Import the agents when they are first asked for, so that `import rewirl` costs next to nothing."""
    if name == "load":
        return importlib.import_module("rewirl.api").load
    if name in learners.__all__:
        return getattr(learners, name)
    raise AttributeError(f"module 'rewirl' has no attribute {name!r}")


def __dir__() -> list[str]:
    return [*globals(), *__all__]
