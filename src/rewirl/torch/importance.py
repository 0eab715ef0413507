"""How much a model makes of each of its inputs."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from rewirl.torch.linear import SparseLinear


def strength(layer: SparseLinear) -> Tensor:
    """Return the strength of each input of a layer (Atashgahi et al. 2022, QuickSelection).

    s_i = sum_j |w_ji|. In a first layer that is rewired, inputs that say nothing lose their connections.

    Args:
        layer: the first one of a model.

    Returns:
        float32 [in_features].

    Raises:
        TypeError: the layer is of another kind.
    """
    if not isinstance(layer, SparseLinear):
        raise TypeError(
            f"strength is of a SparseLinear, got {type(layer).__name__}; make it one with SparseLinear.from_dense("
            "layer.weight, layer.bias), or take attribution(model, x)"
        )
    columns = layer.indices % layer.in_features
    return layer.values.new_zeros(layer.in_features).index_add_(0, columns, layer.values.detach().abs())


def attribution(model: nn.Module, x: Tensor) -> Tensor:
    """Return the mean absolute gradient of the outputs by each input (Atashgahi et al. 2024).

    a_i = mean over samples of sum_k |d y_k / d x_i|

    Args:
        model: takes x and returns y, float [samples, outputs]. It is computed in evaluation mode, whatever its own: a
            batch norm that is in training would mix the samples, and their gradients add up to 0.
        x: float [samples, inputs].

    Returns:
        float [inputs].

    Raises:
        ValueError: y is not [samples, outputs] or has no gradient by x; or x is not such or has no sample.
    """
    if x.ndim != 2 or len(x) == 0 or not x.is_floating_point():
        raise ValueError(f"x must be float [samples, inputs] of one sample or more, got {x.dtype} {list(x.shape)}")
    with torch.inference_mode(False), torch.enable_grad(), _evaluating(model):
        x = x.detach().clone().requires_grad_()  # a copy, as nothing made in inference mode has gradients
        y = model(x)
        if y.ndim != 2 or len(y) != len(x):
            raise ValueError(f"a model of [samples, outputs] is needed, this one returned {list(y.shape)}")
        total, reached = torch.zeros_like(x), False
        for output in y.sum(dim=0) if y.requires_grad else ():
            (gradient,) = torch.autograd.grad(output, x, retain_graph=True, allow_unused=True)
            if gradient is not None:
                total += gradient.abs()
                reached = True
        if not reached:
            raise ValueError(
                "the model's outputs have no gradient by x; take out its no_grad, detach or inference_mode"
            )
    return total.mean(dim=0)


@contextmanager
def _evaluating(model: nn.Module) -> Iterator[None]:
    """Put all modules of a model into evaluation mode, and each back into its own."""
    training = [module for module in model.modules() if module.training]
    model.eval()
    try:
        yield
    finally:
        for module in training:
            module.training = True
