"""torch.sparse: a CSR matrix times dense activations (MKL's sparse BLAS on x86), and the sampled product of gradients.

Activations are [features, batch], which suits a CSR matrix; nothing is transposed in the time measured, and the
transposed weights are at hand for the gradient of the inputs.
"""

from __future__ import annotations

from typing import Any

import numpy as np


class TorchCsr:
    packages = ("torch", "scipy")

    def __init__(self, specification: dict[str, Any]) -> None:
        import scipy.sparse
        import torch

        torch.set_num_threads(specification["threads"])
        width, batch_size = specification["width"], specification["batch_size"]
        rng = np.random.default_rng(0)
        inputs, gradients, outputs, input_gradients = (
            torch.from_numpy(rng.standard_normal((width, batch_size), dtype=np.float32)) for _ in range(4)
        )

        def csr(matrix: Any) -> Any:
            parts = (matrix.indptr, matrix.indices, matrix.data)
            return torch.sparse_csr_tensor(*map(torch.from_numpy, parts), size=matrix.shape, check_invariants=True)

        def kernels(density: float) -> dict[str, Any]:
            matrix = scipy.sparse.random(width, width, density, format="csr", dtype=np.float32, random_state=0)
            weights, transposed, weight_gradient_ = csr(matrix), csr(matrix.T.tocsr()), csr(matrix.copy())

            def forward() -> int:
                torch.addmm(outputs, weights, inputs, beta=0, out=outputs)
                return 1

            def input_gradient() -> int:
                torch.addmm(input_gradients, transposed, gradients, beta=0, out=input_gradients)
                return 1

            def weight_gradient() -> int:
                torch.sparse.sampled_addmm(weights, gradients, inputs.T, beta=0, out=weight_gradient_)
                return 1

            def all_three() -> int:
                forward()
                input_gradient()
                return weight_gradient()

            all_three()
            expected = {
                "forward": (outputs, matrix @ inputs.numpy()),
                "input gradient": (input_gradients, matrix.T @ gradients.numpy()),
                "weight gradient": (
                    weight_gradient_.values(),
                    np.einsum("cb,cb->c", gradients.numpy()[matrix.tocoo().row], inputs.numpy()[matrix.tocoo().col]),
                ),
            }
            for kernel, (computed, correct) in expected.items():
                if not np.allclose(computed.numpy(), correct, rtol=1e-3, atol=1e-3):
                    raise RuntimeError(f"torch's {kernel} is something else than the product")
            return {
                "forward": forward,
                "input gradient": input_gradient,
                "weight gradient": weight_gradient,
                "all three": all_three,
            }

        self.tasks = {
            f"{kernel} {d:g}": task for d in specification["densities"] for kernel, task in kernels(d).items()
        }
        self.facts = {"connections": None}
        self.versions = {"torch sparse BLAS": "MKL" if torch.backends.mkl.is_available() else "none"}

    def warm_up(self) -> None:
        for task in self.tasks.values():
            task()
            task()


KINDS = {"torch": TorchCsr}
