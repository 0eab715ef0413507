"""Agents whose sparsity differs between networks, or changes while they learn."""

from __future__ import annotations

import math
from functools import partial

import numpy as np
import pytest
from experience import bits, passes, random_replay, restored, through_a_file
from test_td3 import make

from rewirl.agents import SACConfig, TD3Config, make_agent
from rewirl.topology import TopologyConfig, densities, density_at

PRUNING = {"rule": "prune", "initial_sparsity": 0.0, "sparsity": 0.8, "sparsity_start": 6, "sparsity_end": 30}


def shares(network):
    return [layer.density for layer in network.layers]


def test_actor_and_critics_can_have_sparsities_of_their_own():
    plain = make(topology={"sparsity": 0.4}).networks()
    own = make(topology={"sparsity": 0.4, "actor_sparsity": 0.8}).networks()
    assert shares(own["critic1"]) == shares(plain["critic1"])
    shapes = [layer.shape for layer in own["actor"].layers]
    assert shares(own["actor"]) == pytest.approx(densities(TopologyConfig(sparsity=0.8), shapes), abs=0.1)
    critics = make(topology={"lambdas": (2.0, 3.0), "sparsity": None, "critic_sparsity": 0.7}).networks()
    shapes = [layer.shape for layer in critics["critic2"].layers]
    assert shares(critics["critic2"]) == pytest.approx(densities(TopologyConfig(sparsity=0.7), shapes), abs=0.1)
    shapes = [layer.shape for layer in critics["actor"].layers]
    assert shares(critics["actor"]) == pytest.approx(densities(TopologyConfig(lambdas=(2.0, 3.0)), shapes), abs=0.1)


@pytest.mark.parametrize("kind", ["td3", "sac"])
def test_pruning_starts_dense_follows_its_schedule_and_ends_sparse(kind):
    config = {"td3": TD3Config, "sac": SACConfig}[kind](
        hidden_sizes=(40, 30), batch_size=30, topology=TopologyConfig(adapt_every=3, **PRUNING)
    )
    agent, replay = make_agent(f"ds-{kind}", config, 7, 3, 0), random_replay()
    online = {name: agent.networks()[name] for name in ("actor", "critic1", "critic2")}
    assert all(layer.dense for network in online.values() for layer in network.layers)
    for update in range(1, 41):
        before = {name: [set(layer.places()) for layer in network.layers] for name, network in online.items()}
        agent.update(replay)
        for name, network in online.items():
            final = densities(config.topology, [layer.shape for layer in network.layers])
            # the actor of TD3 has its events with an update of its own, every second one
            event = update // 6 * 6 if (kind, name) == ("td3", "actor") else update // 3 * 3
            for layer, last, old in zip(network.layers, final, before[name], strict=True):
                wanted = round(density_at(event, 1.0, last, 6, 30) * math.prod(layer.shape))
                assert layer.connections == wanted
                assert set(layer.places()) <= old
        for name in ("critic1", "critic2"):
            for layer, target in zip(online[name].layers, agent.networks()[f"target_{name}"].layers, strict=True):
                assert layer.connections <= target.connections or not target.dense
    assert sum(network.connections for network in online.values()) < 0.21 * sum(
        math.prod(layer.shape) for network in online.values() for layer in network.layers
    )


def test_the_targets_of_a_pruned_network_have_no_more_connections():
    agent, replay = make(topology={"adapt_every": 2, **PRUNING}), random_replay()
    for _ in range(32):
        agent.update(replay)
        for name in ("actor", "critic1", "critic2"):
            for layer, target in zip(
                agent.networks()[name].layers, agent.networks()[f"target_{name}"].layers, strict=True
            ):
                if agent.updates % 2 == 0:  # targets have just moved
                    assert np.count_nonzero(target.values) <= layer.connections


def test_a_growing_sparsity_grows_connections_from_zero():
    growing = {"rule": "rigl", "initial_sparsity": 0.8, "sparsity": 0.2, "sparsity_end": 20, "adapt_every": 2}
    agent, replay = make(topology=growing), random_replay()
    critic = agent.networks()["critic1"]
    counts = [critic.connections]
    for _ in range(24):
        agent.update(replay)
        counts.append(critic.connections)
    assert counts == sorted(counts) and counts[0] < 0.3 * counts[-1]


