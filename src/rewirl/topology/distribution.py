"""How dense each layer of a network is."""

from __future__ import annotations

from collections.abc import Sequence
from math import inf, log, nan
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rewirl.topology.config import TopologyConfig
from rewirl.topology.places import lowest

Shapes = Sequence[tuple[int, int]]


def densities(config: TopologyConfig, shapes: Shapes) -> list[float]:
    """Return the density of every layer of one network.

    Args:
        config: its `structure` if that is N:M, else its `layer_sparsities` if given, else its `lambdas`, else its
            `sparsity` and `distribution`, decide.
        shapes: (n_out, n_in) of every layer, from the input to the output.

    Returns:
        One density in (0, 1] per layer; 1 is a dense layer. With distribution global it is the mean over the layers, as
        the events decide how dense each is.

    Raises:
        ValueError: no working network has these densities; the message has the table of layers and what to change.
    """
    structure = config.spread
    if structure is not None and structure.group is not None and structure.count is not None:  # N:M, in every layer
        return [sum(structure.per_group(n_in, 1.0)) / n_in for _, n_in in shapes]
    if config.layer_sparsities is not None:
        return by_layer(shapes, config.layer_sparsities)
    if config.lambdas is not None:
        return erdos_renyi(shapes, config.lambdas)
    if config.sparsity is None:
        raise ValueError("the topology has neither a sparsity nor lambdas; give one of them (sparsity 0 is dense)")
    if config.distribution == "global":
        if (1 - config.sparsity) * sum(n_out * n_in for n_out, n_in in shapes) < len(shapes):
            raise ValueError(f"sparsity {config.sparsity} leaves fewer connections than layers; lower it")
        return [1 - config.sparsity] * len(shapes)
    if config.distribution == "uniform":
        return uniform(shapes, config.sparsity)
    if config.distribution == "connectivity":
        return with_connectivity(shapes, densities(config.at_start, shapes), config.sparsity)
    return erdos_renyi_for_sparsity(shapes, config.sparsity)


def erdos_renyi(shapes: Shapes, lambdas: Sequence[float]) -> list[float]:
    """Return the paper's density per layer, min(1, lambda_l (n_l + n_{l-1}) / (n_l n_{l-1})).

    Sokar et al. 2022, section 4, "Sparse topology initialization".

    Args:
        shapes: (n_out, n_in) of every layer, from the input to the output.
        lambdas: lambda_l of every layer, or of every layer but the last, which is then dense.

    Returns:
        One density in (0, 1] per layer.

    Raises:
        ValueError: a wrong number of lambdas, one that is not positive, or layers left without connections.
    """
    _check_shapes(shapes)
    if len(lambdas) not in (len(shapes) - 1, len(shapes)):
        raise ValueError(
            f"{len(lambdas)} lambdas for {len(shapes)} layers:\n{_table(shapes, [nan] * len(shapes))}\n"
            f"Give {len(shapes) - 1} (the output layer is then dense) or {len(shapes)}."
        )
    result = [
        min(1.0, scale * (n_out + n_in) / (n_out * n_in)) for scale, (n_out, n_in) in zip(lambdas, shapes, strict=False)
    ]
    result += [1.0] * (len(shapes) - len(result))
    if not all(0 < scale < inf for scale in lambdas):
        raise ValueError(
            f"every lambda must be positive and finite, got {tuple(lambdas)}:\n{_table(shapes, result)}\n"
            "Typical: 7 to 64; about 1 is the least that leaves every unit an input."
        )
    return _possible(f"lambdas {tuple(lambdas)}", shapes, result, "Raise the lambda of this layer.")


