"""Policies as modules of PyTorch: they act as the policy does, and learn in its connections alone."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from policies import BOX, CHOICES, discrete, every_operation, policy_of, save, trained

import rewirl
from rewirl.agents import Policy
from rewirl.export import parity
from rewirl.export.plan import plan_of
from rewirl.export.torch_module import SparseWeights, TorchPolicy
from rewirl.nn import Linear, Network


def acting(module):
    def act(observations):
        with torch.no_grad():
            return module(torch.from_numpy(observations)).numpy()

    return act


def module_of(policy):
    return TorchPolicy(plan_of(policy, dense_from=1.0))


@pytest.mark.parametrize("structure", ["dense", "unstructured", "8x1"])
@pytest.mark.parametrize("agent", ["td3", "sac", "simba", "xqc", "crossq", "ppo"])
def test_it_acts_as_the_policy_of_every_agent(agent, structure):
    policy = policy_of(agent, structure)
    done = parity.compare(policy, acting(module_of(policy)), "torch", plan_of(policy))
    assert done.difference < 1e-5


def test_every_operation_and_numbered_actions():
    policy = every_operation()
    assert parity.compare(policy, acting(module_of(policy)), "torch", plan_of(policy)).difference < 1e-5
    policy = discrete("unstructured")
    assert parity.compare(policy, acting(module_of(policy)), "torch", plan_of(policy)).others == 0
    assert module_of(policy)(torch.zeros(7, 2, 11)).shape == (7, 2)
    assert int(module_of(policy)(torch.zeros(11))) in range(CHOICES.start, CHOICES.start + CHOICES.size)
    policy = policy_of("dqn", "8x1")
    assert parity.compare(policy, acting(module_of(policy)), "torch", plan_of(policy)).others == 0


def test_it_learns_in_its_connections_alone():
    """Gradients are those of a masked dense layer; a step of an optimiser adds no connection."""
    policy = policy_of("td3", "unstructured")
    module = module_of(policy)
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
        for parameter in other.parameters():
            parameter.add_(1)
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


def test_layers_of_many_connections_get_no_more(tmp_path):
    """C stores them dense, with zeros; here a zero would learn."""
    places = np.delete(np.arange(33), [3, 17])
    network = Network(11, [Linear("a", n_out=3)], {"a": places}, {"a.values": np.ones(31, np.float32)})
    module = rewirl.load(save(trained(Policy(network), BOX), tmp_path / "saved")).to_torch()
    assert sorted(parameter.numel() for parameter in module.parameters()) == [3, 31]
