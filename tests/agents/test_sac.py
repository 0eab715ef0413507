"""What holds of a SAC agent whatever it learns: policy, targets, temperature, randomness, saving and resuming."""

from __future__ import annotations

import copy
import math
from functools import partial

import numpy as np
import pytest
from experience import (
    ACTION,
    OBSERVATION,
    bits,
    measures,
    observations,
    random_replay,
    restored,
    through_a_file,
    topology,
)
from scipy import integrate, stats

from rewirl.agents import Policy, SACConfig, make_agent
from rewirl.nn import LogStd, SquashedGaussian, empty_tiles, mlp_network, normal, pack, sample_one, unpack
from rewirl.replay import Replay
from rewirl.topology import TopologyConfig

SOFT = {"tau": 0.01, "target_update_interval": 1}


def make(seed=0, threads=1, topology=None, **changes):
    topology = {"sparsity": 0.5, "adapt_every": 5, "adapt_fraction": 0.1, **(topology or {})}
    config = SACConfig(
        **{
            "hidden_sizes": (40, 30),
            "batch_size": 30,
            "target_update_interval": 4,
            "topology": TopologyConfig(**topology),
            **changes,
        }
    )
    return make_agent("ds-sac", config, OBSERVATION, ACTION, seed, threads)


# The tanh-Gaussian policy


def linear(mean, log_std):
    """A network whose outputs are the same whatever its input."""
    outputs = np.array([*mean, *log_std], dtype=np.float32)
    return mlp_network([1, len(outputs)], [None], [np.zeros(len(outputs), np.float32)], [outputs])


def sampled(mean, log_std, batch, seed=3):
    """Samples of a distribution, and where they are from."""
    raw = pack(np.tile(np.float32([*mean, *log_std]), (batch, 1)))
    gaussian = SquashedGaussian(batch, len(mean))
    return gaussian, gaussian.sample(raw, empty_tiles(batch, len(mean)), np.random.default_rng(seed))


def test_samples_are_the_tanh_of_normal_numbers():
    _, samples = sampled([0.3, -2.0], [-1.0, 0.5], 4096)
    rows = unpack(samples.values, 4096)
    for column, mean, std in zip(rows.T, (0.3, -2.0), np.exp([-1.0, 0.5]), strict=True):
        inside = np.abs(column) < 1
        assert inside.mean() > 0.99
        before = np.arctanh(column[inside].astype(np.float64))
        assert stats.kstest((before - mean) / std, "norm").pvalue > 0.01


def test_the_probability_density_integrates_to_one_and_is_that_of_the_change_of_variables():
    mean, log_std = 0.4, -0.3
    _, samples = sampled([mean], [log_std], 200)
    y = unpack(samples.values, 200)[:, 0].astype(np.float64)

    def density(value):
        return stats.norm.pdf(np.arctanh(value), mean, math.exp(log_std)) / (1 - value**2)

    assert integrate.quad(density, -1, 1)[0] == pytest.approx(1, abs=1e-6)
    kept = np.abs(y) < 0.999  # nearer to 1 the float32 of y no longer says what its arctanh was
    assert kept.sum() > 150
    found = unpack(samples.log_probability, 200)[kept, 0]
    assert found == pytest.approx(np.log(density(y[kept])), rel=1e-4, abs=1e-4)


@pytest.mark.parametrize("mean", [0.0, 8.0, -30.0, 1e4])
@pytest.mark.parametrize("log_std", [-20.0, 0.0, 2.0])
def test_the_probability_is_finite_and_right_where_tanh_is_saturated(mean, log_std):
    _, samples = sampled([mean], [log_std], 16)
    noise = normal(np.random.default_rng(3), 16).astype(np.float64)
    before = mean + math.exp(log_std) * noise
    # ln(1 - tanh^2 u) = ln 4 - 2 |u| - 2 ln(1 + exp(-2 |u|))
    volume = math.log(4) - 2 * np.abs(before) - 2 * np.log1p(np.exp(-2 * np.abs(before)))
    expected = -(noise**2) / 2 - log_std - math.log(2 * math.pi) / 2 - volume
    assert unpack(samples.log_probability, 16)[:, 0] == pytest.approx(expected, rel=1e-5, abs=1e-5)
    assert unpack(samples.values, 16)[:, 0] == pytest.approx(np.tanh(before), abs=1e-6)


@pytest.mark.parametrize(("given", "counts_as"), [(-1e3, -20.0), (50.0, 2.0)])
def test_the_standard_deviation_is_bounded_and_has_no_gradient_beyond(given, counts_as):
    gaussian, beyond = sampled([0.2], [given], 20)
    _, within = sampled([0.2], [counts_as], 20)
    assert np.array_equal(beyond.values, within.values)
    assert np.array_equal(beyond.log_probability, within.log_probability)
    ones = pack(np.ones((20, 1), np.float32))
    gradient = unpack(gaussian.gradient(beyond, ones, ones), 20)
    assert gradient[:, 0].any() and not gradient[:, 1].any()


