"""What holds of a TD3 agent whatever it learns: topology, randomness, saving and resuming."""

from __future__ import annotations

import copy
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

from rewirl.agents import TD3, Policy, TD3Config, make_agent
from rewirl.replay import Replay
from rewirl.topology import TopologyConfig


def make(seed=0, threads=1, topology=None, **changes):
    topology = {"sparsity": 0.5, "adapt_every": 5, "adapt_fraction": 0.1, **(topology or {})}
    config = TD3Config(
        **{"hidden_sizes": (40, 30), "batch_size": 30, "topology": TopologyConfig(**topology), **changes}
    )
    return make_agent("ds-td3", config, OBSERVATION, ACTION, seed, threads)


def moved_per_event(layer):
    """A tenth of the connections, if there are as many free places."""
    return 0 if layer.dense else min(int(0.1 * layer.connections), np.prod(layer.shape) - layer.connections)


# Rewiring


def test_connections_are_conserved_over_fifty_events():
    agent, replay = make(topology={"adapt_every": 2}), random_replay()
    online = {name: agent.networks()[name] for name in ("actor", "critic1", "critic2")}
    start = {name: [layer.connections for layer in network.layers] for name, network in online.items()}
    changed = 0
    for _ in range(100):
        before = topology(agent.networks()["critic1"])
        agent.update(replay)
        changed += before != topology(agent.networks()["critic1"])
        for name, network in online.items():
            assert [layer.connections for layer in network.layers] == start[name]
            for k, layer in zip(start[name], agent.networks()[f"target_{name}"].layers, strict=True):
                assert layer.connections == np.count_nonzero(layer.values) <= k
    assert changed == 50
    per_event = sum(moved_per_event(layer) for network in online.values() for layer in network.layers)
    assert agent.diagnostics()["rewired"] == 50 * per_event > 0


@pytest.mark.parametrize(("delay", "offset", "end"), [(4, 0, None), (1, 0, None), (2, 3, None), (2, 0, 13), (3, 1, 7)])
def test_events_fall_on_their_updates_and_on_the_actor_only_with_an_update_of_its_own(delay, offset, end):
    agent = make(topology={"adapt_every": 6, "adapt_offset": offset, "adapt_end": end}, policy_delay=delay)
    replay = random_replay()
    for update in range(1, 31):
        before = {name: topology(network) for name, network in agent.networks().items()}
        agent.update(replay)
        due = update % 6 == offset and (end is None or update <= end)
        for name in ("critic1", "critic2"):
            assert (topology(agent.networks()[name]) != before[name]) == due
        assert (topology(agent.networks()["actor"]) != before["actor"]) == (due and update % delay == 0)


def test_an_event_comes_after_the_step_of_adam_and_starts_grown_connections_from_zero():
    agent, replay = make(topology={"adapt_every": 6}, policy_delay=6), random_replay()
    for _ in range(5):
        agent.update(replay)
    before = {name: [layer.places() for layer in network.layers] for name, network in agent.networks().items()}
    agent.update(replay)
    for name in ("critic1", "critic2", "actor"):
        for old, layer in zip(before[name], agent.networks()[name].layers, strict=True):
            grown = ~np.isin(layer.places(), old)
            assert grown.sum() == moved_per_event(layer)
            for array in (layer.values, *layer.moments):
                assert not array[grown].any()
            assert np.count_nonzero(layer.values[~grown]) == (~grown).sum()


@pytest.mark.parametrize("settings", [{"rule": "static"}, {"sparsity": 0.0}, {"adapt_fraction": 0.0}])
def test_without_adaptation_topologies_stay(settings):
    agent, replay = make(topology={"adapt_every": 2, **settings}), random_replay()
    before = {name: topology(network) for name, network in agent.networks().items()}
    for _ in range(10):
        agent.update(replay)
    assert {name: topology(network) for name, network in agent.networks().items()} == before
    assert agent.diagnostics()["rewired"] == 0


def test_targets_move_only_with_the_actor():
    agent, replay = make(policy_delay=3), random_replay()
    for update in range(1, 10):
        before = {name: network.state()[0]["hidden1.values"] for name, network in agent.networks().items()}
        agent.update(replay)
        moved = {
            name: not np.array_equal(network.state()[0]["hidden1.values"], before[name])
            for name, network in agent.networks().items()
        }
        assert moved["critic1"] and moved["critic2"]
        assert {moved[n] for n in ("actor", "target_actor", "target_critic1", "target_critic2")} == {update % 3 == 0}


def test_targets_start_as_copies_and_critics_differ():
    networks = make().networks()
    for name in ("actor", "critic1", "critic2"):
        for layer, own in zip(networks[name].layers, networks[f"target_{name}"].layers, strict=True):
            assert np.array_equal(layer.places(), own.places())
            assert np.array_equal(layer.values, own.values)
            assert np.array_equal(layer.bias, own.bias)
    assert topology(networks["critic1"]) != topology(networks["critic2"])
    assert not np.array_equal(networks["critic1"].layers[0].bias, networks["critic2"].layers[0].bias)


