"""Rules on a model of PyTorch: connections are conserved, and the optimiser's state goes with them."""

from __future__ import annotations

import copy
import warnings

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.functional import linear, mse_loss
from torch_models import learn, model_of

from rewirl.topology import Rule, random_free_indices
from rewirl.torch import Rewiring, SparseLinear, attribution, strength
from rewirl.torch.compiled import CONNECTIONS

OPTIMISERS = {
    "adam": lambda p: torch.optim.Adam(p, lr=0.01),
    "adamw": lambda p: torch.optim.AdamW(p, lr=0.01, amsgrad=True, foreach=True),
    "sgd": lambda p: torch.optim.SGD(p, lr=0.01, momentum=0.9),
    "rmsprop": lambda p: torch.optim.RMSprop(p, lr=0.01, centered=True),
    "adagrad": lambda p: torch.optim.Adagrad(p, lr=0.01),
}


@pytest.mark.parametrize("structure", ["unstructured", "4x1", "8x1"])
@pytest.mark.parametrize("rule", ["set", "rigl"])
@pytest.mark.parametrize("name", OPTIMISERS)
def test_connections_are_conserved_and_the_state_of_the_optimiser_goes_with_them(name, rule, structure):
    model = model_of(structure)
    optimizer = OPTIMISERS[name](model.parameters())
    rewiring = Rewiring(model, optimizer, rule, seed=1, adapt_every=3, adapt_fraction=0.3)
    learn(model, optimizer, rewiring, 2)
    learn(model, optimizer)
    layers = [layer for layer in model if isinstance(layer, SparseLinear)]
    before = []
    for layer in layers:
        state = {key: value for key, value in optimizer.state[layer.values].items() if torch.is_tensor(value)}
        arrays = {"values": layer.values.detach(), **{k: v for k, v in state.items() if v.shape == layer.values.shape}}
        before.append({k: dict(zip(layer.indices.tolist(), v.tolist(), strict=True)) for k, v in arrays.items()})
        assert len(arrays) > 1
    if rule == "set":
        assert rewiring.step()
    else:
        learn(model, optimizer)  # the second of two backward passes counts too
        before = None
        assert rewiring.step()
    for number, layer in enumerate(layers):
        assert layer.connections == len(set(layer.indices.tolist())) == [128, 104][number] or structure != "8x1"
        assert layer.values.grad is None
        if before is None:
            continue
        old = before[number]
        grown = set(layer.indices.tolist()) - old["values"].keys()
        dropped = old["values"].keys() - set(layer.indices.tolist())
        assert len(grown) == len(dropped) > 0
        for key, known in old.items():
            now = layer.values.detach() if key == "values" else optimizer.state[layer.values][key]
            expected = [known.get(index, 0.0) for index in layer.indices.tolist()]
            assert now.tolist() == expected
    learn(model, optimizer, rewiring, 10)


def test_rigl_grows_where_the_dense_gradient_is_largest():
    model = model_of(sparsity=0.7)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.0)
    rewiring = Rewiring(model, optimizer, "rigl", adapt_every=1, adapt_fraction=0.1)
    first, _, second = model
    dense = [layer.dense().requires_grad_() for layer in (first, second)]
    indices = [layer.indices.clone() for layer in (first, second)]
    batches = [torch.randn(30, 20), torch.randn(30, 20)]
    learn(model, optimizer)  # of a step before: cleared
    optimizer.zero_grad()
    for x in batches:  # gradients are added up
        mse_loss(model(x), x[:, :16]).backward()
        y = linear(torch.relu(linear(x, dense[0], first.bias.detach())), dense[1], second.bias.detach())
        mse_loss(y, x[:, :16]).backward()
    optimizer.step()
    assert rewiring.step()
    for layer, weight, known in zip((first, second), dense, indices, strict=True):
        grown = np.setdiff1d(layer.indices, known)
        score = weight.grad.abs().reshape(-1)
        score[known] = -1
        assert set(grown) == set(score.argsort(descending=True)[: len(grown)].tolist())
        assert len(grown) == int(0.1 * len(known))


