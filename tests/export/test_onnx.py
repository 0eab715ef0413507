"""Policies as ONNX: onnxruntime acts as the policy does."""

from __future__ import annotations

import re

import numpy as np
import onnx
import pytest
from policies import BOX, INPUT, about, discrete, every_operation, policy_of, save, trained

from rewirl.agents import Policy
from rewirl.cli.commands import run
from rewirl.cli.errors import UsageError
from rewirl.export import interpret, parity
from rewirl.export.files import runtime
from rewirl.export.onnx_model import IR_VERSION, OPSET, onnx_model
from rewirl.export.plan import plan_of
from rewirl.nn import Linear, Network, ReLU

EXACT = 1e-5


@pytest.mark.parametrize("structure", ["dense", "unstructured", "8x1"])
@pytest.mark.parametrize("agent", ["td3", "sac", "simba", "xqc", "crossq", "ppo"])
def test_it_acts_as_the_policy_of_every_agent(agent, structure):
    policy = policy_of(agent, structure)
    plan = plan_of(policy)
    assert parity.compare(policy, runtime(onnx_model(plan)), "onnxruntime", plan).difference < EXACT


@pytest.mark.parametrize("policy", [discrete("unstructured"), policy_of("dqn", "dense"), policy_of("dqn", "8x1")])
def test_numbered_actions(policy):
    plan = plan_of(policy)
    assert parity.compare(policy, runtime(onnx_model(plan)), "onnxruntime", plan).others == 0


def test_every_operation():
    policy = every_operation()
    plan = plan_of(policy)
    assert parity.compare(policy, runtime(onnx_model(plan)), "onnxruntime", plan).difference < EXACT


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
    assert all(re.fullmatch(r"(observation|action|(step\d+|head)(_\w+)?|action_node)", name) for name in names)


def test_the_command_writes_it(tmp_path, capsys):
    saved = save(policy_of("sac", "8x1"), tmp_path / "saved")
    assert run("export", [str(saved), "--format", "onnx", "--directory", str(tmp_path), "--name", "gait"]) == 0
    assert "by onnxruntime" in capsys.readouterr().out
    onnx.checker.check_model(onnx.load(tmp_path / "gait.onnx"), full_check=True)
    with pytest.raises(UsageError, match="--tanh is for C"):
        run("export", [str(saved), "--format", "onnx", "--tanh", "table"])