def erdos_renyi_for_sparsity(shapes: Shapes, sparsity: float) -> list[float]:
    """Return Erdos-Renyi densities eps (n_l + n_{l-1}) / (n_l n_{l-1}) of which the whole network has `sparsity`.

    Layers that would be denser than dense are dense, and eps is solved again over the others. All layers take part, the
    output layer too. A network repeated side by side (both critics) gets the densities of one: there is one eps anyhow.

    Args:
        shapes: (n_out, n_in) of every layer.
        sparsity: share of absent connections in all layers together, in [0, 1).

    Returns:
        One density in (0, 1] per layer; sum of density * n_out * n_in = (1 - sparsity) * sum of n_out * n_in.

    Raises:
        ValueError: sparsity out of range, or layers left without connections.
    """
    _check_sparsity(shapes, sparsity)
    left = (1 - sparsity) * sum(n_out * n_in for n_out, n_in in shapes)
    sparse = set(range(len(shapes)))
    result = [1.0] * len(shapes)
    while sparse:
        eps = left / sum(sum(shapes[layer]) for layer in sparse)
        for layer in sparse:
            n_out, n_in = shapes[layer]
            result[layer] = eps * (n_out + n_in) / (n_out * n_in)
        saturated = {layer for layer in sparse if result[layer] > 1 - 1e-9}  # dense but for rounding is dense
        if not saturated:
            break
        for layer in saturated:
            result[layer] = 1.0
        sparse -= saturated
        left -= sum(shapes[layer][0] * shapes[layer][1] for layer in saturated)
    return _possible(f"sparsity {sparsity}", shapes, result, "Lower the sparsity, or make the hidden layers wider.")


def uniform(shapes: Shapes, sparsity: float) -> list[float]:
    """Return the same density, 1 - sparsity, for every layer.

    Args:
        shapes: (n_out, n_in) of every layer.
        sparsity: share of absent connections, in [0, 1).

    Returns:
        One density in (0, 1] per layer.

    Raises:
        ValueError: sparsity out of range, or layers left without connections.
    """
    _check_sparsity(shapes, sparsity)
    return _possible(
        f"uniform sparsity {sparsity}",
        shapes,
        [1.0 - sparsity] * len(shapes),
        "Lower the sparsity, or use the erdos-renyi distribution, which keeps small layers denser.",
    )


def with_connectivity(shapes: Shapes, start: Sequence[float], sparsity: float) -> list[float]:
    """Return densities to grow to, by how many connections each layer lacks to be connected (Jin et al. 2026).

    A random graph of N nodes is connected from about N ln(N) / 2 edges on; the nodes of a layer are its inputs and
    outputs. What is added to the network is split in proportion to what the layers lack, as far as there is room in
    them; where none lacks any, in proportion to N, as by Erdos-Renyi.

    Args:
        shapes: (n_out, n_in) of every layer.
        start: density of every layer before.
        sparsity: share of absent connections afterwards, in all layers together.

    Returns:
        One density per layer, none below that at the start.

    Raises:
        ValueError: sparsity out of range, or layers left without connections.
    """
    _check_sparsity(shapes, sparsity)
    nodes, places = [n_out + n_in for n_out, n_in in shapes], [n_out * n_in for n_out, n_in in shapes]
    live = [density * count for density, count in zip(start, places, strict=True)]
    left = (1 - sparsity) * sum(places) - sum(live)
    while left > 1e-9 * sum(places):
        room = [count - has if has < count * (1 - 1e-9) else 0.0 for count, has in zip(places, live, strict=True)]
        floors = [min(n * log(n) / 2, count) for n, count in zip(nodes, places, strict=True)]
        lack = [max(0.0, floor - has) if free else 0.0 for floor, has, free in zip(floors, live, room, strict=True)]
        need = lack if any(lack) else [n if free else 0 for n, free in zip(nodes, room, strict=True)]
        gained = [min(left * share / sum(need), free) for share, free in zip(need, room, strict=True)]
        live = [has + more for has, more in zip(live, gained, strict=True)]
        left -= sum(gained)
    return _possible(
        f"sparsity {sparsity} by connectivity",
        shapes,
        [has / count for has, count in zip(live, places, strict=True)],
        "Lower the sparsity, or make the hidden layers wider.",
    )


