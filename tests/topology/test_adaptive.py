"""A sparsity that adapts to the loss: the decisions of PALS, exact counts within bounds, exact resume."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rewirl import agents
from rewirl.agents import DQNConfig, StreamQConfig, TD3Config
from rewirl.replay import Replay
from rewirl.topology import TopologyConfig
from rewirl.topology.adaptive import EXPAND, REMAIN, SHRINK, AdaptiveSparsity

SHAPES = [(40, 25), (20, 50)]  # 1,000 places each


def config_of(**changes):
    asked = {"initial_sparsity": 0.5, "sparsity": 0.9, "adapt_every": 1, "adapt_fraction": 0.5, "sparsity_step": 1.2}
    return TopologyConfig(rule="rigl", sparsity_schedule="adaptive", **(asked | changes))


def test_the_decisions_are_those_of_the_paper():
    """A step of 0.5 * (1.2 - 1) is a tenth of the connections; the tolerance is 1.1."""
    adaptive = AdaptiveSparsity(config_of())
    connections = [600, 400]

    def event(update, *losses):
        for loss in losses:
            adaptive.note(loss * 4, 4)
        return adaptive.budgets("q", SHAPES, connections, update)

    assert event(1, 2.0, 1.0) == [540, 360]  # the first loss, 1.5, is the least
    assert adaptive.told() == {"sparsity_loss": 1.5, "q_sparsity_move": SHRINK}
    connections = [540, 360]
    assert event(2, 1.65) == [486, 324]  # within the tolerance
    connections = [486, 324]
    assert event(3, 1.7) == [535, 356] and adaptive.told()["q_sparsity_move"] == EXPAND
    connections = [600, 400]
    assert event(4, 1.7) == [600, 400] and adaptive.told()["q_sparsity_move"] == REMAIN  # as sparse as at the least
    assert event(5, 1.4) == [540, 360]  # the least so far
    connections = [1000, 800]  # sparsity 0.1, below the lowest: shrinks whatever the loss is
    assert event(6, 99.0) == [900, 720]
    assert event(7) == [1000, 800]  # no update since, and so no loss


def test_a_network_with_fewer_events_knows_its_sparsity_at_the_least_loss():
    """The critic has an event on every update, the actor on every second."""
    adaptive = AdaptiveSparsity(config_of())

    def event(loss, update, network, connections):
        adaptive.note(loss, 1)
        adaptive.budgets(network, SHAPES, connections, update)
        return adaptive.told()[f"{network}_sparsity_move"]

    event(2.0, 1, "critic", [600, 400])
    assert event(2.0, 2, "actor", [600, 400]) == SHRINK
    event(1.0, 3, "critic", [600, 400])  # the least, when the actor had what it has on 4
    saved = json.loads(json.dumps(adaptive.state()))
    assert event(5.0, 4, "actor", [540, 360]) == REMAIN
    adaptive.load_state(saved)
    assert event(5.0, 4, "actor", [540, 360]) == REMAIN
    assert event(5.0, 6, "actor", [500, 300]) == EXPAND
    adaptive.load_state({name: value for name, value in saved.items() if name != "seen"})  # of an earlier version
    assert event(5.0, 4, "actor", [540, 360]) == EXPAND


def test_a_variance_below_zero_by_rounding_is_none_and_can_be_saved():
    agent, replay = agent_of("ds-td3", gamma=0.0, batch_size=3), Replay(9, 7, 3, 0)
    for _ in range(9):
        replay.add(np.zeros(7), np.zeros(3), 1.0, np.zeros(7), False)
    agent.update(replay)
    arrays, values = agent.state()
    assert values["adaptation"]["sparsity"]["variance"] == 0
    values["adaptation"]["sparsity"]["variance"] = -1e-8  # of an earlier version
    agent.load_state(arrays, values)


def test_bounds_are_met_exactly():
    adaptive = AdaptiveSparsity(config_of(critic_sparsity=0.55, lowest_sparsity=0.45))
    adaptive.note(1, 1)
    assert sum(adaptive.budgets("critic1", SHAPES, [600, 400], 1)) == 900  # its own highest
    assert sum(adaptive.budgets("critic2", SHAPES, [550, 360], 1)) == 900
    assert sum(adaptive.budgets("actor", SHAPES, [550, 360], 1)) == 819
    adaptive.note(9, 1)
    assert sum(adaptive.budgets("critic1", SHAPES, [600, 300], 2)) == 990
    assert sum(adaptive.budgets("critic2", SHAPES, [650, 400], 2)) == 1050  # denser than at the least loss: remains
    sometimes = AdaptiveSparsity(config_of(sparsity_start=5, sparsity_end=6))
    for update, left in ((4, 1000), (5, 900), (6, 900), (7, 1000)):
        sometimes.note(1, 1)
        assert sum(sometimes.budgets("actor", SHAPES, [600, 400], update)) == left


@pytest.mark.parametrize(
    ("changes", "left"),
    [
        ({"anneal": "cosine", "adapt_end": 10}, [570, 380]),  # half of 0.5, times 0.2
        ({"adapt_fraction": 1e-6}, [599, 400]),  # one connection at least
        ({"adapt_fraction": 0.0}, [600, 400]),
    ],
)
def test_a_step_is_the_share_of_the_fraction_then(changes, left):
    adaptive = AdaptiveSparsity(config_of(**changes))
    adaptive.note(1, 1)
    assert adaptive.budgets("q", SHAPES, [600, 400], 5) == left


@given(
    connections=st.tuples(st.integers(1, 1000), st.integers(1, 1000)),
    losses=st.lists(st.floats(0, 10), min_size=1, max_size=6),
    fraction=st.floats(0, 1),
)
def test_any_course_of_the_loss_stays_within_bounds(connections, losses, fraction):
    adaptive = AdaptiveSparsity(config_of(adapt_fraction=fraction))
    for update, loss in enumerate(losses, 1):
        adaptive.note(loss, 1.0)
        before, connections = connections, adaptive.budgets("q", SHAPES, connections, update)
        assert all(1 <= count <= 1000 for count in connections)
        move, change = adaptive.told()["q_sparsity_move"], sum(connections) - sum(before)
        assert change == 0 or (change < 0) == (move == SHRINK)
        assert abs(change) <= max(round(fraction * 0.2 * sum(before)), 1)
        if sum(before) >= 200:
            assert sum(connections) >= 200
        assert move != EXPAND or sum(connections) <= 1600


def transitions():
    rng, replay = np.random.default_rng(0), Replay(200, 7, 3, 0)
    for _ in range(200):
        replay.add(rng.normal(size=7), np.eye(3)[rng.integers(3)], rng.normal(), rng.normal(size=7), rng.random() < 0.1)
    return replay


def agent_of(name, structure="unstructured", **changes):
    kind = DQNConfig if name == "ds-dqn" else TD3Config
    topology = config_of(initial_sparsity=0.0, sparsity=0.7, adapt_every=2, structure=structure, drop="magnitude")
    config = kind(**({"hidden_sizes": (24, 16), "batch_size": 16, "topology": topology} | changes))
    return agents.make_agent(name, config, 7, 3, 3)


@pytest.mark.parametrize(("name", "structure"), [("ds-td3", "unstructured"), ("ds-dqn", "4x1")])
def test_an_agent_shrinks_from_dense_and_resumes_to_the_bit(name, structure):
    straight, replay = agent_of(name, structure), transitions()
    counts = []
    for update in range(30):
        if update == 13:
            arrays, values = straight.state()
            kept = replay.state()
            arrays = {name: array.copy() for name, array in arrays.items()}
            rows = {name: array.copy() for name, array in kept[0].items()}
            saved = (arrays, json.loads(json.dumps(values))), (rows, json.loads(json.dumps(kept[1])))
        straight.update(replay)
        told = straight.diagnostics()
        counts.append(sum(network.connections for name, network in straight.networks().items() if "target" not in name))
    assert counts[0] > counts[5] and len(set(counts)) > 3 and told["sparsity_loss"] > 0
    assert {told[key] for key in told if key.endswith("_sparsity_move")} <= {SHRINK, REMAIN, EXPAND}
    other, replay = agent_of(name, structure), transitions()
    other.load_state(*saved[0])
    replay.load_state(*saved[1])
    for _ in range(13, 30):
        other.update(replay)
    one, two = (
        ({key: array.tobytes() for key, array in agent.state()[0].items()}, json.dumps(agent.state()[1]))
        for agent in (straight, other)
    )
    assert one == two
    _, values = straight.state()
    values["adaptation"]["sparsity"]["least"] = -1.0
    with pytest.raises(ValueError, match="negative loss"):
        other.load_state(straight.state()[0], values)


def small(name, **changes):
    topology = config_of(initial_sparsity=0.0, sparsity=0.7, drop="magnitude")
    config = agents.agent_entry(name).config(hidden_sizes=(16,), batch_size=16, topology=topology, **changes)
    return agents.make_agent(name, config, 7, 3, 3, actions="Discrete" if name in ("ds-dqn", "ds-pqn") else "Box")


@pytest.mark.parametrize("name", ["ds-td3", "ds-dqn", "ds-simba", "ds-crossq"])
def test_agents_tell_the_mean_error_of_all_critics_and_the_variance_of_their_targets(name):
    agent, replay = small(name, **({"loss": "squared"} if name == "ds-dqn" else {})), transitions()
    agent.update(replay)
    told = agent.diagnostics()
    error = np.mean([told[loss] for loss in ("critic1_loss", "critic2_loss", "q_loss") if loss in told])
    expected = error / agent._y.reshape(-1).var()
    if name == "ds-simba":  # its actor, which learns first, ends the period of the update before
        agent.update(replay)
    assert agent.diagnostics()["sparsity_loss"] == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("name", ["ds-ppo", "ds-pqn"])
def test_agents_that_learn_from_rollouts_tell_them_too(name):
    agent, replay = small(name, rollout_steps=16, epochs=1), transitions()
    for state, action, reward in zip(replay.observations[:16], replay.actions, replay.rewards, strict=False):
        agent.explore(state)
        agent.learn(state, action, float(reward[0]), state, False, False)
    assert agent.diagnostics()["sparsity_loss"] > 0


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"initial_sparsity": None}, "needs an initial_sparsity"),
        ({"distribution": "global", "initial_sparsity": 0.0, "drop": "magnitude"}, "every layer by the same share"),
        ({"layer_sparsities": (0.5, 0.5)}, "leave lambdas and layer_sparsities out"),
        ({"critic_sparsity": 0.4}, "critic_sparsity is the highest"),
        ({"initial_sparsity": 0.1, "actor_sparsity": 0.2}, "actor_sparsity is the highest"),
        ({"sparsity_step": 1.0}, "sparsity_step must be above 1"),
        ({"loss_tolerance": 0.9}, "loss_tolerance must be at least 1"),
        ({"lowest_sparsity": 1.0}, "lowest_sparsity must be"),
        ({"sparsity_schedule": "cubic"}, "belong to sparsity_schedule adaptive"),
    ],
)
def test_impossible_settings_are_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        TopologyConfig(
            **{"rule": "set", "sparsity_schedule": "adaptive", "initial_sparsity": 0.5, "sparsity": 0.9,
               "lowest_sparsity": 0.3} | changes
        )  # fmt: skip


def test_an_agent_without_squared_errors_is_refused():
    topology = TopologyConfig(rule="set", sparsity_schedule="adaptive", initial_sparsity=0.5, sparsity=0.9)
    config = StreamQConfig(topology=topology)
    with pytest.raises(ValueError, match="ds-stream-q has none"):
        agents.make_agent("ds-stream-q", config, 7, 3, 0)