@pytest.mark.parametrize("at", [0, 5, 6, 7, 8, 9, 12, 13, 31])
@pytest.mark.parametrize("changes", [{}, {"bias_correction": "connection"}])
def test_a_run_restored_amid_pruning_goes_on_to_the_bit(at, changes):
    make_one = partial(make, topology={"adapt_every": 3, **PRUNING}, **changes)
    _, resumed = restored(make_one, at, 17)
    resumed.close()


def test_an_impossible_final_sparsity_is_refused_at_the_start():
    with pytest.raises(ValueError, match="without any input"):
        make(topology={**PRUNING, "sparsity": 0.999})


@pytest.mark.parametrize("initial_scale", ["dense", "sparse"])
def test_initial_weights_are_scaled_by_the_inputs_there_are(initial_scale):
    agent = make(hidden_sizes=(300, 200), topology={"sparsity": 0.8, "initial_scale": initial_scale})
    for network in agent.networks().values():
        for layer in network.layers:
            if layer.dense:
                continue
            rows = layer.places() // layer.shape[1]
            inputs = np.bincount(rows, minlength=layer.shape[0])
            fan_in = np.maximum(inputs, 1) if initial_scale == "sparse" else np.full(layer.shape[0], layer.shape[1])
            bound = 1 / np.sqrt(fan_in)
            scaled = layer.values / bound[rows]
            assert np.abs(scaled).max() <= 1.0 + 1e-6
            assert scaled.std() == pytest.approx(3**-0.5, rel=0.1)
            assert (np.abs(layer.bias) <= bound).all()