def by_layer(shapes: Shapes, sparsities: Sequence[float]) -> list[float]:
    """Return the density of every layer, given its sparsity.

    Args:
        shapes: (n_out, n_in) of every layer.
        sparsities: share of absent connections of each, in [0, 1).

    Returns:
        One density in (0, 1] per layer.

    Raises:
        ValueError: there are more or fewer sparsities than layers, or a layer is left without connections.
    """
    _check_shapes(shapes)
    if len(sparsities) != len(shapes):
        raise ValueError(
            f"{len(sparsities)} layer_sparsities for a network of {len(shapes)} layers:\n"
            f"{_table(shapes, [nan] * len(shapes))}\nGive one for each layer, the output layer included."
        )
    remedy = "Lower the sparsity of this layer."
    return _possible(f"layer_sparsities {tuple(sparsities)}", shapes, [1 - value for value in sparsities], remedy)


def shares_of_best(scores: Sequence[NDArray[np.floating[Any]]], count: int) -> list[int]:
    """Return how many connections each layer has of those with the highest scores of a whole network (Lee et al. 2019).

    Args:
        scores: of the connections of each layer, in the order of their places.
        count: how many there are to be in all layers together, at least one for each of them.

    Returns:
        One number per layer, at least 1: of a layer with none among the best, the best one stays in place of the worst
        of the others. Of equal scores those further back count as higher.
    """
    ranked = np.concatenate([np.asarray(layer, dtype=np.float64) for layer in scores])
    ends = np.cumsum([len(layer) for layer in scores])
    best = [end - 1 - np.argmax(layer[::-1]) for layer, end in zip(scores, ends, strict=True)]
    others = np.delete(np.arange(len(ranked)), best)
    drop = np.zeros(len(ranked), dtype=np.bool_)
    if count < len(ranked):
        drop[others[lowest(ranked[others], len(ranked) - count)]] = True
    return [int(np.count_nonzero(~layer)) for layer in np.split(drop, ends[:-1])]


def _possible(setting: str, shapes: Shapes, result: list[float], remedy: str) -> list[float]:
    """Refuse a layer most of whose units would have no input; single such units are usual in a random topology."""
    for number, ((_, n_in), density) in enumerate(zip(shapes, result, strict=True), start=1):
        if (1 - density) ** n_in > 0.5:
            raise ValueError(
                f"{setting} leaves most units of layer {number} without any input:\n{_table(shapes, result)}\n{remedy}"
            )
    return result


def _check_shapes(shapes: Shapes) -> None:
    if not shapes or any(n_out < 1 or n_in < 1 for n_out, n_in in shapes):
        raise ValueError(f"a network needs layers of at least one input and one output unit, got shapes {list(shapes)}")


def _check_sparsity(shapes: Shapes, sparsity: float) -> None:
    _check_shapes(shapes)
    if not 0 <= sparsity < 1:
        raise ValueError(
            f"sparsity must be at least 0 (dense) and below 1, got {sparsity}:\n"
            f"{_table(shapes, [1 - sparsity] * len(shapes))}\nTypical: 0.5 to 0.95."
        )


def _table(shapes: Shapes, result: Sequence[float]) -> str:
    """Lay the layers out in lines; a density that is not known (NaN) is left open."""
    lines = [f"  {'layer':<7}{'shape':<14}{'density':>8}{'connections':>13}{'inputs per unit':>17}"]
    for number, ((n_out, n_in), density) in enumerate(zip(shapes, result, strict=True), start=1):
        cells = ("?", "?", "?")
        if density == density:
            cells = (f"{density:.4f}", f"{density * n_out * n_in:.0f}", f"{density * n_in:.2f}")
        lines.append(f"  {number:<7}{f'{n_out} x {n_in}':<14}{cells[0]:>8}{cells[1]:>13}{cells[2]:>17}")
    return "\n".join(lines)
