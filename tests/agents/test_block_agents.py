"""Agents whose topologies are blocks of 4 or 8 outputs by one input."""

from __future__ import annotations

import math
from functools import partial

import numpy as np
import pytest
import torch
from experience import ACTION, OBSERVATION, gradient, passes, random_replay, restored
from test_oracles import ALL_TERMS, KINDS, SEED, random_transitions, relative

from rewirl.agents import SACConfig, TD3Config, make_agent
from rewirl.replay import Replay
from rewirl.topology import TopologyConfig, densities, density_at

ONLINE = ("actor", "critic1", "critic2")


def make(
    kind="td3", structure="4x1", seed=0, threads=1, hidden_sizes=(42, 30), batch_size=30, topology=None, **changes
):
    """The hidden layers divide by neither height, so that their last groups are smaller."""
    settings = {"sparsity": 0.6, "adapt_every": 2, "adapt_fraction": 0.3, **(topology or {})}
    config = {"td3": TD3Config, "sac": SACConfig}[kind](
        hidden_sizes=hidden_sizes,
        batch_size=batch_size,
        topology=TopologyConfig(structure=structure, **settings),
        **changes,
    )
    return make_agent(f"ds-{kind}", config, OBSERVATION, ACTION, seed, threads)


def sorted_indices(layer):
    return np.sort(layer.places())


def assert_whole(agent):
    """Every online layer consists of whole blocks; returns how many connections each has."""
    spread = agent.config.topology.spread
    for name in ONLINE:
        for layer in agent.networks()[name].layers:
            assert spread.whole(layer.shape, sorted_indices(layer))
    return {name: [layer.connections for layer in agent.networks()[name].layers] for name in ONLINE}


def learn(agent, updates, replay=None):
    replay = random_replay() if replay is None else replay
    for _ in range(updates):
        agent.update(replay)
    return replay


@pytest.mark.parametrize("structure", ["4x1", "8x1"])
@pytest.mark.parametrize("kind", ["td3", "sac"])
@pytest.mark.parametrize("rule", ["static", "set", "rigl"])
def test_blocks_and_connections_stay_while_an_agent_learns(structure, kind, rule):
    agent, replay = make(kind, structure, topology={"rule": rule}), random_replay()
    start = {name: [sorted_indices(layer) for layer in agent.networks()[name].layers] for name in ONLINE}
    connections = assert_whole(agent)
    for _ in range(12):
        agent.update(replay)
        assert assert_whole(agent) == connections
    moved = any(
        not np.array_equal(sorted_indices(layer), before)
        for name in ONLINE
        for layer, before in zip(agent.networks()[name].layers, start[name], strict=True)
    )
    assert moved == (rule != "static")
    for name in ONLINE:
        for layer, target in zip(
            agent.networks()[name].layers,
            agent.networks().get(f"target_{name}", agent.networks()[name]).layers,
            strict=True,
        ):
            assert np.count_nonzero(target.values) <= layer.connections


@pytest.mark.parametrize("drop", ["magnitude", "l2", "sensitivity", "random"])
@pytest.mark.parametrize("grow", ["random", "gradient"])
def test_every_criterion_works_in_an_agent(drop, grow):
    agent = make(topology={"drop": drop, "grow": grow, "anneal": "cosine", "adapt_end": 8})
    connections = assert_whole(agent)
    learn(agent, 10)
    assert assert_whole(agent) == connections and agent.diagnostics()["rewired"] > 0


@pytest.mark.parametrize("structure", ["4x1", "8x1"])
@pytest.mark.parametrize("kind", ["td3", "sac"])
@pytest.mark.parametrize("at", [5, 6])
@pytest.mark.parametrize(
    "settings",
    [
        {"topology": {"rule": "rigl"}},
        {"topology": {"drop": "random"}, "bias_correction": "connection", "redo_every": 3, "redo_threshold": 0.5},
        {"topology": {"rule": "prune", "initial_sparsity": 0.0, "sparsity_end": 12}},
        {"topology": {"rule": "rigl", "initial_sparsity": 0.9, "sparsity": 0.3, "sparsity_end": 12}},
    ],
    ids=["rigl", "ages", "pruning", "growing"],
)
def test_a_restored_agent_goes_on_to_the_bit(structure, kind, at, settings):
    _, resumed = restored(partial(make, kind, structure, **settings), at, 9)
    assert_whole(resumed)
    resumed.close()


