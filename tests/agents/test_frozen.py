"""Frozen connections: values and places stay to the bit, a task's policy comes back, runs resume exactly."""

from __future__ import annotations

import json
from typing import ClassVar

import gymnasium
import numpy as np
import pytest
from experience import ACTION, OBSERVATION, bits, observations, random_replay, through_a_file

import rewirl
from rewirl import agents
from rewirl.agents import DQNConfig, PPOConfig, SACConfig, SimBaConfig, TD3Config
from rewirl.topology import LayerState, TopologyConfig, make_rule, random_indices, rewire
from rewirl.topology.structure import structure_of

SPARSE = {"layer_sparsities": (0.8, 0.8, 0.5), "rule": "set", "adapt_every": 3, "adapt_fraction": 0.3}
KINDS = {"ds-td3": TD3Config, "ds-sac": SACConfig, "ds-dqn": DQNConfig}


def make(name="ds-td3", seed=4, topology=None, **changes):
    config = KINDS[name](
        hidden_sizes=(24, 16),
        batch_size=16,
        learning_rate=1e-2,
        topology=TopologyConfig(**(SPARSE | (topology or {}))),
        **changes,
    )
    return agents.make_agent(name, config, OBSERVATION, ACTION, seed)


def taught(agent, updates, seed=0):
    replay = random_replay(seed)
    for _ in range(updates):
        agent.update(replay)
    return agent


def layers(agent):
    """By network and layer, the weight of every place, NaN where there is no connection, and the biases."""
    result = {}
    for name, network in agent.networks().items():
        for layer in network.layers if "target" not in name else ():
            matrix = np.full(layer.shape[0] * layer.shape[1], np.nan, np.float32)
            matrix[layer.places()] = layer.values
            result[name, layer.name] = (matrix, layer.bias.copy())
    return result


@pytest.mark.parametrize("changes", [{}, {"structure": "4x1", "rule": "rigl", "drop": "magnitude"}, {"redo_every": 2}])
@pytest.mark.parametrize("name", KINDS)
def test_what_is_frozen_stays_and_the_task_keeps_its_policy(name, changes):
    own = {"redo_every": 2} if "redo_every" in changes else {}
    agent = taught(make(name, topology={} if own else changes, **own, weight_decay=1e-3), 7)
    before, seen, alone = layers(agent), observations(5), observations(1)
    acts = agent.predict(seen), agent.predict(alone)
    assert agent.freeze() == agent.tasks == 1
    for key, (matrix, _) in layers(agent).items():
        had = ~np.isnan(before[key][0])
        if key[1] == "output":  # which begins again
            assert np.array_equal(~np.isnan(matrix), had) and not (matrix[had] == before[key][0][had]).any()
            continue
        room = min(had.sum(), (~had).sum())
        assert (~np.isnan(matrix)).sum() == had.sum() + room and np.abs(matrix[~had & ~np.isnan(matrix)]).min() > 0
    started = layers(agent)
    taught(agent, 9, seed=1)
    for key, (matrix, bias) in layers(agent).items():
        had = ~np.isnan(before[key][0])
        if key[1] == "output":
            assert (~np.isnan(matrix)).sum() == had.sum() and not np.array_equal(bias, before[key][1])
            continue
        assert np.array_equal(matrix[had], before[key][0][had]), key
        new, began = ~np.isnan(matrix) & ~had, ~np.isnan(started[key][0]) & ~had
        assert new.sum() == began.sum()  # events conserve the connections of the task
        assert not np.array_equal(matrix[new], started[key][0][began])
        if key[1] == "hidden1" and (new.sum() < new.size - had.sum()):
            assert not np.array_equal(new, began), key  # and rewire them
        used = (~np.isnan(before[key][0])).reshape(len(bias), -1).any(axis=1)
        assert np.array_equal(bias[used], before[key][1][used]), key
    assert not np.array_equal(agent.predict(seen), acts[0]) or name == "ds-dqn"
    policy = agent.policy_of(1)
    assert np.array_equal(policy.predict(seen), acts[0]) and np.array_equal(policy.predict(alone), acts[1])
    second = agent.predict(seen)
    assert agent.freeze() == 2
    taught(agent, 4, seed=2)
    assert np.array_equal(agent.policy_of(2).predict(seen), second)
    assert np.array_equal(agent.policy_of(1).predict(seen), acts[0])
    for task in (0, 3):
        with pytest.raises(ValueError, match=f"there is no task {task}"):
            agent.policy_of(task)


