"""scipy.sparse: a CSR matrix times dense activations, by loops of its own; it has no product sampled at connections.

Activations are [features, batch], which suits a CSR matrix; the transposed weights are at hand for the gradient of the
inputs.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy.sparse


class ScipyCsr:
    packages = ("scipy", "numpy")

    def __init__(self, specification: dict[str, Any]) -> None:
        width, batch_size = specification["width"], specification["batch_size"]
        rng = np.random.default_rng(0)
        inputs, gradients = (rng.standard_normal((width, batch_size), dtype=np.float32) for _ in range(2))

        def kernels(density: float) -> dict[str, Any]:
            weights = scipy.sparse.random_array(
                (width, width), density=density, format="csr", dtype=np.float32, rng=np.random.default_rng(0)
            )
            transposed = weights.T.tocsr()

            def forward() -> int:
                weights @ inputs
                return 1

            def input_gradient() -> int:
                transposed @ gradients
                return 1

            return {"forward": forward, "input gradient": input_gradient}

        self.tasks = {
            f"{kernel} {d:g}": task for d in specification["densities"] for kernel, task in kernels(d).items()
        }
        self.facts = {"connections": None}

    def warm_up(self) -> None:
        for task in self.tasks.values():
            task()
            task()


KINDS = {"scipy": ScipyCsr}
