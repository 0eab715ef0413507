"""Saving and restoring networks, to the bit."""

from __future__ import annotations

import json

import numpy as np
import pytest
from cases import random_network
from test_adam_and_rewiring import random_event

from rewirl.nn import BatchNorm, Ensemble, Linear, Network, TargetNetwork, initialised, pack, state, update_targets

SIZES, DENSITIES = [20, 40, 130, 2], [0.5, 0.1, None]


def same(a, b):
    """Whether two states are the same to the bit."""
    arrays = a[0].keys() == b[0].keys() and all(
        a[0][name].dtype == b[0][name].dtype and a[0][name].tobytes() == b[0][name].tobytes() for name in a[0]
    )
    return arrays and a[1] == b[1]


def copied(state):
    """As it comes back from a file: copies, and values through JSON."""
    return {name: array.copy() for name, array in state[0].items()}, json.loads(json.dumps(state[1]))


class Run:
    """A made-up training: gradients, Adam, rewirings, target updates at other times, all random."""

    def __init__(self, pool, seed=0, by_age=False):
        self.pool, self.rng, self.step = pool, np.random.default_rng(seed), 0
        self.online = random_network(SIZES, DENSITIES, self.rng)
        if by_age:
            self.online.count_ages()
        self.target = TargetNetwork(self.online)

    def advance(self, steps):
        outputs = []
        for _ in range(steps):
            self.step += 1
            ensemble, x = (
                Ensemble([self.online], self.pool),
                pack(self.rng.normal(size=(30, SIZES[0])).astype(np.float32)),
            )
            outputs += [ensemble.forward(x)[0].copy(), Ensemble([self.target], self.pool).forward(x)[0].copy()]
            ensemble.backward(x, [outputs[-2] - outputs[-1]])
            ensemble.adam(1e-2, 1e-3)
            if self.step % 2 == 0:
                for index in (0, 1):
                    self.online.rewire(
                        self.online.layers[index].name, *random_event(self.online.layers[index], 0.2, self.rng)
                    )
            if self.step % 5 == 0:
                update_targets([self.target], 0.05, self.pool)
        return outputs

    def states(self):
        return self.online.state(), self.target.state()

    def restore(self, states):
        self.online = Network.from_state(*copied(states[0]))
        self.target = TargetNetwork.restored(self.online, *copied(states[1]))


@pytest.mark.parametrize("by_age", [False, True])
@pytest.mark.parametrize("at", range(5, 11))
def test_a_restored_network_goes_on_as_if_it_had_never_been_saved(instruction_set, pool, at, by_age):
    """Saved before and after rewirings and target updates, with stale connections in the target."""
    through, stopped = Run(pool, by_age=by_age), Run(pool, by_age=by_age)
    through.advance(at)
    stopped.advance(at)
    saved = stopped.states()
    assert all(map(same, saved, through.states()))
    stopped.restore(saved)
    assert all(map(same, stopped.states(), saved)), "restoring and saving again gives another state"
    for a, b in zip(through.advance(7), stopped.advance(7), strict=True):
        assert np.array_equal(a, b)
    assert all(map(same, through.states(), stopped.states()))


def test_the_saved_target_had_stale_connections(pool):
    """Else the test above would say little."""
    run = Run(pool)
    run.advance(5)
    for index in (0, 1):
        online, target = run.online.layers[index], run.target.layers[index]
        alive = target.places()[target.values != 0]
        assert len(np.setdiff1d(alive, online.places())) > 10


def test_the_state_is_a_copy(pool):
    run = Run(pool)
    saved = run.states()
    before = [copied(state) for state in saved]
    run.advance(6)
    assert all(map(same, saved, before))


def then(change, function):
    """The function with a change after its first call, as another thread may make one."""
    left = [change]

    def changed(*arguments):
        result = function(*arguments)
        if left:
            left.pop()()
        return result

    return changed


@pytest.mark.parametrize("of", ["target", "online"])
@pytest.mark.parametrize("change", ["a soft update", "learning"])
def test_steps_and_stale_layers_are_saved_as_of_the_moment_of_the_arrays(pool, monkeypatch, of, change):
    run = Run(pool)
    run.advance(4)  # the target has yet to follow a rewiring
    network = getattr(run, of)
    before = copied(network.state())
    changes = {"a soft update": lambda: update_targets([run.target], 0.5, pool), "learning": lambda: run.advance(1)}
    monkeypatch.setattr(state, "arrays_of", then(changes[change], state.arrays_of))
    saved = network.state()
    assert same(saved, network.state())
    assert not same(saved, before) or (of, change) == ("online", "a soft update")


