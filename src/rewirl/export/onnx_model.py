"""A policy as an ONNX model. Needs the package onnx.

Operators are those of opset 13, so that older runtimes and converters take it. Every name in the model is made here.

A runtime adds products in an order of its own, and in float32 that alone took actions up to 1.3e-5 of half their range
away, where outputs reach 100 before their tanh. So the network is computed in float64. What is stored stays float32.
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
    Precision,
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


def onnx_model(plan: Plan, precision: Precision = "float64") -> bytes:
    """Return a policy as an ONNX file: `observation`, float32 [batch, n_in], becomes `action`, within its bounds.

    `action` is float32 [batch, n_out], or int64 [batch] where actions are choices.

    Args:
        plan: the policy.
        precision: what the network is computed in, from the observation to its outputs.
    """
    return _Model(plan, precision).file()


class _Model:
    def __init__(self, plan: Plan, precision: Precision) -> None:
        self._plan, self._float64 = plan, precision == "float64"
        self._nodes: list[Any] = []
        self._constants: list[Any] = []
        self._values: list[str] = []

    def file(self) -> bytes:
        plan = self._plan
        self._values.append(self._computed(f"{OBSERVATION}_float64", OBSERVATION))
        for index, step in enumerate(plan.steps):
            made = self._step(f"step{index + 1}", step, [self._values[read] for read in step.reads])
            self._values.append(made)
        outputs = self._values[-1]
        if self._float64:
            outputs = self._node("Cast", "head_float32", outputs, to=TensorProto.FLOAT)
        self._head(outputs, plan.features(len(plan.steps)))
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

    def _computed(self, name: str, of: str) -> str:
        """Return what a float32 value is called where it is computed with: itself, or this name of it as float64."""
        return self._node("Cast", name, of, to=TensorProto.DOUBLE) if self._float64 else of

    def _vector(self, name: str, values: NDArray[Any]) -> str:
        """Store the numbers of features, or one number, as what they are computed with."""
        return self._constant(name, values.astype(np.float64 if self._float64 else np.float32))

    def _step(self, name: str, step: Step, of: list[str]) -> str:
        """Append a step and return what its value is called."""
        match step:
            case LinearStep():
                bias = [] if step.bias is None else [self._vector(f"{name}_bias", step.bias)]
                weights = self._computed(f"{name}_float64", self._weights(name, step))
                return self._node("Gemm", name, of[0], weights, *bias, transB=1)
            case NormalStep():
                centred = self._node("Sub", f"{name}_centred", of[0], self._vector(f"{name}_mean", step.mean))
                return self._affine(name, centred, step.factor, step.shift)
            case LayerNormStep():
                mean = self._node("ReduceMean", f"{name}_mean", of[0], axes=[1])
                centred = self._node("Sub", f"{name}_centred", of[0], mean)
                square = self._node("Mul", f"{name}_square", centred, centred)
                variance = self._node("ReduceMean", f"{name}_variance", square, axes=[1])
                epsilon = self._vector(f"{name}_eps", np.array(step.eps))
                root = self._node("Sqrt", f"{name}_root", self._node("Add", f"{name}_sum", variance, epsilon))
                if step.scale is None:
                    return self._node("Div", name, centred, root)
                normal = self._node("Div", f"{name}_normal", centred, root)
                return self._affine(name, normal, step.scale, step.shift)
            case ReLUStep():
                if step.slope == 0:
                    return self._node("Relu", name, of[0])
                if not self._float64:
                    return self._node("LeakyRelu", name, of[0], alpha=step.slope)
                slope = self._vector(f"{name}_slope", np.array(np.float32(step.slope)))
                sloped = self._node("Mul", f"{name}_sloped", of[0], slope)  # onnxruntime's LeakyRelu is float32
                return self._node("Max" if step.slope <= 1 else "Min", name, of[0], sloped)
            case TanhStep():
                return self._node("Tanh", name, of[0])
            case PairStep():
                return self._node("Mul" if step.times else "Add", name, *of)
            case ConstantStep():
                return self._vector(name, step.values[np.newaxis])  # for every observation of a batch
        raise TypeError(f"no step {type(step).__name__}")

    def _affine(self, name: str, of: str, factor: NDArray[Any], shift: Floats | None) -> str:
        factors = self._vector(f"{name}_factor", factor)
        if shift is None:
            return self._node("Mul", name, of, factors)
        scaled = self._node("Mul", f"{name}_scaled", of, factors)
        return self._node("Add", name, scaled, self._vector(f"{name}_shift", shift))

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
            at = [self._constant(f"head_cut_{word}", np.array([number])) for word, number in cut.items()]
            raw = self._node("Slice", "head_outputs", raw, *at)
        if isinstance(head, Box):
            squashed = self._node("Tanh", "head_tanh", raw) if head.squashed else raw
            scaled = self._node("Mul", "head_scaled", squashed, self._constant("head_half", head.half))
            mapped = self._node("Add", "head_mapped", scaled, self._constant("head_centre", head.centre))
            above = self._node("Max", "head_above", mapped, self._constant("head_low", head.low))
            self._node("Min", ACTION, above, self._constant("head_high", head.high))
        else:
            best = self._node("ArgMax", "head_best", raw, axis=1, keepdims=0)
            self._node("Add", ACTION, best, self._constant("head_start", np.array(head.start, np.int64)))
