"""Linear layers of PyTorch: a square layer with bias, forward, and forward and backward with all three gradients."""

from __future__ import annotations

import warnings
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any


class TorchLayers(ABC):
    def __init__(self, specification: dict[str, Any]) -> None:
        import torch

        warnings.filterwarnings("ignore", message="Sparse CSR tensor support is in beta")
        torch.set_num_threads(specification["threads"])
        torch.manual_seed(0)
        width, batch_size = specification["width"], specification["batch_size"]
        x = torch.randn(batch_size, width, requires_grad=True)
        gradient = torch.randn(batch_size, width)

        def tasks_of(layer: Any) -> tuple[Callable[[], int], Callable[[], int]]:
            parameters = [x, *layer.parameters()]

            def forward() -> int:
                with torch.no_grad():
                    layer(x)
                return 1

            def both() -> int:
                for parameter in parameters:
                    parameter.grad = None
                layer(x).backward(gradient)
                return 1

            both()
            if not all(parameter.grad is not None for parameter in parameters):
                raise RuntimeError("the layer has no gradient of an input or a parameter")
            return forward, both

        self.tasks: dict[str, Callable[[], int]] = {}
        for sparsity in specification["sparsities"]:
            layer = self.layer(width, sparsity)
            self.tasks[f"forward {sparsity:g}"], self.tasks[f"both {sparsity:g}"] = tasks_of(layer)
        self.facts: dict[str, Any] = {"connections": None}

    @abstractmethod
    def layer(self, width: int, sparsity: float) -> Any:
        """Return a module of PyTorch, [samples, width] to [samples, width]."""

    def warm_up(self) -> None:
        for task in self.tasks.values():
            task()


class Dense(TorchLayers):
    packages = ("torch",)

    def layer(self, width: int, sparsity: float) -> Any:
        from torch import nn

        return nn.Linear(width, width)


class Rewirl(TorchLayers):
    packages = ("torch", "rewirl")

    def __init__(self, specification: dict[str, Any]) -> None:
        self.structure = specification["structure"]
        super().__init__(specification)

    def layer(self, width: int, sparsity: float) -> Any:
        from rewirl.torch import SparseLinear

        return SparseLinear(width, width, sparsity, structure=self.structure, seed=0)


class Sparselab(TorchLayers):
    packages = ("torch", "sparselab")

    def layer(self, width: int, sparsity: float) -> Any:
        import sparselab

        return sparselab.SparseLinear(width, width, sparsity=sparsity)


class Csr(TorchLayers):
    """torch.sparse.mm with a CSR matrix, the one product of torch.sparse whose gradient is sparse too."""

    packages = ("torch",)

    def layer(self, width: int, sparsity: float) -> Any:
        import torch
        from torch import nn

        class Layer(nn.Module):
            def __init__(self) -> None:
                super().__init__()
                mask = torch.rand(width, width) >= sparsity
                self.weight = nn.Parameter((torch.randn(width, width) * mask).to_sparse_csr())
                self.bias = nn.Parameter(torch.zeros(width))

            def forward(self, x: Any) -> Any:
                return torch.sparse.mm(self.weight, x.T).T + self.bias

        return Layer()


KINDS = {"dense": Dense, "rewirl": Rewirl, "sparselab": Sparselab, "csr": Csr}