def test_values_that_are_set_while_a_network_is_saved_are_all_old_or_all_new(pool, monkeypatch):
    network = Run(pool).online

    def set_values():
        for name in ("hidden1.values", "output.bias"):
            network.set_values(name, network.values(name) + 1)

    monkeypatch.setattr(state, "_of_training", then(set_values, state._of_training))
    assert same(network.state(), network.state())


def test_running_statistics_that_move_while_a_network_is_saved_are_of_its_moment(pool, monkeypatch):
    network = initialised(3, [BatchNorm("norm"), Linear("out", n_out=2)], {}, np.random.default_rng(0))
    ensemble = Ensemble([network], pool)
    ensemble.forward(pack(np.random.default_rng(1).normal(size=(20, 3)).astype(np.float32)), 20)
    monkeypatch.setattr(state, "arrays_of", then(ensemble.update_statistics, state.arrays_of))
    assert same(network.state(), network.state())


def damaged(state, **changes):
    arrays, values = copied(state)
    for name, change in changes.items():
        if name in ("sizes", "steps"):
            values[name] = change
            continue
        name = name[1:].replace("_", ".", 1)
        if change is None:
            del arrays[name]
        else:
            arrays[name] = change(arrays[name])
    return arrays, values


def with_first(value):
    def change(array):
        array[0] = value
        return array

    return change


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"_hidden1_values": None}, "hidden1.values of a network is missing"),
        ({"_hidden2_bias": None}, "hidden2.bias of a network is missing"),
        ({"_hidden1_m": None}, "hidden1.m of a network is missing"),
        ({"_output_bias_v": None}, "output.bias_v of a network is missing"),
        ({"_hidden1_places": None}, r"hidden1.values of a network is float32 \[\d+\], expected float32 \[800\]"),
        ({"_hidden1_values": lambda a: a[:-1]}, r"hidden1.values of a network is float32 .*, expected float32"),
        (
            {"_hidden1_values": lambda a: a.astype(np.float64)},
            "hidden1.values of a network is float64 .*, expected float32",
        ),
        (
            {"_hidden1_values": lambda a: a[:, np.newaxis]},
            r"hidden1.values .* float32 \[\d+, 1\], expected",
        ),
        (
            {"_hidden1_places": lambda a: a.astype(np.int32)},
            r"hidden1.places .* int32 .*, expected int64 \[any\]",
        ),
        ({"_hidden1_v": with_first(np.nan)}, "hidden1.v of a network has numbers that are not finite"),
        ({"_output_bias_v": with_first(-1)}, "output.bias_v of a network, of means of squares, is negative"),
        ({"_hidden2_values": with_first(np.inf)}, "hidden2.values of a network has numbers that are not finite"),
        ({"_hidden1_places": with_first(-1)}, "place -1 is outside"),
        ({"_hidden1_places": with_first(800)}, "place 800 is outside"),
        ({"_hidden1_places": with_first(2**40)}, f"place {2**40} is outside"),
        ({"_hidden1_places": lambda a: np.concatenate([a[1:2], a[1:]])}, "is given twice"),
        ({"sizes": None}, "sizes of a network"),
        ({"sizes": [20]}, "sizes of a network"),
        ({"sizes": [20, 0, 130, 2]}, "sizes of a network"),
        ({"sizes": [20, -40, 130, 2]}, "sizes of a network"),
        ({"sizes": [20, 40.0, 130, 2]}, "sizes of a network"),
        ({"sizes": [20, True, 130, 2]}, "sizes of a network"),
        ({"sizes": [2**30, 2**30]}, "sizes of a network"),
        ({"sizes": "20 40"}, "sizes of a network"),
        ({"steps": -1}, "step count"),
        ({"steps": 1.5}, "step count"),
        ({"steps": "many"}, "step count"),
    ],
)
def test_an_impossible_state_is_refused_by_name(pool, changes, message):
    run = Run(pool)
    run.advance(3)
    with pytest.raises(ValueError, match=message):
        Network.from_state(*damaged(run.online.state(), **changes))


def test_a_state_in_another_order_of_connections_is_the_same_network(pool):
    """Whatever order the core computes in, and whatever order a file has."""
    run = Run(pool)
    run.advance(3)
    run.online.count_ages()
    arrays, values = copied(run.online.state())
    other = dict(arrays)
    for layer in {name.partition(".")[0] for name in arrays if name.endswith("places")}:
        order = np.random.default_rng(0).permutation(len(arrays[f"{layer}.places"]))
        for name in ("places", "values", "m", "v", "born"):
            other[f"{layer}.{name}"] = arrays[f"{layer}.{name}"][order]
        assert (np.diff(arrays[f"{layer}.places"]) > 0).all()
    restored, _ = Network.from_state(other, values).state()
    assert restored.keys() == arrays.keys()
    assert all(np.array_equal(restored[name], arrays[name]) for name in arrays)
