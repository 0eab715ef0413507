"""Policies as ONNX: onnxruntime acts as the policy does."""

from __future__ import annotations

import re
import sys

import numpy as np
import onnx
import pytest
from policies import (
    BOX,
    CHOICES,
    INPUT,
    KEPT,
    STREAMS,
    about,
    discrete,
    every_operation,
    policy_of,
    save,
    trained,
    wide,
)

from rewirl.agents import Policy
from rewirl.cli.commands import run
from rewirl.cli.errors import UsageError
from rewirl.export import interpret, parity
from rewirl.export.files import runtime
from rewirl.export.onnx_model import IR_VERSION, OPSET, onnx_model
from rewirl.export.plan import plan_of
from rewirl.nn import LeakyReLU, Linear, Network, ReLU
from rewirl.training.trained_policy import TrainedPolicy

EXACT = 1e-5


@pytest.mark.parametrize("structure", ["dense", "unstructured", "8x1"])
@pytest.mark.parametrize("agent", ["td3", "sac", "simba", "xqc", "crossq", "ppo"])
def test_it_acts_as_the_policy_of_every_agent(agent, structure):
    policy = policy_of(agent, structure)
    plan = plan_of(policy)
    assert parity.compare(policy, runtime(onnx_model(plan)), "onnxruntime", plan).difference < EXACT


@pytest.mark.parametrize("policy", STREAMS)
def test_it_acts_as_the_policies_of_stream_x(policy):
    done = parity.compare(policy, runtime(onnx_model(plan_of(policy))), "onnx", plan_of(policy))
    assert done.others == 0 if done.difference is None else done.difference < 1e-5


@pytest.mark.parametrize(
    "policy",
    [discrete("unstructured"), policy_of("dqn", "dense"), policy_of("dqn", "8x1"), every_operation(CHOICES)],
)
def test_numbered_actions(policy):
    plan = plan_of(policy)
    assert parity.compare(policy, runtime(onnx_model(plan)), "onnxruntime", plan).others == 0


def test_every_operation():
    policy = every_operation()
    plan = plan_of(policy)
    assert parity.compare(policy, runtime(onnx_model(plan)), "onnxruntime", plan).difference < EXACT


@pytest.mark.parametrize("path", KEPT, ids=lambda path: path.parent.name)
def test_trained_policies_are_as_near(path):
    policy = TrainedPolicy.load(path)
    plan = plan_of(policy)
    done = parity.compare(policy, runtime(onnx_model(plan)), "onnxruntime", plan)
    assert done.others == 0 if done.difference is None else done.difference < EXACT / 10


@pytest.mark.parametrize("density", [1.0, 0.5])
def test_wide_and_wild_ones_in_float64_and_with_less_in_float32(density):
    policy = wide(density)
    plan = plan_of(policy)
    in_float64, in_float32 = (
        parity.compare(policy, runtime(onnx_model(plan, precision)), "onnxruntime", plan).difference
        for precision in ("float64", "float32")
    )
    assert in_float64 < EXACT / 10
    assert EXACT / 10 < in_float32 < 1e-4


@pytest.mark.parametrize("slope", [0.2, 3.0, -0.5])
@pytest.mark.parametrize("precision", ["float64", "float32"])
def test_leaky_relu_and_nan(slope, precision):
    operations = [Linear("a", n_out=9), LeakyReLU(slope=slope), Linear("b", n_out=3)]
    rng = np.random.default_rng(1)
    arrays = {"a.values": rng.normal(size=9 * INPUT) / 3, "b.values": rng.normal(size=27) / 3}
    arrays = {name: each.astype(np.float32) for name, each in arrays.items()}
    policy = trained(Policy(Network(INPUT, operations, {}, arrays)), BOX)
    plan = plan_of(policy)
    act = runtime(onnx_model(plan, precision))
    assert parity.compare(policy, act, "onnxruntime", plan).difference < EXACT
    given = np.zeros((2, INPUT), np.float32)
    given[1, 4] = np.nan
    assert np.isnan(act(given)).tolist() == [[False] * 3, [True] * 3]


