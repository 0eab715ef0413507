"""What an agent shows of itself: copies and read-only views, so that looking changes nothing."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from rewirl.nn import Layer, Network
from rewirl.replay import Replay

if TYPE_CHECKING:
    from scipy.sparse import csr_array  # type: ignore[import-untyped]

NO_MEMORY = "this agent has no replay memory: it learns from its latest steps"


class LayerTopology:
    """Which connections a layer has now, and their weights; ask for `agent.topology` again after a rewiring."""

    def __init__(self, layer: Layer) -> None:
        self._layer = layer

    @property
    def shape(self) -> tuple[int, int]:
        """(outputs, inputs)."""
        return self._layer.shape

    @property
    def connections(self) -> int:
        """Number of connections."""
        return self._layer.connections

    @property
    def density(self) -> float:
        """Connections divided by places."""
        return self._layer.density

    @property
    def mask(self) -> csr_array:
        """The connections as a sparse boolean matrix [outputs, inputs], a copy."""
        return self._matrix(lambda values: np.ones(len(values), dtype=np.bool_))

    @property
    def weights(self) -> csr_array:
        """The weights as a sparse float32 matrix [outputs, inputs], a copy.

        A weight of zero is a connection and is stored too; in a target network it is none.
        """
        return self._matrix(lambda values: values)

    @property
    def bias(self) -> NDArray[np.float32]:
        """The biases, float32 [outputs], a copy.

        Raises:
            ValueError: the layer has none, as hidden layers of XQC.
        """
        return self._layer.of_one_moment(lambda: self._layer.bias.copy())

    def _matrix(self, of: Callable[[NDArray[np.float32]], NDArray[np.generic]]) -> csr_array:
        from scipy.sparse import csr_array

        layer = self._layer
        places, values = layer.of_one_moment(lambda: (layer.places(), layer.values.copy()))
        there = self._layer.connected(values)
        rows, columns = np.divmod(places[there], self.shape[1])
        matrix = csr_array((of(values[there]), (rows, columns)), shape=self.shape)
        matrix.sort_indices()  # SciPy before 1.15 leaves them in the order they come in
        return matrix

    def __repr__(self) -> str:
        """Return shape, connections and density."""
        return f"LayerTopology(shape={self.shape}, connections={self.connections:,}, density={self.density:.3f})"


class Transitions(NamedTuple):
    """The replay memory, a row per transition in no particular order; views change while the agent learns."""

    observations: NDArray[np.float32]
    """float32 [transitions, observation]."""
    actions: NDArray[np.float32]
    """float32 [transitions, action], each in [-1, 1]; a numbered one is 1 for the chosen action, 0 for the others."""
    rewards: NDArray[np.float32]
    """float32 [transitions]."""
    next_observations: NDArray[np.float32]
    """float32 [transitions, observation]."""
    continues: NDArray[np.float32]
    """float32 [transitions]: 0 where the episode reached a terminal state, else 1."""


def layer_topologies(networks: Mapping[str, Network]) -> dict[str, list[LayerTopology]]:
    """Return the layers of each network, inputs first."""
    return {name: [LayerTopology(layer) for layer in network.layers] for name, network in networks.items()}


def transitions_of(replay: Replay | None) -> Transitions:
    """Return what a replay memory holds; copies once it has forgotten transitions, else views, read-only.

    Raises:
        AttributeError: there is no replay memory.
    """
    if replay is None:
        raise AttributeError(NO_MEMORY)
    rows, _ = replay.state()
    stored = rows["transitions"]
    widths = (replay.observations.shape[1], replay.actions.shape[1], replay.observations.shape[1], 1, 1)
    parts = np.split(stored, np.cumsum(widths)[:-1], axis=1)
    for part in parts:
        part.flags.writeable = False
    observations, actions, next_observations, rewards, continues = parts
    return Transitions(observations, actions, rewards[:, 0], next_observations, continues[:, 0])