@pytest.mark.filterwarnings("ignore::torch.jit.TracerWarning", "ignore::DeprecationWarning")
def test_rigl_does_not_take_a_traced_model_for_the_layer_that_has_its_number_here():
    teacher, x = model_of(seed=5), torch.randn(30, 20)
    traced = torch.jit.trace(teacher, x)
    changed = []
    for share in (0.0, 1.0):
        model = model_of()
        CONNECTIONS[teacher[0]._number] = model[0]._connections  # as in another program, where numbers begin anew
        rewiring = Rewiring(model, torch.optim.SGD(model.parameters(), lr=0.0), "rigl", adapt_every=1)
        (model(x).square().sum() + share * traced(x).sum()).backward()
        assert rewiring.step()
        changed.append(model[0].indices.tolist())
    assert changed[0] == changed[1]


def test_zeros_are_a_gradient_too_where_batches_are_added_up():
    """In the first batch the one input that has a connection is 0: `values.grad` is as if it had been cleared."""
    layer = SparseLinear.from_dense(torch.tensor([[1.0, 0.0, 0.0]]))
    rewiring = Rewiring(layer, torch.optim.SGD(layer.parameters(), lr=0.0), "rigl", adapt_every=1, adapt_fraction=1)
    for x in ([0.0, 2.0, 0.0], [0.0, 0.0, 1.0]):
        layer(torch.tensor([x])).sum().backward()
    assert rewiring._gradients[""].total().tolist() == [[0.0, 2.0, 1.0]]


def test_a_rule_that_needs_a_gradient_says_so_where_there_was_none():
    model = model_of()
    rewiring = Rewiring(model, torch.optim.SGD(model.parameters(), lr=0.1), "rigl", adapt_every=1)
    with pytest.raises(RuntimeError, match=r"no backward pass has added .* call backward, optimizer\.step"):
        rewiring.step()


class Heaviest(Rule):
    """Drop the largest weights; grow at random."""

    def drop_score(self, state, fraction, rng):
        return -np.abs(state.weights).astype(np.float64)

    def grow(self, state, occupied, count, rng):
        return random_free_indices(occupied, state.total, count, rng)


def test_a_rule_of_a_users_own():
    model = model_of()
    largest = model[0].indices[model[0].values.abs().argmax()]
    rewiring = Rewiring(
        model, torch.optim.SGD(model.parameters(), lr=0.1), f"{__name__}:Heaviest", adapt_every=2, adapt_fraction=0.1
    )
    assert not rewiring.step()
    assert rewiring.step()
    assert largest not in model[0].indices


def test_a_rule_of_a_users_own_is_said_to_rewire_nothing_where_its_fraction_is_less_than_one():
    name, model = f"{__name__}:Heaviest", model_of()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    said = (
        r"nothing is ever rewired but connections whose score is -inf: adapt_fraction is 0\.005, and .* 116 connections"
    )
    with pytest.warns(UserWarning, match=said):
        rewiring = Rewiring(model, optimizer, name, adapt_every=1, adapt_fraction=0.005, drop="code")
    assert rewiring.step() and rewiring.rewired == 0
    rewiring = Rewiring(model, optimizer, name, adapt_every=1, adapt_fraction=0.01)
    assert rewiring.step() and rewiring.rewired > 0


class Keeping(Heaviest):
    """Follows a sparsity that changes, and rewires nothing else."""

    rewires = False


def test_a_rule_of_a_users_own_that_rewires_nothing_is_not_told_to_rewire_more():
    model = model_of()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        Rewiring(model, torch.optim.SGD(model.parameters(), lr=0.1), f"{__name__}:Keeping", adapt_fraction=0.005)


class Counting(Heaviest):
    """Keeps a number that it does not offer."""

    events = 0

    def drop_score(self, state, fraction, rng):
        self.events += 1
        return super().drop_score(state, fraction, rng)


def test_a_rule_that_keeps_what_no_state_has_is_warned_of():
    model = model_of()
    rewiring = Rewiring(model, torch.optim.Adam(model.parameters()), f"{__name__}:Counting", adapt_every=1)
    state = rewiring.state_dict()
    rewiring.load_state_dict(state)
    rewiring.step()
    with pytest.warns(UserWarning, match=r"Counting keeps something from one event to the next, in events, .*exactly"):
        rewiring.load_state_dict(rewiring.state_dict())


class Forgetful(Heaviest):
    """Offers what it does not take back."""

    def rewirl_state(self):
        return {"seen": 1}

    def load_rewirl_state(self, values):
        raise KeyError(values["sene"])


