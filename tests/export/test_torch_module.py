"""Policies as modules of PyTorch: they act as the policy does, and learn in its connections alone."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from policies import BOX, CHOICES, KEPT, STREAMS, discrete, every_operation, policy_of, save, trained, wide

import rewirl
from rewirl.agents import Policy
from rewirl.export import parity
from rewirl.export.plan import plan_of
from rewirl.export.torch_module import SparseWeights, TorchPolicy
from rewirl.nn import Linear, Network
from rewirl.training.trained_policy import TrainedPolicy


def acting(module):
    def act(observations):
        with torch.no_grad():
            return module(torch.from_numpy(observations)).numpy()

    return act


def module_of(policy, precision="float64"):
    return TorchPolicy(plan_of(policy, dense_from=1.0), precision)


@pytest.mark.parametrize("structure", ["dense", "unstructured", "8x1"])
@pytest.mark.parametrize("agent", ["td3", "sac", "simba", "xqc", "crossq", "ppo"])
def test_it_acts_as_the_policy_of_every_agent(agent, structure):
    policy = policy_of(agent, structure)
    done = parity.compare(policy, acting(module_of(policy)), "torch", plan_of(policy))
    assert done.difference < 1e-5


@pytest.mark.parametrize("policy", STREAMS)
def test_it_acts_as_the_policies_of_stream_x(policy):
    done = parity.compare(policy, acting(module_of(policy)), "torch", plan_of(policy))
    assert done.others == 0 if done.difference is None else done.difference < 1e-5


def test_every_operation_and_numbered_actions():
    policy = every_operation()
    assert parity.compare(policy, acting(module_of(policy)), "torch", plan_of(policy)).difference < 1e-5
    policy = discrete("unstructured")
    assert parity.compare(policy, acting(module_of(policy)), "torch", plan_of(policy)).others == 0
    assert module_of(policy)(torch.zeros(7, 2, 11)).shape == (7, 2)
    assert int(module_of(policy)(torch.zeros(11))) in range(CHOICES.start, CHOICES.start + CHOICES.size)
    policy = policy_of("dqn", "8x1")
    assert parity.compare(policy, acting(module_of(policy)), "torch", plan_of(policy)).others == 0


@pytest.mark.parametrize(
    "policy", [policy_of("td3", "unstructured"), discrete("unstructured")], ids=["Box", "Discrete"]
)
def test_observations_of_whole_numbers_are_what_they_are(policy):
    module = module_of(policy)
    whole = torch.randint(0, 9, (200, 11))
    expected = module(whole.float())
    for kind in (torch.uint8, torch.int64, torch.float64):
        assert torch.allclose(module(whole.to(kind)).to(expected.dtype), expected, atol=1e-5)
    assert torch.equal(module(whole > 4), module((whole > 4).float()))


def test_a_choice_is_made_before_anything_is_rounded():
    """Of two thousand, some have two values that are one in bfloat16."""
    module = module_of(policy_of("dqn", "8x1"))
    observations = torch.randn(2000, 11, generator=torch.Generator().manual_seed(0)).bfloat16()
    assert torch.equal(module(observations), module(observations.double()))
    assert not torch.equal(module.outputs(observations).argmax(-1), module.outputs(observations.double()).argmax(-1))


def test_a_choice_that_cannot_be_made_is_none():
    module = module_of(discrete("unstructured"))
    assert int(module(torch.full((11,), torch.nan))) == CHOICES.start - 1


@pytest.mark.parametrize("path", KEPT, ids=lambda path: path.parent.name)
def test_trained_policies_are_as_near(path):
    policy = TrainedPolicy.load(path)
    done = parity.compare(policy, acting(module_of(policy)), "torch", plan_of(policy))
    assert done.others == 0 if done.difference is None else done.difference < 1e-6


@pytest.mark.parametrize("density", [1.0, 0.5])
def test_wide_and_wild_ones_in_float64_and_with_less_in_float32(density):
    policy = wide(density)
    in_float64, in_float32 = (
        parity.compare(policy, acting(module_of(policy, precision)), "torch", plan_of(policy)).difference
        for precision in ("float64", "float32")
    )
    assert in_float64 < 1e-6 < in_float32 < 1e-4


@pytest.mark.parametrize("policy", [policy_of("simba", "8x1"), every_operation(), discrete("unstructured")])
def test_parameters_gradients_and_results_are_float32_in_either_precision(policy):
    observations = torch.randn(3, 11, generator=torch.Generator().manual_seed(0))
    gradients = []
    for precision in ("float64", "float32"):
        module = module_of(policy, precision)
        outputs = module.outputs(observations)
        outputs.square().sum().backward()
        assert outputs.dtype == torch.float32
        assert {each.dtype for each in module.parameters()} == {torch.float32}
        assert module(observations).dtype == (torch.int64 if policy.spaces.actions is CHOICES else torch.float32)
        gradients.append([each.grad for each in module.parameters()])
    for exact, near in zip(*gradients, strict=True):
        assert exact.dtype == torch.float32
        assert torch.allclose(exact, near, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("agent", ["ppo", "simba", "crossq"])
def test_in_float32_nothing_is_kept_in_float64_for_devices_that_have_none(agent):
    kinds = {each.dtype for each in module_of(policy_of(agent, "8x1"), "float32").state_dict().values()}
    assert kinds == {torch.float32, torch.int64}


def test_another_precision_is_refused(tmp_path):
    policy = rewirl.load(save(policy_of("td3", "dense"), tmp_path / "saved"))
    assert policy.to_torch(precision="float32")(torch.zeros(11)).shape == (3,)
    inside = [policy.to_torch(**options)._computed(torch.zeros(11)).dtype for options in ({}, {"precision": "float32"})]
    assert inside == [torch.float64, torch.float32]
    with pytest.raises(ValueError, match="precision must be float64 or float32, got 'float16'"):
        policy.to_torch(precision="float16")


@pytest.mark.parametrize("precision", ["float64", "float32"])
def test_it_learns_in_its_connections_alone(precision):
    """Gradients are those of a masked dense layer; a step of an optimiser adds no connection."""
    policy = policy_of("td3", "unstructured")
    module = module_of(policy, precision)
    observations = torch.randn(64, 11, generator=torch.Generator().manual_seed(0))
    module.outputs(observations).square().mean().backward()
    layers = policy.actor.actor.layers
    matrices = [torch.from_numpy(layer.weights()).requires_grad_() for layer in layers]
    x = observations
    for layer, matrix in zip(layers, matrices, strict=True):
        x = torch.nn.functional.linear(x, matrix, torch.from_numpy(layer.bias.copy()))
        x = x.relu() if layer is not layers[-1] else x
    x.square().mean().backward()
    own = [step for step in module.steps if hasattr(step, "bias")]
    for step, layer, matrix in zip(own, layers, matrices, strict=True):
        dense = matrix.grad.reshape(-1)
        if isinstance(step, SparseWeights):
            assert len(step.values) == layer.connections
            assert torch.allclose(step.values.grad, dense[step.places], rtol=1e-4, atol=1e-6)
        else:
            assert layer.density == 1
            assert torch.allclose(step.weight.grad.reshape(-1), dense, rtol=1e-4, atol=1e-6)
    assert sum(isinstance(step, SparseWeights) for step in own) >= 2


def test_it_is_copied_saved_and_loaded(tmp_path):
    before = torch.random.get_rng_state()
    module = rewirl.load(save(policy_of("simba", "8x1"), tmp_path / "saved")).to_torch()
    assert torch.equal(torch.random.get_rng_state(), before)
    other = copy.deepcopy(module)
    observations = torch.randn(5, 11, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        for tensor in (*other.parameters(), *other.buffers()):  # of another policy: statistics, places, bounds
            tensor.copy_(tensor + 1 if tensor.is_floating_point() else tensor.flip(0))
        assert not torch.equal(other(observations), module(observations))
        other.load_state_dict(module.state_dict())
        assert torch.equal(other(observations), module(observations))


def test_what_it_learns_leaves_the_policy_alone(tmp_path):
    policy = rewirl.load(save(policy_of("td3", "dense"), tmp_path / "saved"))
    observation = np.ones(11, np.float32)
    expected, module = policy.predict(observation), policy.to_torch()
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.zero_()
    assert np.array_equal(policy.predict(observation), expected)


def test_other_observations_are_refused():
    with pytest.raises(ValueError, match=r"\[\.\.\., 11\], got \[2, 12\]"):
        module_of(policy_of("td3", "dense"))(torch.zeros(2, 12))
    with pytest.raises(ValueError, match=r"\[\.\.\., 11\], got \[\]"):
        module_of(policy_of("td3", "dense"))(torch.tensor(1.0))
    with pytest.raises(TypeError, match=r"must be a tensor, got ndarray; torch\.as_tensor makes one"):
        module_of(policy_of("td3", "dense"))(np.zeros(11, np.float32))


def test_layers_of_many_connections_get_no_more(tmp_path):
    """C stores them dense, with zeros; here a zero would learn."""
    places = np.delete(np.arange(33), [3, 17])
    network = Network(11, [Linear("a", n_out=3)], {"a": places}, {"a.values": np.ones(31, np.float32)})
    module = rewirl.load(save(trained(Policy(network), BOX), tmp_path / "saved")).to_torch()
    assert sorted(parameter.numel() for parameter in module.parameters()) == [3, 31]