@pytest.mark.parametrize("structure", ["4x1", "8x1"])
def test_a_saved_topology_that_is_not_in_blocks_is_refused(structure):
    agent = make(structure=structure)
    arrays, values = agent.state()
    for name, layer in (("actor", "hidden1"), ("critic2", "hidden2")):
        places, n_in = arrays[f"{name}.{layer}.places"], agent.networks()[name].layer(layer).shape[1]
        free = np.setdiff1d(np.arange(n_in), places[places < n_in])
        moved = np.sort(np.append(places[1:], free[0]))
        with pytest.raises(ValueError, match=f"the saved {name}: .*(structure {structure}|blocks of {structure[0]})"):
            agent.load_state({**arrays, f"{name}.{layer}.places": moved}, values)
    unstructured = make(structure="unstructured")
    with pytest.raises(ValueError, match="the saved actor"):
        agent.load_state(*unstructured.state())
    agent.load_state(arrays, values)


# Against masked networks in an autograd framework


def with_oracle(kind, topology, hidden_sizes=(50, 42), **config):
    agent_class, config_class, oracle = KINDS[kind]
    observation_size, action_size = 9, 5
    config = config_class(topology=topology, hidden_sizes=hidden_sizes, batch_size=40, **{**ALL_TERMS[kind], **config})
    agent = agent_class(kind, config, observation_size, action_size, SEED)
    transitions = random_transitions(observation_size, action_size)
    replay = Replay(1000, observation_size, action_size, SEED)
    for observation, action, (reward,), next_observation, (terminated,) in zip(*transitions, strict=True):
        replay.add(observation, action, reward, next_observation, terminated)
    return agent, replay, oracle(agent, transitions, SEED, torch.float64)


@pytest.mark.parametrize("structure", ["4x1", "8x1"])
@pytest.mark.parametrize("kind", KINDS)
def test_updates_have_the_gradients_and_weights_of_a_masked_network(kind, structure):
    agent, replay, oracle = with_oracle(kind, TopologyConfig(sparsity=0.7, structure=structure, rule="static"))
    start = {name: [np.array(layer.values) for layer in agent.networks()[name].layers] for name in ONLINE}
    agent.update(replay)
    oracle.update()
    for name, layers in oracle.gradients.items():
        for layer, (weights, bias) in zip(agent.networks()[name].layers, layers, strict=True):
            computed = gradient(agent, name, f"{layer.name}.values")
            assert relative(computed, weights.reshape(-1)[layer.places()]) < 1e-5, name
            assert relative(gradient(agent, name, f"{layer.name}.bias"), bias) < 1e-5, name
    for _ in range(9):
        agent.update(replay)
        oracle.update()
    for name in ONLINE:
        for number, (layer, before) in enumerate(zip(agent.networks()[name].layers, start[name], strict=True)):
            weights = oracle.parameters(name, number)[0].reshape(-1)[layer.places()]
            assert np.linalg.norm(layer.values - weights) < 1e-3 * np.linalg.norm(weights - before)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", ONLINE)
