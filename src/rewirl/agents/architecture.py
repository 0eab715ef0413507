"""What a network of an agent is made of, and how its weights begin."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from rewirl.agents.config import LayersConfig
from rewirl.nn import Initialisation, Operation, layered, mlp


class Architecture(NamedTuple):
    """What a network is made of."""

    n_in: int
    operations: Sequence[Operation]
    initialisation: Mapping[str, Initialisation] | None = None
    """Of the weights of each linear operation, by its name; None is the agent's for all."""
    gains: Mapping[str, float] | None = None
    """What these are multiplied by, by the same names; None is 1 for all."""

    @classmethod
    def mlp(cls, *sizes: int) -> Architecture:
        """Return that of a multilayer perceptron with so many units in each layer, inputs first."""
        return cls(sizes[0], mlp(sizes))

    @classmethod
    def layered(cls, n_in: int, config: LayersConfig, n_out: int) -> Architecture:
        """Return that of a chain of hidden layers, of the sizes and the kind of the settings."""
        return cls(n_in, layered(n_in, config.hidden_sizes, n_out, config.hidden_layers))