def test_weights_start_uniform_within_the_root_of_the_dense_fan_in():
    for network in make(hidden_sizes=(200, 100)).networks().values():
        for layer in network.layers[:2]:
            bound = 1 / np.sqrt(layer.shape[1])
            assert np.abs(layer.values).max() <= bound
            assert layer.values.std() == pytest.approx(bound / np.sqrt(3), rel=0.1)
            assert np.abs(layer.bias).max() <= bound
            assert layer.bias.std() == pytest.approx(bound / np.sqrt(3), rel=0.25)


# Acting


def test_predicting_is_the_same_one_by_one_and_in_a_batch():
    agent = make()
    batch = observations(150)
    together = agent.predict(batch)
    assert together.shape == (150, ACTION) and together.dtype == np.float32
    assert np.abs(together).max() <= 1
    alone = np.concatenate([agent.predict(observation[np.newaxis]) for observation in batch])
    assert alone == pytest.approx(together, abs=1e-6)
    with pytest.raises(ValueError, match=r"observations must be \[batch, 7\], got \[2, 6\]"):
        agent.predict(np.zeros((2, 6), dtype=np.float32))


def test_predicting_changes_nothing():
    quiet, asked = make(), make()
    replays = random_replay(), random_replay()
    for _ in range(12):
        quiet.update(replays[0])
        for count in (1, 5, 200):
            asked.predict(observations(count))
        before = bits(asked)
        asked.predict(observations(3))
        assert bits(asked) == before
        asked.update(replays[1])
    assert bits(quiet) == bits(asked)


def test_exploration_is_the_policy_with_noise_of_its_own():
    agent = make(exploration_noise=0.1)
    (observation,) = observations(1)
    explored = np.array([agent.explore(observation) for _ in range(2000)])
    assert explored.dtype == np.float32
    noise = explored - agent.predict(observation[np.newaxis])
    assert noise.mean(axis=0) == pytest.approx(0, abs=0.01)
    assert noise.std(axis=0) == pytest.approx(0.1, rel=0.1)
    again = make(exploration_noise=0.1)
    assert np.array_equal([again.explore(observation) for _ in range(3)], explored[:3])
    wild = np.array([make(exploration_noise=3.0, seed=s).explore(observation) for s in range(10)])
    assert np.abs(wild).max() == 1
    assert np.array_equal(make(exploration_noise=0.0).explore(observation), agent.predict(observation[np.newaxis])[0])


def test_the_policy_alone_acts_as_the_agent():
    agent, replay = make(), random_replay()
    for _ in range(11):
        agent.update(replay)
    arrays, values = through_a_file(agent.policy_state())
    assert not any(name.rpartition(".")[2] in ("m", "v", "bias_m", "bias_v", "born") for name in arrays)
    policy = Policy.from_state(arrays, values)
    assert isinstance(policy, Policy)
    for count in (1, 40):
        assert np.array_equal(policy.predict(observations(count)), agent.predict(observations(count)))


# Threads


@pytest.mark.parametrize("threads", [2, 3])
def test_two_threads_give_the_bits_of_one(threads):
    alone, together = make(), make(threads=threads)
    replays = random_replay(), random_replay()
    for _ in range(40):
        alone.update(replays[0])
        together.update(replays[1])
    assert bits(alone) == bits(together)
    assert alone.diagnostics() == together.diagnostics()
    together.close()


def test_a_closed_agent_leaves_no_threads_and_still_acts(process_threads):
    before = process_threads.count()
    agent = make(threads=3)
    agent.update(random_replay())
    agent.close()
    agent.close()
    assert process_threads.come_to(before)
    assert np.isfinite(agent.predict(observations(2))).all()


# Saving and resuming


@pytest.mark.parametrize("changes", [{}, {"bias_correction": "connection"}, {"policy_delay": 3}, {"batch_size": 150}])
@pytest.mark.parametrize("at", [0, 4, 5, 6, 11])
def test_a_restored_agent_goes_on_to_the_bit(at, changes):
    through, resumed = restored(partial(make, **changes), at, 17, observation=observations(1)[0])
    assert np.array_equal(resumed.predict(observations(50)), through.predict(observations(50)))
    resumed.close()


def test_runs_repeat_themselves_and_seeds_differ():
    def run(seed):
        agent, replay = make(seed), random_replay()
        for _ in range(20):
            agent.update(replay)
        return bits(agent)

    assert run(0) == run(0)
    assert run(0)[0] != run(1)[0]


def without(name):
    def change(arrays, values):
        del arrays[name]

    return change


def first(name, value):
    def change(arrays, values):
        arrays[name].reshape(-1)[0] = value

    return change


