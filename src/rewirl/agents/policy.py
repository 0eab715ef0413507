"""A policy: an actor network without what training keeps beside it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rewirl.nn import Network, pack, unpack
from rewirl.saved import shown


class Policy:
    """A deterministic policy, a = tanh(actor(s)).

    Args:
        actor: the network; it is shared, not copied.
        action_size: features of an action, the first outputs of the actor; None is all of them. The actor of SAC has
            as many more, for the noise.
    """

    def __init__(self, actor: Network, action_size: int | None = None) -> None:
        """See the class."""
        self.actor = actor
        self.action_size = actor.sizes[-1] if action_size is None else action_size

    def predict(self, observations: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the actions for a batch of observations.

        Args:
            observations: float32 [batch, observation].

        Returns:
            float32 [batch, action], each in [-1, 1].

        Raises:
            ValueError: the observations have another number of features.
        """
        if observations.ndim != 2 or observations.shape[1] != self.actor.sizes[0]:
            raise ValueError(f"observations must be [batch, {self.actor.sizes[0]}], got {list(observations.shape)}")
        if len(observations) == 1:
            return self.predict_one(observations[0])[np.newaxis]
        return np.tanh(unpack(self.actor.predict(pack(observations))[:, : self.action_size], len(observations)))

    def predict_one(self, observation: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the action for one observation, float32 [action] for float32 [observation]."""
        return self.actor.act_squashed(observation)[: self.action_size]

    def state(self) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
        """Return what `from_state` needs."""
        arrays, values = self.actor.state(training=False)
        del values["steps"]
        return arrays, {**values, "action_size": self.action_size}

    @classmethod
    def from_state(cls, arrays: Mapping[str, NDArray[Any]], values: Mapping[str, Any]) -> Policy:
        """Return the policy that `state` described.

        Raises:
            ValueError: an array is missing or impossible; the message names it.
        """
        actor = Network.from_state(arrays, values, trainable=False)
        action_size = values.get("action_size", actor.sizes[-1])
        if type(action_size) is not int or not 1 <= action_size <= actor.sizes[-1]:
            raise ValueError(f"the actor has {actor.sizes[-1]} outputs, which cannot hold {shown(action_size)} actions")
        return cls(actor, action_size)
