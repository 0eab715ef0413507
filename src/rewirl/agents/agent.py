"""What the other rooms may ask of an agent."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from rewirl.nn import Network
from rewirl.replay import Replay


class Agent(Protocol):
    """An agent that learns from a replay memory. Actions are in [-1, 1] per dimension; it knows no environment."""

    name: str
    config: Any
    observation_size: int
    action_size: int
    updates: int

    def explore(self, observation: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return an action with exploration noise, float32 [action], for an observation float32 [observation]."""

    def predict(self, observations: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return actions without noise, float32 [batch, action], for float32 [batch, observation]; changes no state."""

    def update(self, replay: Replay) -> None:
        """Do one update, with the rewiring that falls on it."""

    def diagnostics(self) -> dict[str, float]:
        """Return named scalars of the last update; empty before the first."""

    def networks(self) -> dict[str, Network]:
        """Return the networks by name: actor, critic1, ..., target_actor, ..."""

    def state(self) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
        """Return everything an exact continuation needs, as arrays and JSON values."""

    def load_state(self, arrays: Mapping[str, NDArray[Any]], values: Mapping[str, Any]) -> None:
        """Put back what `state` returned; ValueError names what does not fit."""

    def policy_state(self) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
        """Return what `load_policy` needs: the actor alone."""

    def use_threads(self, threads: int) -> None:
        """Compute with so many of the threads it was made with from now on; the results do not depend on it."""

    def close(self) -> None:
        """Join the worker threads; may be called again."""
