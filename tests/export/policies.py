"""Policies to export: of every agent, small, with random weights and statistics."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from rewirl.agents import AGENTS, Policy, make_agent
from rewirl.environments.action_bounds import ActionBounds
from rewirl.environments.actions import DiscreteActions
from rewirl.environments.observations import BoxShape
from rewirl.environments.spaces import Spaces
from rewirl.nn import Add, BatchNorm, LayerNorm, LeakyReLU, Linear, Multiply, Network, Parameter, ReLU, Tanh
from rewirl.storage.policy_file import save_policy
from rewirl.topology import TopologyConfig
from rewirl.topology.structure import structure_of
from rewirl.training.trained_policy import TrainedPolicy

INPUT = 11
BOX = ActionBounds([-2.0, -1.0, 0.5], [2.0, 3.0, 0.75])
CHOICES = DiscreteActions(5, start=-2)
KEPT = sorted((Path(__file__).parents[2] / "results").glob("*/*/policy"))
"""Trained policies. Outputs of those of MuJoCo reach 130 before their tanh: what is rounded on the way there shows."""


def about(agent="td3", name="Somewhere-v0"):
    environment = {"name": name, "id": None, "kwargs": {}, "module": None}
    return {"agent": agent, "agent_config": {}, "environment": environment, "seed": 1, "step": 100}


def trained(policy, actions, said=None):
    return TrainedPolicy(policy, Spaces(BoxShape((policy.observation_size,)), actions), said or about())


def policy_of(agent, structure, actions=None):
    """The policy of an agent of Rewirl, not trained, whose arrays are all random."""
    topology = TopologyConfig(sparsity=0, rule="static") if structure == "dense" else TopologyConfig(
        sparsity=0.6, rule="set", structure=structure
    )  # fmt: skip
    sizes = {"hidden_sizes": (24, 24), "actor_hidden_sizes": (24,)} if agent == "simba" else {"hidden_sizes": (37, 33)}
    if agent in ("xqc", "crossq"):
        sizes["actor_hidden_sizes"] = (37, 33)
    actions = actions or (CHOICES if agent in ("dqn", "stream-q") else BOX)
    if not agent.startswith("stream"):
        sizes["batch_size"] = 16
    config = AGENTS[agent].config(topology=topology, **sizes)
    made = make_agent(agent, config, INPUT, actions.size, 5, actions=actions.kind)
    arrays, values = made.policy_state()
    made.close()
    rng = np.random.default_rng(8)
    if agent in ("dqn", "ppo"):  # so that it does not always choose the same, and is at its bounds now and then
        arrays["output.values"] *= 10 if agent == "dqn" else 500
    for name, array in arrays.items():
        kind = name.rpartition(".")[2]
        if array.dtype == np.float32 and kind in ("bias", "shift", "mean"):
            array[:] = rng.normal(0, 0.3, size=array.shape)
        elif array.dtype == np.float32 and kind in ("scale", "variance"):
            array[:] = rng.uniform(0.5, 2, size=array.shape)
    return trained(Policy.from_state(arrays, values), actions)


STREAMS = [policy_of(agent, kind) for agent in ("stream-ac", "stream-q") for kind in ("dense", "unstructured")]
"""Agents of one step at a time, which have no blocks."""


def wide(density):
    """A policy of the size of Humanoid's, whose outputs reach 130 as those of trained ones do."""
    rng = np.random.default_rng(2)
    operations, places, values = [], {}, {}
    n_in = 376
    for name, n_out, gain in (("a", 256, 1.4), ("b", 256, 1.4), ("c", 17, 30)):
        count = round(density * n_in * n_out)
        if density < 1:
            places[name] = np.sort(rng.choice(n_in * n_out, count, replace=False))
        values[f"{name}.values"] = (rng.normal(size=count) * gain / np.sqrt(density * n_in)).astype(np.float32)
        values[f"{name}.bias"] = rng.normal(size=n_out).astype(np.float32)
        operations += [Linear(name, n_out=n_out), *([ReLU()] if name != "c" else [])]
        n_in = n_out
    bounds = ActionBounds([-0.4] * 17, [0.4] * 17)
    return trained(Policy(Network(376, operations, places, values)), bounds)


def discrete(structure):
    """A policy that chooses between numbered actions."""
    rng = np.random.default_rng(4)
    shapes = {"a": (30, INPUT), "b": (CHOICES.size, 30)}
    spread = structure_of(structure)
    places = {
        name: np.sort(rng.choice(shape[0] * shape[1], shape[0] * shape[1] // 3, replace=False))
        if spread is None
        else spread.draw(shape, 0.3, rng)
        for name, shape in shapes.items()
    }
    height = 8 if structure == "8x1" else 1
    values = {f"{name}.values": rng.normal(size=len(each)).astype(np.float32) for name, each in places.items()}
    operations = [Linear("a", n_out=30, height=height), ReLU(), Linear("b", n_out=CHOICES.size)]
    return trained(Policy(Network(INPUT, operations, places, values), head="greedy"), CHOICES)


EVERY_OPERATION = [
    Linear("a", n_out=12),
    Tanh("t"),
    Linear("b", n_out=12, bias=False),
    LeakyReLU("l", slope=0.2),
    Add("sum", of=("t", "l")),
    LayerNorm("plain", eps=0.1, affine=False),
    Parameter("free", size=12),
    Multiply("gated", of=("plain", "free")),
    BatchNorm("n", eps=0.1, affine=False),
    ReLU("r"),
    Add("end", of=("r", "sum")),
]


def every_operation(actions=BOX):
    """A policy of all operations there are, the last of them no linear one, with more outputs than actions."""
    rng = np.random.default_rng(3)
    arrays = {
        "a.values": rng.normal(size=12 * INPUT), "b.values": rng.normal(size=144), "free.values": rng.normal(size=12),
        "n.mean": rng.normal(size=12), "n.variance": rng.uniform(0.5, 2, size=12),
    }  # fmt: skip
    network = Network(INPUT, EVERY_OPERATION, {}, {name: each.astype(np.float32) for name, each in arrays.items()})
    head = "tanh" if actions is BOX else "greedy"
    return trained(Policy(network, actions.size, head), actions)


def save(policy, path):
    """Save a policy as an agent would, and return the path."""
    arrays, values = policy.actor.state()
    save_policy(path, arrays, {**policy.about, **policy.spaces.values(), "actor": values})
    return path
