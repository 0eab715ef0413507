"""What the native core computes, in float64 NumPy: for reading, and for the tests that hold the core against it.

Weights are dense matrices here, with a mask that says where connections exist, and batches are plain [batch,
features]. `run` and `gradients` are of any network, `forward` and `backward` of multilayer perceptrons. Nothing in
training uses this file.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from rewirl.nn.operations import (
    Add,
    BatchNorm,
    BatchRenorm,
    LayerNorm,
    LeakyReLU,
    Linear,
    Multiply,
    Operation,
    Parameter,
    ReLU,
    Tanh,
    named,
)

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]


def matrix(shape: tuple[int, int], places: NDArray[np.int64], values: NDArray[np.floating]) -> Array:
    """Return the dense matrix of a sparse layer.

    Args:
        shape: (n_out, n_in).
        places: of the connections, row * n_in + column, int64 [connections].
        values: one per connection, [connections].

    Returns:
        float64 [n_out, n_in], zero where there is no connection.
    """
    dense = np.zeros(shape[0] * shape[1])
    dense[places] = values
    return dense.reshape(shape)


def mask(shape: tuple[int, int], places: NDArray[np.int64]) -> Mask:
    """Return where a layer has connections, bool [n_out, n_in]; arguments as of `matrix`."""
    return matrix(shape, places, np.ones(len(places))) > 0


def pack(rows: NDArray[np.floating], width: int) -> Array:
    """Return samples as tiles: sample i is column i % width of tile i // width.

    Args:
        rows: [batch, features].
        width: of a tile.

    Returns:
        float64 [tiles, features, width], padded with zeros.
    """
    batch, features = rows.shape
    tiles = np.zeros((-(-batch // width), features, width))
    for i, row in enumerate(rows):
        tiles[i // width, :, i % width] = row
    return tiles


def unpack(tiles: NDArray[np.floating], batch: int) -> Array:
    """Return the samples of tiles [tiles, features, width] as float64 [batch, features]."""
    width = tiles.shape[2]
    return np.array([tiles[i // width, :, i % width] for i in range(batch)], dtype=np.float64)


def forward(weights: Sequence[Array], biases: Sequence[Array], x: Array) -> list[Array]:
    """Run a batch, or a single sample as a batch of one, through a network: ReLU after every layer but the last.

    Args:
        weights: of each layer, [n_out, n_in].
        biases: of each layer, [n_out].
        x: [batch, n_in of the first layer].

    Returns:
        The activations, [batch, features] each: the inputs, the hidden layers', the outputs.
    """
    activations = [x]
    for layer, (w, b) in enumerate(zip(weights, biases, strict=True)):
        z = activations[-1] @ w.T + b
        last = layer == len(weights) - 1
        activations.append(z if last else np.maximum(z, 0.0))
    return activations


def backward(
    weights: Sequence[Array], masks: Sequence[Mask], activations: Sequence[Array], output_gradient: Array
) -> tuple[list[Array], list[Array], Array]:
    """Compute the gradients of a loss.

    Args:
        weights: of each layer, [n_out, n_in].
        masks: where each layer has connections, bool [n_out, n_in].
        activations: as returned by `forward`.
        output_gradient: of the loss with respect to the outputs, [batch, n_out of the last layer].

    Returns:
        The gradients of the connections of each layer ([n_out, n_in], zero where there is none), of the biases of each
        layer ([n_out]) and of the inputs ([batch, n_in]).
    """
    connections: list[Array] = []
    biases: list[Array] = []
    delta = output_gradient
    for layer in reversed(range(len(weights))):
        connections.insert(0, (delta.T @ activations[layer]) * masks[layer])
        biases.insert(0, delta.sum(axis=0))
        delta = delta @ weights[layer]
        if layer > 0:
            delta = delta * (activations[layer] > 0)  # the derivative of ReLU
    return connections, biases, delta


def adam(
    w: Array,
    gradient: Array,
    m: Array,
    v: Array,
    step: int | NDArray[np.integer],
    learning_rate: float,
    beta1: float,
    beta2: float,
    epsilon: float,
    weight_decay: float,
) -> tuple[Array, Array, Array]:
    """Take one step of Adam with L2 weight decay, as PyTorch's `Adam(weight_decay=...)` does.

    Args:
        w: parameters, of any shape.
        gradient: of the loss, shaped like them.
        m: first moments before the step.
        v: second moments before the step.
        step: number of this step, from 1, for the bias correction; an array of the parameters' shape is their ages.
        learning_rate: step size.
        beta1: decay of the first moments.
        beta2: decay of the second moments.
        epsilon: added to the root of the second moments.
        weight_decay: this times the parameter is added to the gradient.

    Returns:
        Parameters, first and second moments after the step.
    """
    g = gradient + weight_decay * w
    m = beta1 * m + (1 - beta1) * g
    v = beta2 * v + (1 - beta2) * g**2
    m_hat = m / (1 - beta1**step)
    v_hat = v / (1 - beta2**step)
    return w - learning_rate * m_hat / (np.sqrt(v_hat) + epsilon), m, v


def rewire(
    arrays: Sequence[Array], existing: Mask, dropped: NDArray[np.int64], grown: NDArray[np.int64]
) -> tuple[list[Array], Mask]:
    """Drop connections and grow others, with zeros in everything that is kept per connection.

    Args:
        arrays: weights, moments and so on, [n_out, n_in] each.
        existing: where there are connections, bool [n_out, n_in].
        dropped: places of connections to drop, int64.
        grown: places to grow, int64; they may be among those just dropped.

    Returns:
        The arrays and the mask after it.
    """
    changed = np.concatenate([dropped, grown])
    results = [array.copy() for array in arrays]
    for result in results:
        result.reshape(-1)[changed] = 0.0
    exists = existing.copy()
    exists.reshape(-1)[dropped] = False
    exists.reshape(-1)[grown] = True
    return results, exists


def update_target(target: Array, online: Array, tau: float, connections: int, height: int = 1) -> Array:
    """Move a target's weights towards the online ones, then maintain sparsity (Sokar et al. 2022, Algorithm 1).

    Args:
        target: the target's weights, [n_out, n_in].
        online: the online weights, zero where there is no connection, [n_out, n_in].
        tau: share taken over from the online network.
        connections: number of connections of the online layer.
        height: outputs of a block, where connections come and go in blocks.

    Returns:
        The target's weights after it, [n_out, n_in].
    """
    moved = tau * online + (1 - tau) * target
    return maintain_sparsity(moved, connections) if height == 1 else keep_blocks(moved, connections, height)


def keep_blocks(weights: Array, k: int, height: int) -> Array:
    """Make blocks zero, those of the smallest mean magnitude first, until at most k weights are left in the others.

    Args:
        weights: of a layer, [n_out, n_in].
        k: number of connections.
        height: outputs of a block; the last group of outputs may have fewer.

    Returns:
        The weights after it, [n_out, n_in].
    """
    groups = np.arange(0, len(weights), height)
    sizes = np.diff(np.append(groups, len(weights)))
    means = np.add.reduceat(np.abs(weights), groups) / sizes[:, np.newaxis]
    kept = means != 0
    for block in np.argsort(means, axis=None, kind="stable"):
        if (kept.sum(axis=1) * sizes).sum() <= k:
            break
        kept.reshape(-1)[block] = False
    result: Array = weights * np.repeat(kept, sizes, axis=0)
    return result


def maintain_sparsity(weights: Array, k: int) -> Array:
    """Keep the k largest magnitudes and make the others zero; of equal ones the first in row-major order stay."""
    largest = np.argsort(-np.abs(weights), axis=None, kind="stable")[:k]
    kept = np.zeros(weights.size)
    kept[largest] = weights.reshape(-1)[largest]
    return kept.reshape(weights.shape)


def run(
    operations: Sequence[Operation], parameters: Mapping[str, Array], x: Array, training: bool = True
) -> list[Array]:
    """Compute a network, operation by operation.

    Args:
        operations: what it is made of.
        parameters: its arrays by name, such as `hidden1.bias`; weights as matrices [n_out, n_in].
        x: [batch, n_in].
        training: whether statistics of batches are those of this one, or the running ones.

    Returns:
        The input and what each operation makes, [batch, features] each.
    """
    values = [x]
    for operation, name, reads in named(operations):
        own = _own(parameters, name)
        values.append(_made(operation, own, [values[i] for i in reads], len(x), training))
    return values


def gradients(
    operations: Sequence[Operation],
    parameters: Mapping[str, Array],
    values: Sequence[Array],
    output_gradient: Array,
) -> tuple[dict[str, Array], Array]:
    """Compute the gradients of a loss in training.

    Args:
        operations: what the network is made of.
        parameters: as for `run`.
        values: what `run` returned.
        output_gradient: of the loss with respect to the output, [batch, n_out].

    Returns:
        Those of the parameters by name, and of the input, [batch, n_in].
    """
    of_values = [np.zeros_like(value) for value in values]
    of_values[-1] = output_gradient
    result: dict[str, Array] = {}
    for index, (operation, name, reads) in reversed(list(enumerate(named(operations)))):
        own, delta = _own(parameters, name), of_values[index + 1]
        inputs, made = [values[i] for i in reads], values[index + 1]
        for read, gradient in zip(reads, _input_gradients(operation, own, inputs, made, delta), strict=True):
            of_values[read] = of_values[read] + gradient
        for array, gradient in _parameter_gradients(operation, own, inputs, delta).items():
            result[f"{name}.{array}"] = gradient
    return result, of_values[0]


def _own(parameters: Mapping[str, Array], name: str) -> dict[str, Array]:
    return {full.partition(".")[2]: array for full, array in parameters.items() if full.partition(".")[0] == name}


def _normal(
    operation: LayerNorm | BatchNorm, x: Array, own: Mapping[str, Array], training: bool
) -> tuple[Array, Array]:
    """Return x with mean 0 and variance 1, and what it was divided by."""
    axis = 1 if isinstance(operation, LayerNorm) else 0
    mean, variance = x.mean(axis, keepdims=True), x.var(axis, keepdims=True)
    if isinstance(operation, BatchNorm) and not training:
        mean, variance = own["mean"], own["variance"]
    deviation = np.sqrt(variance + operation.eps)
    return (x - mean) / deviation, deviation


def _correction(operation: LayerNorm | BatchNorm, x: Array, own: Mapping[str, Array], training: bool) -> Array:
    """Return factor and offset of the normalised x, [2, features], or 1 and 0."""
    if not isinstance(operation, BatchRenorm) or not training or own["moves"][0] < operation.warm_up:
        return np.array([1.0, 0.0])
    running = np.sqrt(own["variance"] + operation.eps)
    factor = np.clip(np.sqrt(x.var(0) + operation.eps) / running, 1 / operation.r_max, operation.r_max)
    offset = np.clip((x.mean(0) - own["mean"]) / running, -operation.d_max, operation.d_max)
    both: Array = np.stack([factor, offset])
    return both


def unit_rows(weights: Array) -> Array:
    """Return weights [n_out, n_in] with rows divided by their Euclidean norms, if these are not 0."""
    norms = np.sqrt((weights**2).sum(axis=1, keepdims=True))
    result: Array = weights / np.where(norms > 0, norms, 1.0)
    return result


def _made(operation: Operation, own: Mapping[str, Array], of: Sequence[Array], batch: int, training: bool) -> Array:
    match operation:
        case Linear():
            return of[0] @ own["values"].T + own.get("bias", np.zeros(operation.n_out))
        case ReLU():
            return np.maximum(of[0], 0)
        case LeakyReLU():
            return np.where(of[0] > 0, of[0], operation.slope * of[0])
        case Tanh():
            return np.tanh(of[0])
        case Add():
            return of[0] + of[1]
        case Multiply():
            return of[0] * of[1]
        case LayerNorm() | BatchNorm():
            normal, _ = _normal(operation, of[0], own, training)
            factor, offset = _correction(operation, of[0], own, training)
            corrected: Array = normal * factor + offset
            return corrected * own["scale"] + own["shift"] if operation.affine else corrected
        case Parameter():
            return np.tile(own["values"], (batch, 1))
    raise TypeError(f"there is no reference of {operation.kind}")


def _input_gradients(
    operation: Operation, own: Mapping[str, Array], of: Sequence[Array], made: Array, delta: Array
) -> list[Array]:
    match operation:
        case Linear():
            return [delta @ own["values"]]
        case ReLU():
            return [delta * (of[0] > 0)]
        case LeakyReLU():
            return [delta * np.where(of[0] > 0, 1.0, operation.slope)]
        case Tanh():
            return [delta * (1 - made**2)]
        case Add():
            return [delta, delta]
        case Multiply():
            return [delta * of[1], delta * of[0]]
        case LayerNorm() | BatchNorm():
            axis = 1 if isinstance(operation, LayerNorm) else 0
            normal, deviation = _normal(operation, of[0], own, training=True)
            factor, _ = _correction(operation, of[0], own, training=True)
            scaled = (delta * own["scale"] if operation.affine else delta) * factor
            product = (scaled * normal).mean(axis, keepdims=True)
            return [(scaled - scaled.mean(axis, keepdims=True) - normal * product) / deviation]
    return []


def _parameter_gradients(
    operation: Operation, own: Mapping[str, Array], of: Sequence[Array], delta: Array
) -> dict[str, Array]:
    match operation:
        case Linear():
            return {"values": delta.T @ of[0], "bias": delta.sum(0)}
        case LayerNorm() | BatchNorm():
            factor, offset = _correction(operation, of[0], own, training=True)
            normal = _normal(operation, of[0], own, training=True)[0] * factor + offset
            return {"scale": (delta * normal).sum(0), "shift": delta.sum(0)}
        case Parameter():
            return {"values": delta.sum(0)}
    return {}
