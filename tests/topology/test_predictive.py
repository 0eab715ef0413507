"""A first layer chosen from the warm-up: partners predict each other, noise gets nothing, counts and bits stay."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rewirl import agents
from rewirl.agents import DQNConfig, PPOConfig, TD3Config
from rewirl.replay import Replay
from rewirl.topology import TopologyConfig, random_indices
from rewirl.topology.predictive import predictability, predictive_topology
from rewirl.topology.structure import structure_of

STEPS, OBSERVATION, ACTION = 400, 8, 2
PAIRS, NOISE, CONSTANT = ((0, 1), (2, 3)), (4, 5, 6), 7


def experience(rng, steps=STEPS):
    """States of which 0 and 1, and 2 and 3, follow each other; 3 follows the first action too."""
    actions = rng.uniform(-1, 1, (steps, ACTION)).astype(np.float32)
    states = np.zeros((steps + 1, OBSERVATION), np.float32)
    states[:, NOISE] = rng.normal(size=(steps + 1, 3))
    states[:, CONSTANT] = 0.1
    for t in range(steps):
        for a, b in PAIRS:
            states[t + 1, a] = 0.9 * states[t, b] + 0.3 * rng.normal()
            states[t + 1, b] = -0.9 * states[t, a] + 0.3 * rng.normal()
        states[t + 1, 3] += actions[t, 0]
    return states[:-1], actions, states[1:]


def replay_of(rng):
    replay = Replay(STEPS, OBSERVATION, ACTION, 0)
    for state, action, later in zip(*experience(rng), strict=True):
        replay.add(state, action, 0.0, later, False)
    return replay


def test_predictability_is_the_lagged_correlation_and_chance_is_none():
    now, actions, later = experience(np.random.default_rng(0))
    found = predictability(np.concatenate([now, actions], axis=1), later)
    both = np.corrcoef(np.concatenate([now[:, :CONSTANT], actions, later[:, :CONSTANT]], axis=1).T.astype(np.float64))
    inputs = [0, 1, 2, 3, 4, 5, 6, 8, 9]
    expected = np.abs(both[:9, 9:])
    expected[expected <= np.sqrt(2 * np.log(1000 * 80) / STEPS)] = 0
    np.testing.assert_allclose(found[inputs, :CONSTANT], expected, rtol=1e-9)
    assert set(zip(*np.nonzero(found), strict=True)) >= {(0, 1), (1, 0), (2, 3), (3, 2), (8, 3)}
    assert not found[list(NOISE)].any() and not found[:, list(NOISE)].any()
    assert not found[CONSTANT].any() and not found[:, CONSTANT].any() and not found[9].any()


@given(
    shape=st.tuples(st.integers(1, 20), st.integers(2, 20)),
    density=st.floats(0, 1),
    spread=st.sampled_from(["unstructured", "constant-fan-in", "4x1", "8x1"]),
    share=st.floats(0, 1),
    seed=st.integers(0, 1000),
)
@settings(max_examples=60)
def test_the_number_of_connections_and_the_structure_stay(shape, density, spread, share, seed):
    rng, structure = np.random.default_rng(seed), structure_of(spread)
    indices = random_indices(shape, density, rng) if structure is None else structure.draw(shape, density, rng)
    predicts = np.where(rng.random((shape[1], max(1, shape[1] // 2))) < share**3, rng.random(), 0)
    chosen = predictive_topology(shape, indices, predicts, np.random.default_rng(1), structure)
    assert len(np.unique(chosen)) == len(chosen) == len(indices) and (np.diff(chosen) > 0).all()
    assert structure is None or structure.kept(shape, indices, chosen)
    assert np.array_equal(chosen, predictive_topology(shape, indices, predicts, np.random.default_rng(1), structure))
    useful = predicts.any(axis=1)
    useful[np.flatnonzero(predicts.any(axis=0))] = True
    if spread == "unstructured" and useful.any() and len(indices) <= useful.sum() * shape[0]:
        assert useful[chosen % shape[1]].all()


def test_a_unit_has_its_seed_and_what_predicts_it():
    predicts = np.zeros((6, 4))
    predicts[0, 1], predicts[2, 1], predicts[5, 3] = 0.5, 0.9, 0.7  # inputs 1, 3 and 4 predict nothing
    indices = np.sort(np.concatenate([unit * 6 + np.array([1, 3, 4]) for unit in range(40)]))
    chosen = predictive_topology((40, 6), indices, predicts, np.random.default_rng(0)) % 6
    units = {tuple(unit) for unit in chosen.reshape(40, 3).tolist()}
    assert (0, 1, 2) in units  # seed 1 with both that predict it
    assert all(unit == (0, 1, 2) or {3, 5} < set(unit) for unit in units) and len(units) == 4  # seed 3, 5 and any other
    full = predictive_topology((1, 6), np.arange(6), predicts, np.random.default_rng(0))
    assert full.tolist() == [0, 1, 2, 3, 4, 5]
    assert predictive_topology((40, 6), indices, np.zeros((6, 4)), np.random.default_rng(0)) is indices


def test_what_a_unit_has_no_room_for_goes_to_those_with_the_fewest():
    counts, predicts = [7, 3, 0, 1], np.zeros((8, 4))
    predicts[range(4), range(4)] = 0.9  # four features predict something: of seven three go elsewhere
    indices = np.concatenate([unit * 8 + np.arange(count) for unit, count in enumerate(counts)])
    chosen = predictive_topology((4, 8), indices, predicts, np.random.default_rng(0))
    assert np.bincount(chosen // 8).tolist() == [4, 3, 2, 2]


def make(structure="unstructured", **changes):
    topology = TopologyConfig(layer_sparsities=(0.6, 0.5, 0.0), structure=structure, initial_topology="predictive")
    config = TD3Config(hidden_sizes=(16, 12), batch_size=16, learning_starts=10, topology=topology, **changes)
    return agents.make_agent("ds-td3", config, OBSERVATION, ACTION, seed=3)


def bits(agent):
    arrays, values = agent.state()
    return {name: array.tobytes() for name, array in arrays.items()}, str(values)


@pytest.mark.parametrize("structure", ["unstructured", "4x1"])
def test_an_agent_chooses_at_its_first_update_and_resumes_before_and_after(structure):
    def trained(before, after):
        """Train for four updates; what is saved after some of them goes on in a new agent."""
        agent, replay = make(structure), replay_of(np.random.default_rng(0))
        for update in range(4):
            if update in (before, after):
                saved, kept = agent.state(), replay.state()
                agent, replay = make(structure), Replay(STEPS, OBSERVATION, ACTION, 0)
                agent.load_state({name: array.copy() for name, array in saved[0].items()}, saved[1])
                replay.load_state(*kept)
            agent.update(replay)
        return agent

    straight, new = trained(None, None), make(structure)
    assert bits(straight) == bits(trained(0, 2))
    for name, network in straight.networks().items():
        began = new.networks()[name]
        assert [layer.connections for layer in network.layers] == [layer.connections for layer in began.layers]
        inputs = np.unique(network.layers[0].places() % network.layers[0].shape[1])
        useful = {0, 1, 2, 3} if name.endswith("actor") else {0, 1, 2, 3, 8}
        assert set(inputs.tolist()) <= useful, name
        assert np.array_equal(np.sort(network.layers[1].places()), np.sort(began.layers[1].places()))


def test_weights_are_those_of_a_network_that_began_with_the_chosen_connections():
    agent = make()
    networks = agent._networks.predictive(*replay_of(np.random.default_rng(0)).steps())
    for name, network in networks.online.items():
        began = agent.networks()[name]
        assert network.steps == 0 and not np.array_equal(network.layers[0].places(), began.layers[0].places())
        for one, other in zip(network.layers[1:], began.layers[1:], strict=True):
            assert np.array_equal(one.weights(), other.weights()) and np.array_equal(one.bias, other.bias)
        bound = 1 / np.sqrt(network.n_in)
        assert 0.5 * bound < np.abs(network.layers[0].values).max() <= bound
    for name, target in networks.targets.items():
        assert np.array_equal(target.layers[0].weights(), networks.online[name].layers[0].weights())


def test_what_cannot_choose_is_refused():
    predictive = TopologyConfig(sparsity=0.5, initial_topology="predictive")
    with pytest.raises(ValueError, match="ds-ppo learns from the first step on"):
        agents.make_agent("ds-ppo", PPOConfig(topology=predictive), OBSERVATION, ACTION, 0)
    with pytest.raises(ValueError, match="structure 2:4"):
        TopologyConfig(structure="2:4", initial_topology="predictive")
    dense = TopologyConfig(layer_sparsities=(0.0, 0.5, 0.0), initial_topology="predictive")
    with pytest.raises(ValueError, match="those of all networks are dense"):
        agents.make_agent("ds-dqn", DQNConfig(topology=dense), OBSERVATION, ACTION, 0, actions="Discrete")
