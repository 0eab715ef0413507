"""Stream-x: values that are known, connections and traces, continuing to the bit, and what it refuses."""

from __future__ import annotations

import numpy as np
import pytest
from experience import bits, through_a_file, topology
from stream_experience import ACTION, CHOICES, NAMES, OBSERVATION, TOPOLOGIES, make, play, steps

from rewirl.agents import Policy, StreamACConfig, StreamQConfig, agent_entry, make_agent
from rewirl.replay import Replay
from rewirl.topology import Rule, TopologyConfig, random_free_indices


class ByGradient(Rule):
    uses_gradient = True

    def drop_score(self, state, fraction, rng):
        return abs(state.weights)

    def grow(self, state, occupied, count, rng):
        return random_free_indices(occupied, state.total, count, rng)


# Known answers

PLAIN = {"normalise_observations": False, "scale_rewards": False}
SPARSE = TopologyConfig(sparsity=0.4, rule="set", drop="magnitude", adapt_every=200, adapt_fraction=0.1)
DENSE = TOPOLOGIES["dense"]
PLACES = np.float32([[-1, 1], [1, 1]])


def values(agent, network, place):
    return agent.networks()[network].act(place)


@pytest.mark.parametrize("rule", [DENSE, SPARSE], ids=["dense", "set"])
@pytest.mark.parametrize("name", ["stream-q", "stream-sarsa"])
def test_it_learns_what_each_choice_is_worth(name, rule):
    """Choice 0 goes on to the second place, 1 ends with 0.2; there 0 ends with a reward of 1, and 1 with -1."""
    settings = {"hidden_sizes": (32, 32), "gamma": 0.8, "initial_zeros": 0.0, "topology": rule, **PLAIN}
    config = StreamQConfig(epsilon_start=0.5, epsilon_end=0.5, kappa=30.0, **settings)
    agent = make_agent(f"ds-{name}", config, 2, 2, 0)
    for _ in range(3000):
        place = 0
        while place is not None:
            choice = agent.explore(PLACES[place])
            over = place == 1 or choice == 1
            reward = ([0.0, 0.2] if place == 0 else [1.0, -1.0])[choice]
            after = 1 if place == 0 and choice == 0 else place
            agent.learn(PLACES[place], np.eye(2, dtype=np.float32)[choice], reward, PLACES[after], over, False)
            place = None if over else after
    assert values(agent, "q", PLACES[1]) == pytest.approx([1, -1], abs=0.2)
    worth = 0.8 if name == "stream-q" else 0.8 * (0.75 - 0.25)  # of what it does, every fourth time it is the wrong one
    assert values(agent, "q", PLACES[0]) == pytest.approx([worth, 0.2], abs=0.2)
    assert (agent.diagnostics()["rewired"] > 0) == (rule is SPARSE)


@pytest.mark.parametrize("rule", [DENSE, SPARSE], ids=["dense", "set"])
def test_the_policy_moves_to_the_rewarded_action(rule):
    settings = {"hidden_sizes": (32, 32), "initial_zeros": 0.5, "topology": rule, "kappa": 4.0, "actor_kappa": 10.0}
    agent = make_agent("ds-stream-ac", StreamACConfig(**settings), 2, 1, 0)
    rng = np.random.default_rng(0)
    for _ in range(3000):
        place = PLACES[rng.integers(2)]
        action = agent.explore(place)
        reward = -float(abs(action[0] - place[0] / 2))
        agent.normalisation.reward(reward, True)
        agent.learn(place, action, reward, place, True, False)
    assert [float(agent.predict(place[np.newaxis])[0, 0]) for place in PLACES] == pytest.approx([-0.5, 0.5], abs=0.1)


@pytest.mark.parametrize(("terminal", "worth"), [(True, 1.0), (False, 2.0)])
def test_a_time_limit_ends_the_task_or_not(terminal, worth):
    """One state with a reward of 1, whose every episode has one step: it is worth 1, or 1 / (1 - gamma)."""
    config = StreamQConfig(gamma=0.5, truncated_is_terminal=terminal, topology=DENSE, initial_zeros=0.0, **PLAIN)
    agent = make_agent("stream-q", config, 2, 1, 0)
    for _ in range(1500):
        agent.explore(PLACES[0])
        agent.learn(PLACES[0], np.ones(1, np.float32), 1.0, PLACES[0], False, True)
    assert values(agent, "q", PLACES[0]) == pytest.approx([worth], abs=0.1)


def test_traces_are_gone_after_an_action_that_was_not_greedy_and_at_the_end():
    for epsilon, kept in ((0.0, True), (1.0, None)):
        agent, found = make("stream-q", "dense", epsilon_start=epsilon, epsilon_end=epsilon), set()
        for step in steps(30):
            play(agent, step)
            alive = any(trace.any() for trace in agent.networks()["q"].first_moments().values())
            if step[3] or step[4]:
                assert not alive
            else:
                found.add(alive)
                assert alive == agent._greedy
        assert found == ({True} if kept else {True, False})