def test_blocks_grow_where_autograd_has_the_largest_sums(kind, name):
    topology = TopologyConfig(sparsity=0.7, structure="4x1", rule="rigl", adapt_every=1, adapt_fraction=0.3)
    agent, replay, oracle = with_oracle(kind, topology)
    if name == "actor":
        after_step = agent._networks.after_step  # the oracle's actor learns from critics that have not been rewired
        agent._networks.after_step = lambda names, *step: after_step(names, *step) if names == ("actor",) else None
    layers = agent.networks()[name].layers
    before = [layer.places() for layer in layers]
    oracle.networks[name].masks = [torch.ones_like(mask) for mask in oracle.networks[name].masks]
    agent.update(replay)
    oracle.update()
    for old, layer, (dense, _) in zip(before[:2], layers, oracle.gradients[name], strict=False):
        grown = np.setdiff1d(layer.places(), old)
        sums = np.abs(dense[: layer.shape[0] // 4 * 4]).reshape(-1, 4, layer.shape[1]).sum(axis=1)
        has_grown, has_been = (np.zeros(layer.shape, dtype=bool) for _ in range(2))
        has_grown.reshape(-1)[grown] = True
        has_been.reshape(-1)[old] = True
        has_grown, has_been = (mask[: len(sums) * 4 : 4] for mask in (has_grown, has_been))
        assert has_grown.sum() > 3
        assert sums[has_grown].min() >= sums[~has_grown & ~has_been].max() * (1 - 1e-4)


def test_survivors_keep_weights_and_moments_and_grown_blocks_begin_with_zero():
    agent = make(topology={"rule": "rigl", "adapt_every": 4}, bias_correction="connection")
    replay = learn(agent, 3)
    networks = agent.networks()
    seen = []
    for name in ("critic1", "critic2"):
        network, rewire = networks[name], networks[name].rewire

        def watched(of_layer, dropped, grown, network=network, rewire=rewire):
            layer = network.layer(of_layer)
            old = dict(
                zip(layer.places().tolist(), zip(layer.values, *layer.moments, layer.born, strict=True), strict=True)
            )
            gone = layer.places()[dropped]
            rewire(of_layer, dropped, grown)
            new = dict(
                zip(layer.places().tolist(), zip(layer.values, *layer.moments, layer.born, strict=True), strict=True)
            )
            assert set(new) == set(old) - set(gone.tolist()) | set(grown.tolist())
            for place, numbers in new.items():
                if place in set(grown.tolist()):
                    assert numbers[:3] == (0, 0, 0) and numbers[3] == network.steps
                else:
                    assert numbers == old[place]
            seen.append(len(grown))

        network.rewire = watched
    agent.update(replay)
    assert len(seen) == 4 and min(seen) > 0


# Methods


@pytest.mark.parametrize("structure", ["4x1", "8x1"])
@pytest.mark.parametrize("kind", ["td3", "sac"])
def test_pruning_starts_dense_and_follows_its_schedule_in_blocks(structure, kind):
    height = int(structure[0])
    pruning = {"rule": "prune", "initial_sparsity": 0.0, "sparsity": 0.8, "sparsity_start": 4, "sparsity_end": 20}
    agent, replay = make(kind, structure, topology=pruning), random_replay()
    assert all(layer.dense for name in ONLINE for layer in agent.networks()[name].layers)
    for update in range(1, 25):
        before = {name: [set(layer.places()) for layer in agent.networks()[name].layers] for name in ONLINE}
        agent.update(replay)
        assert_whole(agent)
        for name in ONLINE:
            layers = agent.networks()[name].layers
            final = densities(agent.config.topology, [layer.shape for layer in layers])
            for layer, last, old in zip(layers, final, before[name], strict=True):
                due = density_at(update // 2 * 2, 1.0, last, 4, 20) * math.prod(layer.shape)
                blocks = agent.config.topology.block_height(layer.shape)
                assert abs(layer.connections - due) <= height / 2 + 0.5 if blocks > 1 else 0.5
                assert set(layer.places()) <= old
    assert not agent.networks()["critic1"].layers[0].dense


def test_a_growing_network_grows_blocks():
    growing = {"rule": "rigl", "initial_sparsity": 0.85, "sparsity": 0.3, "sparsity_end": 16}
    agent, replay = make(topology=growing), random_replay()
    counts = [agent.networks()["critic1"].connections]
    for _ in range(18):
        agent.update(replay)
        assert_whole(agent)
        counts.append(agent.networks()["critic1"].connections)
    assert counts == sorted(counts)
    layers = agent.networks()["critic1"].layers
    for layer, density in zip(layers, densities(agent.config.topology, [layer.shape for layer in layers]), strict=True):
        assert abs(layer.connections - density * math.prod(layer.shape)) <= 2.5


def test_revival_by_connectivity_takes_no_block_away():
    revival = {"rule": "set", "adapt_fraction": 0.0, "distribution": "connectivity", "initial_sparsity": 0.85}
    revival |= {"sparsity": 0.7, "sparsity_end": 2, "adapt_end": 2}
    agent = make(topology=revival)
    before = [set(layer.places()) for layer in agent.networks()["critic1"].layers]
    learn(agent, 2)
    assert_whole(agent)
    after = [set(layer.places()) for layer in agent.networks()["critic1"].layers]
    assert all(old <= new for old, new in zip(before, after, strict=True)) and before != after


@pytest.mark.parametrize("kind", ["td3", "sac"])
@pytest.mark.parametrize("structure", ["4x1", "8x1"])
def test_snip_keeps_the_blocks_of_a_network_that_its_loss_is_most_sensitive_to(kind, structure):
    snip = {"rule": "prune", "drop": "sensitivity", "distribution": "global", "initial_sparsity": 0.0, "sparsity": 0.8}
    snip |= {"sparsity_start": 0, "sparsity_end": 2, "adapt_every": 2, "adapt_end": 2}
    height, agent = int(structure[0]), make(kind, structure, topology=snip)
    replay = learn(agent, 1)
    kept, lost = {}, {}
    for name in ONLINE:
        network = agent.networks()[name]
        batch = agent._batch.states if name == "actor" else agent._batch.states_actions

        def watched(of_layer, dropped, grown, name=name, network=network, batch=batch, rewire=network.rewire):
            layer, (ensemble, number) = network.layer(of_layer), passes(agent, name)
            score = np.abs(layer.weights() * ensemble.dense_gradient(number, of_layer, batch))
            size = agent.config.topology.block_height(layer.shape)
            for begin in range(0, len(score), size):
                score[begin : begin + size] = score[begin : begin + size].mean(axis=0)
            gone = np.zeros(layer.shape, dtype=bool)
            gone.reshape(-1)[layer.places()[dropped]] = True
            kept.setdefault(name, []).append(score[~gone])
            lost.setdefault(name, []).append(score[gone])
            rewire(of_layer, dropped, grown)

        network.rewire = watched
    agent.update(replay)
    assert_whole(agent)
    for name in ONLINE:
        network = agent.networks()[name]
        total = sum(math.prod(layer.shape) for layer in network.layers)
        assert abs(network.connections - 0.2 * total) <= height / 2 * len(network.layers)
        boundary = np.concatenate(lost[name]).max()
        weaker = sum(int((layer < boundary * (1 - 1e-5)).sum()) for layer in kept[name])
        assert weaker <= height  # one block at most is on the wrong side for rounding
    connections = assert_whole(agent)
    learn(agent, 5, replay)
    assert assert_whole(agent) == connections


def test_redo_redraws_units_inside_their_blocks_and_no_block_moves():
    agent = make(redo_every=3, redo_threshold=0.7, topology={"rule": "static"})
    critic = agent.networks()["critic1"]
    replay = learn(agent, 2)
    before = [(layer.places(), np.array(layer.values)) for layer in critic.layers]
    learn(agent, 1, replay)
    assert agent.diagnostics()["recycled"] > 0
    assert_whole(agent)
    for layer, (places, _) in zip(critic.layers, before, strict=True):
        assert np.array_equal(layer.places(), places)
    # Bias and moments of a recycled unit are zero; its neighbours in a block go on.
    layer = critic.layers[0]
    begun_again = (layer.bias == 0) & (layer.bias_moments[0] == 0)
    assert 0 < begun_again.sum() < len(begun_again)
    groups = begun_again[:40].reshape(10, 4)
    assert (groups.any(axis=1) & ~groups.all(axis=1)).any()
    rows = layer.places() // layer.shape[1]
    assert (layer.moments[0][begun_again[rows]] == 0).all()
    assert (layer.moments[0][~begun_again[rows]] != 0).any()


def test_anf_has_blocks_in_its_input_layer_and_dense_layers_after():
    anf = {"sparsity": None, "layer_sparsities": (0.8, 0.0, 0.0), "drop": "magnitude"}
    agent = make(topology=anf)
    dense = {name: [layer.dense for layer in agent.networks()[name].layers] for name in ONLINE}
    assert all(layers == [False, True, True] for layers in dense.values())
    connections = assert_whole(agent)
    first = sorted_indices(agent.networks()["actor"].layers[0])
    learn(agent, 6)
    assert assert_whole(agent) == connections
    assert not np.array_equal(sorted_indices(agent.networks()["actor"].layers[0]), first)


@pytest.mark.parametrize("scale", ["dense", "sparse", "largest"])
def test_initial_scales_are_those_of_single_connections(scale):
    agent = make(hidden_sizes=(302, 200), topology={"sparsity": 0.8, "initial_scale": scale})
    layer = agent.networks()["critic1"].layers[1]
    rows = layer.places() // 302
    assert agent.config.topology.spread.whole(layer.shape, sorted_indices(layer))
    if scale == "largest":
        smallest = (1 - layer.density) / np.sqrt(302)
        assert np.abs(layer.values).min() >= smallest * (1 - 1e-6)
        assert abs(np.sign(layer.values).mean()) < 0.05
        return
    inputs = np.bincount(rows, minlength=200)
    bound = 1 / np.sqrt(inputs if scale == "sparse" else np.full(200, 302))
    scaled = layer.values / bound[rows]
    assert np.abs(scaled).max() <= 1 + 1e-6 and scaled.std() == pytest.approx(3**-0.5, rel=0.1)