def test_a_rule_that_cannot_be_put_back_is_refused_at_its_first_event():
    model = model_of()
    rewiring = Rewiring(model, torch.optim.Adam(model.parameters()), f"{__name__}:Forgetful", adapt_every=2)
    rewiring.step()
    before = model[0].indices.clone()
    with pytest.raises(ValueError, match=r"Forgetful: load_rewirl_state\(\) failed, KeyError: 'sene'"):
        rewiring.step()
    assert torch.equal(model[0].indices, before)


def test_a_state_that_is_refused_changes_nothing():
    model = model_of()
    rewiring = Rewiring(model, torch.optim.Adam(model.parameters()), "wast", seed=1, adapt_every=1)
    other = Rewiring(model, torch.optim.Adam(model.parameters()), "wast", seed=2).state_dict()
    before = rewiring.state_dict()
    for broken in ({"rule": {"the inputs of 0": [-1.0]}}, {"rng": None}, {"updates": -1}):
        with pytest.raises(ValueError, match=r"negative|state|updates"):
            rewiring.load_state_dict({**other, **broken})
        assert rewiring.state_dict() == before


@pytest.mark.parametrize(
    ("dense", "ends"),
    [("none", ["inputs of 0", "outputs of 2"]), ("first", ["outputs of 2"]), ("last", ["inputs of 0"])],
)
def test_units_beside_dense_layers_are_hidden(dense, ends):
    model = model_of()
    if dense == "first":
        model[0] = nn.Linear(20, 32)
    elif dense == "last":
        model[2] = nn.Linear(32, 16)
    optimizer = torch.optim.Adam(model.parameters())
    rewiring = Rewiring(model, optimizer, "wast", adapt_every=1)
    learn(model, optimizer, rewiring)
    assert list(rewiring.state_dict()["rule"]) == [f"the {end}" for end in ends]


@pytest.mark.parametrize(
    ("sparsity", "options", "rewired"),
    [
        # a fifth after 5 updates, and nothing after 10
        (0.5, {"adapt_every": 5, "adapt_fraction": 0.4, "anneal": "cosine", "adapt_end": 10}, 67 + 50),
        (0.05, {"adapt_every": 10, "adapt_fraction": 0.2}, 35 + 26),  # there is no other room
        (0.05, {"adapt_every": 10, "adapt_fraction": 0.2, "regrow_dropped": True}, 121 + 97),
    ],
)
def test_as_many_are_rewired_as_the_fraction_then_and_the_room_allow(sparsity, options, rewired):
    model = model_of(sparsity=sparsity)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    rewiring = Rewiring(model, optimizer, "set", **options)
    learn(model, optimizer, rewiring, 10)
    assert rewiring.rewired == rewired


def test_a_sparsity_that_grows():
    model = model_of(sparsity=0.5)
    optimizer = torch.optim.Adam(model.parameters())
    rewiring = Rewiring(
        model, optimizer, "prune", adapt_every=2, distribution="uniform", sparsity=0.9, initial_sparsity=0.5,
        sparsity_end=6,
    )  # fmt: skip
    learn(model, optimizer, rewiring, 8)
    assert [layer.connections for layer in (model[0], model[2])] == [64, 51]
    for layer in (model[0], model[2]):
        assert optimizer.state[layer.values]["exp_avg"].shape == layer.values.shape


def test_a_target_network_follows():
    model = model_of("4x1")
    target = copy.deepcopy(model)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    rewiring = Rewiring(model, optimizer, followers=[target], adapt_every=2, adapt_fraction=0.2)
    for seed in range(6):
        learn(model, optimizer, rewiring, seed=seed)
        with torch.no_grad():
            for ours, theirs in zip(target.parameters(), model.parameters(), strict=True):
                ours.lerp_(theirs, 0.1)
    assert torch.equal(model[0].indices, target[0].indices)
    with pytest.raises(ValueError, match="a follower has the sparse layers"):
        Rewiring(model, optimizer, followers=[nn.Sequential(SparseLinear(2, 2, 0.5, seed=0))])


def test_saved_and_resumed_to_the_bit():
    def begin():
        model = model_of()
        optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
        return (
            model,
            optimizer,
            Rewiring(model, optimizer, "rigl", seed=2, adapt_every=3, adapt_fraction=0.2, drop="random"),
        )

    whole = begin()
    learn(*whole, steps=5, seed=1)  # the next step has an event, whose gradient is collected from now on
    saved = copy.deepcopy([part.state_dict() for part in whole])
    learn(*whole, steps=9, seed=2)
    second = begin()
    for part, state in zip(second, saved, strict=True):
        part.load_state_dict(state)
    learn(*second, steps=9, seed=2)
    for one, two in zip(whole[0].state_dict().values(), second[0].state_dict().values(), strict=True):
        assert torch.equal(one, two)
    assert second[2].state_dict() == whole[2].state_dict()