# Connections


@pytest.mark.parametrize("name", NAMES)
def test_connections_are_as_many_and_grown_ones_have_no_trace(name):
    agent = make(name, "set")
    networks = agent.networks()
    counts = {each: [layer.connections for layer in network.layers] for each, network in networks.items()}
    for number, step in enumerate(steps(60), 1):
        before = {each: [set(layer.places().tolist()) for layer in net.layers] for each, net in networks.items()}
        play(agent, step)
        for each, network in networks.items():
            assert [layer.connections for layer in network.layers] == counts[each]
            for layer, earlier in zip(network.layers, before[each], strict=True):
                grown = ~np.isin(layer.places(), list(earlier))
                assert grown.any() == (number % 10 == 0 and not layer.dense)
                assert not layer.values[grown].any() and not layer.moments[0][grown].any()


def test_a_network_gets_sparser_by_pruning():
    rule = TopologyConfig(sparsity=0.7, rule="prune", initial_sparsity=0.0, adapt_every=5, sparsity_end=40)
    agent = make("stream-ac", rule)
    before = agent.networks()["actor"].connections
    for step in steps(60):
        play(agent, step)
    assert agent.networks()["actor"].connections < 0.4 * before
    assert {layer.format for layer in agent.networks()["actor"].layers} <= {"rows", "dense"}


def test_weights_begin_as_large_as_the_connections_there_are_ask_for():
    topology = TopologyConfig(sparsity=0.8, rule="static", initial_scale="sparse")
    layer = make("stream-ac", topology, hidden_sizes=(200, 150)).networks()["actor"].layers[1]
    units = layer.places() // layer.shape[1]
    assert 0.9 < np.abs(layer.values * np.sqrt(np.bincount(units)[units])).max() <= 1 + 1e-6


# Continuing


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("at", [0, 7, 20, 33])
def test_it_is_saved_and_goes_on_to_the_bit(name, at):
    changes = {} if name == "stream-ac" else {"epsilon_steps": 50}
    through, stopped = make(name, "set", **changes), make(name, "set", **changes)
    experience = list(steps(60))
    for step in experience[:at]:
        for agent in (through, stopped):
            play(agent, step)
    resumed = make(name, "set", seed=7, threads=2, **changes)
    resumed.load_state(*through_a_file(stopped.state()))
    assert bits(resumed) == bits(stopped)
    for step in experience[at:]:
        assert np.array_equal(play(through, step), play(resumed, step))
    assert bits(resumed) == bits(through)
    assert resumed.diagnostics() == through.diagnostics()
    resumed.close()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda arrays, values: arrays.update(state=np.zeros(3, np.float32)), r"the array state is float32 \[3\]"),
        (lambda arrays, values: arrays.pop("q.hidden1.m"), r"the saved q: the array hidden1\.m"),
        (lambda arrays, values: values.update(next_action=9), "the saved next action is 9, and there are 4"),
        (lambda arrays, values: values.update(greedy="yes"), "the saved greedy must be true or false, got 'yes'"),
        (lambda arrays, values: values.update(exploration={}), "not the state of a PCG64DXSM stream"),
    ],
)
def test_a_state_that_does_not_fit_changes_nothing(change, message):
    agent, other = make("stream-sarsa"), make("stream-sarsa", seed=1)
    for step in steps(12):
        play(agent, step)
        play(other, step)
    arrays, saved = through_a_file(other.state())
    change(arrays, saved)
    before = bits(agent)
    with pytest.raises(ValueError, match=message):
        agent.load_state(arrays, saved)
    assert bits(agent) == before


def test_an_episode_that_is_given_up_leaves_no_trace():
    agent = make("stream-sarsa", "dense")
    for step in steps(5, seed=11):
        play(agent, (*step[:3], False, False))
    assert agent.state()[1]["next_action"] is not None
    agent.cut()
    arrays, saved = agent.state()
    assert "state" not in arrays and saved["next_action"] is None
    assert not any(trace.any() for trace in agent.networks()["q"].first_moments().values())


# Acting alone


@pytest.mark.parametrize("name", NAMES)
def test_its_policy_acts_alone(name):
    agent = make(name, "set")
    for step in steps(40):
        play(agent, step)
    policy = Policy.from_state(*through_a_file(agent.policy_state()))
    size = ACTION if name == "stream-ac" else CHOICES
    assert (policy.action_size, policy.observation_size) == (size, OBSERVATION)
    many = np.random.default_rng(0).normal(1, 2, size=(40, OBSERVATION)).astype(np.float32)
    for observations in (many, many[:1]):
        assert np.array_equal(policy.predict(observations), agent.predict(observations))
    before = bits(agent)
    noisy = agent.predict_noisily(many, np.random.default_rng(0))
    assert len(noisy) == 40 and (name != "stream-ac" or len(np.unique(noisy)) > 40)
    assert bits(agent) == before