def test_one_sample_is_drawn_as_many_are():
    network = linear([0.1, -0.5, 2.0], [-3.0, 0.0, 1.0])
    one = sample_one(network.act(np.zeros(1, np.float32)), np.random.default_rng(3))
    noise = normal(np.random.default_rng(3), 3)
    expected = np.tanh(np.float32([0.1, -0.5, 2.0]) + np.exp(np.float32([-3.0, 0.0, 1.0])) * noise)
    assert one.dtype == np.float32
    assert one == pytest.approx(expected, abs=1e-6)
    of_tanh = LogStd(-4.0, 1.0, soft=True)
    one = sample_one(network.act(np.zeros(1, np.float32)), np.random.default_rng(3), of_tanh)
    log_std = -4 + 2.5 * (1 + np.tanh([-3.0, 0.0, 1.0]))
    assert one == pytest.approx(np.tanh([0.1, -0.5, 2.0] + np.exp(log_std) * noise), abs=1e-6)


def test_wrong_shapes_are_refused():
    gaussian, samples = sampled([0.0, 0.0], [0.0, 0.0], 20)
    for out in (empty_tiles(20, 3), empty_tiles(60, 2)):
        with pytest.raises(ValueError, match="samples must have half the features"):
            gaussian.sample(samples.raw, out, np.random.default_rng(0))
    with pytest.raises(ValueError, match="even number of outputs"):
        gaussian.sample(empty_tiles(20, 3), samples.values, np.random.default_rng(0))
    with pytest.raises(ValueError, match="the gradient of the logarithm"):
        gaussian.gradient(samples, samples.values, empty_tiles(20, 2))


# Acting


def test_exploring_samples_the_policy_and_predicting_takes_its_mean():
    agent = make()
    (observation,) = observations(1)
    explored = np.array([agent.explore(observation) for _ in range(3000)])
    assert explored.dtype == np.float32
    output = agent.networks()["actor"].act(observation).astype(np.float64)
    before = np.arctanh(explored.astype(np.float64))
    for column, mean, log_std in zip(before.T, output[:ACTION], output[ACTION:], strict=True):
        assert stats.kstest((column - mean) / math.exp(log_std), "norm").pvalue > 0.01
    assert agent.predict(observation[np.newaxis])[0] == pytest.approx(np.tanh(output[:ACTION]), abs=1e-6)
    again = make()
    assert np.array_equal([again.explore(observation) for _ in range(3)], explored[:3])


def test_predicting_is_the_same_one_by_one_and_in_a_batch_and_changes_nothing():
    agent = make()
    batch = observations(150)
    before = bits(agent)
    together = agent.predict(batch)
    assert together.shape == (150, ACTION)
    alone = np.concatenate([agent.predict(observation[np.newaxis]) for observation in batch])
    assert alone == pytest.approx(together, abs=1e-6)
    assert bits(agent) == before


def test_the_policy_alone_acts_as_the_agent():
    agent, replay = make(), random_replay()
    for _ in range(11):
        agent.update(replay)
    arrays, values = through_a_file(agent.policy_state())
    policy = Policy.from_state(arrays, values)
    for count in (1, 40):
        assert np.array_equal(policy.predict(observations(count)), agent.predict(observations(count)))
    for impossible in (0, 7, True, "3"):
        with pytest.raises(ValueError, match="cannot hold"):
            Policy.from_state(arrays, {**values, "action_size": impossible})


# Weights, rewiring and targets


def test_weights_start_as_glorot_and_bengio_have_it_and_biases_at_zero():
    for name, network in make(hidden_sizes=(200, 100)).networks().items():
        for layer in network.layers[:2]:
            bound = math.sqrt(6 / sum(layer.shape))
            assert np.abs(layer.values).max() <= bound
            assert layer.values.std() == pytest.approx(bound / math.sqrt(3), rel=0.1), name
            assert not layer.bias.any()


def test_connections_are_conserved_and_all_three_networks_are_rewired_at_an_event():
    agent, replay = make(topology={"adapt_every": 3}, **SOFT), random_replay()
    online = {name: agent.networks()[name] for name in ("actor", "critic1", "critic2")}
    assert set(agent.networks()) == {*online, "target_critic1", "target_critic2"}
    start = {name: [layer.connections for layer in network.layers] for name, network in online.items()}
    for update in range(1, 61):
        before = {name: topology(network) for name, network in online.items()}
        agent.update(replay)
        for name, network in online.items():
            assert [layer.connections for layer in network.layers] == start[name]
            assert (topology(network) != before[name]) == (update % 3 == 0)
        for name in ("critic1", "critic2"):
            for k, layer in zip(start[name], agent.networks()[f"target_{name}"].layers, strict=True):
                assert layer.connections <= k


