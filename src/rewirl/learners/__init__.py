"""The agents in Python, a class for each of the registry. Written by `python -m rewirl.learners.generate`."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rewirl.learners.ds_sac import DSSAC
    from rewirl.learners.ds_td3 import DSTD3
    from rewirl.learners.sac import SAC
    from rewirl.learners.static_sac import StaticSAC
    from rewirl.learners.static_td3 import StaticTD3
    from rewirl.learners.td3 import TD3

__all__ = [
    "DSSAC",
    "DSTD3",
    "SAC",
    "TD3",
    "StaticSAC",
    "StaticTD3",
]

_MODULES = {
    "DSSAC": "ds_sac",
    "DSTD3": "ds_td3",
    "SAC": "sac",
    "StaticSAC": "static_sac",
    "StaticTD3": "static_td3",
    "TD3": "td3",
}


def __getattr__(name: str) -> Any:
    """Import an agent when it is first asked for, so that `import rewirl` costs next to nothing."""
    if name in _MODULES:
        return getattr(importlib.import_module(f"rewirl.learners.{_MODULES[name]}"), name)
    raise AttributeError(f"module 'rewirl.learners' has no attribute {name!r}")