def test_a_task_gets_as_many_connections_as_those_before_it_had_on_average_and_new_outputs():
    agent = taught(make(bias_correction="connection"), 5)
    online = [network for name, network in agent.networks().items() if "target" not in name]
    for task in (1, 2):
        had = [[layer.connections for layer in network.layers] for network in online]
        agent.freeze()
        for counts, network in zip(had, online, strict=True):
            *hidden, outputs = network.layers
            for count, layer in zip(counts[:-1], hidden, strict=True):
                assert layer.connections == min(count + count // task, layer.shape[0] * layer.shape[1])
            assert not any(moments.any() for moments in (*outputs.moments, *outputs.bias_moments))
            assert {*outputs.born.tolist(), *outputs.bias_born.tolist()} == {network.steps} != {0}
        taught(agent, 3, seed=task)


@pytest.mark.parametrize("at", [3, 5, 8])
def test_a_run_with_tasks_resumes_to_the_bit(at):
    topology = {"freeze_after": (4, 8), "structure": "4x1"}
    straight = taught(make(topology=topology), 12)
    assert straight.tasks == 2 and straight.policy_of(2) is not None
    through, replay = make(topology=topology), random_replay()
    for update in range(12):
        if update == at:
            saved, kept = through_a_file(through.state()), through_a_file(replay.state())
            through, replay = make(topology=topology), random_replay(5)
            through.load_state(*saved)
            replay.load_state(*kept)
        through.update(replay)
    assert bits(through) == bits(straight)
    seen = observations(4)
    assert np.array_equal(through.policy_of(1).predict(seen), straight.policy_of(1).predict(seen))


def test_impossible_saved_tasks_are_refused():
    agent = taught(make(), 2)
    agent.freeze()
    name, head = "frozen.actor.hidden1", "frozen.actor.output.task1"
    for array, wrong, message in (
        (f"{head}.places", np.array([3, 2]), "do not fit the layer"),
        (f"{head}.values", np.zeros(1, np.float32), "do not fit the layer"),
        (f"{head}.bias", np.full(ACTION, np.nan, np.float32), "finite"),
        (f"{head}.bias", None, "must be there"),
        ("places", None, "must be there"),
        ("tasks", np.zeros(0, np.int64), "must be there"),
        ("tasks", np.zeros(3, np.uint16), "do not fit"),
        ("units", np.full(24, 2, np.uint16), "have not ended"),
        ("places", np.array([10**6], np.int64), "no connection"),
    ):
        arrays, values = through_a_file(agent.state())
        full = array if "." in array else f"{name}.{array}"
        del arrays[full]
        if wrong is not None:
            arrays[full] = wrong
        with pytest.raises(ValueError, match=message):
            make().load_state(arrays, values)
    arrays, values = through_a_file(agent.state())
    values["frozen"]["tasks"] = -1
    with pytest.raises(ValueError, match="saved number of tasks"):
        make().load_state(arrays, json.loads(json.dumps(values)))


def test_an_event_keeps_frozen_connections_and_counts_the_others():
    rng = np.random.default_rng(0)
    for spread in ("unstructured", "4x1"):
        structure, shape = structure_of(spread), (16, 10)
        indices = random_indices(shape, 0.5, rng) if structure is None else structure.draw(shape, 0.5, rng)
        weights = rng.normal(size=len(indices)).astype(np.float32)
        blocks = indices // 10 // 4 * 10 + indices % 10
        frozen = np.isin(blocks, rng.permutation(np.unique(blocks))[:12])
        weights[frozen] = 0  # the first to go, were they not frozen
        order = rng.permutation(len(indices))
        state = LayerState(shape, indices[order], weights[order], frozen=frozen[order])
        change = rewire(make_rule("set", TopologyConfig()), state, 0.25, rng, structure=structure)
        height = 4 if structure else 1
        assert not frozen[order][change.dropped].any()
        assert len(change.dropped) == len(change.grown) == (~frozen).sum() // height // 4 * height


def test_redo_leaves_units_alone_whose_inputs_are_all_frozen():
    settings = {"redo_every": 1, "redo_threshold": 100.0, "topology": {"layer_sparsities": (0.8, 0.9, 0.0)}}
    agent = taught(make(**settings), 1)
    critic = agent.networks()["critic1"]
    before = critic.layer("hidden2").places()
    agent.freeze()
    new = np.setdiff1d(critic.layer("hidden2").places(), before)
    learns = np.isin(np.arange(16), new // 24)
    assert 0 < learns.sum() < 16
    taught(agent, 1)
    assert np.array_equal(critic.layer("output").values != 0, ~learns)  # what begins again has outgoing zeros


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"initial_sparsity": 0.2, "layer_sparsities": None, "sparsity": 0.5}, "initial_sparsity changes"),
        ({"structure": "constant-fan-in"}, "constant-fan-in says how many inputs"),
        ({"freeze_after": (3, 2)}, "updates in their order"),
        ({"freeze_after": (0,)}, "updates in their order"),
        ({"freeze_after": tuple(range(1, 9))}, "has no free place for another task after 8"),
    ],
)
def test_settings_that_would_change_a_task_are_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        make(topology={"freeze_after": (2,)} | changes)