def value(*path, to):
    def change(arrays, values):
        for key in path[:-1]:
            values = values[key]
        values[path[-1]] = to

    return change


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (without("actor.hidden1.values"), r"the saved actor: the array hidden1\.values of a network is missing"),
        (
            without("target_critic2.output.bias"),
            r"the saved target_critic2: the array output\.bias of a network is missing",
        ),
        (without("critic1.hidden2.v"), r"the saved critic1: the array hidden2\.v"),
        (first("critic2.hidden2.values", np.nan), r"the saved critic2: the array hidden2\.values .* not finite"),
        (first("target_actor.hidden1.bias", np.inf), r"the saved target_actor: the array hidden1\.bias .* not finite"),
        (first("actor.hidden2.places", -5), r"the saved actor: place -5 is outside"),
        (value("networks", "actor", "sizes", to=[7, 40, 30, 4]), "the saved actor has the sizes"),
        (value("networks", "critic1", "sizes", to=None), "the saved critic1 has the sizes None"),
        (value("networks", "critic1", "steps", to=-1), "the saved critic1: the step count"),
        (value("networks", "target_actor", "stale", to=[1]), "the saved target_actor: stale"),
        (value("networks", "actor", to=[]), "the saved actor"),
        (value("networks", to=[]), "the saved actor"),
        (value("updates", to=-1), "the saved number of updates is -1"),
        (value("updates", to="many"), "the saved number of updates is 'many'"),
        (value("updates", to=True), "the saved number of updates is True"),
        (value("exploration", to={}), "not the state of a PCG64DXSM stream"),
        (value("smoothing", to={}), "not the state of a PCG64DXSM stream"),
        (value("smoothing", to="state"), "not the state of a PCG64DXSM stream"),
        (value("smoothing", "bit_generator", to="PCG64"), "not the state of a PCG64DXSM stream"),
        (value("smoothing", "state", "state", to=-1), "not the state of a PCG64DXSM stream"),
        (value("adaptation", "rng", to={}), "not the state of a PCG64DXSM stream"),
        (value("adaptation", "rewired", to=None), "rewired"),
        (value("adaptation", "rewired", to=-3), "rewired"),
        (value("adaptation", to=[]), "adaptation"),
    ],
)
def test_a_state_that_does_not_fit_is_refused_by_name_and_changes_nothing(change, message):
    donor, agent, replay = make(), make(seed=5), random_replay()
    for _ in range(7):
        donor.update(replay)
    arrays, values = through_a_file(copy.deepcopy(donor.state()))
    change(arrays, values)
    before = bits(agent)
    with pytest.raises(ValueError, match=message):
        agent.load_state(arrays, values)
    assert bits(agent) == before


def test_diagnostics_are_of_the_last_update_of_each_kind():
    agent, replay = make(), random_replay()
    assert agent.diagnostics() == {}
    agent.update(replay)
    first = agent.diagnostics()
    measured = measures("actor", "critic1", "critic2")
    assert set(first) == {"critic1_loss", "critic2_loss", "target_mean", "rewired", *measured}
    agent.update(replay)
    second = agent.diagnostics()
    agent.update(replay)
    third = agent.diagnostics()
    assert third["policy_value"] == second["policy_value"]
    assert third["critic1_loss"] != second["critic1_loss"] != first["critic1_loss"]


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"hidden_sizes": ()}, "hidden_sizes"),
        ({"hidden_sizes": (256, 0)}, "hidden_sizes"),
        ({"learning_rate": 0.0}, "learning_rate"),
        ({"learning_rate": float("nan")}, "learning_rate"),
        ({"learning_rate": float("inf")}, "learning_rate"),
        ({"weight_decay": -1e-4}, "weight_decay"),
        ({"bias_correction": "layer"}, "bias_correction"),
        ({"batch_size": 0}, "batch_size"),
        ({"gamma": 1.01}, "gamma"),
        ({"tau": 0.0}, "tau"),
        ({"tau": 1.5}, "tau"),
        ({"policy_delay": 0}, "policy_delay"),
        ({"policy_noise": -0.1}, "policy_noise"),
        ({"policy_noise": float("inf")}, "policy_noise"),
        ({"noise_clip": float("nan")}, "noise_clip"),
        ({"noise_clip": float("inf")}, "noise_clip"),
        ({"exploration_noise": -0.1}, "exploration_noise"),
        ({"learning_starts": 0}, "learning_starts"),
        ({"buffer_size": 0}, "buffer_size"),
    ],
)
def test_impossible_hyper_parameters_are_refused_by_name(changes, field):
    with pytest.raises(ValueError, match=f"{field} must be"):
        TD3Config(**changes)


def test_unknown_agents_are_refused():
    with pytest.raises(ValueError, match="unknown agent 'td4'; did you mean td3"):
        make_agent("td4", TD3Config(), OBSERVATION, ACTION, 0)


def test_updating_needs_a_transition():
    agent = make()
    with pytest.raises(ValueError, match="the replay memory is empty"):
        agent.update(Replay(10, OBSERVATION, ACTION, 0))
    assert isinstance(agent, TD3)
