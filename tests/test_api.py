"""Promises of the Python face: what users of Stable-Baselines3 would guess works."""

from __future__ import annotations

import gc
import json
import subprocess
import sys
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import ClassVar

import gymnasium
import numpy as np
import pytest

import rewirl
from rewirl.environments.spaces import UnsuitableEnvironmentError
from rewirl.learners.views import LayerTopology
from rewirl.nn import Layer, Linear, Network
from rewirl.storage.policy_file import PolicyError

SMALL = {"hidden_sizes": [16, 16], "learning_starts": 50, "batch_size": 10, "buffer_size": 500, "threads": 1}


def wide():
    """Pendulum with actions in [-2, 2] shifted to [0, 1]."""
    return gymnasium.wrappers.RescaleAction(gymnasium.make("Pendulum-v1"), np.float32(0), np.float32(1))


@pytest.fixture(scope="module")
def learnt(tmp_path_factory):
    path = tmp_path_factory.mktemp("api") / "run"
    with rewirl.DSTD3("Pendulum-v1", seed=1, sparsity=0.6, **SMALL) as agent:
        yield agent.learn(200, run_dir=path, eval_every=100, eval_episodes=2), path


def test_actions_are_float32_in_the_environments_own_bounds():
    with rewirl.DSTD3(wide, **SMALL) as agent:
        observations = np.random.default_rng(0).normal(size=(50, 3))
        actions = agent.predict(observations)
        assert actions.dtype == np.float32 and actions.shape == (50, 1)
        assert (actions >= 0).all() and (actions <= 1).all()
        np.testing.assert_allclose(agent.predict(observations[3]), actions[3], rtol=1e-5)
        assert agent.predict(observations[:0]).shape == (0, 1)
        with pytest.raises(ValueError, match=r"shape \(3,\) and a batch \(batch, 3\), got \(4,\)"):
            agent.predict(np.zeros(4))


def test_learning_in_two_calls_is_learning_in_one():
    with rewirl.DSTD3("Pendulum-v1", **SMALL) as once, rewirl.DSTD3("Pendulum-v1", **SMALL) as twice:
        once.learn(150)
        twice.learn(70).learn(80)
        assert once.steps == twice.steps == 150
        observation = np.ones((4, 3))
        np.testing.assert_array_equal(once.predict(observation), twice.predict(observation))


def test_id_instance_and_factory_learn_the_same():
    observation = np.ones((4, 3))
    actions = []
    for env in ("Pendulum-v1", gymnasium.make("Pendulum-v1"), lambda: gymnasium.make("Pendulum-v1")):
        with rewirl.StaticTD3(env, **SMALL) as agent:
            actions.append(agent.learn(80).predict(observation))
    np.testing.assert_array_equal(actions[0], actions[1])
    np.testing.assert_array_equal(actions[0], actions[2])


