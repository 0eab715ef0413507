"""Layers in compiled functions, layers that two optimisers or rewirings have, and phases with rules of their own."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from torch import nn
from torch.func import functional_call
from torch_models import learn, model_of

from rewirl.torch import Rewiring, SparseLinear, attribution
from rewirl.torch.layers_of import layers_of


@pytest.fixture(autouse=True)
def nothing_compiled():
    torch._dynamo.reset()
    yield
    torch._dynamo.reset()


@pytest.mark.filterwarnings("ignore:.*(Profiler|deprecated|not a leaf).*")
def test_an_input_that_is_refused_leaves_compiled_models_whole():
    models = [model_of(seed=seed) for seed in (0, 5)]
    compiled = [torch.compile(model, backend="aot_eager") for model in models]
    x = torch.randn(6, 20)
    assert torch.allclose(compiled[1](x), models[1](x))
    for wrong in (x.double(), x[:, 1:]):
        with pytest.raises((TypeError, ValueError), match=r"computes in float32|must be \[\.\.\., 20\]"):
            compiled[0](wrong)
        for fast, model in zip(compiled, models, strict=True):
            loss, plain = fast(x).square().sum(), model(x).square().sum()
            assert torch.allclose(loss, plain)
            for one, other in zip(
                torch.autograd.grad(loss, model.parameters()),
                torch.autograd.grad(plain, model.parameters()),
                strict=True,
            ):
                assert torch.allclose(one, other, atol=1e-5)


@pytest.mark.filterwarnings("ignore:.*(Profiler|deprecated|not a leaf).*")
def test_rewiring_in_a_compiled_step_is_what_it_is_elsewhere():
    def trained(compiled):
        model = model_of()
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        rewiring = Rewiring(model, optimizer, "rigl", adapt_every=2, adapt_fraction=0.3)

        def step(x):
            optimizer.zero_grad()
            model(x).square().mean().backward()
            optimizer.step()
            rewiring.step()

        go = torch.compile(step, backend="aot_eager") if compiled else step
        generator = torch.Generator().manual_seed(0)
        for _ in range(5):
            go(torch.randn(8, 20, generator=generator))
        return model, rewiring.rewired

    (one, rewired), (other, times) = trained(True), trained(False)
    assert rewired == times > 0
    for mine, theirs in zip(one.state_dict().values(), other.state_dict().values(), strict=True):
        assert torch.allclose(mine.double(), theirs.double(), atol=1e-5)


class Inner(nn.Module):
    """Has a sparse layer in an attribute that is called as what wrappers have."""

    def __init__(self):
        super().__init__()
        self.module = model_of()
        self.head = SparseLinear(16, 8, sparsity=0.5)

    def forward(self, x):
        return self.head(self.module(x))


def test_layers_are_called_the_same_in_wrapped_models_so_that_a_rules_memory_goes_with_them():
    def rewiring_of(model, followers=()):
        return Rewiring(model, torch.optim.Adam(model.parameters()), "wast", adapt_every=1, followers=followers)

    plain = Inner()
    one = rewiring_of(plain)
    plain(torch.randn(8, 20)).square().sum().backward()
    one.step()
    saved = one.state_dict()
    assert list(saved["rule"]) == ["the inputs of module.0", "the outputs of head"]
    for wrapped in (torch.compile(plain), nn.DataParallel(plain), nn.DataParallel(torch.compile(plain))):
        other = rewiring_of(wrapped)
        other.load_state_dict(saved)
        other.step()
        assert list(other.state_dict()["rule"]) == list(saved["rule"])
    plain.module = torch.compile(plain.module)
    assert list(layers_of(plain)) == ["module.0", "module.2", "head"]
    rewiring_of(plain, [Inner()])  # a target network need not be compiled


def test_layers_that_wrappers_would_give_one_name_are_all_there():
    class Headed(nn.DataParallel):
        def __init__(self):
            super().__init__(Inner())
            self.head = SparseLinear(8, 4, sparsity=0.5)

    headed = Headed()
    found = layers_of(headed)
    assert len(found) == 4 and {id(headed.head), id(headed.module.head)} <= {id(layer) for layer in found.values()}
    of_own = nn.Sequential(SparseLinear(20, 16, sparsity=0.5))
    of_own.add_module("_orig_mod", nn.Sequential(SparseLinear(16, 8, sparsity=0.5)))
    assert list(layers_of(of_own)) == ["0", "_orig_mod.0"]


def test_a_model_that_was_pruned_goes_on_at_its_sparsity():
    model = model_of(sparsity=0.0)
    optimizer = torch.optim.Adam(model.parameters())
    pruning = Rewiring(
        model, optimizer, "prune", adapt_every=5, initial_sparsity=0.0, sparsity=0.9, sparsity_end=20
    )  # fmt: skip
    learn(model, optimizer, pruning, steps=25)
    there = [layer.connections for layer in model if isinstance(layer, SparseLinear)]
    assert sum(there) == round(0.1 * (20 * 32 + 32 * 16))
    going_on = Rewiring(model, optimizer, "set", adapt_every=5, adapt_fraction=0.3)
    going_on.load_state_dict(copy.deepcopy(pruning.state_dict()))
    assert "initial_densities" not in going_on.state_dict()
    learn(model, optimizer, going_on, steps=10)
    assert [layer.connections for layer in model if isinstance(layer, SparseLinear)] == there
    assert going_on.rewired > pruning.rewired


def test_state_of_two_optimisers_goes_with_the_connections_of_a_layer_they_share():
    encoder, heads = SparseLinear(20, 32, 0.8, seed=0), [SparseLinear(32, 4, 0.5, seed=1 + each) for each in range(2)]
    optimizers = [torch.optim.Adam([*encoder.parameters(), *head.parameters()]) for head in heads]
    rewiring = Rewiring(nn.ModuleList([encoder, *heads]), optimizers, "set", adapt_every=3, adapt_fraction=0.3)
    for _ in range(3):
        for head, optimizer in zip(heads, optimizers, strict=True):
            optimizer.zero_grad()
            head(encoder(torch.randn(8, 20)).relu()).square().mean().backward()
            optimizer.step()
        before = [
            dict(zip(encoder.indices.tolist(), optimizer.state[encoder.values]["exp_avg_sq"].tolist(), strict=True))
            for optimizer in optimizers
        ]
        rewiring.step()
    assert rewiring.rewired > 0
    for optimizer, of in zip(optimizers, before, strict=True):
        after = optimizer.state[encoder.values]["exp_avg_sq"].tolist()
        assert after == [of.get(index, 0.0) for index in encoder.indices.tolist()]
        assert any(index not in of for index in encoder.indices.tolist())
    with pytest.raises(ValueError, match=r"the optimiser does not own the values of the layer '2'"):
        Rewiring(nn.ModuleList([encoder, *heads]), optimizers[:1], "set")


def test_an_optimiser_may_be_wrapped_or_given_twice_and_nothing_else_is_one():
    class Wrapped:
        def __init__(self, optimizer):
            self.optimizer = optimizer

        def __getattr__(self, name):
            return getattr(self.optimizer, name)

    def trained(of):
        model = model_of()
        optimizer = torch.optim.Adam(model.parameters())
        learn(model, optimizer, Rewiring(model, of(optimizer), "set", adapt_every=2, adapt_fraction=0.3), steps=5)
        return [*model.state_dict().values(), *(each["exp_avg"] for each in optimizer.state.values())]

    once = trained(lambda optimizer: optimizer)
    for of in (lambda optimizer: [optimizer, optimizer], Wrapped, lambda optimizer: (Wrapped(optimizer),)):
        assert all(torch.equal(one, other) for one, other in zip(once, trained(of), strict=True))
    for wrong in (["a"], 3, "adam"):
        with pytest.raises(TypeError, match="must be an optimiser of PyTorch, or several"):
            Rewiring(model_of(), wrong, "set")


def test_two_rewirings_by_gradients_each_have_those_of_a_layer_they_share():
    model = model_of()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    both = [Rewiring(model, optimizer, "rigl", adapt_every=every, adapt_fraction=0.3) for every in (2, 3)]
    for _ in range(6):
        learn(model, optimizer)
        for rewiring in both:
            rewiring.step()
    assert all(rewiring.rewired > 0 for rewiring in both)


def test_the_gradient_of_what_stands_in_for_the_values_does_not_count():
    layer = SparseLinear(12, 8, 0.5, seed=0)
    rewiring = Rewiring(layer, torch.optim.SGD(layer.parameters(), lr=0.0), "rigl", adapt_every=1)
    x, other = torch.randn(5, 12), torch.randn(5, 12)
    stand_in = {"values": layer.values.detach().clone().requires_grad_()}
    (layer(x).square().sum() + (functional_call(layer, stand_in, (other,)) ** 3).sum()).backward()
    (found,) = (gradient.total() for gradient in rewiring._gradients.values())
    assert layer.values.grad is not None
    expected = layer.values.grad.numpy()
    assert np.allclose(found.reshape(-1)[layer.indices.numpy()], expected, atol=1e-4)


def test_attribution_of_outputs_that_do_not_depend_on_the_inputs_is_refused():
    class Detached(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.Linear(4, 2)

        def forward(self, x):
            return self.layer(x.detach())

    with pytest.raises(ValueError, match="the model's outputs have no gradient by x"):
        attribution(Detached(), torch.randn(3, 4))


def test_an_exported_layer_refuses_other_numbers_in_words():
    exported = torch.export.export(SparseLinear(12, 8, 0.5, seed=0), (torch.randn(5, 12),)).module()
    assert exported(torch.randn(5, 12)).shape == (5, 8)
    with pytest.raises(TypeError, match=r"computes in float32, and got torch\.float64"):
        exported(torch.randn(5, 12, dtype=torch.float64))
