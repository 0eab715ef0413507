"""Dormant units: how they are measured, and what recycling does and leaves alone."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest
from experience import bits, observations, random_replay, restored
from test_td3 import make

from rewirl.agents import TD3Config
from rewirl.agents.dormancy import dormant_share, recycle, scores
from rewirl.nn import Ensemble, Pool, Start, initialised, mean_weights, mlp, mlp_network, pack

X = np.float32([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]])


def by_hand():
    """Two inputs, four hidden units, one output; unit 2 is never active, unit 3 hardly."""
    weights = np.float32([[1, 1], [2, 0], [-1, -1], [0.03, 0]])
    biases = [np.zeros(4, np.float32), np.zeros(1, np.float32)]
    network = mlp_network([2, 4, 1], [None, None], [weights.reshape(-1), np.ones(4, np.float32)], biases)
    ensemble = Ensemble([network], Pool(1))
    ensemble.forward(pack(X))
    return ensemble, mean_weights(3)


def test_scores_are_activations_relative_to_their_layer():
    ensemble, weights = by_hand()
    activity = np.array([4 / 3, 4 / 3, 0, 0.02])
    (found,) = scores(ensemble, 0, weights)
    assert found == pytest.approx(activity / activity.mean(), rel=1e-6)
    assert dormant_share(ensemble, 0, weights, 0.0) == 0.25
    assert dormant_share(ensemble, 0, weights, 0.1) == 0.5


def test_a_silent_layer_is_all_dormant():
    ensemble, weights = by_hand()
    ensemble.networks[0].layers[0].set_values(np.full(8, -1, np.float32))
    ensemble.forward(pack(X))
    assert dormant_share(ensemble, 0, weights, 0.0) == 1.0


def trained(sparsity=0.5):
    agent, replay = make(topology={"sparsity": sparsity, "rule": "static"}), random_replay()
    for _ in range(8):
        agent.update(replay)
    return agent._networks.ensemble("critic1", "critic2"), agent._batch


def snapshot(network):
    return [
        [a.copy() for a in (layer.values, layer.bias, *layer.moments, *layer.bias_moments)] for layer in network.layers
    ]


@pytest.mark.parametrize("sparsity", [0.0, 0.5])
def test_only_what_goes_into_or_out_of_dormant_units_begins_anew(sparsity):
    ensemble, batch = trained(sparsity)
    ensemble.forward(batch.states_actions)
    network, found = ensemble.networks[0], scores(ensemble, 0, batch.weights)
    threshold = float(np.quantile(np.concatenate(found), 0.2))
    dormant = [score <= threshold for score in found]
    before, places = snapshot(network), [layer.places() for layer in network.layers]
    recycled = recycle(ensemble, 0, batch.weights, threshold, Start("fan-in"), np.random.default_rng(0))
    assert recycled == sum(d.sum() for d in dormant)
    for index, layer in enumerate(network.layers):
        assert np.array_equal(layer.places(), places[index])
        n_in = layer.shape[1]
        rows, columns = places[index] // n_in, places[index] % n_in
        into = dormant[index][rows] if index < 2 else np.zeros(len(rows), bool)
        out_of = dormant[index - 1][columns] if index > 0 else np.zeros(len(rows), bool)
        fresh = into  # one between two dormant units too: what it leads to is silent at first
        assert (layer.values[out_of & ~into] == 0).all()
        assert np.abs(layer.values[fresh]).max(initial=0) <= 1 / np.sqrt(n_in)
        assert not np.isin(layer.values[fresh], before[index][0]).any()
        untouched = ~(into | out_of)
        assert np.array_equal(layer.values[untouched], before[index][0][untouched])
        for moment, old in zip(layer.moments, before[index][2:4], strict=True):
            assert (moment[~untouched] == 0).all()
            assert np.array_equal(moment[untouched], old[untouched])
        if index < 2:
            assert (layer.bias[dormant[index]] == 0).all()
            assert np.array_equal(layer.bias[~dormant[index]], before[index][1][~dormant[index]])
            assert (layer.bias_moments[0][dormant[index]] == 0).all()


def test_a_threshold_of_zero_leaves_the_outputs_what_they_are():
    ensemble, weights = by_hand()
    before = ensemble.forward(pack(X))[0].copy()
    assert recycle(ensemble, 0, weights, 0.0, Start("xavier"), np.random.default_rng(0)) == 1
    assert np.array_equal(ensemble.forward(pack(X))[0], before)
    assert recycle(ensemble, 0, weights, 0.0, Start("xavier"), np.random.default_rng(0)) == 0  # the unit is awake


@pytest.mark.parametrize("at", [0, 5, 12])
def test_recycling_goes_on_to_the_bit_after_a_restart(at):
    _, resumed = restored(partial(make, redo_every=4, redo_threshold=0.5), at, 9)
    assert resumed.diagnostics()["recycled"] > 0
    resumed.close()


def test_diagnostics_do_not_depend_on_predictions_in_between():
    quiet, asked = make(), make()
    replays = random_replay(), random_replay()
    for _ in range(4):
        quiet.update(replays[0])
        asked.update(replays[1])
    asked.predict(observations(200))
    assert asked.diagnostics() == quiet.diagnostics()
    quiet.update(replays[0])
    asked.update(replays[1])
    assert bits(asked) == bits(quiet)


@pytest.mark.parametrize(("field", "value"), [("redo_every", -1), ("redo_threshold", -0.1), ("redo_threshold", np.nan)])
def test_impossible_settings_are_refused(field, value):
    with pytest.raises(ValueError, match=f"{field} must be"):
        TD3Config(**{field: value})


@pytest.mark.parametrize("sparsity", [0.5, 0.0])
def test_recycled_units_are_as_young_as_grown_connections(sparsity):
    agent = make(topology={"sparsity": sparsity, "rule": "static"}, bias_correction="connection")
    replay = random_replay()
    for _ in range(8):
        agent.update(replay)
    ensemble, batch = agent._networks.ensemble("critic1", "critic2"), agent._batch
    ensemble.forward(batch.states_actions)
    network, found = ensemble.networks[0], scores(ensemble, 0, batch.weights)
    threshold = float(np.quantile(np.concatenate(found), 0.3))
    recycle(ensemble, 0, batch.weights, threshold, Start("fan-in"), np.random.default_rng(0))
    for layer, has_new_units in zip(network.layers, (True, True, False), strict=True):
        for born, moments in ((layer.born, layer.moments), (layer.bias_born, layer.bias_moments)):
            new = moments[1] == 0
            assert (born[new] == network.steps).all() and (born[~new] == 0).all() and len(born) == len(new)
            assert new.any() or not (has_new_units or moments is layer.moments)
    assert network.steps == 8


def test_a_unit_without_inputs_is_left_alone():
    """It would be dormant again at once, and nothing could be drawn for it."""
    values = [np.float32([1, 1, -1, -1]), np.ones(3, np.float32)]  # unit 1 has no input, unit 2 is never active
    places = [np.array([0, 1, 4, 5]), None]
    network = mlp_network([2, 3, 1], places, values, [np.float32([0, -1, 0]), np.zeros(1, np.float32)])
    ensemble, weights = Ensemble([network], Pool(1)), mean_weights(3)
    ensemble.forward(pack(X))
    assert dormant_share(ensemble, 0, weights, 0.0) == 2 / 3
    assert recycle(ensemble, 0, weights, 0.0, Start("fan-in"), np.random.default_rng(0)) == 1
    assert network.layers[0].bias[1] == -1 and network.layers[1].values[1] == 1


@pytest.mark.parametrize("structure", ["unstructured", "4x1"])
def test_an_event_on_the_same_update_leaves_new_units_their_outputs(structure):
    """Their outgoing weights are 0, and an event drops the smallest magnitudes first."""
    topology = {"sparsity": 0.5, "rule": "set", "structure": structure, "adapt_every": 8, "adapt_fraction": 0.3}
    plain = make(topology=topology)
    recycling = make(topology=topology, redo_every=8, redo_threshold=0.5)
    for agent in (plain, recycling):
        replay = random_replay()
        for _ in range(8):
            agent.update(replay)
    assert recycling.diagnostics()["recycled"] > 10
    for name, network in recycling._networks.online.items():
        for layer, other in zip(network.layers, plain._networks.online[name].layers, strict=True):
            assert np.array_equal(np.sort(layer.places()), np.sort(other.places())), name


@pytest.mark.parametrize("scale", ["dense", "sparse", "largest"])
@pytest.mark.parametrize("initialisation", ["fan-in", "xavier", "he", "orthogonal"])
@pytest.mark.parametrize(("n_in", "n_out"), [(60, 90), (90, 60)])
def test_weights_are_drawn_again_as_they_were_at_the_start(n_in, n_out, initialisation, scale):
    """Their quantiles, and that of their size in the layer, over many draws."""
    rng = np.random.default_rng(5)
    places = np.sort(rng.permutation(n_in * n_out)[: n_in * n_out // 4])
    gains = {"hidden1": 1.4}
    ratios = []
    for _ in range(8):
        network = initialised(n_in, mlp([n_in, n_out, 1]), {"hidden1": places}, rng, initialisation, scale, gains)
        layer = network.layers[0]
        chosen = rng.random(n_out)[layer.places() // n_in] < 0.5
        drawn = Start(initialisation, scale, gains).again(layer, chosen, rng)
        assert drawn.dtype == np.float32 and drawn.shape == (chosen.sum(),)
        of = [np.quantile(np.abs(values), [0.1, 0.25, 0.5, 0.75, 0.9]) for values in (drawn, layer.values)]
        ratios.append(of[0] / of[1])
        assert abs(np.sign(drawn).mean()) < 0.15
    assert np.mean(ratios, axis=0) == pytest.approx(np.ones(5), abs=0.06)