def test_the_run_directory_has_everything_and_a_second_call_goes_on_in_it(learnt):
    agent, path = learnt
    assert {"config.json", "metrics.jsonl", "checkpoints", "policy", "tensorboard"} <= {p.name for p in path.iterdir()}
    agent.learn(100, eval_every=100, eval_episodes=2)
    lines = [json.loads(line) for line in (path / "metrics.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines if line["event"] == "evaluation"] == [0, 100, 200, 300]


def test_without_a_run_directory_nothing_is_written(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with rewirl.DSTD3("Pendulum-v1", **SMALL) as agent:
        agent.learn(60)
    assert list(tmp_path.iterdir()) == []


def test_a_saved_policy_acts_the_same(learnt, tmp_path):
    agent, path = learnt
    agent.save(tmp_path / "policy")
    loaded = rewirl.load(tmp_path / "policy")
    observations = np.random.default_rng(1).normal(size=(20, 3))
    np.testing.assert_array_equal(loaded.predict(observations), agent.predict(observations))
    assert loaded.about["environment"]["id"] == "Pendulum-v1" and loaded.about["step"] == agent.steps
    assert loaded.evaluate(2).returns == agent.evaluate(2).returns
    assert [layer.connections for layer in loaded.topology["actor"]] == [
        layer.connections for layer in agent.topology["actor"]
    ]
    np.testing.assert_array_equal(rewirl.load(path).predict(observations), loaded.predict(observations))
    with pytest.raises(PolicyError):
        rewirl.load(tmp_path / "nothing")


def test_loading_needs_no_gymnasium(learnt, tmp_path):
    agent, _ = learnt
    agent.save(tmp_path / "policy")
    program = (
        "import sys; sys.modules['gymnasium'] = sys.modules['mujoco'] = None\n"
        f"import rewirl; print(rewirl.load({str(tmp_path / 'policy')!r}).predict([0, 1, 2]).shape)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "(1,)"


def test_the_topology_is_what_the_networks_have(learnt):
    agent, _ = learnt
    assert set(agent.topology) == {"actor", "critic1", "critic2", "target_actor", "target_critic1", "target_critic2"}
    places = 0
    connections = 0
    for layer in agent.topology["critic1"]:
        mask = layer.mask
        assert mask.dtype == np.bool_ and mask.shape == layer.shape and mask.nnz == layer.connections
        assert layer.density == layer.connections / np.prod(layer.shape)
        places += np.prod(layer.shape)
        connections += layer.connections
    assert 1 - connections / places == pytest.approx(0.6, abs=0.1)


class Slowly(np.ndarray):
    """An array that another thread writes to while it is copied, for the first time."""

    changes: ClassVar[list[Callable[[], None]]] = []

    def copy(self, order="C"):
        first = np.array(self[:1])
        if self.changes:
            self.changes.pop()()
        return np.concatenate([first, self[1:]])


def test_weights_and_biases_of_a_layer_are_of_one_moment(monkeypatch):
    network = Network(2, [Linear("output", n_out=2)], {}, {"output.values": np.ones(4, np.float32)})
    (layer,) = network.layers
    shown = LayerTopology(layer)

    def learn():
        layer.set_values(layer.values + 1)
        network.set_values("output.bias", layer.bias + 1)

    for name in ("values", "bias"):
        live = getattr(Layer, name).fget
        monkeypatch.setattr(Layer, name, property(lambda self, live=live: live(self).view(Slowly)))
    for see in (lambda: shown.weights.toarray(), lambda: shown.bias):
        Slowly.changes.append(learn)
        assert len(np.unique(see())) == 1 and not Slowly.changes


def test_masks_and_weights_are_the_network_that_acts(learnt, tmp_path):
    """The masks put the weights of the file in the right places: a dense NumPy forward pass gives the same actions."""
    from safetensors.numpy import load_file

    agent, _ = learnt
    agent.save(tmp_path / "policy")
    arrays = load_file(tmp_path / "policy" / "policy.safetensors")
    x = np.random.default_rng(2).normal(size=(5, 3)).astype(np.float32)
    h = x
    for name, layer in zip(("hidden1", "hidden2", "output"), agent.topology["actor"], strict=True):
        weights = np.zeros(layer.shape, np.float32)
        weights[layer.mask.nonzero()] = arrays[f"{name}.values"]
        h = h @ weights.T + arrays[f"{name}.bias"]
        h = np.tanh(h) if name == "output" else np.maximum(h, 0)
    np.testing.assert_allclose(agent.predict(x), 2 * h, rtol=1e-4, atol=1e-5)


def test_dense_is_dense_and_defaults_are_the_papers():
    with rewirl.TD3("Pendulum-v1", **SMALL) as agent:
        assert all(layer.density == 1 for layers in agent.topology.values() for layer in layers)
    with rewirl.DSTD3("HalfCheetah-v5", buffer_size=10) as agent:
        counts = [layer.connections for layer in agent.topology["actor"]]
        # lambda (n_out + n_in) connections are expected: 7 (256 + 17) and 64 (256 + 256); the last layer is dense
        assert counts[0] == pytest.approx(1911, abs=150)
        assert counts[1] == pytest.approx(32768, abs=600)
        assert counts[2] == 6 * 256


def test_wrong_options_are_named():
    with pytest.raises(ValueError, match="ds-td3 has no option 'sparsty'; did you mean sparsity"):
        rewirl.DSTD3("Pendulum-v1", sparsty=0.5)
    for name in ("total_timesteps", "run_dir", "eval_every"):
        with pytest.raises(TypeError, match=rf"no option '{name}'; it is an argument of learn: agent.learn\({name}="):
            rewirl.DSTD3("Pendulum-v1", **{name: 5})
    with pytest.raises(ValueError, match="sparsity and lambdas both"):
        rewirl.DSTD3("Pendulum-v1", sparsity=0.5, lambdas=(7, 64))
    with pytest.raises(ValueError, match="gamma must be"):
        rewirl.DSTD3("Pendulum-v1", gamma=3)
    with pytest.raises(UnsuitableEnvironmentError, match="did you mean Pendulum-v1"):
        rewirl.DSTD3("Pendulum-v")
    with rewirl.DSTD3("Pendulum-v1", **SMALL) as agent, pytest.raises(ValueError, match="total_timesteps"):
        agent.learn(0)


def test_an_environment_that_cannot_be_made_again_learns_without_evaluation(tmp_path):
    sys.path.insert(0, str(Path(__file__).parent / "training"))
    try:
        import probe_environments as probes
    finally:
        sys.path.pop(0)
    env = probes.Drift()
    with rewirl.DSTD3(env, **SMALL) as agent:
        agent.learn(60, run_dir=tmp_path / "run")
        with pytest.raises(UnsuitableEnvironmentError, match="cannot be made a second time"):
            agent.evaluate()
    assert "evaluation" not in (tmp_path / "run" / "metrics.jsonl").read_text()


def test_an_agent_that_is_not_to_make_a_spare_environment_saves_without_one(tmp_path):
    made = []

    class Hardware(gymnasium.Wrapper):
        def __init__(self, env):
            super().__init__(env)
            made.append(env)

    def connect():
        return Hardware(gymnasium.make("Pendulum-v1"))

    with rewirl.DSTD3(connect, learning_starts=20, hidden_sizes=(8,), threads=1) as agent:
        agent.learn(30, check=False)
        agent.save(tmp_path / "policy")
        assert len(made) == 1
        assert len(agent.evaluate(1).returns) == 1  # which says that others are needed
    rewirl.load(tmp_path / "policy")


def test_the_name_of_a_class_that_is_not_there_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'DSSAC2'"):
        rewirl.DSSAC2  # noqa: B018
    assert {"DSTD3", "TD3", "StaticTD3", "load"} <= set(dir(rewirl))
    assert set(dir(rewirl)) == {*rewirl.__all__, "__version__"}


def test_what_learn_was_told_holds_until_it_is_told_otherwise(tmp_path, capsys):
    def steps(event):
        lines = map(json.loads, (tmp_path / "run" / "metrics.jsonl").read_text().splitlines())
        return [line["step"] for line in lines if line["event"] == event]

    said = {"eval_every": 30, "eval_episodes": 1, "checkpoint_every": 20, "keep_checkpoints": 3}
    with rewirl.DSTD3("Pendulum-v1", **SMALL) as agent:
        agent.learn(60, run_dir=tmp_path / "run", **said)
        agent.learn(60)
        assert steps("evaluation") == [0, 30, 60, 90, 120] and steps("checkpoint") == [20, 40, 60, 80, 100, 120]
        assert len(list((tmp_path / "run" / "checkpoints").iterdir())) == 3
        recorded = json.loads((tmp_path / "run" / "config.json").read_text())["config"]["train"]
        assert {name: recorded[name] for name in said} == said
        with pytest.raises(ValueError, match="eval_every must be at least 0"):
            agent.learn(10, eval_every=-1)
        agent.learn(20, eval_every=10, keep_checkpoints=1)
        assert steps("evaluation")[-2:] == [130, 140]
        assert len(list((tmp_path / "run" / "checkpoints").iterdir())) == 1
    told = "eval_every is 10 from now on, but 30 in config.json, by which the run is resumed and repeated"
    assert capsys.readouterr().err.count(told) == 1
    with rewirl.resume(tmp_path / "run") as agent:
        agent.learn(10, keep_checkpoints=4)
        agent.learn(10)
        assert steps("evaluation")[-2:] == [150, 160]
        assert len(list((tmp_path / "run" / "checkpoints").iterdir())) == 3


def test_an_agent_that_has_no_plan_asks_for_steps():
    with rewirl.DSTD3("Pendulum-v1", **SMALL) as agent, pytest.raises(ValueError, match=r"such as learn\(100_000\)"):
        agent.learn()


def test_connections_mask_and_weights_of_targets_agree_while_they_catch_up():
    with rewirl.DSTD3("Pendulum-v1", adapt_every=20, **SMALL) as agent:
        agent.learn(150)
        stored = 0
        for name, layers in agent.topology.items():
            for layer, online in zip(layers, agent.topology[name.removeprefix("target_")], strict=True):
                assert layer.connections == layer.mask.nnz == layer.weights.nnz <= online.connections
                assert (layer.mask.toarray() == (layer.weights.toarray() != 0)).all() or not name.startswith("target_")
                stored += len(layer._layer.places()) > layer.connections
        assert stored > 0  # a target has places of connections that it has cut, or does not follow yet


@pytest.mark.parametrize("kind", [rewirl.XQC, rewirl.DSXQC])
def test_a_constant_step_size_needs_no_more_than_to_be_asked_for(kind):
    with kind("Pendulum-v1", learning_rate_schedule="constant") as agent:
        assert (agent.config["learning_rate_end"], agent.config["learning_rate_updates"]) == (0.0, None)


@pytest.mark.parametrize("kind", [rewirl.DSTD3, rewirl.DSXQC, rewirl.DSSimBa, rewirl.DSCrossQ, rewirl.DSPPO])
def test_wast_brings_its_own_criteria(kind):
    with kind("Pendulum-v1", rule="wast") as agent:
        assert (agent.config["drop"], agent.config["grow"]) == ("paper", "paper")


def test_what_could_not_be_saved_is_said_by_an_error(tmp_path, monkeypatch):
    def full(*arguments, **more):
        raise rewirl.CheckpointError("No space left on device")

    with rewirl.DSTD3("Pendulum-v1", learning_starts=20, batch_size=4, hidden_sizes=(8, 8), sparsity=0.2) as agent:
        monkeypatch.setattr("rewirl.storage.recorder.save_checkpoint", full)
        with pytest.raises(rewirl.RunDirectoryError, match=r"at step 30, but not saved there"):
            agent.learn(30, run_dir=tmp_path / "run", eval_every=0)
        agent.save(tmp_path / "policy")


def test_a_policy_never_replaces_the_working_directory(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with rewirl.DSTD3("Pendulum-v1") as agent:
        for path in (".", tmp_path.parent):
            with pytest.raises(rewirl.PolicyError, match="working directory"):
                agent.save(path)
        agent.save("here")


@pytest.mark.parametrize("how", ["closed", "forgotten", "called back", "in two environments", "SimBa"])
def test_an_agent_that_nobody_has_any_more_takes_no_memory(how):
    gc.collect()
    gc.disable()  # nothing waits for the collector, which knows nothing of how large a replay memory is
    try:
        several = {"n_envs": 2} if how == "in two environments" else {}
        kind = rewirl.DSSimBa if how == "SimBa" else rewirl.DSTD3
        agent = kind("Pendulum-v1", **SMALL, **several)
        agent.learn(60, callback=(lambda moment: None) if how == "called back" else None)
        parts = [weakref.ref(agent._run.training.replay), weakref.ref(agent._run.agent)]
        if how == "closed":
            agent.close()
        del agent
        assert [part() for part in parts] == [None, None]
    finally:
        gc.enable()
