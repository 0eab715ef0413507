"""The paper's published PyTorch code, imported from a checkout the user has."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np

from rewirl.bench.synthetic import ACTION_SIZE, HIDDEN_SIZES, OBSERVATION_SIZE, PAPER_LAMBDAS, random_transitions
from rewirl.topology import erdos_renyi_for_sparsity

TRANSITIONS = 100_000


class Reference:
    """Updates, and actions as in its training loop.

    Weight decay drives unused weights and moments into the denormals, which slows the published code down up to
    threefold in time. Rewirl flushes them to zero. So the reference is timed with the same favour, or exactly as it was
    published, after some thousand updates which let its weights decay.
    """

    packages = ("torch",)

    def __init__(self, specification: dict[str, Any]) -> None:
        sys.path.insert(0, specification["directory"])
        import DS_TD3
        import TD3
        import torch
        import utils

        torch.set_flush_denormal(not specification["as_published"])  # threads inherit it, hence before them
        torch.set_num_threads(specification["threads"])
        torch.manual_seed(0)
        np.random.seed(0)
        sizes: dict[str, Any] = {
            "state_dim": OBSERVATION_SIZE, "action_dim": ACTION_SIZE, "max_action": 1.0, "noHidNeurons": HIDDEN_SIZES[0]
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

        def update() -> int:
            for _ in range(2):  # every second update has an actor step
                agent.train(replay, batch_size)
            return 2

        def explore() -> int:
            for _ in range(10):
                noise = np.random.normal(0, 0.1, size=ACTION_SIZE)
                (agent.select_action(observation) + noise).clip(-1.0, 1.0)
            return 10

        self._warm_up_updates = specification["warm_up"]
        self.tasks = {"update": update, "explore": explore}
        matrices = [p for net in (agent.actor, agent.critic) for p in net.parameters() if p.ndim == 2]
        self.facts = {
            "connections": sum(int(torch.count_nonzero(matrix)) for matrix in matrices),
            "denormals": 1e40 * float(torch.tensor(1e-30) * 1e-10),  # 1 where they are kept, 0 where they are flushed
        }
        self.versions = revision(Path(specification["directory"]))

    def warm_up(self) -> None:
        for _ in range(self._warm_up_updates // 2):
            self.tasks["update"]()


def lambdas(sparsity: float) -> tuple[float, float]:
    """Return the paper's two lambdas that make a critic as sparse as this, its output layer dense."""
    if sparsity in PAPER_LAMBDAS:
        return PAPER_LAMBDAS[sparsity]
    shapes = [(HIDDEN_SIZES[0], OBSERVATION_SIZE + ACTION_SIZE), HIDDEN_SIZES, (1, HIDDEN_SIZES[1])]
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


KINDS = {"reference": Reference}
