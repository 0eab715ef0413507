"""Promises of observation normalisation and reward scaling: the statistics, and what agents see through them."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from discrete_sac import ENTRY
from experience import ACTION, OBSERVATION, bits, observations, through_a_file

from rewirl.agents import AGENTS, Policy, agent_entry
from rewirl.agents.normalisation import EPSILON, Normalisation, Statistics
from rewirl.nn import unpack
from rewirl.replay import Batch, Replay
from rewirl.topology import TopologyConfig

MEAN, SCALE = np.linspace(-50, 2000, OBSERVATION), np.logspace(-3, 3, OBSERVATION)


def test_the_statistics_of_a_hand_worked_example():
    statistics = Statistics(2)
    x = np.array([7, 7], np.float32)
    assert np.abs(statistics.normalised(x) - x).max() < 1e-5  # nothing is known yet
    expected = [([1, 10], [1, 10], [0, 0]), ([3, 10], [2, 10], [1, 0]), ([8, 10], [4, 10], [26 / 3, 0])]
    for vector, mean, variance in expected:
        statistics.add(np.array(vector, np.float32))
        assert np.allclose(statistics.mean, mean) and np.allclose(statistics.variance, variance)
    assert np.allclose(statistics.normalised(np.array([4 + np.sqrt(26 / 3), 10], np.float32)), [1, 0])
    assert np.allclose(statistics.normalised(np.array([4, 13], np.float32)), [0, 3])  # it never varied until now


def test_the_statistics_are_those_of_numpy_in_float64():
    x = (MEAN + SCALE * np.random.default_rng(0).standard_normal((3000, OBSERVATION))).astype(np.float32)
    statistics = Statistics(OBSERVATION)
    for vector in x:
        statistics.add(vector)
    exact = x.astype(np.float64)
    assert np.allclose(statistics.mean, exact.mean(axis=0), rtol=1e-12)
    assert np.allclose(statistics.variance, exact.var(axis=0), rtol=1e-9)
    oracle = (exact - exact.mean(axis=0)) / np.sqrt(exact.var(axis=0) + EPSILON)
    # Rounding the mean to float32 is an error of at most this share of a standard deviation.
    bound = 2**-24 * np.abs(exact.mean(axis=0)) / exact.std(axis=0) + 1e-5
    assert (np.abs(statistics.normalised(x) - oracle) <= bound * (1 + np.abs(oracle))).all()


def test_the_discounted_return_so_far_begins_again_with_every_episode_of_every_environment():
    normalisation = Normalisation(1, observations=False, rewards=True, gamma=0.5)
    for reward, over, environment in [(1, False, 0), (8, False, 1), (2, True, 0), (3, False, 0), (4, False, 1)]:
        normalisation.reward(reward, over, environment)
    normalisation.cut(1)
    normalisation.reward(1, False, 1)
    returns = [1, 8, 2.5, 3, 8, 1]
    assert normalisation.returns is not None and normalisation.returns.count == 6
    assert np.allclose(
        [normalisation.returns.mean[0], normalisation.returns.variance[0]], [np.mean(returns), np.var(returns)]
    )


def replay_of(rows, steps_end=7):
    replay = Replay(len(rows), OBSERVATION, ACTION, seed=3)
    rng = np.random.default_rng(1)
    for number, (observation, after) in enumerate(rows):
        replay.add(observation, rng.uniform(-1, 1, ACTION), rng.normal(), after, False, number % steps_end == 0)
    return replay


def raw_rows(count=60):
    x = (MEAN + SCALE * np.random.default_rng(2).standard_normal((count, 2, OBSERVATION))).astype(np.float32)
    return [(a, b) for a, b in x]


def seen(rows):
    normalisation = Normalisation(OBSERVATION, True, False, 0.9)
    for observation, _ in rows:
        normalisation.observe(observation)
    return normalisation


@pytest.mark.parametrize("size", [5, 16, 100, 300])
def test_a_batch_is_normalised_where_it_lies_and_its_padding_stays_0(size):
    rows = raw_rows()
    normalisation, replay, batch = seen(rows), replay_of(rows), Batch(size, OBSERVATION, ACTION)
    normalisation.returns = Statistics(1)
    normalisation.returns.variance[0] = 4.0
    before, plain = replay.transitions.copy(), Batch(size, OBSERVATION, ACTION)
    twin = replay_of(rows)
    for _ in range(50):
        normalisation.apply(replay.sample(batch))
        twin.sample(plain)
    assert np.array_equal(replay.transitions, before)
    for mine, raw in ((batch.states, plain.states), (batch.next_states, plain.next_states)):
        assert np.array_equal(unpack(mine, size), normalisation.observations.normalised(unpack(raw, size)))
        padding = unpack(mine, mine.shape[0] * mine.shape[2])[size:]
        assert not padding.any()
    assert np.array_equal(batch.actions, plain.actions) and np.array_equal(batch.continues, plain.continues)
    assert np.allclose(batch.rewards, plain.rewards / 2, atol=1e-7)


def test_the_states_between_the_steps_of_a_window_are_normalised_where_there_are_any():
    rows = raw_rows()
    normalisation, batches = seen(rows), [Batch(40, OBSERVATION, ACTION) for _ in range(2)]
    for batch in batches:
        batch.keep_between(2)
        replay_of(rows).sample(batch, 3, 0.9)
    normalisation.apply(batches[0])
    ended = 0
    for mine, raw in zip(*(batch.between for batch in batches), strict=True):
        there = unpack(raw, 40)[:, OBSERVATION] != 0
        ended += (~there).sum()
        expected = normalisation.observations.normalised(unpack(raw, 40)[:, :OBSERVATION])
        assert np.array_equal(unpack(mine, 40)[:, :OBSERVATION], expected * there[:, None])
    assert 0 < ended < 80


def settings(name, **changes):
    entry = ENTRY if name == ENTRY.name else agent_entry(name)
    topology = TopologyConfig(sparsity=0.4, adapt_every=3, adapt_fraction=0.2, rule="set")
    return dataclasses.replace(entry.config(topology=topology, hidden_sizes=(12, 8), batch_size=10), **changes), entry


def made(name, **changes):
    config, entry = settings(name, **changes)
    return entry.make(config, OBSERVATION, ACTION, 5)


CASES = [("ds-td3", {}), ("ds-sac", {"n_steps": 3, "n_step_entropy": True}), (ENTRY.name, {})]


@pytest.mark.parametrize(("name", "changes"), CASES)
def test_an_agent_learns_from_raw_observations_as_from_normalised_ones(name, changes):
    rows = raw_rows()
    agent, other = made(name, normalise_observations=True, **changes), made(name, **changes)
    for observation, _ in rows:
        agent.normalisation.observe(observation)
    statistics = agent.normalisation.observations
    normalised = [(statistics.normalised(a), statistics.normalised(b)) for a, b in rows]
    replays = replay_of(rows), replay_of(normalised)
    assert np.array_equal(agent.explore(rows[0][0]), other.explore(normalised[0][0]))
    for _ in range(7):
        agent.update(replays[0])
        other.update(replays[1])
    arrays = other.state()[0]
    assert all(agent.state()[0][key].tobytes() == array.tobytes() for key, array in arrays.items())
    raw, ready = (np.stack([row[0] for row in each]) for each in (rows, normalised))
    for count in (1, 30):
        assert np.array_equal(agent.predict(raw[:count]), other.predict(ready[:count]))
        noisy = (each.predict_noisily(x, np.random.default_rng(3)) for each, x in ((agent, raw), (other, ready)))
        assert name == ENTRY.name or np.array_equal(*noisy)


@pytest.mark.parametrize(("name", "changes"), CASES)
def test_acting_evaluating_and_learning_move_no_statistics(name, changes):
    agent, rows = made(name, normalise_observations=True, scale_rewards=True, **changes), raw_rows()
    for observation, _ in rows:
        agent.normalisation.observe(observation)
        agent.normalisation.reward(1.5, False)
    before = agent.normalisation.state()
    agent.explore(rows[0][0])
    agent.predict(observations(9))
    agent.update(replay_of(rows))
    after = agent.normalisation.state()
    assert before[1] == after[1] and all(np.array_equal(before[0][key], after[0][key]) for key in after[0])


def counted(name="ds-td3", **changes):
    agent = made(name, normalise_observations=True, scale_rewards=True, **changes)
    for number, (observation, _) in enumerate(raw_rows()):
        agent.normalisation.observe(observation)
        agent.normalisation.reward(number - 3.5, number % 9 == 0, number % 2)
    return agent


@pytest.mark.parametrize(("name", "changes"), CASES)
def test_a_state_goes_on_to_the_bit_and_a_policy_acts_as_its_agent(name, changes):
    agent, other = counted(name, **changes), made(name, normalise_observations=True, scale_rewards=True, **changes)
    other.load_state(*through_a_file(agent.state()))
    for each, replay in ((agent, replay_of(raw_rows())), (other, replay_of(raw_rows()))):
        each.normalisation.observe(raw_rows()[1][1])
        each.normalisation.reward(2.0, False, 1)
        each.update(replay)
    assert bits(agent) == bits(other)
    policy = Policy.from_state(*through_a_file(agent.policy_state()))
    x = np.stack([row[1] for row in raw_rows()])
    assert np.array_equal(policy.predict(x), agent.predict(x))
    assert np.array_equal(policy.predict(x[:1]), agent.predict(x[:1]))


def test_a_policy_is_not_moved_by_what_its_agent_sees_later():
    agent = counted()
    policy, x = Policy.from_state(*agent.policy_state()), observations(3)
    before = policy.predict(x)
    agent.normalisation.observe(x[0])
    assert np.array_equal(policy.predict(x), before) and not np.array_equal(agent.predict(x), before)


def test_without_them_nothing_is_counted_and_nothing_is_saved():
    agent = made("ds-td3")
    agent.normalisation.observe(observations(1)[0])
    agent.normalisation.reward(1.0, False)
    arrays, values = agent.state()
    assert "normalisation" not in values and not [name for name in arrays if name.startswith("observations")]
    arrays, values = agent.policy_state()
    assert "normalisation" not in values and not [name for name in arrays if name.startswith("observations")]
    asking = {
        option: {entry.agent.__name__ for entry in AGENTS.values() if getattr(entry.config(), option)}
        for option in ("normalise_observations", "scale_rewards")
    }
    online = {"PPO", "StreamAC", "StreamQ", "StreamSARSA"}
    # As their papers do.
    assert asking == {"normalise_observations": {"SimBa", *online}, "scale_rewards": {"XQC", *online}}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda a, v: a.pop("observations.mean"), "observations.mean is missing"),
        (lambda a, v: a.update({"observations.mean": np.zeros(2)}), "mean is float64 .*, expected float64"),
        (
            lambda a, v: a.update({"observations.variance": np.full(OBSERVATION, np.nan)}),
            "has numbers that are not finite",
        ),
        (lambda a, v: a.update({"observations.variance": np.full(OBSERVATION, -1.0)}), "negative"),
        (lambda a, v: v.pop("normalisation"), "the saved statistics"),
        (lambda a, v: v["normalisation"].update(observations={"count": -1}), "number of observations"),
        (lambda a, v: v["normalisation"]["returns"].update(variance=-1.0), "negative"),
        (lambda a, v: v["normalisation"]["returns"].update(running=["x"]), "a saved return so far"),
        (lambda a, v: v["normalisation"].update(returns=None), "statistics of returns"),
    ],
)
def test_impossible_statistics_are_refused_by_name_and_change_nothing(change, words):
    agent, other = counted(), counted()
    arrays, values = through_a_file(agent.state())
    change(arrays, values)
    before = bits(other)
    with pytest.raises(ValueError, match=words):
        other.load_state(arrays, values)
    assert bits(other) == before


def test_a_feature_that_changes_for_the_first_time_is_foreseen_as_it_will_be_seen():
    """Its deviation is still 0 when a rollout keeps what a step leads to, and the next state is the same, counted."""
    statistics, rng = Statistics(3), np.random.default_rng(0)
    for _ in range(50):
        statistics.add(np.array([rng.normal(), 0, 7], np.float32))
    x = np.array([1, 1, 7], np.float32)
    before = statistics.count, *(part.copy() for part in (statistics.mean, statistics.variance, *statistics.affine))
    foreseen, usual = statistics.foreseen(x), statistics.normalised(x)
    after = statistics.count, statistics.mean, statistics.variance, *statistics.affine
    assert all(np.array_equal(own, other) for own, other in zip(before, after, strict=True))
    assert usual[1] == 1 and foreseen[[0, 2]].tolist() == usual[[0, 2]].tolist()
    statistics.add(x)
    assert foreseen[1] == pytest.approx(statistics.normalised(x)[1]) and foreseen[1] == pytest.approx(np.sqrt(50))


def test_the_second_vector_of_all_is_foreseen_too():
    """PPO in one environment acts on the first and judges the second before it is counted: values were 10,000 there."""
    statistics = Statistics(2)
    statistics.add(np.array([3, 5], np.float32))
    foreseen = statistics.foreseen(np.array([4, 5], np.float32))
    assert foreseen.tolist() == [pytest.approx(1), 0]
