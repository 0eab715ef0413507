"""Networks that are computed side by side on the same inputs, such as twin critics."""

from __future__ import annotations

from collections.abc import Sequence
from math import hypot, isfinite

import numpy as np
from numpy.typing import NDArray

from rewirl import _core
from rewirl.nn.network import Network
from rewirl.nn.tiles import Tiles

_BETA2, _EPSILON = 0.999, 1e-8
"""Of Adam (Kingma and Ba 2015)."""


class Ensemble:
    """Networks that take the same input, and what passes through them write; each is computed by a thread of its own.

    Activations and gradients are the ensemble's, not the networks': what it returns stays valid until its next pass of
    that kind, whatever else is done with the networks. A single thread may use an ensemble at a time.

    Args:
        networks: at least one, with equal numbers of inputs.
        pool: the threads.
        gradients: whether what gradients need is kept; None keeps it where all networks are trainable.
        batch_statistics: whether operations that need the whole batch use its statistics, as in training, or running
            ones; None is as `gradients`.
        dense_gradients: whether `dense_gradient` can be asked for. Otherwise the gradients of hidden values share
            memory, which is faster.
    """

    def __init__(
        self,
        networks: Sequence[Network],
        pool: _core.Pool,
        gradients: bool | None = None,
        batch_statistics: bool | None = None,
        dense_gradients: bool = True,
    ) -> None:
        keep = all(network.trainable for network in networks) if gradients is None else gradients
        statistics = keep if batch_statistics is None else batch_statistics
        workspaces = [_core.Workspace(network.core, keep, statistics, dense_gradients) for network in networks]
        self._begin(tuple(networks), pool, workspaces)

    def _begin(self, networks: tuple[Network, ...], pool: _core.Pool, workspaces: list[_core.Workspace]) -> None:
        self.networks = networks
        self._pool = pool
        self._workspaces = workspaces
        self._outputs: list[Tiles] = []
        self._generations: list[int] = []

    def subset(self, *indices: int) -> Ensemble:
        """Return the ensemble of some of the networks, which writes to the same memory as this one."""
        other = Ensemble.__new__(Ensemble)
        other._begin(tuple(self.networks[i] for i in indices), self._pool, [self._workspaces[i] for i in indices])
        return other

    def forward(self, x: Tiles, samples: int | None = None, parts: int = 1) -> list[Tiles]:
        """Run every network on the same batch.

        Args:
            x: float32 [tiles, n_in, width]; may be a slice of the features of larger tiles.
            samples: how many columns are samples, the others being padding; operations that need the whole batch have
                to know.
            parts: x may be several batches one after the other, in as many tiles each, with so many samples each.
                Operations that need the whole batch take them for one.

        Returns:
            The output of each network, float32 [tiles, n_out, width]; valid until the next pass of this ensemble.

        Raises:
            ValueError: the shape does not fit, or the number of samples is needed.
        """
        _core.forward(self._pool, self._workspaces, x, samples, parts)
        return self.outputs()

    def outputs(self) -> list[Tiles]:
        """Return the outputs of the last pass, as `forward` does.

        Raises:
            ValueError: there was none.
        """
        generations = [workspace.generation for workspace in self._workspaces]
        if generations != self._generations:
            self._outputs = [workspace.output() for workspace in self._workspaces]
            self._generations = generations
        return self._outputs

    def value(self, index: int, operation: str) -> Tiles:
        """Return what an operation made in the last pass, float32 [tiles, features, width]; valid until the next.

        A linear operation that a ReLU alone reads made what the ReLU makes.

        Args:
            index: of the network.
            operation: its name.

        Raises:
            ValueError: there was no pass, or hidden values are not kept.
        """
        return self._workspaces[index].value(operation)

    def backward(self, x: Tiles, output_gradients: Sequence[Tiles], inputs_from: int | None = None) -> list[Tiles]:
        """Compute the gradients of a loss for the batch of the last pass; those of parameters are then in `gradient`.

        Args:
            x: that batch.
            output_gradients: of the loss with respect to each network's output, float32 [tiles, n_out, width]; must be
                zero for padding.
            inputs_from: the gradients of the inputs from this one on are computed too; None: of none.

        Returns:
            Those of the inputs for each network, float32 [tiles, n_in - inputs_from, width], valid until the next; or
            nothing.

        Raises:
            ValueError: shapes are not those of the last pass, a network is not trainable, or there is no such input.
        """
        start = -1 if inputs_from is None else _first_input(inputs_from)
        _core.backward(self._pool, self._workspaces, x, list(output_gradients), True, start)
        return [] if inputs_from is None else [workspace.input_gradient() for workspace in self._workspaces]

    def input_gradients(self, x: Tiles, output_gradients: Sequence[Tiles], inputs_from: int = 0) -> list[Tiles]:
        """Compute the gradients of the inputs alone; arguments, returns and errors as of `backward`."""
        _core.backward(self._pool, self._workspaces, x, list(output_gradients), False, _first_input(inputs_from))
        return [workspace.input_gradient() for workspace in self._workspaces]

    def gradient(self, index: int, name: str) -> NDArray[np.float32]:
        """Return the gradient of an array from the last `backward`, float32, in the order of its values.

        It may be written to before `adam`.

        Args:
            index: of the network.
            name: of operation and array, such as `hidden1.values`.

        Raises:
            ValueError: there is no such array, or the network is not trainable.
        """
        operation, _, array = name.partition(".")
        return self._workspaces[index].gradient(operation, array)

    def dense_gradient(self, index: int, layer: str, x: Tiles) -> NDArray[np.float32]:
        """Return the gradient of the loss of the last backward pass for every place of a layer, connection or not.

        It is computed when asked for, and costs as much as the gradient of a dense layer.

        Args:
            index: of the network.
            layer: its name.
            x: the batch of that pass, float32 [tiles, n_in, width]; the network's values may have taken a step since.

        Returns:
            float32 [n_out, n_in], an array of its own.

        Raises:
            ValueError: there was no pass, or it had another batch, or the ensemble has no `dense_gradients`.
        """
        return self._workspaces[index].dense_gradient(layer, x)

    def clip_together(self, limit: float, other: float = 0.0) -> float:
        """Scale the gradients of the last `backward` so that the norm of those of all networks together is at most
        `limit`.

        Args:
            limit: more than 0.
            other: the norm of gradients elsewhere that count too.

        Returns:
            What they were multiplied by, and those elsewhere are to be: at most 1.

        Raises:
            ValueError: there are no gradients, or the limit is not positive.
            FloatingPointError: the norm is not finite.
        """
        if not limit > 0:  # NaN would clip nothing, and say so
            raise ValueError(f"the limit of the norm must be more than 0, got {limit}")
        norms = [workspace.norm() for workspace in self._workspaces]
        norm = hypot(*norms, other)
        if not isfinite(norm):
            raise FloatingPointError(f"the norm of the gradients is {norm}")
        factor = min(1.0, limit / norm) if norm > 0 else 1.0
        for workspace, own in zip(self._workspaces, norms, strict=True):
            if factor < 1 and own > 0:
                workspace.clip(own * factor)
        return factor

    def adam(
        self,
        learning_rate: float,
        weight_decay: float = 0.0,
        decoupled: bool = False,
        beta1: float = 0.9,
        epsilon: float = _EPSILON,
    ) -> None:
        """Take one step of Adam with the gradients of the last `backward` (beta2 0.999).

        A grown connection starts with zero moments, while the bias correction goes by the steps of the network, unless
        `count_ages` was called.

        Args:
            learning_rate: step size.
            weight_decay: this times the weight is added to the gradient; biases and dense layers too.
            decoupled: weights shrink by learning_rate * weight_decay instead (Loshchilov and Hutter 2019).
            beta1: decay of the first moments.
            epsilon: what is added to the root of the second moments.

        Raises:
            ValueError: a network is not trainable, or has no gradients since it was rewired, or a number cannot be.
        """
        _core.adam(self._pool, self._workspaces, learning_rate, beta1, _BETA2, epsilon, weight_decay, decoupled)

    def step(
        self,
        x: Tiles,
        output_gradients: Sequence[Tiles],
        learning_rate: float,
        weight_decay: float = 0.0,
        decoupled: bool = False,
        beta1: float = 0.9,
        epsilon: float = _EPSILON,
    ) -> None:
        """Do `backward` and `adam` in one, which is faster: each layer takes its step while it is in the cache.

        Args:
            x: the batch of the last pass.
            output_gradients: as for `backward`.
            learning_rate: as for `adam`.
            weight_decay: as for `adam`.
            decoupled: as for `adam`.
            beta1: as for `adam`.
            epsilon: what is added to the root of the second moments.

        Raises:
            ValueError: shapes are not those of the last pass, or a network is not trainable, or a number cannot be.
        """
        _core.step(
            self._pool, self._workspaces, x, list(output_gradients), learning_rate, beta1, _BETA2, epsilon,
            weight_decay, decoupled,
        )  # fmt: skip

    def regress(
        self,
        x: Tiles,
        targets: Tiles,
        weights: Tiles,
        errors: Sequence[Tiles],
        learning_rate: float,
        weight_decay: float = 0.0,
        decoupled: bool = False,
        samples: int | None = None,
    ) -> None:
        """Take one step of Adam down sum(weights * (output - targets)^2) with every network, each with one output.

        It is `forward` and `step` in one.

        Args:
            x: a batch, as for `forward`.
            targets: float32 [tiles, 1, width].
            weights: of the samples, 0 for padding; float32 [tiles, 1, width].
            errors: for each network what output - targets is written to, float32 [tiles, 1, width].
            learning_rate: as for `adam`.
            weight_decay: as for `adam`.
            decoupled: as for `adam`.
            samples: as for `forward`.

        Raises:
            ValueError: shapes do not fit, a network is not trainable or has more than one output, errors share memory
                with targets or weights, or a number cannot be.
            FloatingPointError: an error is not finite.
        """
        finite = _core.regress(
            self._pool, self._workspaces, x, targets, weights, list(errors), learning_rate, 0.9, _BETA2, _EPSILON,
            weight_decay, decoupled, samples,
        )  # fmt: skip
        if not finite:
            refuse_nonfinite(errors, "the difference from its target")

    def classify(
        self,
        x: Tiles,
        targets: Tiles,
        weights: Tiles,
        probabilities: Sequence[Tiles],
        learning_rate: float,
        weight_decay: float = 0.0,
        decoupled: bool = False,
        samples: int | None = None,
        parts: int = 1,
    ) -> None:
        """Take one step of Adam down -sum(weights * targets * ln softmax(output)) with every network.

        It is `forward` and `step` in one. Of several batches in x the loss is of the first; the others act through the
        statistics of operations that need the whole batch.

        Args:
            x: one batch or several, as for `forward`.
            targets: float32 [tiles of a batch, n_out, width].
            weights: of the samples, 0 for padding; float32 [tiles of a batch, 1, width].
            probabilities: for each network what softmax(output) is written to, float32, the shape of `targets`.
            learning_rate: as for `adam`.
            weight_decay: as for `adam`.
            decoupled: as for `adam`.
            samples: as for `forward`.
            parts: as for `forward`.

        Raises:
            ValueError: shapes do not fit, a network is not trainable, probabilities share memory with targets or
                weights, or a number cannot be.
            FloatingPointError: a probability is not finite.
        """
        _core.classify(
            self._pool, self._workspaces, x, targets, weights, list(probabilities), learning_rate, 0.9, _BETA2,
            _EPSILON, weight_decay, decoupled, samples, parts,
        )  # fmt: skip
        refuse_nonfinite(probabilities, "the distribution")

    def update_statistics(self) -> None:
        """Move the running statistics of every network towards those of the last pass.

        Raises:
            ValueError: there was none.
        """
        for workspace in self._workspaces:
            workspace.update_statistics()


def _first_input(inputs_from: int) -> int:
    if inputs_from < 0:  # of which the core computes none, so that those of an earlier pass would be returned
        raise ValueError(f"inputs_from is the number of an input, 0 or more; got {inputs_from}")
    return inputs_from


def refuse_nonfinite(arrays: Sequence[Tiles], what: str) -> None:
    """Refuse numbers of an update that are not finite: what is learnt from them is lost.

    Args:
        arrays: of each network.
        what: they are, for the message.

    Raises:
        FloatingPointError: one is not finite; names the network by its number.
    """
    for number, array in enumerate(arrays, 1):
        # A product is a third of the work of a look at each number, and only it may overflow.
        if not isfinite(np.vdot(array, array)) and not np.isfinite(array).all():
            raise FloatingPointError(f"{what} of network {number} is not finite")
