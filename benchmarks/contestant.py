"""One contestant of updates.py: it builds itself from a specification, warms up, then times a slice when told to.

The parent starts `python contestant.py SPECIFICATION` (JSON), reads one JSON line when the warm-up is over, and then
writes `TASK SECONDS` lines, each answered with one JSON line: how often a second the task was done in a slice of about
that many seconds.
Everything else a contestant's libraries print is dropped, so that the protocol stays clean.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Protocol

import machine
import numpy as np
from rewirl_agent import ACTION_SIZE, OBSERVATION_SIZE, agent_of, connections_of, random_transitions, replay_of

from rewirl.topology import TopologyConfig, erdos_renyi_for_sparsity

HIDDEN_SIZE = 256
PAPER_LAMBDAS = {0.51: (7.0, 64.0)}
"""The paper's lambda_1 and lambda_2 for HalfCheetah, by the sparsity they give."""

TRANSITIONS = 100_000
CALLS_PER_CLOCK_READING = 10
"""Even, so that every reading covers as many updates with as without a delayed actor update."""


class Contestant(Protocol):
    """What is timed: whole updates, and where the contestant is an agent, choosing an exploring action."""

    warm_up: int
    """Updates before the first slice: past the first rewiring event, from which on targets differ in topology."""

    tasks: dict[str, Callable[[], object]]
    facts: dict[str, Any]


class Rewirl:
    """TD3 (dense) or DS-TD3 with the paper's settings."""

    warm_up = 1200

    def __init__(self, specification: dict[str, Any]) -> None:
        sparsity = specification.get("sparsity")
        if sparsity is None:
            topology = TopologyConfig(sparsity=0, rule="static")
        else:
            topology = TopologyConfig(sparsity=sparsity, lambdas=PAPER_LAMBDAS.get(sparsity))
        agent = agent_of(topology, specification["batch_size"], specification["threads"])
        transitions = random_transitions(TRANSITIONS)
        replay = replay_of(transitions)
        observation = transitions.observations[0]
        self.tasks = {"update": lambda: agent.update(replay), "explore": lambda: agent.explore(observation)}
        self.facts = {"connections": connections_of(agent), "versions": machine.versions("rewirl", "numpy")}


class Reference:
    """The paper's published PyTorch code, imported from a checkout the user has; it acts as in its training loop."""

    warm_up = 200

    def __init__(self, specification: dict[str, Any]) -> None:
        sys.path.insert(0, specification["directory"])
        import DS_TD3
        import TD3
        import torch
        import utils

        # Weight decay drives unused weights and moments into the denormals, which slows the published code down up to
        # threefold in time. Rewirl flushes them to zero, so let the reference; threads inherit it, hence before them.
        torch.set_flush_denormal(True)
        torch.set_num_threads(specification["threads"])
        torch.manual_seed(0)
        np.random.seed(0)
        sizes: dict[str, Any] = {
            "state_dim": OBSERVATION_SIZE, "action_dim": ACTION_SIZE, "max_action": 1.0, "noHidNeurons": HIDDEN_SIZE
        }  # fmt: skip
        if specification["agent"] == "ds-td3":
            lambda_1, lambda_2 = lambdas(specification["sparsity"])
            agent = DS_TD3.SETSparseTD3(**sizes, epsilonHid1=lambda_1, epsilonHid2=lambda_2)
        else:
            agent = TD3.TD3(**sizes)

        replay = utils.ReplayBuffer(OBSERVATION_SIZE, ACTION_SIZE, max_size=TRANSITIONS)
        transitions = random_transitions(TRANSITIONS)
        replay.state[:] = transitions.observations
        replay.action[:] = transitions.actions
        replay.reward[:, 0] = transitions.rewards
        replay.next_state[:] = transitions.next_observations
        replay.not_done[:] = 1
        replay.size = TRANSITIONS

        observation = transitions.observations[0]
        batch_size = specification["batch_size"]
        self.tasks = {
            "update": lambda: agent.train(replay, batch_size),
            "explore": lambda: (
                agent.select_action(observation) + np.random.normal(0, 0.1, size=ACTION_SIZE)
            ).clip(-1.0, 1.0),
        }  # fmt: skip
        matrices = [p for net in (agent.actor, agent.critic) for p in net.parameters() if p.ndim == 2]
        self.facts = {
            "connections": sum(int(torch.count_nonzero(matrix)) for matrix in matrices),
            "versions": machine.versions("torch") | revision(Path(specification["directory"])),
        }


