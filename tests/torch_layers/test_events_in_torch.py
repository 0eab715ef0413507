"""What an event does to what is around it: losses of before, collected gradients, frozen layers, copies."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.functional import linear, mse_loss
from torch.utils.checkpoint import checkpoint
from torch_models import learn, model_of

from rewirl.torch import Rewiring, SparseLinear, attribution, strength
from rewirl.torch.compiled import CONNECTIONS


def masked(model, x):
    """What a model of `model_of` computes, by dense matrices, and these."""
    dense = [layer.dense().requires_grad_() for layer in (model[0], model[2])]
    hidden = torch.relu(linear(x, dense[0], model[0].bias.detach()))
    return linear(hidden, dense[1], model[2].bias.detach()), dense


def collected(rewiring):
    return [torch.from_numpy(gradient.total()) for gradient in rewiring._gradients.values()]


def assert_collected(rewiring, dense):
    for found, weight in zip(collected(rewiring), dense, strict=True):
        torch.testing.assert_close(found, weight.grad, rtol=1e-4, atol=1e-5)


@pytest.fixture
def rigl():
    """A model, and RigL that collects gradients for the next step."""
    model = model_of(sparsity=0.7)
    return model, Rewiring(model, torch.optim.SGD(model.parameters(), lr=0.0), "rigl", adapt_every=1)


@pytest.mark.parametrize("how", ["rewire", "load", "kept elsewhere"])
def test_a_loss_of_before_is_refused_in_words_and_is_in_no_later_ones_way(how):
    layer = SparseLinear(12, 10, 0.5, seed=4)
    accumulated = []
    layer.values.register_post_accumulate_grad_hook(lambda values: accumulated.append(len(values)))
    x = torch.randn(3, 12)
    if how == "kept elsewhere":  # PyTorch does not see that what was saved is of before
        with torch.autograd.graph.saved_tensors_hooks(lambda tensor: tensor.clone(), lambda tensor: tensor):
            before = layer(x).sum()
    else:
        before = layer(x).sum()
    if how != "load":
        layer.rewire(np.arange(5), np.arange(0))
    else:
        layer.load_state_dict(SparseLinear(12, 10, 0.8, seed=1).state_dict())
    layer(x).sum().backward()
    weight = layer.dense().requires_grad_()
    linear(x, weight).sum().backward()
    torch.testing.assert_close(layer.values.grad, weight.grad.reshape(-1)[layer.indices])
    assert accumulated == [layer.connections]
    with pytest.raises(
        RuntimeError, match=r"before the connections of a SparseLinear changed .*compute the loss again"
    ):
        before.backward()


def test_a_loss_that_is_kept_from_one_step_to_the_next_while_the_sparsity_grows():
    model = model_of(sparsity=0.0)
    optimizer = torch.optim.Adam(model.parameters())
    options = {"sparsity": 0.9, "initial_sparsity": 0.0, "sparsity_end": 6, "adapt_every": 1}
    rewiring = Rewiring(model, optimizer, "prune", distribution="uniform", **options)
    losses = []
    for _ in range(6):
        losses.append(model(torch.randn(8, 20)).square().mean())
        optimizer.zero_grad()
        losses[-1].backward(retain_graph=True)
        optimizer.step()
        rewiring.step()
    assert [layer.connections for layer in (model[0], model[2])] == [64, 51]


def test_what_autograd_grad_computes_does_not_count(rigl):
    model, rewiring = rigl
    x = torch.randn(9, 20)
    y, dense = masked(model, x)
    y.square().sum().backward()
    attribution(model, x)
    loss = model(x).square().sum()
    torch.autograd.grad(loss, list(model.parameters()), retain_graph=True)
    loss.backward(inputs=[model[0].bias], retain_graph=True)
    loss.backward()
    attribution(model, x)
    stand_ins = {name: each.detach().clone().requires_grad_() for name, each in model.named_parameters()}
    torch.func.functional_call(model, stand_ins, (x,)).sum().backward()
    assert_collected(rewiring, dense)
    assert not any(gradient._passes for gradient in rewiring._gradients.values())


def test_gradient_penalties_count_as_in_dense_layers(rigl):
    model, rewiring = rigl
    x = torch.randn(9, 20, requires_grad=True)
    y, dense = masked(model, x)
    for each in (y, model(x)):
        [gradient] = torch.autograd.grad(torch.tanh(each).sum(), x, create_graph=True)
        [second] = torch.autograd.grad(gradient.square().sum(), x, create_graph=True)
        (each.mean() + gradient.square().sum() + second.square().sum()).backward()
    assert_collected(rewiring, dense)


def test_what_stands_in_for_values_in_a_derivative_does_not_count():
    layer = SparseLinear(6, 5, 0.4, seed=1)
    rewiring = Rewiring(layer, torch.optim.SGD(layer.parameters(), lr=0.0), "rigl", adapt_every=1, adapt_fraction=0.2)
    weight, mask = layer.dense().requires_grad_(), layer.dense() != 0
    x = torch.randn(4, 6, requires_grad=True)
    for y, learnt, there in (
        (linear(x, weight, layer.bias.detach()), weight, mask),
        (layer(x), layer.values, torch.ones(layer.connections)),
    ):
        [first] = torch.autograd.grad(torch.tanh(y).sum(), learnt, create_graph=True)
        [second] = torch.autograd.grad((first * there).square().sum(), x, create_graph=True)
        second.square().sum().backward()
    assert_collected(rewiring, [weight])


def test_gradients_of_a_forward_pass_that_saved_elsewhere_count(rigl):
    model, rewiring = rigl
    x = torch.randn(9, 20)
    y, dense = masked(model, x)
    y.square().sum().backward()
    with torch.autograd.graph.saved_tensors_hooks(lambda tensor: tensor.clone(), lambda tensor: tensor):
        loss = model(x).square().sum()
    loss.backward()
    assert_collected(rewiring, dense)


def test_gradients_that_are_not_finite_are_named(rigl):
    model, rewiring = rigl
    (model(torch.randn(9, 20)) * torch.nan).sum().backward()
    with pytest.raises(FloatingPointError, match=r"the gradient of the layer '0' has numbers that are not finite; "):
        rewiring.step()


def test_cleared_gradients_begin_again_and_others_are_added_up(rigl):
    model, rewiring = rigl
    batches = torch.randn(3, 9, 20)
    model(batches[0]).square().sum().backward()
    model.zero_grad(set_to_none=False)
    model.load_state_dict(copy.deepcopy(model.state_dict()))  # what is collected is still that of these layers
    y, dense = masked(model, batches[1])
    y.square().sum().backward()
    more = masked(model, batches[2])
    more[0].square().sum().backward()
    for weight, other in zip(dense, more[1], strict=True):
        weight.grad += other.grad
    model(batches[1]).square().sum().backward()
    checkpoint(model, batches[2].requires_grad_(), use_reentrant=True).square().sum().backward()
    assert_collected(rewiring, dense)
    assert rewiring.step()


def test_a_layer_in_two_places_is_one_layer():
    layer = SparseLinear(16, 16, 0.8, seed=1)
    model = nn.Sequential(layer, nn.Tanh(), layer)
    target = copy.deepcopy(model)
    rewiring = Rewiring(model, torch.optim.SGD(model.parameters(), lr=0.0), "rigl", followers=[target], adapt_every=1)
    x = torch.randn(7, 16)
    weight = layer.dense().requires_grad_()
    linear(torch.tanh(linear(x, weight, layer.bias.detach())), weight, layer.bias.detach()).square().sum().backward()
    model(x).square().sum().backward()
    assert_collected(rewiring, [weight])
    assert rewiring.step()
    assert torch.equal(target[0].indices, layer.indices) and target[0] is target[2]


def test_values_that_layers_share_are_refused_and_layers_that_followers_share_are_not():
    model = model_of()
    optimizer = torch.optim.Adam(model.parameters())
    model.tied = copy.deepcopy(model[0])
    model.tied.values = model[0].values
    with pytest.raises(ValueError, match=r"the layers '0' and 'tied' share their values, .*one SparseLinear into both"):
        Rewiring(model, optimizer)
    del model.tied
    target = nn.Sequential(model[0], nn.ReLU(), copy.deepcopy(model[2]))
    rewiring = Rewiring(model, optimizer, followers=[target, target], adapt_every=1)
    before = set(model[0].indices.tolist())
    learn(model, optimizer, rewiring)
    assert len(before - set(model[0].indices.tolist())) == rewiring.rewired - 5 == 5
    assert torch.equal(target[2].indices, model[2].indices)


@pytest.mark.parametrize("rule", ["set", "rigl"])
def test_frozen_layers_are_left_as_they_are(rule):
    model = model_of()
    model[0].requires_grad_(False)
    optimizer = torch.optim.Adam([each for each in model.parameters() if each.requires_grad])
    rewiring = Rewiring(model, optimizer, rule, adapt_every=1)
    before = copy.deepcopy(model[0].state_dict())
    learn(model, optimizer, rewiring)
    assert all(map(torch.equal, before.values(), model[0].state_dict().values()))
    assert rewiring.rewired == 5
    model[0].requires_grad_(True)
    with pytest.raises(ValueError, match=r"does not own the values of the layer '0'"):
        learn(model, optimizer, rewiring)
    optimizer.add_param_group({"params": list(model[0].parameters())})
    learn(model, optimizer, rewiring)
    assert not torch.equal(before["indices"], model[0].indices)
    model.requires_grad_(False)
    assert rewiring.step()


def test_rigl_leaves_layers_alone_that_no_gradient_has_reached():
    model = nn.ModuleDict({"a": SparseLinear(20, 16, 0.8, seed=0), "b": SparseLinear(20, 16, 0.8, seed=1)})
    rewiring = Rewiring(model, torch.optim.Adam(model.parameters()), "rigl", adapt_every=1)
    indices = [model[name].indices.clone() for name in "ab"]
    model["b"](torch.randn(4, 20)).square().sum().backward()
    assert rewiring.step()
    assert [torch.equal(model[name].indices, known) for name, known in zip("ab", indices, strict=True)] == [True, False]


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda parts: pickle.loads(pickle.dumps(parts))])
@pytest.mark.parametrize("moment", ["between updates", "before the event"])
def test_copies_while_rigl_collects_go_on_by_themselves(copied, moment):
    model = model_of()
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    rewiring = Rewiring(model, optimizer, "rigl", adapt_every=2)
    learn(model, optimizer, rewiring)
    if moment == "before the event":
        learn(model, optimizer)
    others = copied((model, optimizer, rewiring))
    indices = model[0].indices.clone()
    if moment == "before the event":
        assert others[2].step() and torch.equal(model[0].indices, indices)
        assert rewiring.step()
    else:
        learn(*others, seed=1)
        assert torch.equal(model[0].indices, indices)
        learn(model, optimizer, rewiring, seed=1)
    for one, two in zip(model.state_dict().values(), others[0].state_dict().values(), strict=True):
        assert torch.equal(one, two)


BEGINS = {
    "adagrad": (lambda p: torch.optim.Adagrad(p, initial_accumulator_value=0.5), "sum", 0.5),
    "rprop": (lambda p: torch.optim.Rprop([{"params": [*p], "lr": 0.02}], lr=0.3), "step_size", 0.02),  # of its group
    "adamax": (torch.optim.Adamax, "exp_inf", 0.0),
    "adadelta": (torch.optim.Adadelta, "acc_delta", 0.0),
    "nadam": (torch.optim.NAdam, "exp_avg", 0.0),
    "asgd": (torch.optim.ASGD, "ax", 0.0),
}


@pytest.mark.parametrize("name", BEGINS)
def test_a_grown_connection_begins_with_the_state_of_a_new_parameter_and_learns(name):
    made, key, begins = BEGINS[name]
    model = model_of()
    optimizer = made(model.parameters())
    rewiring = Rewiring(model, optimizer, adapt_every=3, adapt_fraction=0.3)
    learn(model, optimizer, rewiring, 2)
    before = set(model[0].indices.tolist())
    learn(model, optimizer, rewiring)
    grown = torch.tensor([index not in before for index in model[0].indices.tolist()])
    state = optimizer.state[model[0].values]
    assert grown.any() and state[key][grown].tolist() == pytest.approx([begins] * int(grown.sum()))
    learn(model, optimizer, rewiring)
    moved = model[0].values.detach()[grown].abs()
    assert (moved[model[0].values.grad[grown] != 0] > 0).all()
    for value in state.values():
        assert not torch.is_tensor(value) or torch.isfinite(value).all()
    if name == "rprop":
        assert moved.max() == pytest.approx(0.02)


def test_state_of_which_a_part_is_missing_is_refused_whole():
    layer, other = SparseLinear(20, 16, 0.5, seed=1), SparseLinear(20, 16, 0.8, seed=2)
    model = nn.Sequential(layer)
    before = copy.deepcopy(layer.state_dict())
    whole = {f"0.{name}": tensor for name, tensor in other.state_dict().items()}
    shuffled = before["indices"].flip(0)
    for state, said in (
        (
            {"0.values": whole["0.values"]},
            r"0\.indices \(missing\) say where 0\.values \(of shape \[67\]\) are; load both, or neither",
        ),
        ({"0.values": torch.zeros(158)}, r"0\.indices \(missing\) say where"),
        ({"0.indices": shuffled, "0.bias": whole["0.bias"]}, r"0\.values \(missing\) are; load both"),
        (
            {"0.indices": shuffled, "0.values": whole["0.values"]},
            r"0\.indices \(of shape \[158\]\) say where 0\.values \(of shape \[67\]\)",
        ),
    ):
        for assign in (False, True):
            with pytest.raises(RuntimeError, match=said):
                model.load_state_dict(state, strict=False, assign=assign)
            assert all(map(torch.equal, layer.state_dict().values(), before.values()))
    model.load_state_dict({"0.bias": whole["0.bias"]}, strict=False)
    assert torch.equal(layer.bias, other.bias)


def test_loading_other_connections_clears_the_gradient_of_those_of_before():
    layer = SparseLinear(12, 10, 0.5, seed=4)
    layer(torch.randn(3, 12)).sum().backward()
    layer.load_state_dict(layer.state_dict())
    assert layer.values.grad is not None
    moved = SparseLinear.from_dense(layer.dense().flip(1), torch.zeros(10))
    layer.load_state_dict(moved.state_dict())
    assert layer.values.grad is None


def test_compiled_models_compute_with_connections_that_others_write_and_go_through_events():
    model = model_of()
    compiled = torch.compile(model, backend="aot_eager", fullgraph=True)
    rewiring = Rewiring(model, torch.optim.SGD(model.parameters(), lr=0.0), "rigl", adapt_every=1)
    x = torch.randn(8, 20)
    before = compiled(x).sum()
    model.zero_grad()
    y, dense = masked(model, x)
    y.square().sum().backward()
    compiled(x).square().sum().backward()
    assert_collected(rewiring, dense)
    assert rewiring.step()
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        before.backward()
    mask = torch.zeros(32 * 20).index_fill_(0, model[0].indices, 1.0).view(32, 20).flip(1)
    written = SparseLinear.from_dense(torch.randn(32, 20), torch.zeros(32), mask)
    with torch.no_grad():
        for mine, theirs in zip(model[0].state_dict().values(), written.state_dict().values(), strict=True):
            mine.copy_(theirs)
    y, dense = masked(model, x)
    torch.testing.assert_close(compiled(x), y)
    mse_loss(y, x[:, :16]).backward()
    mse_loss(compiled(x), x[:, :16]).backward()
    torch.testing.assert_close(model[0].values.grad, dense[0].grad.reshape(-1)[model[0].indices])


@pytest.mark.filterwarnings("ignore::torch.jit.TracerWarning", "ignore::DeprecationWarning")
def test_traced_and_exported_models_go_through_events_and_traced_ones_into_other_programs(tmp_path):
    model = model_of()
    x = torch.randn(8, 20)
    traced = torch.jit.trace(model, torch.randn(3, 20))
    exported = torch.export.export(model, (x,)).module()
    for dropped in (3, 0):
        assert torch.equal(traced(x), model(x)) and torch.equal(exported(x), model(x))
        model[0].rewire(np.arange(dropped), np.setdiff1d(np.arange(640), model[0].indices)[:2])
    traced.save(tmp_path / "traced.pt")
    y = model(x)
    model[0] = SparseLinear(9, 9, 0.5, seed=0)  # as elsewhere, there is no such layer, or another has its number
    CONNECTIONS.clear()
    assert torch.equal(torch.jit.load(tmp_path / "traced.pt")(x), y)


@pytest.mark.parametrize("default", [torch.float64, torch.bfloat16])
def test_float32_on_the_cpu_whatever_the_defaults_are(default):
    torch.set_default_dtype(default)
    try:
        with torch.device("meta"):
            model = model_of()
            rewiring = Rewiring(model, torch.optim.SGD(model.parameters(), lr=0.0), "rigl", adapt_every=1)
            model[0].load_state_dict(SparseLinear(20, 32, 0.5).state_dict())
            x = torch.randn(8, 20, device="cpu", dtype=torch.float32)
            model(x).square().sum().backward()
            assert rewiring.step() and model[0].values.dtype == model[0].dense().dtype == torch.float32
            assert strength(model[0]).dtype == model(x).dtype == torch.float32
    finally:
        torch.set_default_dtype(torch.float32)


def test_events_and_loading_in_inference_mode_leave_a_model_that_learns():
    model = model_of()
    optimizer = torch.optim.Adam(model.parameters())
    rewiring = Rewiring(model, optimizer, adapt_every=2)
    learn(model, optimizer, rewiring)
    learn(model, optimizer)
    with torch.inference_mode():
        assert rewiring.step()
    learn(model, optimizer, rewiring, 2)
    with torch.inference_mode():
        model.load_state_dict(model_of(sparsity=0.5).state_dict())
    learn(model, torch.optim.Adam(model.parameters()))


def test_a_gradient_in_parts_is_refused(monkeypatch):
    torch.distributed.init_process_group("gloo", store=torch.distributed.HashStore(), rank=0, world_size=1)
    try:
        model = nn.parallel.DistributedDataParallel(model_of())
        optimizer = torch.optim.Adam(model.parameters())
        for rule in ("set", "rigl"):
            learn(model, optimizer, Rewiring(model, optimizer, rule, adapt_every=1), 2)
        monkeypatch.setattr(torch.distributed, "get_world_size", lambda group: 2)
        Rewiring(model, optimizer, "set")
        with pytest.raises(ValueError, match="each process has only the part of its own samples; take a rule without"):
            Rewiring(model, optimizer, "rigl")
    finally:
        torch.distributed.destroy_process_group()
