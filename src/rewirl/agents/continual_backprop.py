"""Continual backprop: replace mature units of the least utility, a few at a time (Dohare et al. 2024)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from rewirl import _core
from rewirl.agents.config import AgentConfig
from rewirl.agents.dormancy import reinitialise
from rewirl.nn import Ensemble, Layer, Network, ReLU, Start, Tiles
from rewirl.nn.operations import named
from rewirl.saved import saved_array

_RECORDS = ("age", "activation", "utility")
"""What is known of each unit."""

_NONE = np.empty(0, np.int64)


class ContinualBackprop:
    """What the hidden units of a multilayer perceptron are worth, and which of them are replaced when.

    With h the activation of a unit on the batch of a step, w its weights after it, a its age in steps and E the mean
    over the batch,

        a <- a + 1
        f <- decay f + (1 - decay) E h
        u <- decay u + (1 - decay) y        y = E |h - f / (1 - decay^a)| sum |w_out| / sum |w_in|
                                            or, of the utility contribution, E |h| sum |w_out|

    and of every layer, with m its units that are older than the maturity threshold and have connections on both sides,

        c <- c + rate m;  replace the floor(c) of them of the smallest u / (1 - decay^a);  c <- c - floor(c)

    A unit is replaced in this way: the bias of each unit after it grows by w_out f / (1 - decay^a), so that on average
    nothing changes there; it begins again as `reinitialise` says; and its a, f and u become 0.

    Args:
        network: a multilayer perceptron of ReLUs.
        config: the agent's settings.
    """

    def __init__(self, network: Network, config: AgentConfig) -> None:
        self._network, self._config = network, config
        activations = [name for operation, name, _ in named(network.operations) if isinstance(operation, ReLU)]
        self._layers = [_Units(network, index, name) for index, name in enumerate(activations)]

    def rewired(self) -> None:
        """Note that connections of the network have come or gone."""
        for units in self._layers:
            units.sides = None

    def step(
        self,
        ensemble: Ensemble,
        number: int,
        weights: Tiles,
        start: Start,
        rng: np.random.Generator,
    ) -> int:
        """Take a step of the network's optimiser into account, and replace the units that are due.

        Args:
            ensemble: after the pass of that step.
            number: of the network in it.
            weights: of the samples of the batch, 0 for padding, float32 [tiles, 1, width].
            start: how the network began.
            rng: the random stream.

        Returns:
            How many units were replaced.
        """
        c = self._config
        due = []
        for units in self._layers:
            units.observe(ensemble.value(number, units.name), weights, c)
            due.append(units.taken(c))
        for index, (units, replaced) in enumerate(zip(self._layers, due, strict=True)):
            if len(replaced):
                units.forget(replaced, c.cbp_decay_rate)
                chosen = np.zeros(len(units.age), bool)
                chosen[replaced] = True
                reinitialise(self._network, index, chosen, start, rng)
        return sum(map(len, due))

    def state(self) -> dict[str, NDArray[Any]]:
        """Return copies of what an exact continuation needs."""
        return {
            **{name: np.concatenate([getattr(units, name) for units in self._layers]) for name in _RECORDS},
            "due": np.array([units.due for units in self._layers]),
        }

    def restored(self, network: Network, arrays: Mapping[str, NDArray[Any]]) -> ContinualBackprop:
        """Return what `state` described, for a network that has been restored too.

        Raises:
            ValueError: an array is missing, or its shape, dtype or numbers are impossible; the message names it.
        """
        other = ContinualBackprop(network, self._config)
        for name, expected in other.state().items():
            of = f"the {name} of its units (continual backprop)"
            saved = saved_array(arrays, name, expected.dtype, expected.shape, of)
            low = -np.inf if name == "activation" else 0.0
            high = {"due": 1.0, "age": network.steps + 1}.get(name, np.inf)
            if not ((saved >= low) & (saved < high)).all():
                raise ValueError(f"{of} has impossible numbers")
        ends = np.cumsum([len(units.age) for units in other._layers])[:-1]
        for name in _RECORDS:
            for units, part in zip(other._layers, np.split(arrays[name], ends), strict=True):
                getattr(units, name)[:] = part
        for units, due in zip(other._layers, arrays["due"].tolist(), strict=True):
            units.due = due
        return other


class _Units:
    """The units of a hidden layer, in the order of its outputs."""

    def __init__(self, network: Network, index: int, name: str) -> None:
        self.name = name
        """Of the operation that makes their activations."""
        self.into, self.out_of = network.layers[index : index + 2]
        units = self.into.shape[0]
        self.age, self.activation, self.utility = np.zeros(units, np.int64), np.zeros(units), np.zeros(units)
        self.due = 0.0
        """How many more are to be replaced, less than one."""
        self.sides: _Sides | None = None

    def observe(self, hidden: Tiles, weights: Tiles, config: AgentConfig) -> None:
        """Move age, activation and utility on by a batch of activations, float32 [tiles, units, width]."""
        if self.sides is None:
            self.sides = _Sides.of(self.into, self.out_of)
        adaptable = config.cbp_utility == "adaptable-contribution"
        _core.observe_units(
            hidden, weights, self.into.values, self.sides.into, self.out_of.values, self.sides.out_of,
            config.cbp_decay_rate, adaptable, self.age, self.activation, self.utility,
        )  # fmt: skip

    def taken(self, config: AgentConfig) -> NDArray[np.int64]:
        """Return the units that are to be replaced now, those of the least utility first."""
        assert self.sides is not None
        mature = (self.age > config.cbp_maturity_threshold) & self.sides.connected
        due = self.due + config.cbp_replacement_rate * np.count_nonzero(mature)
        count = int(due)
        self.due = due - count
        if not count:
            return _NONE
        candidates = np.flatnonzero(mature)
        worth = self.utility[candidates] / _counted(config.cbp_decay_rate, self.age[candidates])
        return candidates[np.argsort(worth, kind="stable")[:count]]

    def forget(self, replaced: NDArray[np.int64], decay: float) -> None:
        """Give what units usually said to the biases that heard them, and begin their records again."""
        usual = np.zeros(len(self.age))
        usual[replaced] = self.activation[replaced] / _counted(decay, self.age[replaced])
        n_out, n_in = self.out_of.shape
        places = self.out_of.places()
        given = np.bincount(places // n_in, self.out_of.values * usual[places % n_in], n_out)
        self.out_of.bias[:] = (self.out_of.bias + given).astype(np.float32)
        for record in (self.age, self.activation, self.utility):
            record[replaced] = 0


def _counted(decay: float, age: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return 1 - decay^age, by which a running average that began with 0 is too small."""
    result: NDArray[np.float64] = 1 - decay ** age.astype(np.float64)
    return result


class _Sides(NamedTuple):
    """The connections of the units of a hidden layer, in the order of the values of their layers."""

    into: NDArray[np.int32] | None
    """The unit that each connection of the layer leads to; None of a dense one."""
    out_of: NDArray[np.int32] | None
    """The unit that each connection of the next layer comes from; None of a dense one."""
    connected: NDArray[np.bool_]
    """Which units have connections of both kinds."""

    @classmethod
    def of(cls, layer: Layer, after: Layer) -> _Sides:
        units, n_in = layer.shape
        into, out_of = layer.places() // n_in, after.places() % units
        connected = (np.bincount(into, minlength=units) > 0) & (np.bincount(out_of, minlength=units) > 0)
        return cls(
            None if layer.dense else into.astype(np.int32), None if after.dense else out_of.astype(np.int32), connected
        )