def test_agents_that_cannot_freeze_say_so():
    with pytest.raises(ValueError, match="normalise_observations"):
        make(normalise_observations=True).freeze()
    with pytest.raises(ValueError, match="cbp_replacement_rate replaces units"):
        make(cbp_replacement_rate=0.1).freeze()
    simba = agents.make_agent("ds-simba", SimBaConfig(hidden_sizes=(8,)), OBSERVATION, ACTION, 0)
    with pytest.raises(ValueError, match="learns more than connections and biases"):
        simba.freeze()
    dense = agents.make_agent("td3", TD3Config(topology=TopologyConfig(sparsity=0.0, rule="static")), 3, 2, 0)
    with pytest.raises(ValueError, match="actor has no free place"):
        dense.freeze()
    assert dense.tasks == 0
    half = agents.make_agent("td3", TD3Config(topology=TopologyConfig(sparsity=0.5, rule="static")), 3, 2, 0)
    assert [half.freeze(), half.freeze()] == [1, 2]  # rounding leaves room for some of a third one
    with pytest.raises(ValueError, match="actor has no free place for another task after 3 of them"):
        half.freeze()
    with pytest.raises(ValueError, match="freeze_after needs an agent with a replay memory"):
        agents.make_agent("ds-ppo", PPOConfig(topology=TopologyConfig(freeze_after=(3,))), OBSERVATION, ACTION, 0)
    with rewirl.DSPPO("Pendulum-v1") as ppo, pytest.raises(TypeError, match="no replay memory"):
        ppo.freeze()


def test_no_task_ends_before_a_predictive_topology_is_made():
    topology = {"initial_topology": "predictive"}
    with pytest.raises(ValueError, match="before the first update, with which initial_topology predictive"):
        make(topology=topology).freeze()
    agent = taught(make(topology=topology), 2)
    assert agent.freeze() == 1
    taught(agent, 2)


def test_python_freezes_and_saves_the_policy_of_a_task(tmp_path):
    with rewirl.DSTD3("Pendulum-v1", hidden_sizes=(16, 16), sparsity=0.6, learning_starts=20, seed=1) as agent:
        agent.learn(40)
        observation = agent.observation_space.sample()
        acted = agent.predict(observation)
        assert agent.freeze() == 1
        agent.learn(40)
        agent.save(tmp_path / "one", task=1)
        agent.save(tmp_path / "now")
        assert agent.tasks == 1 and not np.array_equal(agent.predict(observation), acted)
        assert np.array_equal(rewirl.load(tmp_path / "now").predict(observation), agent.predict(observation))
    assert np.array_equal(rewirl.load(tmp_path / "one").predict(observation), acted)


class Changing(gymnasium.Env):
    """One task for 40 steps, then another; keeps how many episodes there were."""

    observation_space = gymnasium.spaces.Box(-1.0, 1.0, (2,), np.float32)
    action_space = gymnasium.spaces.Box(-1.0, 1.0, (1,), np.float32)
    rewirl_steps = 0
    told: ClassVar[list] = []

    def __init__(self):
        self.episodes = 0

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.told.append((self.rewirl_steps, self.episodes))
        self.episodes += 1
        self.length = 0
        return self.np_random.uniform(-1, 1, 2).astype(np.float32), {}

    def step(self, action):
        self.length += 1
        return self.np_random.uniform(-1, 1, 2).astype(np.float32), 0.0, False, self.length == 5, {}

    def rewirl_state(self):
        return {"episodes": self.episodes}

    def load_rewirl_state(self, values):
        self.episodes = values["episodes"]


@pytest.mark.parametrize("by_itself", [False, True])
def test_the_policy_of_a_task_is_evaluated_in_that_task_whatever_came_later(tmp_path, by_itself):
    """Two steps to the end of the task: the environment is told its last one, and has what it kept by then."""
    options = {"freeze_after": (20,)} if by_itself else {}
    made = rewirl.DSTD3(Changing, hidden_sizes=(16, 16), sparsity=0.6, learning_starts=20, batch_size=8, **options)
    with made as agent:
        agent.learn(40, run_dir=tmp_path / "run", eval_every=0)
        if not by_itself:
            assert agent.freeze() == 1
            agent.save(tmp_path / "then", task=1)
        agent.learn(30)
        agent.save(tmp_path / "later", task=1)
    with rewirl.resume(tmp_path / "run", env=Changing) as agent:
        agent.save(tmp_path / "resumed", task=1)
        agent.save(tmp_path / "now")
    told = {}
    for path in ("later", "resumed", "now", *(() if by_itself else ("then",))):
        Changing.told.clear()
        rewirl.load(tmp_path / path).evaluate(1, env=Changing)
        told[path] = Changing.told[-1]
        about = json.loads((tmp_path / path / "policy.json").read_text())
        assert about["step"] == (70 if path == "now" else 40)
    now = told.pop("now")
    assert set(told.values()) == {(39, 9 if by_itself else 8)} and now[0] == 70 and now[1] > 9