class Products:
    """The dense matrix products of one TD3 update and nothing else, each one call of the BLAS that torch ships."""

    warm_up = 200

    def __init__(self, specification: dict[str, Any]) -> None:
        import torch

        torch.set_num_threads(specification["threads"])
        generator = torch.Generator().manual_seed(0)

        def matrix(rows: int, columns: int) -> Any:
            return torch.randn(rows, columns, generator=generator)

        def prepare(product: tuple[str, int, int, str]) -> Callable[[], object]:
            network, n_in, n_out, kind = product
            batch_size = specification["batch_size"]
            weights = parameters.setdefault((network, n_in, n_out), matrix(n_out, n_in))
            inputs, outputs = matrix(batch_size, n_in), matrix(batch_size, n_out)
            left, right, result = {
                "forward": (inputs, weights.T, outputs),
                "weight gradient": (outputs.T, inputs, matrix(n_out, n_in)),
                "input gradient": (outputs, weights, inputs),
            }[kind]
            return lambda: torch.mm(left, right, out=result)

        parameters: dict[tuple[str, int, int], Any] = {}
        critic_products = [prepare(product) for product in products_of_critic_update()]
        actor_products = [prepare(product) for product in products_of_actor_update()]
        updates = 0

        def update() -> None:
            nonlocal updates
            updates += 1
            for multiply in critic_products:
                multiply()
            if updates % 2 == 0:
                for multiply in actor_products:
                    multiply()

        self.tasks = {"update": update}
        self.facts = {"connections": None, "versions": machine.versions("torch")}


def products_of_critic_update() -> Iterator[tuple[str, int, int, str]]:
    """Yield (network, n_in, n_out, kind) of every product in TD3's update of both critics."""
    for network in ("target actor", "target critic 1", "target critic 2", "critic 1", "critic 2"):
        for n_in, n_out in layers(network):
            yield network, n_in, n_out, "forward"
    for network in ("critic 1", "critic 2"):
        for place, (n_in, n_out) in enumerate(layers(network)):
            yield network, n_in, n_out, "weight gradient"
            if place > 0:
                yield network, n_in, n_out, "input gradient"


def products_of_actor_update() -> Iterator[tuple[str, int, int, str]]:
    """Yield (network, n_in, n_out, kind) of every product in TD3's actor update, which every second update has."""
    for network in ("actor", "critic 1"):
        for n_in, n_out in layers(network):
            yield network, n_in, n_out, "forward"
    for place, (n_in, n_out) in enumerate(layers("critic 1")):
        # Of the critic's inputs only the action needs a gradient.
        yield "critic 1", ACTION_SIZE if place == 0 else n_in, n_out, "input gradient"
    for place, (n_in, n_out) in enumerate(layers("actor")):
        yield "actor", n_in, n_out, "weight gradient"
        if place > 0:
            yield "actor", n_in, n_out, "input gradient"


def layers(network: str) -> list[tuple[int, int]]:
    """Return (n_in, n_out) of each layer of an actor or a critic."""
    n_in, n_out = (OBSERVATION_SIZE, ACTION_SIZE) if "actor" in network else (OBSERVATION_SIZE + ACTION_SIZE, 1)
    return [(n_in, HIDDEN_SIZE), (HIDDEN_SIZE, HIDDEN_SIZE), (HIDDEN_SIZE, n_out)]


def lambdas(sparsity: float) -> tuple[float, float]:
    """Return the paper's two lambdas that make a critic as sparse as this, its output layer dense."""
    if sparsity in PAPER_LAMBDAS:
        return PAPER_LAMBDAS[sparsity]
    shapes = [(n_out, n_in) for n_in, n_out in layers("critic")]
    first, second, _ = (
        density * n_out * n_in / (n_out + n_in)
        for density, (n_out, n_in) in zip(erdos_renyi_for_sparsity(shapes, sparsity), shapes, strict=True)
    )
    return first, second


def revision(directory: Path) -> dict[str, str]:
    """Return the commit of a checkout, if it is one."""
    if not (directory / ".git").exists():
        return {}
    command = ["git", "-C", str(directory), "rev-parse", "--short", "HEAD"]
    return {"reference": subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()}


def calls_per_second(task: Callable[[], object], seconds: float) -> tuple[float, float]:
    """Call a task again and again for about so many seconds.

    Returns:
        Calls per second, and the processor time it had as a share of the time that passed (above 1 with threads).
    """
    calls = 0
    computed = time.process_time()
    start = now = time.perf_counter()
    while now - start < seconds:
        for _ in range(CALLS_PER_CLOCK_READING):
            task()
        calls += CALLS_PER_CLOCK_READING
        now = time.perf_counter()
    return calls / (now - start), (time.process_time() - computed) / (now - start)


KINDS: dict[str, Callable[[dict[str, Any]], Contestant]] = {
    "rewirl": Rewirl,
    "reference": Reference,
    "products": Products,
}


def main() -> None:
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)

    def answer(**values: Any) -> None:
        print(json.dumps(values), file=answers, flush=True)

    specification = json.loads(sys.argv[1])
    contestant = KINDS[specification["kind"]](specification)
    for _ in range(contestant.warm_up):
        contestant.tasks["update"]()
    answer(tasks=list(contestant.tasks), **contestant.facts)
    idle_from = time.process_time()
    for line in sys.stdin:
        idle_seconds = time.process_time() - idle_from
        name, seconds = line.split()
        task = contestant.tasks[name]
        calls_per_second(task, 0.1 * float(seconds))  # the other contestants have emptied the caches since
        rate, processor_share = calls_per_second(task, float(seconds))
        answer(rate=rate, processor_share=processor_share, idle_seconds=idle_seconds)
        idle_from = time.process_time()


if __name__ == "__main__":
    main()
