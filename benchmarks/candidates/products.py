"""The dense matrix products of one TD3 update and nothing else, each one call of a library."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import Any

import numpy as np

from rewirl.bench import blas
from rewirl.bench.synthetic import ACTION_SIZE, HIDDEN_SIZES, OBSERVATION_SIZE


class Products:
    """The products by one of `blas.libraries`.

    Args:
        specification: `batch_size`, `threads`, and `library`, the number among those installed.
    """

    packages = ("numpy", "torch")

    def __init__(self, specification: dict[str, Any]) -> None:
        library = blas.libraries(specification["threads"])[specification["library"]]
        rng = np.random.default_rng(0)

        def matrix(rows: int, columns: int) -> Any:
            return library.array(rng.standard_normal((rows, columns), dtype=np.float32))

        def prepare(product: tuple[str, int, int, str]) -> Callable[[], object]:
            network, n_in, n_out, kind = product
            batch_size = specification["batch_size"]
            weights = parameters.setdefault((network, n_in, n_out), matrix(n_out, n_in))
            inputs, outputs = matrix(batch_size, n_in), matrix(batch_size, n_out)
            left, right, result = {
                "forward": (inputs, weights.T, outputs),
                "weight gradient": (outputs.T, inputs, matrix(n_out, n_in)),
                "input gradient": (outputs, weights, inputs),
            }[kind]
            return lambda: library.multiply(left, right, result)

        parameters: dict[tuple[str, int, int], Any] = {}
        critic_products = [prepare(product) for product in products_of_critic_update()]
        actor_products = [prepare(product) for product in products_of_actor_update()]
        two_updates = [*critic_products, *critic_products, *actor_products]  # every second update has the actor's

        def update() -> int:
            for multiply in two_updates:
                multiply()
            return 2

        self.tasks = {"update": update}
        self.facts = {"connections": None, "library": library.name}

    def warm_up(self) -> None:
        for _ in range(100):
            self.tasks["update"]()


def products_of_critic_update() -> Iterator[tuple[str, int, int, str]]:
    """Yield (network, n_in, n_out, kind) of every product in TD3's update of both critics."""
    for network in ("target actor", "target critic 1", "target critic 2", "critic 1", "critic 2"):
        for n_in, n_out in layers(network):
            yield network, n_in, n_out, "forward"
    for network in ("critic 1", "critic 2"):
        for place, (n_in, n_out) in enumerate(layers(network)):
            yield network, n_in, n_out, "weight gradient"
            if place > 0:
                yield network, n_in, n_out, "input gradient"


def products_of_actor_update() -> Iterator[tuple[str, int, int, str]]:
    """Yield (network, n_in, n_out, kind) of every product in TD3's actor update, which every second update has."""
    for network in ("actor", "critic 1"):
        for n_in, n_out in layers(network):
            yield network, n_in, n_out, "forward"
    for place, (n_in, n_out) in enumerate(layers("critic 1")):
        # Of the critic's inputs only the action needs a gradient.
        yield "critic 1", ACTION_SIZE if place == 0 else n_in, n_out, "input gradient"
    for place, (n_in, n_out) in enumerate(layers("actor")):
        yield "actor", n_in, n_out, "weight gradient"
        if place > 0:
            yield "actor", n_in, n_out, "input gradient"


def layers(network: str) -> list[tuple[int, int]]:
    """Return (n_in, n_out) of each layer of an actor or a critic."""
    n_in, n_out = (OBSERVATION_SIZE, ACTION_SIZE) if "actor" in network else (OBSERVATION_SIZE + ACTION_SIZE, 1)
    return list(pairwise([n_in, *HIDDEN_SIZES, n_out]))


KINDS = {"products": Products}