def test_where_connections_grow_is_of_the_seed():
    grown = []
    for seed in (1, 1, 2):
        model = model_of()
        assert Rewiring(model, torch.optim.Adam(model.parameters()), seed=seed, adapt_every=1).step()
        grown.append(model[0].indices.tolist())
    assert grown[0] == grown[1] != grown[2]


@pytest.mark.parametrize("drop", ["halves", "code"])
def test_what_ranks_weights_by_sign_ranks_no_blocks(drop):
    model = model_of("4x1")
    optimizer = torch.optim.Adam(model.parameters())
    with pytest.raises(ValueError, match=f"drop {drop} ranks weights by sign, which a block of structure 4x1 has not"):
        Rewiring(model, optimizer, drop=drop)


def test_set_drops_blocks_by_magnitude_unless_told_otherwise():
    changed = []
    for options in ({}, {"drop": "magnitude"}):
        torch.manual_seed(0)
        model = model_of("4x1")
        with torch.no_grad():
            model[0].values.copy_(
                torch.where(torch.rand_like(model[0].values) < 0.2, -1.0, 1.0) * model[0].values.abs()
            )
        rewiring = Rewiring(
            model, torch.optim.Adam(model.parameters()), seed=1, adapt_every=1, adapt_fraction=0.3, **options
        )
        assert rewiring.step()
        changed.append(model[0].indices.tolist())
    assert changed[0] == changed[1]


@pytest.mark.parametrize("problem", ["values", "follower"])
def test_an_event_that_is_refused_changes_nothing(problem):
    model, follower = model_of(), model_of()
    optimizer = torch.optim.Adam(model.parameters())
    learn(model, optimizer)
    if problem == "values":
        with torch.no_grad():
            model[2].values[0] = torch.nan
    else:
        follower[2] = SparseLinear(32, 16, 0.8, seed=9)
    rewiring = Rewiring(model, optimizer, adapt_every=1, adapt_fraction=0.5, followers=[follower])
    states = [each.state_dict() for each in (model, follower, optimizer)]
    before = copy.deepcopy(states)
    said = {"values": "'2' has values that are not finite; lower", "follower": "'2' than the model; load"}
    with pytest.raises((FloatingPointError, ValueError), match=said[problem]):
        rewiring.step()
    after = [each.state_dict() for each in (model, follower, optimizer)]
    torch.testing.assert_close(after, before, rtol=0, atol=0, equal_nan=True)
    assert rewiring.rewired == 0


def test_what_cannot_be_rewired_is_refused():
    model = model_of()
    optimizer = torch.optim.Adam(model.parameters())
    with pytest.raises(ValueError, match="no SparseLinear"):
        Rewiring(nn.Linear(2, 2), optimizer)
    with pytest.raises(ValueError, match=r"does not own the values of the layer '0'"):
        Rewiring(model, torch.optim.Adam([model[0].bias]))
    with pytest.raises(ValueError, match="LBFGS"):
        Rewiring(model, torch.optim.LBFGS(model.parameters()))
    with pytest.raises(ValueError, match="no rule 'sett'"):
        Rewiring(model, optimizer, "sett")
    with pytest.raises(ValueError, match=r"seed must be a whole number, got 0\.5"):
        Rewiring(model, optimizer, seed=0.5)


def test_it_learns_what_a_masked_dense_model_learns():
    torch.manual_seed(0)
    sparse = model_of("8x1", sparsity=0.6)
    weights = [layer.dense().requires_grad_() for layer in (sparse[0], sparse[2])]
    masks = [weight.detach() != 0 for weight in weights]
    biases = [layer.bias.detach().clone().requires_grad_() for layer in (sparse[0], sparse[2])]
    ours = torch.optim.Adam(sparse.parameters(), lr=0.003)
    dense = torch.optim.Adam([*weights, *biases], lr=0.003)
    teacher = torch.randn(20, 16)
    for _ in range(200):
        x = torch.randn(64, 20)
        target = torch.tanh(x @ teacher)
        losses = []
        for optimizer, y in (
            (ours, sparse(x)),
            (dense, linear(torch.relu(linear(x, weights[0] * masks[0], biases[0])), weights[1] * masks[1], biases[1])),
        ):
            loss = mse_loss(y, target)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
    assert losses[0] == pytest.approx(losses[1], rel=1e-3)
    assert losses[0] < 0.7