def test_hard_targets_are_copies_taken_at_their_interval():
    agent, replay = make(target_update_interval=4, topology={"adapt_every": 3}), random_replay()
    for update in range(1, 21):
        before = {n: agent.networks()[f"target_{n}"].layers[0].weights() for n in ("critic1", "critic2")}
        agent.update(replay)
        for name, old in before.items():
            online, target = (agent.networks()[n].layers for n in (name, f"target_{name}"))
            if update % 4:
                assert np.array_equal(target[0].weights(), old)
            else:
                for own, copied in zip(online, target, strict=True):
                    assert np.array_equal(own.weights(), copied.weights())
                    assert np.array_equal(own.bias, copied.bias)


def test_soft_targets_move_by_tau_every_update():
    agent, replay = make(topology={"rule": "static"}, **SOFT), random_replay()
    for _ in range(5):
        before = agent.networks()["target_critic1"].layers[1].weights()
        agent.update(replay)
        expected = 0.01 * agent.networks()["critic1"].layers[1].weights() + 0.99 * before
        assert agent.networks()["target_critic1"].layers[1].weights() == pytest.approx(expected, abs=1e-7)


# Temperature


def test_a_fixed_temperature_stays():
    agent, replay = make(temperature=0.3), random_replay()
    for _ in range(5):
        agent.update(replay)
        assert agent.diagnostics()["temperature"] == 0.3


@pytest.mark.parametrize("target", [-1.5, 0.5])
def test_automatic_temperature_brings_the_entropy_to_its_target(target):
    """Rewards prefer no entropy, so the temperature has to hold it up."""
    settings = {"temperature": "auto", "target_entropy": target, "learning_rate": 3e-3, "gamma": 0.0}
    agent, replay = make(topology={"rule": "static"}, **settings), Replay(500, OBSERVATION, ACTION, 0)
    rng = np.random.default_rng(0)
    for _ in range(500):
        observation, action = rng.normal(size=OBSERVATION), rng.uniform(-1, 1, ACTION)
        replay.add(observation, action, -float((action**2).sum()), observation, True)
    entropies = []
    for _ in range(5000):
        agent.update(replay)
        entropies.append(agent.diagnostics()["entropy"])
    assert abs(entropies[0] - target) > 0.5
    assert np.mean(entropies[-100:]) == pytest.approx(target, abs=0.3)
    assert 0 < agent.diagnostics()["temperature"] < 1


def test_the_target_entropy_is_minus_the_number_of_actions_unless_given():
    default, given = (make(temperature="auto", target_entropy=entropy) for entropy in (None, -3.0))
    replays = random_replay(), random_replay()
    for _ in range(4):
        default.update(replays[0])
        given.update(replays[1])
    assert bits(default) == bits(given)


# Threads, saving and resuming


def test_two_threads_give_the_bits_of_one():
    alone, together = make(temperature="auto"), make(temperature="auto", threads=2)
    replays = random_replay(), random_replay()
    for _ in range(40):
        alone.update(replays[0])
        together.update(replays[1])
    assert bits(alone) == bits(together)
    assert alone.diagnostics() == together.diagnostics()
    together.close()


@pytest.mark.parametrize("changes", [{}, {"temperature": "auto", **SOFT}, {"bias_correction": "connection"}])
@pytest.mark.parametrize("at", [0, 4, 5, 11])
def test_a_restored_agent_goes_on_to_the_bit(at, changes):
    _, resumed = restored(partial(make, **changes), at, 17, observation=observations(1)[0])
    resumed.close()


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("temperature", None, "the saved temperature is None"),
        ("temperature", {"log": 0.0, "first": 0.0, "second": 0.0}, "the saved temperature"),
        ("temperature", {"log": math.nan, "first": 0.0, "second": 0.0, "steps": 1}, "the saved temperature"),
        ("temperature", {"log": 1e9, "first": 0.0, "second": 0.0, "steps": 1}, "the saved temperature"),
        ("temperature", {"log": 0.0, "first": 0.0, "second": -1.0, "steps": 1}, "the saved temperature"),
        ("temperature", {"log": 0.0, "first": 0.0, "second": 0.0, "steps": 1.5}, "the saved temperature"),
        ("policy", {}, "not the state of a PCG64DXSM stream"),
        ("exploration", None, "not the state of a PCG64DXSM stream"),
        ("networks", {}, "the saved actor has the sizes None"),
    ],
)
def test_a_state_that_does_not_fit_is_refused_by_name_and_changes_nothing(key, value, message):
    donor, agent, replay = make(temperature="auto"), make(seed=5, temperature="auto"), random_replay()
    donor.update(replay)
    arrays, values = through_a_file(copy.deepcopy(donor.state()))
    before = bits(agent)
    with pytest.raises(ValueError, match=message):
        agent.load_state(arrays, {**values, key: value})
    assert bits(agent) == before