def test_initial_weights_can_be_the_largest_of_dense_ones():
    """Against drawing dense weights and keeping the largest."""
    agent = make(hidden_sizes=(300, 200), topology={"sparsity": 0.8, "initial_scale": "largest"})
    layer = agent.networks()["critic1"].layers[1]
    dense = np.random.default_rng(0).uniform(-1, 1, 300 * 200) / np.sqrt(300)
    expected = np.sort(np.abs(dense))[-layer.connections :]
    found = np.sort(np.abs(layer.values))
    assert found == pytest.approx(expected, abs=0.02 * expected[-1])
    assert abs(np.sign(layer.values).mean()) < 0.05
    assert len(np.unique(layer.places() // 300)) == 200  # its places are as random as ever


def test_xavier_weights_are_scaled_by_the_connections_at_both_ends():
    config = SACConfig(hidden_sizes=(300, 200), topology=TopologyConfig(sparsity=0.8, initial_scale="sparse"))
    agent = make_agent("ds-sac", config, 7, 3, 0)
    layer = agent.networks()["critic1"].layers[1]
    rows = layer.places() // 300
    inputs, outputs = np.bincount(rows, minlength=200), layer.connections / 300
    scaled = layer.values / np.sqrt(6 / (inputs + outputs))[rows]
    assert np.abs(scaled).max() <= 1 + 1e-6
    assert scaled.std() == pytest.approx(3**-0.5, rel=0.1)


@pytest.mark.parametrize(("structure", "kind"), [("constant-fan-in", "td3"), ("1:4", "td3"), ("2:4", "sac")])
def test_a_structure_stays_while_an_agent_learns(structure, kind):
    topology = TopologyConfig(sparsity=0.6, structure=structure, rule="rigl", adapt_every=2, adapt_fraction=0.3)
    config = {"td3": TD3Config, "sac": SACConfig}[kind](hidden_sizes=(40, 30), batch_size=30, topology=topology)
    agent, replay = make_agent(f"ds-{kind}", config, 7, 3, 0), random_replay()
    start = {name: [layer.places() for layer in network.layers] for name, network in agent.networks().items()}
    for _ in range(10):
        agent.update(replay)
    spread = topology.spread
    for name in ("actor", "critic1", "critic2"):
        for layer, before in zip(agent.networks()[name].layers, start[name], strict=True):
            counts = spread.counts(layer.shape, layer.places())
            assert (counts == counts[0]).all()
            assert np.array_equal(counts, spread.counts(layer.shape, before))
            assert layer.dense or not np.array_equal(np.sort(layer.places()), np.sort(before))


@pytest.mark.parametrize("kind", ["td3", "sac"])
def test_units_are_ablated_while_an_agent_learns_and_a_restored_one_goes_on_to_the_bit(kind):
    topology = TopologyConfig(
        sparsity=0.6, structure="constant-fan-in", ablate_below=1.0, rule="rigl", adapt_every=2, adapt_fraction=0.5
    )
    config = {"td3": TD3Config, "sac": SACConfig}[kind](hidden_sizes=(40, 30), batch_size=30, topology=topology)
    agent, again = (make_agent(f"ds-{kind}", config, 7, 3, 0) for _ in range(2))
    replay, its_own = random_replay(), random_replay()
    start = {name: [layer.connections for layer in network.layers] for name, network in agent.networks().items()}
    for update in range(12):
        if update == 7:
            again.load_state(*through_a_file(agent.state()))
            its_own.load_state(*through_a_file(replay.state()))
        agent.update(replay)
        if update >= 7:
            again.update(its_own)
    assert bits(again) == bits(agent)
    for name in ("actor", "critic1", "critic2"):
        layers, ablated = agent.networks()[name].layers, 0
        assert [layer.connections for layer in layers] == start[name]
        for number, layer in enumerate(layers):
            has = np.bincount(layer.places() // layer.shape[1], minlength=layer.shape[0])
            assert has[has > 0].max() - has[has > 0].min() <= 1
            ablated += int((has == 0).sum())
            assert number < 2 or (has > 0).all()  # of the output layer none
        assert ablated > 0


def moved_to_the_first_unit(agent, name, layer):
    """The saved arrays with one connection of a layer's last unit at the first one."""
    arrays, _ = agent.state()
    places, n_in = arrays[f"{name}.{layer}.places"], agent.networks()[name].layer(layer).shape[1]
    free = np.setdiff1d(np.arange(n_in), places[places < n_in])
    return {**arrays, f"{name}.{layer}.places": np.sort(np.append(places[:-1], free[0]))}


@pytest.mark.parametrize("structure", ["constant-fan-in", "1:4"])
def test_a_saved_topology_that_breaks_its_structure_is_refused(structure):
    config = TD3Config(hidden_sizes=(40, 30), topology=TopologyConfig(sparsity=0.6, structure=structure))
    agent = make_agent("ds-td3", config, 7, 3, 0)
    arrays, values = agent.state()
    for name, layer in (("actor", "hidden1"), ("critic2", "hidden2")):
        with pytest.raises(
            ValueError, match=f"the saved {name}: layer {layer} does not have the structure {structure}"
        ):
            agent.load_state(moved_to_the_first_unit(agent, name, layer), values)
    agent.load_state(arrays, values)


def test_where_units_are_ablated_only_the_output_layer_is_held_to_its_fan_in():
    topology = TopologyConfig(
        sparsity=0.6, distribution="uniform", structure="constant-fan-in", ablate_below=0.5, rule="rigl"
    )
    agent = make_agent("ds-sac", SACConfig(hidden_sizes=(40, 30), topology=topology), 7, 3, 0)
    _, values = agent.state()
    with pytest.raises(ValueError, match="the saved actor: layer output does not have the structure constant-fan-in"):
        agent.load_state(moved_to_the_first_unit(agent, "actor", "output"), values)
    agent.load_state(moved_to_the_first_unit(agent, "actor", "hidden2"), values)


def test_snip_keeps_what_the_loss_is_most_sensitive_to():
    snip = {"rule": "prune", "drop": "sensitivity", "initial_sparsity": 0.0, "sparsity": 0.8}
    snip |= {"sparsity_start": 0, "sparsity_end": 2, "adapt_every": 2, "adapt_end": 2}
    agent, replay = make(topology=snip), random_replay()
    agent.update(replay)
    critic, (ensemble, number) = agent.networks()["critic1"], passes(agent, "critic1")
    sensitivity = []
    rewire = critic.rewire

    def watched(layer, dropped, grown):
        gradient = ensemble.dense_gradient(number, layer, agent._batch.states_actions)
        score = np.abs(critic.layer(layer).values * gradient.reshape(-1))
        assert not len(grown) and score[dropped].max() <= np.delete(score, dropped).min()
        sensitivity.append(layer)
        rewire(layer, dropped, grown)

    critic.rewire = watched
    agent.update(replay)
    assert sensitivity == ["hidden1", "hidden2"]
    kept = {name: topology_of(network) for name, network in agent.networks().items()}
    shapes = [layer.shape for layer in critic.layers]
    assert shares(critic) == pytest.approx(densities(TopologyConfig(sparsity=0.8), shapes), abs=0.02)
    for _ in range(6):
        agent.update(replay)
    online = ("actor", "critic1", "critic2")
    assert all(topology_of(agent.networks()[name]) == kept[name] for name in online)


@pytest.mark.parametrize("kind", ["td3", "sac"])
def test_snip_of_a_whole_network_keeps_the_most_sensitive_of_all_its_layers(kind):
    snip = {"rule": "prune", "drop": "sensitivity", "initial_sparsity": 0.0, "sparsity": 0.9, "distribution": "global"}
    snip |= {"sparsity_start": 0, "sparsity_end": 2, "adapt_every": 2, "adapt_end": 2}
    config = {"td3": TD3Config, "sac": SACConfig}[kind](
        hidden_sizes=(40, 30), batch_size=30, topology=TopologyConfig(**snip)
    )
    agent, replay = make_agent(f"ds-{kind}", config, 7, 3, 0), random_replay()
    agent.update(replay)
    kept, most_lost = {}, {}
    for name in ("actor", "critic1", "critic2"):
        network = agent.networks()[name]
        batch = agent._batch.states if name == "actor" else agent._batch.states_actions

        def watched(layer, dropped, grown, name=name, network=network, batch=batch, rewire=network.rewire):
            ensemble, number = passes(agent, name)
            gradient = ensemble.dense_gradient(number, layer, batch)
            score = np.abs(network.layer(layer).values * gradient.reshape(-1))
            kept.setdefault(name, []).append(np.delete(score, dropped))
            most_lost[name] = max(most_lost.get(name, 0.0), score[dropped].max(initial=0))
            rewire(layer, dropped, grown)

        network.rewire = watched
    agent.update(replay)
    densities_found = set()
    for name, layers in kept.items():
        network = agent.networks()[name]
        places = sum(math.prod(layer.shape) for layer in network.layers)
        assert network.connections == round(0.1 * places)
        assert min(layer.min() for layer in layers) >= most_lost[name] > 0
        densities_found |= {tuple(layer.connections for layer in network.layers)}
    assert len(densities_found) == 3  # each network by its own loss
    before = {name: topology_of(agent.networks()[name]) for name in kept}
    for _ in range(5):
        agent.update(replay)
    assert {name: topology_of(agent.networks()[name]) for name in kept} == before


@pytest.mark.parametrize("rule", ["prune", "rigl"])
def test_pruning_by_magnitude_over_a_whole_network_follows_its_schedule_and_resumes(rule):
    topology = {**PRUNING, "rule": rule, "distribution": "global", "adapt_every": 3, "adapt_fraction": 0.1}
    agent, again, replay = make(topology=topology), make(topology=topology), random_replay()
    critic = agent.networks()["critic1"]
    places = sum(math.prod(layer.shape) for layer in critic.layers)
    for update in range(1, 37):
        agent.update(replay)
        if update == 20:
            again.load_state(*through_a_file(agent.state()))
            its_own = random_replay()
            its_own.load_state(*through_a_file(replay.state()))
        if update > 20:
            again.update(its_own)
        assert critic.connections == round(density_at(update // 3 * 3, 1.0, 0.2, 6, 30) * places)
        assert min(layer.connections for layer in critic.layers) >= 1
    assert bits(again) == bits(agent)
    assert len({round(layer.density, 2) for layer in critic.layers}) == 3


def topology_of(network):
    return [np.sort(layer.places()).tolist() for layer in network.layers]


@pytest.mark.parametrize("seed", range(4))
def test_a_layer_that_lacks_no_connection_loses_none(seed):
    """However many it began with by chance."""
    revival = {"rule": "set", "adapt_fraction": 0.0, "initial_sparsity": 0.921, "sparsity": 0.911, "adapt_every": 2}
    revival |= {"distribution": "connectivity", "sparsity_end": 2, "adapt_end": 2}
    agent, replay = make(seed=seed, hidden_sizes=(120, 90), topology=revival), random_replay()
    critic = agent.networks()["critic1"]
    before = topology_of(critic)
    agent.update(replay)
    agent.update(replay)
    assert set(before[0]) <= set(topology_of(critic)[0])
    assert set(before[1]) < set(topology_of(critic)[1])


@pytest.mark.parametrize("distribution", ["erdos-renyi", "connectivity"])
def test_a_static_topology_can_be_revived_once(distribution):
    revival = {"rule": "set", "adapt_fraction": 0.0, "initial_sparsity": 0.85, "sparsity": 0.8}
    revival["distribution"] = distribution
    revival |= {"sparsity_start": 0, "sparsity_end": 6, "adapt_every": 6, "adapt_end": 6}
    agent, replay = make(topology=revival), random_replay()
    before = topology_of(agent.networks()["critic1"])
    for _ in range(5):
        agent.update(replay)
    assert topology_of(agent.networks()["critic1"]) == before
    agent.update(replay)
    after = topology_of(agent.networks()["critic1"])
    assert all(set(old) <= set(new) for old, new in zip(before, after, strict=True)) and after != before
    critic = agent.networks()["critic1"]
    shapes = [layer.shape for layer in critic.layers]
    final = densities(TopologyConfig(**revival), shapes)
    for layer, density, old in zip(critic.layers, final, before, strict=True):
        wanted = round(density * math.prod(layer.shape))
        assert layer.connections == (wanted if distribution == "erdos-renyi" else max(wanted, len(old)))
    for _ in range(12):
        agent.update(replay)
    assert topology_of(agent.networks()["critic1"]) == after


@pytest.mark.parametrize("settings", [{}, {"structure": "4x1"}, {"distribution": "global"}, {"grow": "random"}])
def test_what_was_dropped_may_be_grown_again_once_a_dense_layer_is_thinner(settings):
    """A layer that is still dense has no place to grow in: it is thinned alone."""
    topology = {**PRUNING, "rule": "rigl", "regrow_dropped": True, "adapt_every": 3, **settings}
    config = TD3Config(hidden_sizes=(40, 30), batch_size=30, topology=TopologyConfig(**topology))
    agent, replay = make_agent("ds-td3", config, 7, 3, 0), random_replay()
    rewired = []
    for _ in range(36):
        agent.update(replay)
        rewired.append(agent.diagnostics()["rewired"])
    assert rewired[-1] > rewired[12] > 0
    for network in agent.networks().values():
        assert network.connections == pytest.approx(
            0.2 * sum(math.prod(each.shape) for each in network.layers), rel=0.1
        )


def test_a_layer_that_growth_has_filled_forgets_nothing():
    topology = {"rule": "rigl", "initial_sparsity": 0.8, "sparsity": 0.25, "sparsity_end": 20, "adapt_every": 2}
    config = TD3Config(
        hidden_sizes=(40, 40),
        batch_size=30,
        policy_delay=1,
        topology=TopologyConfig(adapt_fraction=0.1, regrow_dropped=True, **topology),
    )
    agent, replay = make_agent("ds-td3", config, 7, 3, 0), random_replay()
    for _ in range(21):  # an event is on the next one
        agent.update(replay)
    layers = [layer for layer in agent.networks()["actor"].layers if layer.connections == math.prod(layer.shape)]
    rewired, zeros = agent.diagnostics()["rewired"], [int((layer.values == 0).sum()) for layer in layers]
    for _ in range(8):
        agent.update(replay)
        # what was dropped and grown again would be 0; what a dead unit has from before may be
        assert all(int((layer.values == 0).sum()) <= before for layer, before in zip(layers, zeros, strict=True))
    assert layers and agent.diagnostics()["rewired"] > rewired
