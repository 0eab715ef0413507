"""What a rule decides: which connections an event drops, and where it grows new ones."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from rewirl.topology.config import TopologyConfig
from rewirl.topology.state import LayerState


class Rule(ABC):
    """A way to rewire: which connections are dropped, and where new ones grow.

    `rewire` calls the methods with the connections in the order of their indices, and enforces the number of
    connections. One object serves all layers of all networks of an agent; `state.name` tells them apart.

    In a layer of blocks, a structure such as 4x1, a rule does the same and need not know, unless it keeps something for
    each weight. `drop_score` scores connections, and the mean over a block decides. `grow` is called for blocks: its
    state is a matrix of blocks in place of weights, with one row for 4 outputs. There an index is the number of a
    block, a weight the mean magnitude of its connections, and the gradient the mean magnitude of theirs. Where the
    height does not divide the outputs, `grow` is called for the last, smaller group by itself.

    A rule that keeps something from one event to the next has it saved by two methods of its own: `rewirl_state()`
    returns it as JSON values, `load_rewirl_state(values)` puts it back. A run is then resumed to the bit. Without them
    resuming says in which attributes something was kept; what is kept outside of the object is not found.

    Args:
        config: the topology configuration of the run.
    """

    adapts: ClassVar[bool] = True
    """False for a rule that never changes anything; its events are skipped."""

    rewires: ClassVar[bool] = True
    """False for a rule that drops no connection to grow another, but only follows a changing sparsity."""

    uses_gradient: bool = False
    """Whether it asks a layer's state for the gradient."""

    def __init__(self, config: TopologyConfig) -> None:
        """Keep the configuration, from which a rule takes its options."""
        self.config = config

    @abstractmethod
    def drop_score(self, state: LayerState, fraction: float, rng: np.random.Generator) -> NDArray[np.float64]:
        """Score the connections. Those of the lowest scores are dropped, of equal ones those of the lower indices, or
        of the smaller weights if they are infinite and the sparsity rises.

        Args:
            state: the layer, its connections in the order of their indices.
            fraction: of the connections that this event is to rewire.
            rng: the random stream.

        Returns:
            Scores, float64 [connections]. The fraction decides how many are dropped, except that a connection of score
            -inf is dropped and one of +inf stays, unless the sparsity rises so far that no other is left.
        """

    @abstractmethod
    def grow(
        self, state: LayerState, occupied: NDArray[np.int64], count: int, rng: np.random.Generator
    ) -> NDArray[np.int64]:
        """Choose where new connections grow.

        Args:
            state: the layer before the event, its connections in the order of their indices.
            occupied: indices where none may grow, int64, sorted: all of the state's, or all but the dropped ones where
                those may be grown again.
            count: how many to choose, at least 1; at least that many indices are free.
            rng: the random stream.

        Returns:
            Distinct free indices, int64 [count], in any order.
        """

    def grow_score(self, state: LayerState, rng: np.random.Generator) -> NDArray[np.floating[Any]]:
        """Score every weight of the matrix, for a structure that says how many are to grow in each group of inputs.

        The free ones of the highest scores grow. Only constant fan-in and N:M need it.

        Args:
            state: the layer before the event, its connections in the order of their indices.
            rng: the random stream.

        Returns:
            Scores, float [n_out, n_in] or [n_out * n_in].

        Raises:
            ValueError: the rule has no such scores.
        """
        raise without_grow_score(type(self))


def without_grow_score(kind: type[Rule]) -> ValueError:
    """Return the error that a rule cannot say what grows in a structure of constant fan-in or N:M."""
    return ValueError(
        f"the rule {kind.__module__}:{kind.__qualname__} has no grow_score, by which connections of a structure "
        "grow; write one, or use structure unstructured"
    )