def test_strength_and_attribution_by_hand():
    weight = torch.tensor([[1.0, -2.0, 0.0], [0.0, 3.0, 0.5]])
    layer = SparseLinear.from_dense(weight)
    assert strength(layer).tolist() == [1.0, 5.0, 0.5]
    assert attribution(layer, torch.randn(4, 3)).tolist() == [1.0, 5.0, 0.5]
    with pytest.raises(ValueError, match=r"\[samples, outputs\] is needed"):
        attribution(nn.Flatten(0), torch.randn(4, 3))
    for x in (torch.randn(0, 3), torch.randn(3), torch.ones(4, 3, dtype=torch.int64)):
        with pytest.raises(ValueError, match=r"x must be float \[samples, inputs\] of one sample or more"):
            attribution(layer, x)
    with torch.inference_mode():
        assert attribution(layer, torch.randn(4, 3)).tolist() == [1.0, 5.0, 0.5]
    layer.register_forward_hook(lambda _, inputs, y: y.detach())
    with pytest.raises(ValueError, match=r"no gradient by x; take out its no_grad"):
        attribution(layer, torch.randn(4, 3))


def test_attribution_is_of_the_model_as_it_is_evaluated_and_leaves_it_as_it_was():
    torch.manual_seed(0)
    frozen = nn.BatchNorm1d(2).eval()
    model = nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2), nn.Dropout(), frozen)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    stream = torch.get_rng_state()
    scores = attribution(model, torch.randn(8, 3, generator=torch.Generator()))
    by_hand = model[0].weight.detach().abs().sum(dim=0) / (1 + frozen.eps)  # running variances are 1
    assert torch.allclose(scores, by_hand)
    assert [module.training for module in model.modules()] == [True, True, True, True, False]
    assert torch.equal(torch.get_rng_state(), stream)
    assert all(torch.equal(before[name], tensor) for name, tensor in model.state_dict().items())


def test_layers_that_do_not_have_the_initial_sparsity_are_refused_but_not_loaded_ones():
    options = {"sparsity": 0.95, "initial_sparsity": 0.0, "sparsity_end": 6, "adapt_every": 2}
    model = model_of(sparsity=0.9)
    optimizer = torch.optim.Adam(model.parameters())
    rewiring = Rewiring(model, optimizer, "prune", **options)
    with pytest.raises(
        ValueError, match=r"from initial_sparsity 0, but that .* is 0\.9.*; .*SparseLinear\(\.\.\., spars"
    ):
        learn(model, optimizer, rewiring, 1)
    pruned = model_of(sparsity=0.0)
    optimizer = torch.optim.Adam(pruned.parameters())
    first = Rewiring(pruned, optimizer, "prune", **options)
    learn(pruned, optimizer, first, 6)
    again = Rewiring(pruned, optimizer, "prune", **options)
    again.load_state_dict(first.state_dict())
    learn(pruned, optimizer, again, 1)


def test_what_is_misunderstood_is_said_in_words():
    model = model_of()
    optimizer = torch.optim.Adam(model.parameters())
    with pytest.raises(TypeError, match="no option 'adapt_evry'; did you mean adapt_every"):
        Rewiring(model, optimizer, adapt_evry=3)
    for of_layers in ({"structure": "8x1"}, {"lambdas": (1, 2)}, {"freeze_after": (3,)}):
        with pytest.raises(TypeError, match="layers are as they were made"):
            Rewiring(model, optimizer, **of_layers)
    for of_change in ({"sparsity": 0.95}, {"sparsity_end": 10}, {"distribution": "global"}):
        with pytest.raises(TypeError, match="without initial_sparsity: the sparsity of layers stays"):
            Rewiring(model, optimizer, **of_change)
    with pytest.warns(UserWarning, match="until update 800,000, the default of sparsity_end"):
        Rewiring(model, optimizer, "prune", initial_sparsity=0.8, sparsity=0.9)
    with pytest.raises(TypeError, match=r"strength is of a SparseLinear, got Linear; .*from_dense"):
        strength(nn.Linear(4, 2))
    assert repr(Rewiring(model, optimizer)) == (
        "Rewiring('set', 2 layers, 218 connections, every 1,000 updates; updates=0, rewired=0)"
    )
