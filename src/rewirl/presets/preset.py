"""What a preset is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

VERSION = "v5"
"""Of the environments; the papers' are v2 to v4."""


@dataclass(frozen=True)
class Preset:
    """A paper's setting."""

    agent: str
    env: str
    options: Mapping[str, Any] = field(default_factory=dict)
    """The options in which it differs from the defaults of its agent and environment."""
