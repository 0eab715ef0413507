"""Deep RL agents with sparse networks that rewire themselves while they train, and are faster for it."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rewirl.api import DSSAC, DSTD3, SAC, TD3, StaticSAC, StaticTD3, load

__version__ = "0.1.0"

__all__ = ["DSSAC", "DSTD3", "SAC", "TD3", "StaticSAC", "StaticTD3", "load"]


def __getattr__(name: str) -> Any:
    """Import the agents when they are first asked for, so that `import rewirl` costs next to nothing."""
    if name in __all__:
        return getattr(importlib.import_module("rewirl.api"), name)
    raise AttributeError(f"module 'rewirl' has no attribute {name!r}")


def __dir__() -> list[str]:
    return [*globals(), *__all__]
