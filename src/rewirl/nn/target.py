"""Target networks: slow copies that are as sparse as what they follow."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rewirl import _core
from rewirl.nn.layer import Layer, Places
from rewirl.nn.network import Network
from rewirl.nn.state import Saved
from rewirl.saved import shown


class TargetNetwork(Network):
    """The target of an online network, with a topology of its own (Sokar et al. 2022, Algorithm 1, MaintainSparsity).

    After a rewiring of the online network its topology differs for a while: connections that were dropped online decay
    by (1 - tau) per update until a grown one outweighs them. It is stored over the union of both topologies, where a
    weight of zero is no connection; never more weights are non-zero than the online network has connections.

    Args:
        online: the network to follow; the target starts as its copy.
    """

    def __init__(self, online: Network) -> None:
        places = {layer.name: None if layer.dense else layer.places() for layer in online.layers}
        self._build(online, places, dict(online.arrays()), [])

    def _state(self, training: bool) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
        arrays, values = super()._state(training)
        return arrays, {**values, "stale": self.link.stale()}

    @classmethod
    def restored(cls, online: Network, arrays: Mapping[str, NDArray[Any]], values: Mapping[str, Any]) -> TargetNetwork:
        """Return the target that `state` described, following this online network.

        Raises:
            ValueError: the arrays are impossible or of another network; the message says which.
        """
        saved = Saved(arrays, values)
        if saved.n_in != online.n_in or tuple(saved.operations) != online.operations:
            raise ValueError(
                f"the target has the sizes {shown(values.get('sizes'))}, its online network {list(online.sizes)}"
                if "sizes" in values
                else "the target is made of other operations than its online network"
            )
        stale = values.get("stale", values.get("behind", []))  # version 0.1.0 called it behind
        fits = isinstance(stale, list) and len(stale) in (0, len(online.layers))
        if not fits or not all(isinstance(layer, bool) for layer in stale):
            raise ValueError(f"stale must be a list of one truth value per layer, got {shown(stale)}")
        target = cls.__new__(cls)
        target._build(online, saved.places, saved.learnt, stale)
        saved.restore(target.core, target.layers, trainable=False)
        return target

    def _build(
        self,
        online: Network,
        places: Mapping[str, Places],
        arrays: Mapping[str, NDArray[np.float32]],
        stale: list[bool],
    ) -> None:
        super().__init__(online.n_in, online.operations, places, arrays, trainable=False)
        self.link = _core.TargetUpdate(self.core, online.core, stale)
        self.layers = tuple(_TargetLayer(self.core, layer.name, layer.shape) for layer in self.layers)


class _TargetLayer(Layer):
    """A layer of a target, where only weights that are not zero count as connections."""

    @property
    def connections(self) -> int:
        """Number of weights that are not zero."""
        return int(np.count_nonzero(self.values))

    def connected(self, values: NDArray[np.float32]) -> NDArray[np.bool_]:
        """Return which values are weights of connections: those that are not zero."""
        there: NDArray[np.bool_] = values != 0
        return there


def update_targets(targets: Iterable[TargetNetwork], tau: float, pool: _core.Pool) -> None:
    """Move every target towards its online network, then let MaintainSparsity cut it back.

    For each weight, target <- tau * online + (1 - tau) * target; then, if a layer has more non-zero weights than its
    online layer has connections, only as many of the largest magnitude stay (Sokar et al. 2022, Algorithm 1). All else
    that was learnt follows likewise, uncut, running statistics too.

    Args:
        targets: the targets, each done by a thread of its own.
        tau: 1 copies the online network, topology included.
        pool: the threads.

    Raises:
        ValueError: tau is not from 0 to 1, or a target is given twice.
    """
    _core.update_targets(pool, [target.link for target in targets], tau)
