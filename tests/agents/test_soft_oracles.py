"""SimBa, XQC and CrossQ against PyTorch: whole updates, at density 1 and sparse, unstructured and in blocks."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from composed import Composed
from experience import passes
from soft_oracles import CrossQOracle, SimBaOracle, XQCOracle
from test_oracles import random_transitions

from rewirl.agents import AGENTS
from rewirl.replay import Replay
from rewirl.topology import TopologyConfig

SEED, OBSERVATION, ACTION = 5, 9, 3
ORACLES = {"simba": SimBaOracle, "simba, one critic": SimBaOracle, "xqc": XQCOracle, "crossq": CrossQOracle}
SMALL = {
    "simba": {"hidden_sizes": (24, 24), "actor_hidden_sizes": (16,), "initial_temperature": 0.5},
    "simba, one critic": {"hidden_sizes": (24,), "actor_hidden_sizes": (16,), "n_critics": 1},
    "xqc": {"hidden_sizes": (40, 33), "actor_hidden_sizes": (24, 24), "initial_temperature": 0.5, "bins": 21},
    "crossq": {"hidden_sizes": (40, 33), "actor_hidden_sizes": (24, 24)},
}
TOPOLOGIES = {
    "dense": TopologyConfig(sparsity=0.0, rule="static"),
    "unstructured": TopologyConfig(sparsity=0.6, rule="static"),
    "8x1": TopologyConfig(sparsity=0.6, rule="static", structure="8x1"),
}


def make(kind, topology, batch_size, **config):
    entry = AGENTS[kind.partition(",")[0]]
    settings = {"batch_size": batch_size, "policy_delay": 1, **SMALL[kind], **config}
    if entry.name == "simba":
        del settings["policy_delay"]
    agent = entry.make(entry.config(topology=TOPOLOGIES[topology], **settings), OBSERVATION, ACTION, SEED, threads=1)
    for network in agent.networks().values():  # not what every new network has, so that every term counts
        rng = np.random.default_rng(1)
        for name, array in network.arrays():
            if name.startswith("norm"):
                network.set_values(name, (array + rng.uniform(0.1, 0.5, len(array))).astype(np.float32))
    replay, transitions = Replay(1000, OBSERVATION, ACTION, SEED), random_transitions(OBSERVATION, ACTION)
    for observation, action, (reward,), next_observation, (terminated,) in zip(*transitions, strict=True):
        agent.normalisation.observe(observation.astype(np.float32))
        replay.add(observation, action, reward, next_observation, terminated)
        agent.normalisation.reward(np.float32(reward), bool(terminated))
    return agent, replay, transitions


@pytest.fixture(autouse=True)
def one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def in_order(network, name, matrix):
    """An array of an oracle in the order of ours."""
    if not name.endswith(".values"):
        return matrix
    return matrix.reshape(-1)[network.layer(name.removesuffix(".values")).places()]


@pytest.mark.parametrize("batch_size", [40, 133])
@pytest.mark.parametrize("topology", TOPOLOGIES)
@pytest.mark.parametrize("kind", ORACLES)
def test_an_update_has_the_losses_and_gradients_of_autograd(kind, topology, batch_size):
    agent, replay, transitions = make(kind, topology, batch_size)
    oracle = ORACLES[kind](agent, transitions, SEED, torch.float64)
    agent.update(replay)
    if kind == "xqc":
        # In the step of the critics the shift of the input norm, which the next norm undoes, moves by the rounding of a
        # gradient of 0. So the policy is judged by our critics after it; their losses and gradients are held below.
        oracle.judges = {name: Composed(agent.networks()[name], torch.float64) for name in ("critic1", "critic2")}
    oracle.update()
    told = agent.diagnostics()
    for name, expected in oracle.told.items():
        assert told[name] == pytest.approx(expected, rel=2e-5, abs=1e-6), name
    assert told["temperature"] == pytest.approx(oracle.alpha, rel=1e-6)
    first = "actor" if kind.startswith("simba") else "critic"
    for name, gradients in oracle.gradients.items():
        ensemble, number = passes(agent, name)
        tolerance = 1e-5 if name.startswith(first) else 2e-3  # others follow a step of Adam, which enlarges rounding
        least = 1e-2 * max(np.linalg.norm(gradient) for gradient in gradients.values())
        for array, gradient in gradients.items():
            found, expected = ensemble.gradient(number, array), in_order(agent.networks()[name], array, gradient)
            assert np.linalg.norm(found - expected) < tolerance * max(np.linalg.norm(expected), least), (name, array)


@pytest.mark.parametrize("topology", TOPOLOGIES)
@pytest.mark.parametrize("kind", ORACLES)
def test_updates_end_in_the_arrays_of_pytorch(kind, topology):
    """As close to float64 as PyTorch's own float32 is, measured against how far each network has moved."""
    config = {"actor_learning_rate": 5e-4, "weight_decay": 1.0}  # so large that what they do shows
    if not kind.startswith("simba"):
        config["policy_delay"] = 3
    if kind == "xqc":
        config["learning_rate_updates"] = 10
    if kind != "crossq":  # which has no targets
        config["tau"] = 0.05
    agent, replay, transitions = make(kind, topology, 40, **config)
    exact, single = (ORACLES[kind](agent, transitions, SEED, dtype) for dtype in (torch.float64, torch.float32))
    start = {name: flat(network, dict(network.arrays())) for name, network in agent.networks().items()}
    for _ in range(12):
        for each in (agent, exact, single):
            each.update(replay) if each is agent else each.update()
    errors, of_pytorch = [], []
    for name, network in agent.networks().items():
        found = flat(network, dict(network.arrays()))
        expected, theirs = (
            flat(network, {n: in_order(network, n, a) for n, a in oracle.networks[name].arrays().items()})
            for oracle in (exact, single)
        )
        moved = np.linalg.norm(expected - start[name])
        errors.append(np.linalg.norm(found - expected) / moved)
        of_pytorch.append(np.linalg.norm(theirs - expected) / moved)
    assert max(errors) < max(5 * max(of_pytorch), 1e-4), (errors, of_pytorch)
    assert max(errors) < 2e-2, (errors, of_pytorch)
    assert agent.diagnostics()["temperature"] == pytest.approx(exact.alpha, rel=1e-4)


def flat(network, arrays):
    """All arrays of a network as one vector, float64; how often statistics moved is a count."""
    names = [name for name, _ in network.arrays() if not name.endswith(".moves")]
    return np.concatenate([np.asarray(arrays[name], dtype=np.float64) for name in names])
