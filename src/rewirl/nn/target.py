"""Target networks: slow copies that are as sparse as what they follow."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rewirl import _core
from rewirl.nn.mlp import Layer, SparseMLP
from rewirl.saved import shown


class TargetNetwork(SparseMLP):
    """The target of an online network, with a topology of its own (Sokar et al. 2022, Algorithm 1, MaintainSparsity).

    After a rewiring of the online network its topology differs for a while: connections that were dropped online decay
    by (1 - tau) per update until a grown one outweighs them. It is stored over the union of both topologies, where a
    weight of zero is no connection; never more weights are non-zero than the online network has connections.

    Args:
        online: the network to follow; the target starts as its copy.
    """

    def __init__(self, online: SparseMLP) -> None:
        """See the class."""
        arrays, _ = online.state()
        self._build(online, arrays, [])

    def state(self) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
        """Return everything an exact continuation needs, as arrays (copies) and JSON values."""
        arrays, values = super().state()
        return arrays, {**values, "behind": self.link.behind()}

    @classmethod
    def restored(
        cls, online: SparseMLP, arrays: Mapping[str, NDArray[Any]], values: Mapping[str, Any]
    ) -> TargetNetwork:
        """Return the target that `state` described, following this online network.

        Raises:
            ValueError: the arrays are impossible or of a network of other sizes; the message says which.
        """
        SparseMLP.from_state(arrays, values, trainable=False)  # for its checks
        if values["sizes"] != list(online.sizes):
            raise ValueError(f"the target has the sizes {values['sizes']}, its online network {list(online.sizes)}")
        behind = values.get("behind", [])
        fits = isinstance(behind, list) and len(behind) in (0, len(online.layers))
        if not fits or not all(isinstance(layer, bool) for layer in behind):
            raise ValueError(f"behind must be a list of one truth value per layer, got {shown(behind)}")
        target = cls.__new__(cls)
        target._build(online, arrays, behind)
        return target

    def _build(self, online: SparseMLP, arrays: Mapping[str, NDArray[Any]], behind: list[bool]) -> None:
        depth = len(online.layers)
        super().__init__(
            online.sizes,
            [arrays.get(f"{i}.places") for i in range(depth)],
            [arrays[f"{i}.values"] for i in range(depth)],
            [arrays[f"{i}.bias"] for i in range(depth)],
            trainable=False,
        )
        self.link = _core.TargetUpdate(self.core, online.core, behind)
        self.layers = tuple(_TargetLayer(self.core, index, layer.shape) for index, layer in enumerate(self.layers))


class _TargetLayer(Layer):
    """A layer of a target, where only weights that are not zero count as connections."""

    @property
    def connections(self) -> int:
        """Number of weights that are not zero."""
        return int(np.count_nonzero(self.values))


def update_targets(targets: Iterable[TargetNetwork], tau: float, pool: _core.Pool) -> None:
    """Move every target towards its online network, then let MaintainSparsity cut it back.

    For each weight, target <- tau * online + (1 - tau) * target; then, if a layer has more non-zero weights than its
    online layer has connections, only as many of the largest magnitude stay (Sokar et al. 2022, Algorithm 1).

    Args:
        targets: the targets, each done by a thread of its own.
        tau: 1 copies the online network, topology included.
        pool: the threads.
    """
    _core.update_targets(pool, [target.link for target in targets], tau)