def test_diagnostics_describe_the_policy_too():
    agent, replay = make(), random_replay()
    assert agent.diagnostics() == {}
    agent.update(replay)
    told = agent.diagnostics()
    assert set(told) == {
        *("critic1_loss", "critic2_loss", "target_mean", "rewired"),
        *("policy_value", "entropy", "temperature"),
        *measures("actor", "critic1", "critic2"),
    }
    assert all(math.isfinite(value) for value in told.values())


def test_acting_does_not_disturb_learning():
    """The noise of exploration is not that of the updates."""
    quiet, acting = make(), make()
    replays = random_replay(), random_replay()
    for _ in range(6):
        acting.explore(observations(1)[0])
        quiet.update(replays[0])
        acting.update(replays[1])
    assert bits(quiet)[0] == bits(acting)[0]


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"target_update_interval": 0}, "target_update_interval must be"),
        ({"temperature": -0.1}, "temperature must be"),
        ({"temperature": float("nan")}, "temperature must be"),
        ({"temperature": float("inf")}, "temperature must be"),
        ({"temperature": "automatic"}, "temperature must be"),
        ({"temperature": "auto", "target_entropy": float("inf")}, "target_entropy must be"),
        ({"target_entropy": -3.0}, "target_entropy is what temperature auto aims at"),
        ({"tau": 0.0}, "tau must be"),
        ({"batch_size": 0}, "batch_size must be"),
    ],
)
def test_impossible_hyper_parameters_are_refused_by_name(changes, field):
    with pytest.raises(ValueError, match=field):
        SACConfig(**changes)


# What the paper leaves open


def test_with_the_critics_alone_rewired_the_actor_keeps_its_topology():
    agent, replay = make(topology={"adapt_actor": False}), random_replay()
    before = {name: topology(network) for name, network in agent.networks().items()}
    for _ in range(5):
        agent.update(replay)
    after = {name: topology(network) for name, network in agent.networks().items()}
    same = {name: before[name] == after[name] for name in ("actor", "critic1", "critic2")}
    assert same == {"actor": True, "critic1": False, "critic2": False}
    with pytest.raises(ValueError, match="never gets its sparsity"):
        TopologyConfig(sparsity=0.9, initial_sparsity=0.0, rule="prune", adapt_actor=False)


@pytest.mark.parametrize("initialisation", ["xavier", "fan-in"])
def test_weights_start_as_the_initialisation_says(initialisation):
    for network in make(initialisation=initialisation).networks().values():
        for layer in network.layers:
            n_out, n_in = layer.shape
            bound = math.sqrt(6 / (n_in + n_out)) if initialisation == "xavier" else 1 / math.sqrt(n_in)
            assert 0.8 * bound < np.abs(layer.values).max() <= bound * (1 + 1e-6)
            assert np.any(layer.bias) == (initialisation == "fan-in")


def test_the_bounds_of_log_std_hold_in_training_exploration_and_the_saved_policy():
    agent, replay = make(log_std_min=-7.0, log_std_max=-6.0), random_replay()
    agent.update(replay)
    assert agent.diagnostics()["entropy"] < -4 * ACTION
    batch = np.repeat(observations(1), 64, axis=0)
    restored = Policy.from_state(*agent.policy_state())
    for policy in (
        agent.predict_noisily(batch, np.random.default_rng(1)),
        restored.explore(batch, np.random.default_rng(1), 0),
    ):
        assert 0 < np.std(policy, axis=0).max() < 1.5 * math.exp(-6)
    assert restored.log_std == (-7.0, -6.0, False)
    arrays, values = agent.policy_state()
    for impossible in ([-7.0, -8.0, False], [-99.0, 0.0, False], [0.0, 1.0], "x", [-7.0, -6.0, 1]):
        with pytest.raises(ValueError, match="log_std of a policy"):
            Policy.from_state(arrays, {**values, "log_std": impossible})


@pytest.mark.parametrize(
    "bounds",
    [{"log_std_min": -21}, {"log_std_max": 2.5}, {"log_std_min": 1, "log_std_max": 0}, {"log_std_min": math.nan}],
)
def test_impossible_bounds_of_log_std_are_refused(bounds):
    with pytest.raises(ValueError, match="log_std"):
        SACConfig(**bounds)
