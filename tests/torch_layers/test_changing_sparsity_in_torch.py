"""A sparsity of PyTorch layers that changes: from what layers have, to what is possible, and said where it is odd."""

from __future__ import annotations

import itertools
import warnings

import pytest
import torch
from torch_models import learn, model_of

from rewirl.torch import Rewiring, SparseLinear


def rewired(model, rule="prune", **options):
    optimizer = torch.optim.Adam(model.parameters())
    return optimizer, Rewiring(model, optimizer, rule, adapt_every=1, **options)


def connections(model):
    return [model[0].connections, model[2].connections]


@pytest.mark.parametrize("distribution", ["erdos-renyi", "uniform", "connectivity"])
def test_layers_change_from_what_they_have_not_from_what_a_distribution_would_give_them(distribution):
    first, last = (0.9, 0.6) if distribution == "connectivity" else (0.5, 0.9)
    model = model_of(sparsity=first)
    before, places = connections(model), [640, 512]
    rule = "set" if distribution == "connectivity" else "prune"
    options = {"initial_sparsity": first, "sparsity": last, "sparsity_start": 2, "sparsity_end": 6}
    optimizer, rewiring = rewired(model, rule, distribution=distribution, adapt_fraction=0.0, **options)
    learn(model, optimizer, rewiring, 2)
    assert connections(model) == before
    saved = rewiring.state_dict()
    course = []
    for _ in range(4):
        learn(model, optimizer, rewiring)
        course.append(connections(model))
    assert sum(course[-1]) == pytest.approx((1 - last) * sum(places), abs=2)
    sums = [sum(before), *map(sum, course)]
    assert sums == sorted(sums, reverse=last > first)
    _, other = rewired(model, rule, distribution=distribution, adapt_fraction=0.0, **options)
    other.load_state_dict(saved)
    assert other.state_dict() == saved
    for wrong in ([0.5], [0.5, 2.0], "half", [0.5, "half"]):
        with pytest.raises(ValueError, match="initial"):
            other.load_state_dict({**saved, "initial_densities": wrong})
    assert other.state_dict() == saved


PRUNED = {"initial_sparsity": 0.5, "sparsity": 0.9, "sparsity_end": 4}


def test_a_second_phase_goes_on_from_what_the_first_left():
    model = model_of(sparsity=0.5)
    optimizer, first = rewired(model, **PRUNED)
    learn(model, optimizer, first, 5)
    left = connections(model)
    assert sum(left) == pytest.approx(115, abs=1)
    optimizer, second = rewired(model, initial_sparsity=0.9, sparsity=0.95, sparsity_start=5, sparsity_end=9)
    second.load_state_dict(first.state_dict())
    course = [left]
    for _ in range(5):
        learn(model, optimizer, second)
        course.append(connections(model))
    assert all(
        after <= before for one, two in itertools.pairwise(course) for before, after in zip(one, two, strict=True)
    )
    assert sum(course[-1]) == pytest.approx(58, abs=1)
    _, again = rewired(model, initial_sparsity=0.9, sparsity=0.95, sparsity_start=5, sparsity_end=9)
    again.load_state_dict(second.state_dict())
    assert again.state_dict() == second.state_dict()


def test_a_phase_that_prunes_after_one_whose_sparsity_stayed_begins_with_the_layers_own_densities():
    model = model_of(sparsity=0.5)  # as dense as each other; by Erdős-Rényi they would not be
    before = connections(model)
    optimizer, first = rewired(model, "set", adapt_fraction=0.3)
    learn(model, optimizer, first, 2)
    optimizer, second = rewired(model, **{**PRUNED, "sparsity_start": 3, "sparsity_end": 9})
    second.load_state_dict(first.state_dict())
    learn(model, optimizer, second)  # on update 3 nothing has changed yet
    assert connections(model) == before


def test_a_state_of_another_schedule_does_not_hide_that_layers_have_another_sparsity():
    model = model_of(sparsity=0.5)
    optimizer, first = rewired(model, **PRUNED)
    learn(model, optimizer, first, 5)
    saved = first.state_dict()
    without = {name: value for name, value in saved.items() if name != "initial_densities"}
    for options, state in ((PRUNED, without), ({**PRUNED, "sparsity_end": 8}, saved)):
        optimizer, other = rewired(model, **options)
        other.load_state_dict(state)
        with pytest.raises(
            ValueError, match=r"from initial_sparsity 0\.5, but .* is 0\.9002; .* or give initial_sparsity=0\.9002"
        ):
            learn(model, optimizer, other)


def test_an_impossible_sparsity_is_refused_before_anything_is_learnt():
    with pytest.raises(ValueError, match=r"sparsity 0.999 leaves most units of layer 1 without any input"):
        rewired(model_of(sparsity=0.0), initial_sparsity=0.0, sparsity=0.999, sparsity_end=9)


def test_a_sparsity_nobody_asked_for_and_one_that_is_not_reached_are_said():
    with pytest.warns(UserWarning, match=r"changes to 0\.5, the default of sparsity"):
        rewired(model_of(sparsity=0.0), initial_sparsity=0.0, sparsity_end=9)
    ends = {"initial_sparsity": 0.0, "sparsity": 0.9, "sparsity_end": 9}
    with pytest.warns(UserWarning, match=r"sparsity_end is 9, and by adapt_end the last event is on update 8"):
        rewired(model_of(sparsity=0.0), adapt_end=8, **ends)
    model = model_of(sparsity=0.0)
    with pytest.warns(UserWarning, match=r"by adapt_end the last event is on update 7"):  # which is 5 + 2
        Rewiring(
            model, torch.optim.SGD(model.parameters()), "prune", adapt_every=5, adapt_offset=2, adapt_end=11, **ends
        )
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        rewired(model_of(sparsity=0.0), adapt_end=9, **ends)


def test_events_of_less_than_one_connection_are_said_to_rewire_nothing():
    least = 1 / max(connections(model_of(sparsity=0.5)))
    with pytest.warns(UserWarning, match=r"nothing is ever rewired: adapt_fraction is .*; give .* or more"):
        rewired(model_of(sparsity=0.5), "set", adapt_fraction=0.9 * least)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        rewired(model_of(sparsity=0.5), "set", adapt_fraction=1.1 * least)


def test_layers_that_have_every_connection_are_said_to_have_nothing_to_rewire():
    with pytest.warns(UserWarning, match=r"the rule set does nothing: the layers have every connection; give them a"):
        rewired(model_of(sparsity=0.0), "set")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        rewired(model_of(sparsity=0.0), "static")
        rewired(model_of(sparsity=0.5), "set")


def test_a_layer_that_has_every_connection_forgets_nothing():
    model = model_of(sparsity=0.5)
    model[0] = SparseLinear(20, 32, sparsity=0.0, seed=3)
    optimizer, rewiring = rewired(model, "set", adapt_fraction=0.3, regrow_dropped=True)
    learn(model, optimizer, rewiring, 3)
    assert rewiring.rewired > 0 and (model[0].values != 0).all()
