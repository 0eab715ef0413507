"""DQN: its schedule by hand, values that are known, and continuing to the bit."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest
from dqn_experience import CHOICES, OBSERVATION, experience, make
from experience import bits, restored, through_a_file, topology

from rewirl.agents import DQN, DQNConfig, Policy, agent_entry, make_agent
from rewirl.replay import Replay
from rewirl.topology import TopologyConfig

# Exploring


def test_epsilon_falls_in_a_straight_line():
    config = DQNConfig(epsilon_start=0.9, epsilon_end=0.1, epsilon_steps=4)
    assert [config.epsilon_at(step) for step in range(7)] == pytest.approx([0.9, 0.7, 0.5, 0.3, 0.1, 0.1, 0.1])
    assert DQNConfig(epsilon_start=0.2, epsilon_end=0.2, epsilon_steps=1).epsilon_at(0) == 0.2


def test_actions_are_random_as_often_as_epsilon_says():
    agent = make(epsilon_start=1.0, epsilon_end=0.25, epsilon_steps=2000)
    observation = np.ones(OBSERVATION, np.float32)
    best = int(agent.predict(observation[np.newaxis])[0])
    chosen = np.array([agent.explore(observation) for _ in range(8000)])
    assert all(type(agent.explore(observation)) is int for _ in range(3))
    others = chosen != best  # a random action is the best one every fourth time
    assert others[:200].mean() == pytest.approx(0.75 * 0.96, abs=0.08)
    assert others[2000:].mean() == pytest.approx(0.75 * 0.25, abs=0.02)
    assert np.bincount(chosen[:200], minlength=CHOICES).min() > 20
    again = make(epsilon_start=1.0, epsilon_end=0.25, epsilon_steps=2000)
    assert [again.explore(observation) for _ in range(50)] == chosen[:50].tolist()
    greedy = make(epsilon_start=0.0, epsilon_end=0.0)
    assert {greedy.explore(observation) for _ in range(50)} == {best}


def test_noise_on_predictions_is_that_of_the_end_of_the_schedule_and_disturbs_nothing():
    agent = make(epsilon_end=0.5)
    many = np.ones((4000, OBSERVATION), np.float32)
    before, best = bits(agent), agent.predict(many)
    noisy = agent.predict_noisily(many, np.random.default_rng(0))
    assert noisy.dtype == np.int64 and (noisy != best).mean() == pytest.approx(0.5 * 0.75, abs=0.03)
    assert bits(agent) == before
    with pytest.raises(ValueError, match=r"no noise to add .*no epsilon_end above 0.*; leave determini"):
        make(epsilon_end=0.0).predict_noisily(many, np.random.default_rng(0))


def test_epsilon_goes_on_in_an_agent_that_is_resumed_before_it_learns_again():
    agent, observation = make(epsilon_steps=50), np.ones(OBSERVATION, np.float32)
    assert make().diagnostics() == {}
    for _ in range(9):
        agent.explore(observation)
    agent.update(experience()[0])
    resumed = make(epsilon_steps=50)
    resumed.load_state(*through_a_file(agent.state()))
    for each in (agent, resumed):
        each.explore(observation)
    assert resumed.diagnostics() == {"epsilon": agent.diagnostics()["epsilon"]}


# Known answers

GAMMA = 0.8
PLACES = np.float32([[0, 1], [1, 1]])
WORTH = [[0.64, 0.8, -1.0], [0.8, 0.64, 1.0]]


def corridor(transitions=500):
    """Two places, told apart by the first feature. Choice 0 stays, 1 goes to the other place, 2 ends the episode with a
    reward of 1 in the second place and of -1 in the first, so one has to go there first."""
    rng, replay = np.random.default_rng(0), Replay(transitions, 2, 3, 0)
    for _ in range(transitions):
        place, choice = rng.integers(2), rng.integers(3)
        after = 1 - place if choice == 1 else place
        reward = (2.0 * place - 1) if choice == 2 else 0.0
        replay.add([place, 1], np.eye(3)[choice], reward, [after, 1], choice == 2)
    return replay


RULES = {
    "dense": TopologyConfig(sparsity=0.0, rule="static"),
    "static": TopologyConfig(sparsity=0.4, rule="static"),
    "set": TopologyConfig(sparsity=0.4, rule="set", adapt_every=40, adapt_fraction=0.1),
    "rigl": TopologyConfig(sparsity=0.4, rule="rigl", adapt_every=40, adapt_fraction=0.1),
    "8x1": TopologyConfig(sparsity=0.4, rule="rigl", structure="8x1", adapt_every=40, adapt_fraction=0.1),
    "prune": TopologyConfig(sparsity=0.5, rule="prune", initial_sparsity=0.0, adapt_every=20, sparsity_end=400),
}


@pytest.mark.parametrize("rule", RULES)
def test_it_learns_what_each_choice_is_worth_and_to_choose(rule):
    config = DQNConfig(
        hidden_sizes=(32, 32), batch_size=40, learning_rate=3e-3, gamma=GAMMA, target_update_interval=20,
        topology=RULES[rule], redo_every=100 if rule == "set" else 0,
        cbp_replacement_rate=1e-3 if rule == "rigl" else 0.0, cbp_maturity_threshold=100,
    )  # fmt: skip
    agent, replay = make_agent("ds-dqn", config, 2, 3, 0), corridor()
    before = agent.networks()["q"].connections, topology(agent.networks()["q"])
    for _ in range(1000):
        agent.update(replay)
    assert [agent.networks()["q"].act(place) for place in PLACES] == [pytest.approx(w, abs=0.1) for w in WORTH]
    assert agent.predict(PLACES).tolist() == [1, 2]
    after, moved = agent.networks()["q"].connections, topology(agent.networks()["q"]) != before[1]
    assert (after < 0.6 * before[0]) if rule == "prune" else (after == before[0])
    told = agent.diagnostics()
    assert moved == (rule not in ("dense", "static")) and (told["rewired"] > 0) == (rule in ("set", "rigl", "8x1"))
    assert (told.get("recycled", 0) > 0) == (rule in ("set", "rigl"))


# Continuing

CHANGES = [{}, {"bias_correction": "connection"}, {"redo_every": 5}, {"n_steps": 3, "target_update_interval": 4}]
REWIRED = TopologyConfig(sparsity=0.5, adapt_every=10, adapt_fraction=0.1)


@pytest.mark.parametrize("changes", CHANGES)
@pytest.mark.parametrize("at", [0, 9, 10, 25])
def test_it_is_saved_and_goes_on_to_the_bit(at, changes):
    make_one = partial(make, REWIRED, epsilon_steps=40, **changes)
    _, resumed = restored(make_one, at, 23, lambda seed=0: experience(seed=seed)[0], np.ones(OBSERVATION, np.float32))
    assert resumed.diagnostics()["epsilon"] < 1
    resumed.close()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda arrays, values: values.pop("explored"), "the saved number of steps explored is None"),
        (lambda arrays, values: values.update(explored=-1), "the saved number of steps explored is -1"),
        (lambda arrays, values: arrays.pop("target_q.hidden2.bias"), r"the saved target_q: the array hidden2\.bias"),
        (lambda arrays, values: values.update(exploration={}), "not the state of a PCG64DXSM stream"),
    ],
)
def test_a_state_that_does_not_fit_changes_nothing(change, message):
    agent = make()
    agent.explore(np.ones(OBSERVATION, np.float32))
    arrays, values = through_a_file(make(seed=1).state())
    change(arrays, values)
    before = bits(agent)
    with pytest.raises(ValueError, match=message):
        agent.load_state(arrays, values)
    assert bits(agent) == before


def test_its_policy_acts_alone():
    agent, (replay, _) = make(REWIRED), experience()
    for _ in range(30):
        agent.update(replay)
    arrays, values = through_a_file(agent.policy_state())
    policy = Policy.from_state(arrays, values)
    assert (policy.actions, policy.action_size, policy.observation_size) == ("Discrete", CHOICES, OBSERVATION)
    many = np.random.default_rng(0).normal(size=(40, OBSERVATION)).astype(np.float32)
    for observations in (many, many[:1]):
        assert np.array_equal(policy.predict(observations), agent.predict(observations))


# What it is told


def test_the_house_knows_it_by_its_line():
    entry = agent_entry("ds-dqn")
    assert entry.agent is DQN and (entry.networks, entry.targets, entry.actions) == (("q",), ("q",), ("Discrete",))
    settings = {"batch_size": 2}
    assert entry.cost.training_flops({"q": [5, 6], "target_q": [5, 6]}, 3, settings) == 3 * 2 * 6 * 11


@pytest.mark.parametrize(
    ("every", "per_step", "steps", "updates"),
    [(1, 1, 10, 10), (4, 1, 0, 0), (4, 1, 1, 1), (4, 1, 4, 1), (4, 1, 5, 2), (3, 2, 7, 6)],
)
def test_how_many_updates_there_are(every, per_step, steps, updates):
    config = DQNConfig(update_every=every, updates_per_step=per_step)
    assert config.updates_after(steps) == sum(map(config.updates_at, range(steps))) == updates


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"adam_epsilon": 0.0}, "adam_epsilon must be finite and positive"),
        ({"update_every": 0}, "update_every must be at least 1"),
        ({"target_update_interval": 0}, "target_update_interval must be at least 1"),
        ({"loss": "l1"}, "loss must be 'huber' or 'squared'"),
        ({"epsilon_start": 1.1}, "epsilon_start must be between 0 and 1"),
        ({"epsilon_end": -0.1}, "epsilon_end must be between 0 and 1"),
        ({"epsilon_end": float("nan")}, "epsilon_end must be between 0 and 1"),
        ({"epsilon_steps": 0}, "epsilon_steps must be at least 1"),
        ({"hidden_sizes": ()}, "hidden_sizes must be"),
    ],
)
def test_impossible_settings_are_refused_by_name(changes, message):
    with pytest.raises(ValueError, match=message):
        DQNConfig(**changes)


def test_distances_between_actions_are_refused():
    with pytest.raises(ValueError, match="buffer_distance compares actions that are real numbers"):
        make(buffer_distance=0.2)


@pytest.mark.parametrize("option", [{"actor_sparsity": 0.9}, {"adapt_actor": False}])
def test_options_of_an_actor_are_refused(option):
    with pytest.raises(ValueError, match="are of an actor, and ds-dqn has none"):
        make(topology=TopologyConfig(**option))


def test_a_target_that_is_not_finite_ends_it():
    agent, (replay, _) = make(), experience()
    replay.rewards[:] = np.inf
    with pytest.raises(FloatingPointError, match="the difference from its target of network 1 is not finite"):
        agent.update(replay)