def very_sparse():
    rng = np.random.default_rng(0)
    places = np.sort(rng.choice(200 * INPUT, 150, replace=False))
    arrays = {"a.values": rng.normal(size=150), "b.values": rng.normal(size=600) / 20}
    operations = [Linear("a", n_out=200), ReLU(), Linear("b", n_out=3)]
    arrays = {name: each.astype(np.float32) for name, each in arrays.items()}
    return trained(Policy(Network(INPUT, operations, {"a": places}, arrays)), BOX)


@pytest.mark.parametrize("int8", [False, True])
def test_weights_are_sparse_where_that_is_smaller(int8):
    plan = plan_of(very_sparse(), int8)
    written = onnx_model(plan)
    stored = {each.name: each for each in onnx.load_from_string(written).graph.initializer}
    (values,) = (each for name, each in stored.items() if name.startswith("step1") and name.endswith("_values"))
    assert list(values.dims) == [150] and len(values.raw_data) == (150 if int8 else 600)
    assert list(stored["step3_int8" if int8 else "step3_weights"].dims) == [3, 200]
    half = (BOX.high - BOX.low) / 2
    given = parity.observations(plan)
    assert (abs(runtime(written)(given) - interpret.act(plan, given)) / half).max() < EXACT


def test_the_opset_is_as_stated_and_no_name_comes_from_the_policy():
    policy = policy_of("td3", "unstructured")
    hostile = trained(policy.actor, BOX, about(agent="a\x1b[31m\u202e", name="*/"))
    model = onnx.load_from_string(onnx_model(plan_of(hostile)))
    assert [(each.domain, each.version) for each in model.opset_import] == [("", OPSET)]
    assert model.ir_version == IR_VERSION
    assert model.doc_string.isascii() and model.doc_string.replace("\n", "").isprintable()
    names = {name for node in model.graph.node for name in (node.name, *node.input, *node.output)}
    assert all(
        re.fullmatch(r"(observation|action|(step\d+|head|observation_float64)(_\w+)?|action_node)", name)
        for name in names
    )


def test_the_command_writes_it(tmp_path, capsys):
    saved = save(policy_of("sac", "8x1"), tmp_path / "saved")
    assert run("export", [str(saved), "--format", "onnx", "--directory", str(tmp_path), "--name", "gait"]) == 0
    assert "by onnxruntime" in capsys.readouterr().out
    onnx.checker.check_model(onnx.load(tmp_path / "gait.onnx"), full_check=True)
    assert run("export", [str(saved), "--format", "onnx", "--directory", str(tmp_path), "--precision", "float32"]) == 0
    kinds = {node.op_type for node in onnx.load(tmp_path / "policy.onnx").graph.node}
    assert "Gemm" in kinds and "float64" not in str(onnx.load(tmp_path / "policy.onnx"))
    assert run("export", [str(saved), "--format", "onnx", "--directory", str(tmp_path / "c"), "--weights", "int8"]) == 0
    stored = onnx.load(tmp_path / "c" / "policy.onnx").graph.initializer
    assert onnx.TensorProto.INT8 in {each.data_type for each in stored}
    with pytest.raises(UsageError, match="--precision is for ONNX"):
        run("export", [str(saved), "--precision", "float32", "--directory", str(tmp_path / "c")])
    with pytest.raises(UsageError, match="--tanh is for C"):
        run("export", [str(saved), "--format", "onnx", "--tanh", "table"])


class Refusing:
    """An onnxruntime that takes no model."""

    def InferenceSession(self, *arguments, **more):  # noqa: N802
        raise RuntimeError("unsupported model IR version")


@pytest.mark.parametrize(
    ("here", "said"), [(None, "is not installed"), (Refusing(), "does not work here: unsupported model IR version")]
)
def test_where_onnxruntime_does_not_run_it_the_arrays_are_compared(tmp_path, capsys, monkeypatch, here, said):
    saved = save(policy_of("td3", "dense"), tmp_path / "saved")
    monkeypatch.setitem(sys.modules, "onnxruntime", here)
    assert run("export", [str(saved), "--format", "onnx", "--directory", str(tmp_path)]) == 0
    shown = capsys.readouterr()
    assert "its arrays in NumPy" in shown.out and f"was not run: onnxruntime {said}" in shown.err
