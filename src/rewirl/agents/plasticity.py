"""What says whether networks can still learn: dormant units, the rank of what they compute, the size of weights."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from threading import Lock
from typing import Any

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import ThreadpoolController  # type: ignore[import-untyped]

from rewirl.agents.dormancy import dormant_share
from rewirl.nn import Ensemble, Linear, Network, Tiles
from rewirl.nn.operations import named

DORMANT = 0.025
"""Score up to which a unit counts as dormant."""

MEASURES = ("dormant", "effective_rank", "weight_norm")
"""What is measured of every network."""

_NAME = re.compile(rf"(?P<network>.+)_(?P<measure>{'|'.join(MEASURES)})")

_ONE_AT_A_TIME = Lock()
"""The number of BLAS's threads is one of the whole process: put back by whoever changed it before another does."""

_SHARE = 0.99
"""Of the sum of all singular values, which those that count have together."""


def measured(ensemble: Ensemble, number: int, weights: Tiles) -> dict[str, float]:
    """Return the measures of a network on a batch.

    Args:
        ensemble: after a pass.
        number: of the network in it.
        weights: of the samples of that batch, 0 for padding, float32 [tiles, 1, width].

    Returns:
        `dormant`, the share of hidden units whose mean activation is at most DORMANT of their layer's;
        `effective_rank` of what the last linear layer reads, at most the number of samples; `weight_norm`.
    """
    result = {"dormant": dormant_share(ensemble, number, weights, DORMANT)}
    network = ensemble.networks[number]
    representation = _representation(network)
    if representation is not None:
        features = ensemble.value(number, representation).transpose(1, 0, 2)
        result["effective_rank"] = effective_rank(features[:, weights[:, 0] != 0])
    return {**result, "weight_norm": weight_norm(network)}


def measures_in(diagnostics: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Return the measures that are among diagnostics, by network and measure.

    Earlier versions recorded the share of dormant units alone; networks without all measures are left out.

    Args:
        diagnostics: by name, such as actor_dormant.
    """
    found: dict[str, dict[str, Any]] = {}
    for name, value in diagnostics.items():
        if match := _NAME.fullmatch(name):
            found.setdefault(match["network"], {})[match["measure"]] = value
    return {name: measures for name, measures in found.items() if len(measures) == len(MEASURES)}


def effective_rank(features: NDArray[np.float32]) -> float:
    """Return srank(features) of Kumar et al. 2021, the k of the smallest rank that is nearly all of a matrix.

    min k such that sum_{i <= k} sigma_i >= 0.99 sum_i sigma_i, with sigma its singular values, the largest first.

    Args:
        features: float32 [units, samples].

    Returns:
        A whole number; 0 for a matrix of zeros, not a number for one that is not finite.
    """
    matrix = features.astype(np.float64)
    if not np.isfinite(matrix).all():
        return float("nan")
    matrix = matrix if matrix.shape[0] <= matrix.shape[1] else matrix.T
    # With threads of its own BLAS would use cores beyond `threads`. Where all are busy, as in a sweep, its threads wait
    # for each other: seconds instead of milliseconds.
    with _ONE_AT_A_TIME, _thread_pools().limit(limits=1, user_api="blas"):
        squares = np.linalg.eigvalsh(matrix @ matrix.T)[::-1]
    sums = np.cumsum(np.sqrt(np.maximum(squares, 0)))
    return float(np.searchsorted(sums, _SHARE * sums[-1]) + 1) if sums[-1] > 0 else 0.0


def weight_norm(network: Network) -> float:
    """Return the Euclidean norm of the weights of all connections, biases left out."""
    return float(np.sqrt(sum(np.square(layer.values, dtype=np.float64).sum() for layer in network.layers)))


@cache
def _thread_pools() -> ThreadpoolController:
    """Return those of the libraries that are loaded; to find them takes milliseconds."""
    return ThreadpoolController()


def _representation(network: Network) -> str | None:
    """Return the operation that makes what the last linear one reads; None if that is the input."""
    listed = named(network.operations)
    reads = [reads[0] for operation, _, reads in listed if isinstance(operation, Linear)]
    return listed[reads[-1] - 1].name if reads and reads[-1] else None
