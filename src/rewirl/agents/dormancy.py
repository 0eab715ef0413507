"""ReDo: find dormant units and reinitialise them (Sokar et al. 2023, The Dormant Neuron Phenomenon)."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from rewirl.agents.config import AgentConfig, setting
from rewirl.nn import Ensemble, Layer, LeakyReLU, Network, ReLU, Start, Tanh, Tiles
from rewirl.nn.operations import named
from rewirl.printing import option


def scores(ensemble: Ensemble, number: int, weights: Tiles) -> list[NDArray[np.float64]]:
    """Return how active each hidden unit was in the last batch, compared with its layer (definition 3.1), after its
    activation function.

    Args:
        ensemble: after a pass.
        number: of the network in it.
        weights: of the samples of that batch, 0 for padding, float32 [tiles, 1, width].

    Returns:
        For each activation function float64 [units], mean |h_i| over the batch divided by its mean over the units; all
        0 where all are silent.
    """
    layers = []
    for operation, name, _ in named(ensemble.networks[number].operations):
        if not isinstance(operation, ReLU | LeakyReLU | Tanh):
            continue
        hidden = ensemble.value(number, name)
        activity = np.einsum("tuw,tw->u", np.abs(hidden), weights[:, 0], dtype=np.float64)
        mean = activity.mean()
        layers.append(activity / mean if mean > 0 else np.zeros_like(activity))
    return layers


def dormant_share(ensemble: Ensemble, number: int, weights: Tiles, threshold: float) -> float:
    """Return the share of hidden units whose score is at most the threshold; arguments as of `scores`."""
    found = scores(ensemble, number, weights)
    return float((np.concatenate(found) <= threshold).mean()) if found else 0.0


def recycle(
    ensemble: Ensemble,
    number: int,
    weights: Tiles,
    threshold: float,
    start: Start,
    rng: np.random.Generator,
    frozen: Callable[[Layer], NDArray[np.bool_] | None] = lambda layer: None,
) -> int:
    """Reinitialise every dormant unit of a multilayer perceptron (Sokar et al. 2023, Algorithm 1), not its topology.

    See `reinitialise`; outgoing weights that lead to another dormant unit are drawn too. With a threshold of 0 the
    outputs of the network do not change. A unit without inputs, or with frozen ones alone, is left alone: it would be
    dormant again at once.

    Args:
        ensemble: after a pass.
        number: of the network in it.
        weights: see `scores`.
        threshold: units whose score is at most this are dormant.
        start: how the network began.
        rng: the random stream.
        frozen: returns which connections of a layer never change, bool [connections]; None for none.

    Returns:
        How many units were dormant.
    """
    recycled, network = 0, ensemble.networks[number]
    for index, score in enumerate(scores(ensemble, number, weights)):
        into = network.layers[index]
        units, stays = into.places() // into.shape[1], frozen(into)
        learns = np.bincount(units if stays is None else units[~stays], minlength=len(score)) > 0
        dormant = (score <= threshold) & learns
        if not dormant.any():
            continue
        recycled += int(dormant.sum())
        reinitialise(network, index, dormant, start, rng)
    return recycled


def reinitialise(
    network: Network, index: int, units: NDArray[np.bool_], start: Start, rng: np.random.Generator
) -> None:
    """Let units of a hidden layer of a multilayer perceptron begin again, within their connections.

    Incoming weights are drawn as at the start. The bias and outgoing weights become 0. Adam's moments of all of these
    become 0. Where ages count, all of these are as young as a connection that has just grown.

    Args:
        network: of the units.
        index: of the layer, from 0.
        units: which, bool [units].
        start: how the network began.
        rng: the random stream.
    """
    into, out_of = network.layers[index], network.layers[index + 1]
    incoming = units[into.places() // into.shape[1]]
    values = into.values.copy()
    values[incoming] = start.again(into, incoming, rng)
    into.set_values(values)
    into.bias[units] = 0
    outgoing = units[out_of.places() % out_of.shape[1]]
    values = out_of.values.copy()
    values[outgoing] = 0
    out_of.set_values(values)
    for moments, reset in ((into.moments, incoming), (into.bias_moments, units), (out_of.moments, outgoing)):
        for array in moments:
            array[reset] = 0
    for born, reset in ((into.born, incoming), (into.bias_born, units), (out_of.born, outgoing)):
        if len(born):
            born[reset] = network.steps


def refuse_replaced_units(config: AgentConfig, name: str) -> None:
    """Refuse options that recycle or replace hidden units of ReLUs.

    Args:
        config: of the agent.
        name: of its network that has no such units.

    Raises:
        ValueError: there is such an option; says what gives such units.
    """
    replaces = {"redo_every": "recycles", "cbp_replacement_rate": "replaces"}
    for asked, verb in replaces.items():
        if not getattr(config, asked):
            continue
        what = f"{option(asked)} {verb} hidden units of multilayer perceptrons of ReLUs"
        for chosen in ("activation", "hidden_layers"):
            made = setting(config, chosen, "relu")
            if made != "relu":
                raise ValueError(
                    f"{what}, and those of {name} are {made}; give {option(chosen)} relu, or leave {option(asked)} out"
                )
        raise ValueError(f"{what}, and {name} is none; leave {option(asked)} out")
