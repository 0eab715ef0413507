"""Continual backprop: what units are worth, which are replaced, and what a replacement leaves alone."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest
from dqn_experience import experience as dqn_experience
from experience import bits, random_replay, restored, through_a_file, topology
from ppo_experience import experience as ppo_experience
from ppo_experience import make as make_ppo
from ppo_experience import play as play_ppo
from test_dqn import make as make_dqn
from test_sac import make as make_sac
from test_td3 import make as make_td3

from rewirl.agents import DQNConfig, PPOConfig, SACConfig, TD3Config, XQCConfig, make_agent
from rewirl.agents.config import AgentConfig
from rewirl.agents.continual_backprop import ContinualBackprop
from rewirl.nn import Ensemble, Pool, Start, mean_weights, mlp_network, pack

QUICK = {"cbp_replacement_rate": 0.05, "cbp_maturity_threshold": 3}
SPARSE = {"sparsity": 0.5, "adapt_every": 4, "adapt_fraction": 0.3}


def begin(network, **settings):
    return ContinualBackprop(network, AgentConfig(**settings)), Ensemble([network], Pool(1))


def step(units, ensemble, x, seed=0):
    """Let it see a batch, float32 [samples, inputs]; returns how many units were replaced."""
    ensemble.forward(pack(x), len(x))
    return units.step(ensemble, 0, mean_weights(len(x)), Start("fan-in"), np.random.default_rng(seed))


def by_hand():
    """One input, three hidden units, one output: h = x, 2 x and 1, with outgoing weights 1, -3 and 0.5."""
    incoming, outgoing = np.float32([1, 2, 0]), np.float32([1, -3, 0.5])
    biases = [np.float32([0, 0, 1]), np.zeros(1, np.float32)]
    return mlp_network([1, 3, 1], [None, None], [incoming, outgoing], biases)


def test_utilities_are_what_they_are_by_hand():
    units, ensemble = begin(by_hand(), cbp_replacement_rate=1e-9, cbp_decay_rate=0.5)
    assert step(units, ensemble, np.float32([[1], [3]])) == 0
    # E h = 2, 4, 1 and with age 1 the running averages are half of that, corrected by 1 - 0.5 the means themselves;
    # E |h - mean| = 1, 2, 0;  y = 1 * 1 / 1, 2 * 3 / 2 and 0, since nothing goes into the third.
    state = units.state()
    assert state["age"].tolist() == [1, 1, 1]
    assert state["activation"] == pytest.approx([1, 2, 0.5]) and state["utility"] == pytest.approx([0.5, 1.5, 0])
    step(units, ensemble, np.float32([[5], [5]]))
    # f = 0.5 * 1 + 0.5 * 5 = 3, corrected by 1 - 0.25: 4;  E |h - 4| = 1, of the second twice that;  y = 1 and 3
    state = units.state()
    assert state["activation"] == pytest.approx([3, 6, 0.75]) and state["utility"] == pytest.approx([0.75, 2.25, 0])
    contribution, ensemble = begin(by_hand(), cbp_decay_rate=0.5, cbp_utility="contribution")
    step(contribution, ensemble, np.float32([[1], [3]]))  # E |h| sum |w_out| = 2 * 1, 4 * 3, 1 * 0.5, halved
    assert contribution.state()["utility"] == pytest.approx([1, 6, 0.25])


def test_the_unit_of_least_utility_goes_and_its_mean_stays_in_the_bias():
    network = by_hand()
    units, ensemble = begin(network, cbp_replacement_rate=0.34, cbp_maturity_threshold=0, cbp_decay_rate=0.5)
    assert step(units, ensemble, np.float32([[1], [3]])) == 1  # 0.34 * 3 units
    assert network.layers[1].weights().tolist() == [[1, -3, 0]] and network.layers[1].bias.tolist() == [0.5]
    assert 0 < abs(network.layers[0].values[2]) <= 1 and network.layers[0].bias.tolist() == [0, 0, 0]
    state = units.state()
    assert state["age"].tolist() == [1, 1, 0] and state["activation"][2] == state["utility"][2] == 0
    assert state["due"] == pytest.approx([0.02])


def test_the_function_stays_where_the_unit_is_constant():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(20, 3)).astype(np.float32)
    values = [rng.normal(size=n).astype(np.float32) for n in (15, 20, 8)]
    values[0].reshape(5, 3)[2] = 0  # a constant
    biases = [np.float32([0, 0, 0.7, 0, 0]), np.zeros(4, np.float32), np.zeros(2, np.float32)]
    network = mlp_network([3, 5, 4, 2], [None] * 3, values, biases)
    units, ensemble = begin(network, cbp_replacement_rate=0.2, cbp_maturity_threshold=6)
    before = ensemble.forward(pack(x))[0].copy()
    for _ in range(6):
        assert step(units, ensemble, x) == 0
    assert np.array_equal(ensemble.forward(pack(x))[0], before)
    replaced = step(units, ensemble, x)  # 0.2 * 5 units of the first layer; 0.2 * 4 of the second are not due yet
    assert replaced == 1 and units.state()["age"].tolist() == [7, 7, 0, 7, 7, 7, 7, 7, 7]
    assert (network.layers[0].weights()[2] != 0).all() and (network.layers[1].weights()[:, 2] == 0).all()
    assert ensemble.forward(pack(x))[0] == pytest.approx(before, abs=1e-5)


class Formula:
    """The algorithm on dense float64 matrices, unit by unit."""

    def __init__(self, sizes, config):
        self.c, self.due = config, [0.0] * len(sizes)
        self.age, self.f, self.u = ([np.zeros(n) for n in sizes] for _ in range(3))

    def step(self, x, before, after):
        """Return which units of each layer go: `before` made the activations, `after` are the weights of now."""
        decay, replaced = self.c.cbp_decay_rate, []
        h = x.astype(np.float64)
        for layer in range(len(self.due)):
            weights, bias = before[layer]
            h = np.maximum(h @ weights.T + bias, 0)
            into, out_of = np.abs(after[layer][0]).sum(axis=1), np.abs(after[layer + 1][0]).sum(axis=0)
            eligible = []
            for i in range(len(self.u[layer])):
                self.age[layer][i] += 1
                corrected = 1 - decay ** self.age[layer][i]
                self.f[layer][i] = decay * self.f[layer][i] + (1 - decay) * h[:, i].mean()
                if self.c.cbp_utility == "contribution":
                    y = np.abs(h[:, i]).mean() * out_of[i]
                else:
                    y = np.abs(h[:, i] - self.f[layer][i] / corrected).mean() * out_of[i]
                    y = y / into[i] if into[i] > 0 else 0.0
                self.u[layer][i] = decay * self.u[layer][i] + (1 - decay) * y
                if self.age[layer][i] > self.c.cbp_maturity_threshold and into[i] > 0 and out_of[i] > 0:
                    eligible.append((self.u[layer][i] / corrected, i))
            self.due[layer] += self.c.cbp_replacement_rate * len(eligible)
            count = int(self.due[layer])
            self.due[layer] -= count
            replaced.append([i for _, i in sorted(eligible)[:count]])
        return replaced


@pytest.mark.parametrize("utility", ["adaptable-contribution", "contribution"])
@pytest.mark.parametrize("sparsity", [0.0, 0.6])
def test_it_does_what_the_formula_says(utility, sparsity):
    rng, sizes = np.random.default_rng(1), [4, 9, 7, 2]
    shapes = list(zip(sizes[1:], sizes[:-1], strict=True))
    masks = [rng.random(n * m) >= sparsity for n, m in shapes]
    places = [np.flatnonzero(mask) if sparsity else None for mask in masks]
    values = [rng.normal(size=int(mask.sum())).astype(np.float32) for mask in masks]
    biases = [rng.normal(size=n).astype(np.float32) for n, _ in shapes]
    network = mlp_network(sizes, places, values, biases)
    settings = {"cbp_replacement_rate": 0.03, "cbp_maturity_threshold": 5, "cbp_decay_rate": 0.9}
    units, ensemble = begin(network, **settings, cbp_utility=utility)
    formula = Formula(sizes[1:-1], AgentConfig(**settings, cbp_utility=utility))

    def matrices():
        return [(layer.weights().astype(np.float64), layer.bias.astype(np.float64)) for layer in network.layers]

    gone = 0
    for number in range(60):
        x = rng.normal(size=(21, 4)).astype(np.float32)
        before, topologies = matrices(), topology(network)
        (output,) = ensemble.forward(pack(x), 21)
        ensemble.step(pack(x), [output * mean_weights(21)], 1e-2)
        after, replaced = matrices(), None
        replaced = formula.step(x, before, after)
        count = units.step(ensemble, 0, mean_weights(21), Start("fan-in"), np.random.default_rng(number))
        now, gone = matrices(), gone + count
        assert count == sum(map(len, replaced)) and topology(network) == topologies
        state = units.state()
        for layer, chosen in enumerate(replaced):
            bias = after[layer + 1][1].copy()
            for i in chosen:
                usual = formula.f[layer][i] / (1 - 0.9 ** formula.age[layer][i])
                bias += after[layer + 1][0][:, i] * usual
                keeps = [k for k in range(shapes[layer + 1][0]) if k not in [*replaced, []][layer + 1]]
                assert (now[layer + 1][0][keeps, i] == 0).all()
                formula.age[layer][i] = formula.f[layer][i] = formula.u[layer][i] = 0
                drawn = now[layer][0][i][masks[layer].reshape(shapes[layer])[i]]
                assert (np.abs(drawn) <= 1 / np.sqrt(shapes[layer][1])).all() and now[layer][1][i] == 0
            rest = [k for k in range(shapes[layer + 1][0]) if k not in [*replaced, []][layer + 1]]
            assert now[layer + 1][1][rest] == pytest.approx(bias[rest], rel=1e-4, abs=1e-5)
        assert state["age"].tolist() == np.concatenate(formula.age).tolist()
        assert state["activation"] == pytest.approx(np.concatenate(formula.f), rel=1e-4, abs=1e-6)
        assert state["utility"] == pytest.approx(np.concatenate(formula.u), rel=1e-3, abs=1e-6)
        assert state["due"] == pytest.approx(formula.due, abs=1e-9)
    assert gone > 10


def test_a_mature_unit_of_low_utility_goes_and_new_ones_are_safe():
    rng = np.random.default_rng(2)
    values = [rng.uniform(0.5, 1, n).astype(np.float32) for n in (24, 8)]
    values[1][5] = 1e-3  # hardly heard
    network = mlp_network([3, 8, 1], [None, None], values, [np.ones(8, np.float32), np.zeros(1, np.float32)])
    units, ensemble = begin(network, cbp_replacement_rate=1 / 8, cbp_maturity_threshold=10)
    batches = [rng.random((30, 3), np.float32) for _ in range(21)]
    assert [step(units, ensemble, x) for x in batches[:11]] == [0] * 10 + [1]
    assert units.state()["age"].tolist() == [11, 11, 11, 11, 11, 0, 11, 11]
    assert sum(step(units, ensemble, x) for x in batches[11:]) > 3
    state = units.state()  # though nobody hears the new unit, it is taken only when it is as old
    assert state["age"][5] == 10 and state["utility"][5] == 0


@pytest.mark.parametrize(
    ("make", "replays"),
    [
        (lambda **k: make_td3(**k, topology=SPARSE), random_replay),
        (lambda **k: make_td3(**k, topology={"sparsity": 0.0, "rule": "static"}), random_replay),
        (
            lambda **k: make_td3(**k, topology={**SPARSE, "structure": "4x1"}, bias_correction="connection"),
            random_replay,
        ),
        (lambda **k: make_sac(**k, topology=SPARSE), random_replay),
        (lambda seed=0, **k: make_dqn(seed=seed, **k), lambda seed=0: dqn_experience()[0]),
    ],
    ids=["td3", "dense td3", "blocks", "sac", "dqn"],
)
@pytest.mark.parametrize("at", [0, 7])
def test_an_agent_goes_on_to_the_bit_after_a_restart(make, replays, at):
    connections = {name: network.connections for name, network in make(**QUICK)._networks.online.items()}
    through, resumed = restored(partial(make, **QUICK), at, 9, replays)
    assert resumed.diagnostics()["recycled"] > 0
    assert {name: network.connections for name, network in through._networks.online.items()} == connections
    resumed.close()


def test_ppo_of_relus_replaces_units_and_goes_on_to_the_bit():
    through, stopped, resumed = (make_ppo(activation="relu", seed=seed, **QUICK) for seed in (5, 5, 6))
    whole = ppo_experience(300)
    play_ppo(through, whole)
    play_ppo(stopped, type(whole)(*(part[:150] for part in whole)))
    resumed.load_state(*through_a_file(stopped.state()))
    play_ppo(resumed, whole, start=150)
    assert bits(resumed) == bits(through) and resumed.diagnostics()["recycled"] > 0


@pytest.mark.parametrize("sparsity", [0.5, 0.0])
def test_only_what_goes_into_or_out_of_replaced_units_begins_again(sparsity):
    agent, replay = (
        make_td3(topology={"sparsity": sparsity, "rule": "static"}, bias_correction="connection"),
        random_replay(),
    )
    for _ in range(8):
        agent.update(replay)
    network = agent.networks()["critic1"]
    ensemble, batch = agent._networks.ensemble("critic1", "critic2"), agent._batch
    units = ContinualBackprop(network, AgentConfig(cbp_replacement_rate=0.2, cbp_maturity_threshold=0))
    ensemble.forward(batch.states_actions)
    before = [(layer.places(), layer.values.copy(), layer.moments[1].copy()) for layer in network.layers]
    assert units.step(ensemble, 0, batch.weights, Start("fan-in"), np.random.default_rng(0)) == 8 + 6  # of 40 and 30
    gone = [*np.split(units.state()["age"] == 0, [40]), np.zeros(1, bool)]
    for index, (layer, (places, values, moments)) in enumerate(zip(network.layers, before, strict=True)):
        assert np.array_equal(layer.places(), places)
        rows, columns = np.divmod(places, layer.shape[1])
        into, out_of = gone[index][rows], gone[index - 1][columns] if index else np.zeros(len(rows), bool)
        touched = into | out_of
        assert (layer.values[out_of & ~into] == 0).all() and (layer.values[into] != values[into]).all()
        assert (layer.moments[1][touched] == 0).all() and np.array_equal(layer.moments[1][~touched], moments[~touched])
        assert np.array_equal(layer.values[~touched], values[~touched])
        assert (layer.born == np.where(touched, network.steps, 0)).all()
        assert (layer.bias_born == np.where(gone[index], network.steps, 0)).all()


def test_agents_whose_networks_have_other_units_refuse_it_by_name():
    with pytest.raises(ValueError, match="XQCConfig has no use for cbp_replacement_rate: it replaces units of"):
        make_agent("xqc", XQCConfig(hidden_sizes=(8,), actor_hidden_sizes=(8,), cbp_replacement_rate=1e-4), 3, 2, 0)
    with pytest.raises(
        ValueError, match="cbp_replacement_rate replaces hidden units of multilayer perceptrons of ReLUs, and those of"
    ):
        make_agent("ppo", PPOConfig(cbp_replacement_rate=1e-4), 3, 2, 0)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"cbp_replacement_rate": 1.5}, "cbp_replacement_rate must be between 0 and 1"),
        ({"cbp_maturity_threshold": -1}, "cbp_maturity_threshold must be 0 or more"),
        ({"cbp_decay_rate": 1.0}, "cbp_decay_rate must be 0 or more and below 1"),
        ({"cbp_utility": "weight"}, "cbp_utility"),
        ({"cbp_replacement_rate": 1e-4, "redo_every": 5}, "both replace units"),
    ],
)
def test_impossible_settings_are_refused(settings, message):
    for kind in (TD3Config, SACConfig, DQNConfig):
        with pytest.raises(ValueError, match=message):
            kind(**settings)


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("age", lambda a: a[:-1], r"the saved actor: the age of its units .* is int64 \[\d+\], expected int64"),
        ("age", lambda a: a + 1, "the age of its units .* has impossible numbers"),  # older than its network
        ("utility", lambda a: a - 1, "the saved actor: the utility of its units .* has impossible numbers"),
        ("activation", lambda a: a + np.nan, "the activation of its units .* has numbers that are not finite"),
        ("due", lambda a: a + 1, "the due of its units .* has impossible numbers"),
        ("due", None, "the due of its units .* is missing"),
    ],
)
def test_a_saved_state_that_is_impossible_is_refused(name, change, message):
    agent = make_td3(**QUICK)
    arrays, values = agent.state()
    array = arrays.pop(f"cbp.actor.{name}")
    if change is not None:
        arrays[f"cbp.actor.{name}"] = change(array)
    with pytest.raises(ValueError, match=message):
        make_td3(**QUICK).load_state(arrays, values)


def test_an_agent_without_it_keeps_nothing_of_it():
    assert not [name for name in make_td3().state()[0] if name.startswith("cbp")]