def test_actions_are_drawn_as_often_as_epsilon_says():
    agent = make("stream-q", epsilon_start=0.5, epsilon_end=0.5)
    observation = np.ones(OBSERVATION, np.float32)
    chosen = np.array([agent.explore(observation) for _ in range(2000)])
    best = np.bincount(chosen).argmax()
    assert (chosen != best).mean() == pytest.approx(0.5 * 0.75, abs=0.05)
    assert StreamQConfig(epsilon_start=0.9, epsilon_end=0.1, epsilon_steps=4).epsilon_at(3) == pytest.approx(0.3)


# What it is told


def test_the_house_knows_it_by_its_line():
    entry = agent_entry("ds-stream-ac")
    assert (entry.networks, entry.targets, entry.actions) == (("actor", "critic"), (), ("Box",))
    assert not entry.replay and entry.agent.MOST_ENVIRONMENTS == 1
    assert entry.cost.training_flops({"actor": [5, 6], "critic": [4]}, 3, {}) == 3 * 6 * 15
    with pytest.raises(TypeError, match="ds-stream-ac has no replay memory"):
        make().update(Replay(3, OBSERVATION, ACTION, 0))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"weight_decay": 0.1}, "StreamACConfig has no use for weight_decay: it does not .*; leave it out"),
        ({"redo_every": 5}, "has no use for redo_every"),
        ({"bias_correction": "connection"}, "has no use for bias_correction"),
        ({"trace_decay": 1.1}, "trace_decay must be between 0 and 1"),
        ({"kappa": 0.0}, "kappa must be finite and positive"),
        ({"actor_kappa": float("inf")}, "actor_kappa must be finite and positive"),
        ({"entropy": -1.0}, "entropy must be finite, 0 or more"),
        ({"initial_zeros": 1.0}, "initial_zeros must be 0 or more and below 1"),
    ],
)
def test_impossible_settings_are_refused_by_name(changes, message):
    with pytest.raises(ValueError, match=message):
        StreamACConfig(**changes)


@pytest.mark.parametrize(
    ("topology_", "message"),
    [
        ({"rule": "rigl"}, "^the rule rigl asks for the gradient of a batch.* give rule set, prune or static$"),
        ({"rule": "set", "drop": "sensitivity"}, "^drop sensitivity asks .* static, drop magnitude$"),
        ({"rule": "set", "grow": "gradient"}, "^grow gradient asks .* static, grow random$"),
        ({"rule": f"{__name__}:ByGradient", "drop": "magnitude"}, f"^the rule {__name__}:ByGradient asks .* static$"),
        ({"rule": "static", "structure": "8x1"}, "structure 8x1 has blocks"),
        ({"rule": "static", "initial_scale": "largest"}, "initial_scale largest is of dense weights"),
    ],
)
def test_topologies_that_need_batches_are_refused_by_name(topology_, message):
    with pytest.raises(ValueError, match=message):
        make("stream-ac", TopologyConfig(sparsity=0.5, **topology_))


def test_an_error_that_is_not_finite_ends_it():
    agent, (observation, _, after, *_) = make(), next(steps(1))
    agent.explore(observation)
    with pytest.raises(FloatingPointError, match="the error of the value function is"):
        agent.learn(observation, np.zeros(ACTION, np.float32), float("inf"), after, False, False)


@pytest.mark.parametrize("name", NAMES)
def test_after_an_error_at_the_end_of_an_episode_the_next_one_begins_like_any_other(name):
    agent, played = make(name), [(*step[:3], False, False) for step in steps(3)]
    for step in played[:2]:
        play(agent, step)
    traces = [trace for network in agent.networks().values() for trace in network.first_moments().values()]
    for trace in traces:
        trace[:] = 1
    observation, _, after, *_ = played[2]
    with pytest.raises(FloatingPointError):
        play(agent, (observation, float("nan"), after, True, False))
    assert agent._state is None and not any(trace.any() for trace in traces)


def test_networks_begin_sparsely_and_alike_for_a_seed():
    agent = make(topology="dense")
    layer = agent.networks()["actor"].layer("hidden2")
    assert (np.count_nonzero(layer.weights(), axis=1) == 2).all()  # of 24 inputs ceil(0.9 * 24) = 22 begin at zero
    assert bits(agent) == bits(make(topology="dense")) != bits(make(topology="dense", seed=6))
    assert topology(agent.networks()["critic"]) == topology(make(topology="dense").networks()["critic"])
