"""SparseProp's kernels for linear layers (Nikdan et al. 2023, AVX2), called as its layer calls them.

Activations are [features, batch], as the kernels take them; the transposes with which its layer surrounds them are left
out. Its backward kernel computes both gradients at once. Both kernels add to their result, so they include zeroing it.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy.sparse


class SparseProp:
    packages = ("sparseprop", "numpy")

    def __init__(self, specification: dict[str, Any]) -> None:
        from sparseprop import backend

        width, batch_size = specification["width"], specification["batch_size"]
        rng = np.random.default_rng(0)
        inputs, gradients, outputs, input_gradients = (
            rng.standard_normal((width, batch_size), dtype=np.float32) for _ in range(4)
        )

        def kernels(density: float) -> dict[str, Any]:
            matrix = scipy.sparse.random(width, width, density, format="csr", dtype=np.float32, random_state=0)
            rows, columns, values = matrix.indptr.astype(np.int32), matrix.indices.astype(np.int32), matrix.data
            weight_gradients = np.zeros_like(values)

            def forward() -> int:
                outputs.fill(0)
                backend.sparse_linear_vectorized_forward(inputs, rows, columns, values, outputs)
                return 1

            def backward() -> int:
                input_gradients.fill(0)
                backend.sparse_linear_vectorized_backward(
                    inputs, rows, columns, values, gradients, input_gradients, weight_gradients
                )
                return 1

            def all_three() -> int:
                forward()
                return backward()

            forward()
            backward()
            if not np.allclose(outputs, matrix @ inputs, rtol=1e-3, atol=1e-3):
                raise RuntimeError("SparseProp's forward kernel computed something else than the product")
            if not np.allclose(input_gradients, matrix.T @ gradients, rtol=1e-3, atol=1e-3):
                raise RuntimeError("SparseProp's backward kernel computed something else than the gradient")
            return {"forward": forward, "both gradients": backward, "all three": all_three}

        self.tasks = {
            f"{kernel} {d:g}": task for d in specification["densities"] for kernel, task in kernels(d).items()
        }
        self.facts = {"connections": None}

    def warm_up(self) -> None:
        for task in self.tasks.values():
            task()
            task()


KINDS = {"sparseprop": SparseProp}
