"""A policy as an ONNX model. Needs the package onnx.

Operators are those of opset 13, so that older runtimes and converters take it. Every name in the model is made here.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx  # type: ignore[import-not-found,unused-ignore]
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper  # type: ignore[import-not-found,unused-ignore]

from rewirl.export.plan import (
    Box,
    ConstantStep,
    Floats,
    LayerNormStep,
    LinearStep,
    NormalStep,
    PairStep,
    Plan,
    ReLUStep,
    Step,
    TanhStep,
)
from rewirl.export.text import comment
from rewirl.export.weights import Weights, smallest

OPSET = 13
IR_VERSION = 7
"""Of the file format: the one that came with the opset."""

OBSERVATION, ACTION = "observation", "action"


def onnx_model(plan: Plan) -> bytes:
    """Return a policy as an ONNX file: `observation`, float32 [batch, n_in], becomes `action`, within its bounds.

    `action` is float32 [batch, n_out], or int64 [batch] where actions are choices.

    Args:
        plan: the policy.
    """
    return _Model(plan).file()


class _Model:
    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._nodes: list[Any] = []
        self._constants: list[Any] = []
        self._values = [OBSERVATION]

    def file(self) -> bytes:
        plan = self._plan
        for index, step in enumerate(plan.steps):
            made = self._step(f"step{index + 1}", step, [self._values[read] for read in step.reads])
            self._values.append(made)
        self._head(self._values[-1], plan.features(len(plan.steps)))
        box = isinstance(plan.head, Box)
        kind = TensorProto.FLOAT if box else TensorProto.INT64
        shape: list[str | int | None] = ["batch", plan.n_out] if box else ["batch"]
        graph = helper.make_graph(
            self._nodes,
            "policy",
            [helper.make_tensor_value_info(OBSERVATION, TensorProto.FLOAT, ["batch", plan.n_in])],
            [helper.make_tensor_value_info(ACTION, kind, shape)],
            self._constants,
        )
        model = helper.make_model(
            graph,
            opset_imports=[helper.make_opsetid("", OPSET)],
            ir_version=IR_VERSION,
            producer_name="rewirl",
            doc_string="\n".join(map(comment, plan.about)),
        )
        onnx.checker.check_model(model, full_check=True)
        written: bytes = model.SerializeToString()
        return written

    def _node(self, kind: str, name: str, *of: str, **attributes: Any) -> str:
        """Append a node and return what its output is called."""
        self._nodes.append(helper.make_node(kind, list(of), [name], name=f"{name}_node", **attributes))
        return name

    def _constant(self, name: str, values: NDArray[Any]) -> str:
        self._constants.append(numpy_helper.from_array(np.ascontiguousarray(values), name))
        return name

    def _step(self, name: str, step: Step, of: list[str]) -> str:
        """Append a step and return what its value is called."""
        match step:
            case LinearStep():
                bias = [] if step.bias is None else [self._constant(f"{name}_bias", step.bias)]
                return self._node("Gemm", name, of[0], self._weights(name, step), *bias, transB=1)
            case NormalStep():
                centred = self._node("Sub", f"{name}_centred", of[0], self._constant(f"{name}_mean", step.mean))
                return self._affine(name, centred, step.factor, step.shift)
            case LayerNormStep():
                mean = self._node("ReduceMean", f"{name}_mean", of[0], axes=[1])
                centred = self._node("Sub", f"{name}_centred", of[0], mean)
                square = self._node("Mul", f"{name}_square", centred, centred)
                variance = self._node("ReduceMean", f"{name}_variance", square, axes=[1])
                epsilon = self._constant(f"{name}_eps", np.array(step.eps, np.float32))
                root = self._node("Sqrt", f"{name}_root", self._node("Add", f"{name}_sum", variance, epsilon))
                if step.scale is None:
                    return self._node("Div", name, centred, root)
                normal = self._node("Div", f"{name}_normal", centred, root)
                return self._affine(name, normal, step.scale, step.shift)
            case ReLUStep():
                if step.slope == 0:
                    return self._node("Relu", name, of[0])
                return self._node("LeakyRelu", name, of[0], alpha=step.slope)
            case TanhStep():
                return self._node("Tanh", name, of[0])
            case PairStep():
                return self._node("Mul" if step.times else "Add", name, *of)
            case ConstantStep():
                return self._constant(name, step.values[np.newaxis])  # for every observation of a batch
        raise TypeError(f"no step {type(step).__name__}")

    def _affine(self, name: str, of: str, factor: Floats, shift: Floats | None) -> str:
        factors = self._constant(f"{name}_factor", factor)
        if shift is None:
            return self._node("Mul", name, of, factors)
        scaled = self._node("Mul", f"{name}_scaled", of, factors)
        return self._node("Add", name, scaled, self._constant(f"{name}_shift", shift))

    def _weights(self, name: str, step: LinearStep) -> str:
        """Store weights, [n_out, n_in], and return what they are called as float32."""
        weights = step.weights
        matrix = f"{name}_weights" if weights.scales is None else f"{name}_int8"
        self._matrix(matrix, weights)
        if weights.scales is None:
            return matrix
        scales = self._constant(f"{name}_scales", weights.scales)
        return self._node("DequantizeLinear", f"{name}_weights", matrix, scales, axis=0)

    def _matrix(self, name: str, weights: Weights) -> None:
        """Store the matrix of this name: dense, or as values and places that are scattered over zeros.

        That takes fewer bytes than ONNX's own sparse tensors, whose places have 64 bits, and every runtime knows it.
        """
        n_out, n_in = weights.shape
        rows, columns, values = weights.stored()
        places = smallest(rows * n_in + columns, n_out * n_in - 1)
        if values.nbytes + places.nbytes >= n_out * n_in * values.itemsize:
            matrix = np.zeros((n_out, n_in), values.dtype)
            matrix[rows, columns] = values
            self._constant(name, matrix)
            return
        size = self._constant(f"{name}_size", np.array([n_out * n_in]))
        nothing = numpy_helper.from_array(np.zeros(1, values.dtype))
        zeros = self._node("ConstantOfShape", f"{name}_zeros", size, value=nothing)
        stored = self._constant(f"{name}_places", places)
        where = self._node("Cast", f"{name}_where", stored, to=TensorProto.INT64)
        given = self._constant(f"{name}_values", values)
        flat = self._node("ScatterElements", f"{name}_flat", zeros, where, given, axis=0)
        self._node("Reshape", name, flat, self._constant(f"{name}_shape", np.array([n_out, n_in])))

    def _head(self, raw: str, features: int) -> None:
        plan, head = self._plan, self._plan.head
        if features > plan.n_out:
            cut = {"start": 0, "end": plan.n_out, "axis": 1}
            at = [self._constant(f"head_{word}", np.array([number])) for word, number in cut.items()]
            raw = self._node("Slice", "head_outputs", raw, *at)
        if isinstance(head, Box):
            output = self._node("Tanh", "head_tanh", raw) if head.squashed else raw
            mapped = self._affine("head_mapped", output, head.half, head.centre)
            above = self._node("Max", "head_above", mapped, self._constant("head_low", head.low))
            self._node("Min", ACTION, above, self._constant("head_high", head.high))
        else:
            best = self._node("ArgMax", "head_best", raw, axis=1, keepdims=0)
            self._node("Add", ACTION, best, self._constant("head_start", np.array(head.start, np.int64)))
