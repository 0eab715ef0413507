"""PQN: its updates against PyTorch, RAdam by hand, problems with known answers, continuing to the bit."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from experience import bits, through_a_file, topology
from ppo_experience import OBSERVATION, SEED, TOPOLOGIES, experience, play
from pqn_oracle import PQNOracle

from rewirl.agents import PQN, Policy, PQNConfig, agent_entry, make_agent
from rewirl.agents.pqn import rectified
from rewirl.agents.rollout_learner import outputs_of
from rewirl.options.resolve import agent_settings
from rewirl.topology import TopologyConfig

CHOICES = 4


def make(structure="unstructured", seed=SEED, threads=1, **changes):
    settings = {
        **{"hidden_sizes": (24, 17), "rollout_steps": 96, "batch_size": 32, "epochs": 3, "learning_rate": 1e-2},
        **{"epsilon_steps": 150, "topology": TOPOLOGIES.get(structure, structure), **changes},
    }
    return make_agent("ds-pqn", PQNConfig(**settings), OBSERVATION, CHOICES, seed, threads)


# Against PyTorch


@pytest.fixture
def one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


ALL = {
    **{"weight_decay": 1e-3, "batch_size": 24, "gamma": 0.9, "return_lambda": 0.3, "max_gradient_norm": 18.0},
    **{"learning_rate_schedule": "linear", "learning_rate_updates": 20, "learning_rate": 3e-2},
}


@pytest.mark.parametrize(
    ("structure", "settings"),
    [("dense", {}), ("unstructured", ALL), ("8x1", ALL), ("unstructured", {**ALL, "hidden_layers": "relu"})],
)
@pytest.mark.usefixtures("one_thread")
def test_all_updates_of_two_rollouts_end_in_the_weights_of_pytorch(structure, settings):
    agent, steps = make(structure, **settings), 96
    exact, single = (PQNOracle(agent, SEED, dtype) for dtype in (torch.float64, torch.float32))
    start, whole = exact.arrays(), experience(2 * steps, environments=3 if settings else 1)
    for first in (0, steps):
        chosen = play(agent, type(whole)(*(part[: first + steps] for part in whole)), start=first)
        rollout = type(whole)(*(part[first : first + steps] for part in whole))
        assert chosen == [exact.act(observation) for observation in rollout.observations]
        for oracle in (exact, single):
            oracle.learn(rollout, chosen)
        found = PQNOracle(agent, SEED, torch.float64).arrays()
        wanted, theirs = exact.arrays(), single.arrays()
        for name, array in wanted.items():
            moved = np.linalg.norm(array - start[name])
            error, of_pytorch = (np.linalg.norm(each[name] - array) / moved for each in (found, theirs))
            assert error < max(10 * of_pytorch, 3e-4), (name, error, of_pytorch)
        told = agent.diagnostics()
        assert {name: told[name] for name in exact.told} == pytest.approx(exact.told, rel=1e-3, abs=1e-4)
    c = agent.config
    assert agent.updates == exact.updates == c.updates_after(2 * steps) == 2 * 3 * (96 // c.batch_size)
    assert 20 < exact.random < 150 and max(exact.norms) > c.max_gradient_norm  # what is to be shown was there


@pytest.mark.parametrize("lambda_", [0.0, 0.65, 1.0])
def test_returns_of_normalised_observations_have_one_value_of_each_state(monkeypatch, lambda_):
    """Statistics count an observation between the end of a step and the beginning of the next."""
    agent = make(normalise_observations=True, rollout_steps=64, batch_size=64, epochs=1, return_lambda=lambda_)
    learnt = []
    monkeypatch.setattr(agent, "_update", lambda minibatch: None)
    monkeypatch.setattr(agent, "_minibatches", lambda steps: learnt.append(steps) or iter(()))
    play(agent, experience(64, environments=3))
    rollout, c = agent._rollout, agent.config
    after = outputs_of(agent.networks()["q"], rollout.next_states).max(axis=1).astype(np.float64)
    wanted, later = np.empty(64), {}
    for t in range(63, -1, -1):
        environment, goes_on = int(rollout.environments[t]), 1.0 - rollout.over[t]
        then = later.get(environment, after[t])
        value = after[t] * (1.0 - rollout.terminated[t]) if not goes_on else (1 - lambda_) * after[t] + lambda_ * then
        wanted[t] = later[environment] = rollout.rewards[t] + c.gamma * value
    assert 0 < rollout.over.sum() < 64
    np.testing.assert_allclose(learnt[0][:, -1], wanted, rtol=1e-5, atol=1e-5)


def test_a_step_size_beyond_float32_ends_in_numbers_that_are_refused():
    agent = make(rollout_steps=32, batch_size=32, epochs=1, learning_rate=1e30)
    with pytest.raises(FloatingPointError):
        play(agent, experience(96))


def test_steps_of_radam_by_hand():
    """rho is 1999 and rho_6 is 5.98; the first five steps have the first moment alone."""
    for step in range(1, 6):
        rate, epsilon = rectified(0.5, 1e-8, step)
        assert rate / epsilon == 0.5 and np.float32(epsilon) + np.float32(60.0) == epsilon
    rho_6 = 1999 - 12 * 0.999**6 / (1 - 0.999**6)
    expected = 0.5 * np.sqrt((rho_6 - 4) * (rho_6 - 2) * 1999 / (1995 * 1997 * rho_6))
    assert rectified(0.5, 1e-8, 6) == pytest.approx((expected, 1e-8))
    assert rectified(0.5, 1e-8, 100_000)[0] == pytest.approx(0.5)


# Known answers

RULES = {
    "dense": TopologyConfig(sparsity=0.0, rule="static"),
    "static": TopologyConfig(sparsity=0.4, rule="static"),
    "set": TopologyConfig(sparsity=0.4, rule="set", drop="magnitude", adapt_every=40, adapt_fraction=0.1),
    "rigl": TopologyConfig(sparsity=0.4, rule="rigl", structure="8x1", adapt_every=40, adapt_fraction=0.1),
}
QUICK = {
    **{"hidden_sizes": (32, 32), "rollout_steps": 128, "batch_size": 32, "epochs": 4, "learning_rate": 5e-3},
    **{"gamma": 0.8, "epsilon_steps": 1_000, "epsilon_end": 0.2},
}


@pytest.mark.parametrize("rule", RULES)
def test_it_learns_what_choices_are_worth(rule):
    """Two places, told apart by the first feature. Choice 0 stays, 1 goes to the other place, 2 ends the episode with a
    reward of 1 in the second place and of -1 in the first, so one has to go there first."""
    agent = make_agent("ds-pqn", PQNConfig(**QUICK, topology=RULES[rule], return_lambda=0.3), 2, 3, 0)
    before, rng, place = topology(agent.networks()["q"]), np.random.default_rng(0), 0
    for _ in range(20 * 128):
        observation = np.float32([place, 1])
        choice = agent.explore(observation)
        assert type(choice) is int
        after = 1 - place if choice == 1 else place
        reward = (2.0 * place - 1) if choice == 2 else 0.0
        agent.learn(observation, None, reward, np.float32([after, 1]), choice == 2, False)
        place = int(rng.integers(2)) if choice == 2 else after
    places = np.float32([[0, 1], [1, 1]])
    assert agent.predict(places).tolist() == [1, 2]
    values = np.array([agent.networks()["q"].act(x) for x in places])
    np.testing.assert_allclose(values, [[0.64, 0.8, -1], [0.8, 0.64, 1]], atol=0.2)
    told = agent.diagnostics()
    assert told["epsilon"] == 0.2 and (told.get("rewired", 0) > 0) == (rule in ("set", "rigl"))
    assert (topology(agent.networks()["q"]) != before) == (rule in ("set", "rigl"))


def test_a_state_without_end_is_worth_all_that_would_come_however_often_it_is_cut():
    agent = make_agent("pqn", PQNConfig(**QUICK, topology=RULES["dense"]), 1, 2, 0)
    observation = np.float32([1])
    for step in range(30 * 128):
        agent.explore(observation)
        agent.learn(observation, None, 1.0, observation, False, step % 5 == 4)
    assert agent.networks()["q"].act(observation).max() == pytest.approx(1 / (1 - 0.8), rel=0.03)


# Continuing

REWIRED = TopologyConfig(sparsity=0.5, rule="rigl", adapt_every=10, adapt_fraction=0.1)


@pytest.mark.parametrize(("at", "environments"), [(0, 1), (96, 4), (150, 4)])
def test_it_is_saved_and_goes_on_to_the_bit(at, environments):
    more = {"bias_correction": "connection", "normalise_observations": True, "scale_rewards": True}
    whole = experience(3 * 96 + 20, environments)
    through, stopped = (make(REWIRED, **more) for _ in range(2))
    expected = play(through, whole)
    play(stopped, type(whole)(*(part[:at] for part in whole)))
    resumed = make(REWIRED, seed=7, threads=2, **more)
    resumed.load_state(*through_a_file(stopped.state()))
    assert play(resumed, whole, start=at) == expected[at:]
    assert bits(resumed) == bits(through) and resumed.diagnostics() == through.diagnostics()
    assert resumed.updates == 27 and resumed.diagnostics()["rewired"] > 0
    resumed.close()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda arrays, values: values.pop("explored"), "the saved number of steps explored"),
        (lambda arrays, values: values.pop("rollout"), "the saved rollout is None"),
        (lambda arrays, values: arrays.pop("q.hidden2.bias"), r"the saved q: the array hidden2\.bias"),
    ],
)
def test_a_state_that_does_not_fit_changes_nothing(change, message):
    agent, other = make(), make(seed=1)
    for each in (agent, other):
        play(each, experience(130))
    arrays, values = through_a_file(other.state())
    change(arrays, values)
    before = bits(agent)
    with pytest.raises(ValueError, match=message):
        agent.load_state(arrays, values)
    assert bits(agent) == before


def test_its_policy_acts_alone_and_is_random_now_and_then():
    agent = make(normalise_observations=True)
    play(agent, experience(200))
    policy = Policy.from_state(*through_a_file(agent.policy_state()))
    many = np.random.default_rng(0).normal(2, 3, size=(400, OBSERVATION)).astype(np.float32)
    np.testing.assert_array_equal(policy.predict(many), agent.predict(many))
    before = bits(agent)
    other = agent.predict_noisily(many, np.random.default_rng(0)) != agent.predict(many)
    assert 0 < other.mean() < 2 * agent.config.epsilon_end and bits(agent) == before


def test_values_that_are_not_finite_end_it_and_another_rollout_begins():
    agent, whole = make(), experience(96)
    with pytest.raises(FloatingPointError, match="the norm of the gradients is"), np.errstate(all="ignore"):
        play(agent, whole._replace(rewards=whole.rewards * np.float64(1e38)))
    play(agent, whole)
    assert agent.updates == 10  # the first was of the rollout before


# What it is told


def test_the_house_knows_it_by_its_line():
    entry = agent_entry("ds-pqn")
    assert entry.agent is PQN and (entry.networks, entry.targets) == (("q",), ())
    assert entry.actions == ("Discrete",) and not entry.replay
    with pytest.raises(TypeError, match="ds-pqn has no replay memory: hand it every step, by learn"):
        make().update(None)


@pytest.mark.parametrize(
    ("option", "why"),
    [
        ("buffer_size", "it has no replay memory, which this option is about"),
        ("n_steps_after", "its returns look over all steps of a rollout: return_lambda"),
        ("tau", "it has no target networks"),
        ("updates_per_step", "it learns from whole rollouts, each several times: epochs"),
        ("activation", "that is here: hidden_layers"),
    ],
)
def test_options_that_it_does_not_have_are_refused_with_the_reason(option, why):
    with pytest.raises(ValueError, match=f"pqn has no option '{option}'; {why}"):
        agent_settings("pqn", "CartPole-v1", **{option: 5})


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"return_lambda": 1.1}, "return_lambda must be between 0 and 1"),
        ({"epsilon_end": -0.1}, "epsilon_end must be between 0 and 1"),
        ({"rollout_steps": 100}, "rollout_steps must be a multiple of batch_size 128"),
        ({"max_gradient_norm": 0.0}, "max_gradient_norm must be finite and positive"),
    ],
)
def test_impossible_settings_are_refused_by_name(changes, message):
    with pytest.raises(ValueError, match=message):
        PQNConfig(**changes)
