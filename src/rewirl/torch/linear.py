"""A linear layer of PyTorch that has values, gradients and optimiser state for its connections only."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.autograd.graph import increment_version

from rewirl.exact import exactly
from rewirl.topology.blocks import Blocks
from rewirl.topology.initial import random_topology
from rewirl.topology.structure import UNSTRUCTURED, structure_of
from rewirl.torch.compiled import CONNECTIONS, NUMBERS, operator
from rewirl.torch.functions import Connections, Observer, floats, sparse_linear
from rewirl.torch.uncompiled import uncompiled


class SparseLinear(nn.Module):
    """y = W x + b with a sparse W, in float32 on the CPU; the place of `torch.nn.Linear` in a model.

    `values`, float32 [connections], and `bias`, float32 [out_features], are parameters of any optimiser. The buffer
    `indices`, int64 [connections], says where each value is: row * in_features + column. It computes with
    PyTorch's threads, as many as `torch.get_num_threads()`. Results do not depend on their number.

    Args:
        in_features: number of inputs.
        out_features: number of outputs.
        sparsity: share of the weights that do not exist, in [0, 1). The connections are drawn at random.
        bias: whether there is one.
        structure: unstructured, or 4x1 or 8x1: blocks of 4 or 8 neighbouring outputs that have the same inputs, which
            computes faster. A layer too small for blocks is unstructured.
        seed: of the connections and the values; None takes one from PyTorch's generator, as `nn.Linear` does.

    Raises:
        ValueError: a size, the sparsity, the structure or the seed is impossible.
    """

    indices: Tensor
    bias: nn.Parameter | None

    def __init__(
        self,
        in_features: int,
        out_features: int,
        sparsity: float = 0.9,
        bias: bool = True,
        structure: str = UNSTRUCTURED,
        seed: int | None = None,
    ) -> None:
        in_features, out_features = exactly(int, in_features, "in_features"), exactly(int, out_features, "out_features")
        sparsity, seed = exactly(float, sparsity, "sparsity"), exactly(int | None, seed, "seed")
        if in_features < 1 or out_features < 1 or not 0 <= sparsity < 1:
            raise ValueError(
                f"a layer needs an input, an output and a sparsity of at least 0 and below 1, got {in_features} inputs,"
                f" {out_features} outputs and a sparsity of {sparsity}"
            )
        if seed is not None and seed < 0:
            raise ValueError(f"seed must not be negative, got {seed}")
        rng = np.random.default_rng(int(torch.randint(2**62, (), device="cpu")) if seed is None else seed)
        shape = (out_features, in_features)
        [indices] = random_topology([shape], [1 - sparsity], rng, _blocks(structure))
        if indices is None:
            indices = np.arange(out_features * in_features, dtype=np.int64)
        self._begin(shape, structure, indices, bias)
        with torch.no_grad():
            fan_in = np.maximum(np.bincount(self.indices.numpy() // in_features, minlength=out_features), 1)
            bound = 1 / np.sqrt(fan_in)
            of_values = bound[self.indices.numpy() // in_features]
            self.values.copy_(torch.from_numpy(rng.uniform(-of_values, of_values)))
            if self.bias is not None:
                self.bias.copy_(torch.from_numpy(rng.uniform(-bound, bound)))

    def _begin(self, shape: tuple[int, int], structure: str, indices: NDArray[np.int64], bias: bool) -> None:
        super().__init__()
        self.out_features, self.in_features = shape
        self._number, self._observer = next(NUMBERS), Observer()
        blocks = _blocks(structure)
        self.structure = structure if blocks and blocks.height_in(shape) > 1 else UNSTRUCTURED
        """Of the connections: unstructured, 4x1 or 8x1."""
        self.register_buffer("indices", torch.from_numpy(indices.copy()))
        self.connect()
        self.indices = self.indices[torch.from_numpy(self._connections.order.astype(np.int64))]
        self.connect()
        self.values = nn.Parameter(floats(len(indices)).zero_())
        self.register_parameter("bias", nn.Parameter(floats(shape[0]).zero_()) if bias else None)

    @classmethod
    def from_dense(
        cls, weight: Tensor, bias: Tensor | None = None, mask: Tensor | None = None, structure: str = UNSTRUCTURED
    ) -> SparseLinear:
        """Return a layer with the connections and values of a masked dense one.

        Args:
            weight: float [out_features, in_features].
            bias: float [out_features]; None for none.
            mask: of the connections, [out_features, in_features]; None for those of `weight` that are not 0.
            structure: of the mask, see `SparseLinear`.

        Raises:
            ValueError: shapes do not fit, or the mask is not in whole blocks.
        """
        mask = weight != 0 if mask is None else mask != 0
        if weight.ndim != 2 or mask.shape != weight.shape or (bias is not None and bias.shape != weight.shape[:1]):
            raise ValueError("weight and mask must be [out_features, in_features], and the bias [out_features]")
        layer = cls.__new__(cls)
        indices = mask.detach().cpu().reshape(-1).nonzero().squeeze(1).numpy()
        layer._begin((weight.shape[0], weight.shape[1]), structure, indices, bias is not None)
        with torch.no_grad():
            layer.values.copy_(weight.detach().reshape(-1)[layer.indices])
            if layer.bias is not None and bias is not None:
                layer.bias.copy_(bias)
        return layer

    @property
    def connections(self) -> int:
        """Number of connections."""
        return len(self.indices)

    @property
    def shape(self) -> tuple[int, int]:
        """(out_features, in_features)."""
        return self.out_features, self.in_features

    @property
    def blocks(self) -> Blocks | None:
        """The blocks that the connections are in; None for none."""
        return _blocks(self.structure)

    @property
    def _height(self) -> int:
        """How many neighbouring outputs share their inputs."""
        blocks = self.blocks
        return blocks.height_in(self.shape) if blocks else 1

    def dense(self) -> Tensor:
        """Return the weights as a dense matrix of their own, float32 [out_features, in_features]; for looking."""
        matrix = self.values.new_zeros(self.out_features * self.in_features)
        matrix[self.indices] = self.values.detach()
        return matrix.view(self.shape)

    def forward(self, x: Tensor) -> Tensor:
        """Return y for x.

        Args:
            x: float32 [..., in_features]; under `torch.autocast` of any float type.

        Returns:
            float32 [..., out_features].

        Raises:
            ValueError: the shape does not fit.
            TypeError: something is not float32 on the CPU, or the input no tensor.
        """
        if not isinstance(x, Tensor):
            raise TypeError(f"the input must be a tensor, got {type(x).__name__}")
        if torch.is_autocast_enabled("cpu"):
            x = x.float()
        for name, tensor in (("input", x), ("values", self.values), ("bias", self.bias)):
            if tensor is not None and (tensor.dtype != torch.float32 or tensor.device.type != "cpu"):
                raise TypeError(
                    f"SparseLinear computes in float32 on the CPU; its {name} has {tensor.dtype} on {tensor.device}. "
                    "Convert with .float().cpu()"
                )
        if x.shape[-1:] != (self.in_features,):
            raise ValueError(f"the input must be [..., {self.in_features}], got {list(x.shape)}")
        if self.values.shape != self.indices.shape:
            raise ValueError(f"{len(self.indices)} connections need as many values, got {list(self.values.shape)}")
        rows = x.reshape(-1, self.in_features).contiguous()
        if torch.compiler.is_compiling() or torch._C._get_tracing_state():
            layer = [*self.shape, self._height, self._number]
            y: Tensor = operator(rows, self.values, self.bias, self.indices, layer)
        else:
            y = self._computed(rows)
        return y.view(*x.shape[:-1], self.out_features)

    @uncompiled
    def _computed(self, rows: Tensor) -> Tensor:
        """Return y for x, float32 [samples, in_features], outside of a compiled graph."""
        if torch._C._are_functorch_transforms_active():
            raise RuntimeError(
                "SparseLinear takes no transforms of torch.func, such as grad, jvp or vmap; use backward, or "
                "torch.autograd.functional"
            )
        if not self._connections.are(self.indices):
            self.connect()  # they were written to, or others stand in for them
        return sparse_linear(rows, self.values, self.bias, self._connections)

    def connect(self) -> None:
        """Compute with the connections of `indices` from now on; `forward` does so where they have changed."""
        connections = Connections(self.shape, self.indices, self._height, self._observer)
        self._connections = CONNECTIONS[self._number] = connections

    def _replace_values(self, numbers: Tensor) -> None:
        """Go on with other values, however many; a backward pass through an earlier forward pass is refused."""
        self.values.grad = None
        if numbers.shape != self.values.shape:
            # What adds to `values.grad` lives as long as any loss of before, and expects as many numbers as there were.
            # A parameter that is given another dtype gets a new one.
            self.values.data = self.values.new_empty(0, dtype=torch.float64)
        self.values.data = numbers
        increment_version(self.values)

    @uncompiled
    @torch.inference_mode(False)
    def rewire(self, dropped: NDArray[np.int64], grown: NDArray[np.int64]) -> Tensor:
        """Drop connections and grow others of value 0; the gradient of the values is gone.

        Args:
            dropped: positions of connections in `indices`, int64 [dropped], distinct.
            grown: indices of new connections, int64 [grown], distinct and free.

        Returns:
            The position that each value had before, or -1 for a grown one, int64 [connections].

        Raises:
            ValueError: a grown connection exists, or blocks are no longer whole.
        """
        kept = np.delete(np.arange(self.connections), dropped)
        indices = np.concatenate([self.indices.numpy()[kept], grown])
        source = np.concatenate([kept, np.full(len(grown), -1)])
        order = Connections(self.shape, torch.from_numpy(indices), self._height).order
        moved = torch.from_numpy(source[order])
        self._connections.replaced = True
        self._replace_values(carried(self.values.data, moved))
        self.indices.data = torch.from_numpy(indices[order])  # the same buffer, which traced modules have too
        self.connect()
        return moved

    def extra_repr(self) -> str:
        """Return what `print` says of the layer."""
        return (
            f"in_features={self.in_features}, out_features={self.out_features}, connections={self.connections}, "
            f"bias={self.bias is not None}, structure={self.structure}"
        )

    @uncompiled
    @torch.inference_mode(False)  # what it makes is learnt with later
    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *rest: Any) -> None:
        """Take the connections of the saved layer first, however many; values and bias are loaded as always."""
        indices, values = (state_dict.get(prefix + name) for name in ("indices", "values"))
        shapes = [None if each is None else list(each.shape) for each in (indices, values)]
        if shapes[0] != shapes[1]:
            _, strict, missing, _, errors = rest
            lacking = prefix + ("indices" if shapes[0] is None else "values")
            if None in shapes and strict:
                missing.append(lacking)
            shown = ("missing" if shape is None else f"of shape {shape}" for shape in shapes)
            errors.append(
                f"{prefix}indices ({next(shown)}) say where {prefix}values ({next(shown)}) are; load both, or neither"
            )
            return
        if indices is not None:
            before, connected = self.indices.data, self._connections
            try:
                if indices.dtype != torch.int64 or indices.ndim != 1:
                    raise ValueError(f"it is {indices.dtype} {list(indices.shape)}, not int64 [connections]")
                self.indices.data = indices.detach().cpu().clone()
                self.connect()
            except ValueError as error:
                self.indices.data = before
                raise ValueError(f"the saved {prefix}indices cannot be loaded: {error}") from error
            if not torch.equal(self.indices, before):
                connected.replaced = True
                self._replace_values(self.values.new_zeros(len(indices)))
        super()._load_from_state_dict(state_dict, prefix, *rest)
        if self.indices is indices:  # by assign=True; `rewire` changes its own, never those of a state that others keep
            self.indices = indices.clone()

    def __getstate__(self) -> dict[str, Any]:
        """Return what a copy is made from: all but what it computes with, which is made anew."""
        own = ("_connections", "_number", "_observer")
        return {name: value for name, value in self.__dict__.items() if name not in own}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Become a copy."""
        super().__setstate__(state)  # type: ignore[no-untyped-call]
        self._number, self._observer = next(NUMBERS), Observer()
        self.connect()


def carried(tensor: Tensor, source: Tensor, grown: float = 0.0) -> Tensor:
    """Return what becomes of a tensor with a number for each value in a rewiring: `grown` where `source` is -1."""
    others = tensor.new_full((len(source),), grown)
    return torch.where(source >= 0, tensor[source.clamp(min=0)], others) if len(tensor) else others


def _blocks(structure: str) -> Blocks | None:
    if structure not in (UNSTRUCTURED, "4x1", "8x1"):
        raise ValueError(f"the structure of a SparseLinear is unstructured, 4x1 or 8x1, not {structure}")
    found = structure_of(structure)
    return found if isinstance(found, Blocks) else None
