"""The smallest agent and replay memory that hold to what the training loop asks of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rewirl import seeding
from rewirl.agents.normalisation import Normalisation
from rewirl.nn.mlp import mlp, names_of
from rewirl.nn.operations import Operation


@dataclass
class Layer:
    shape: tuple[int, int]
    at: tuple[int, ...]

    @property
    def connections(self) -> int:
        return len(self.at)

    @property
    def dense(self) -> bool:
        return self.connections == self.shape[0] * self.shape[1]

    def places(self) -> NDArray[np.int64]:
        return np.array(self.at, np.int64)


@dataclass
class Network:
    layers: list[Layer]
    made_of = ()

    @property
    def n_in(self) -> int:
        return self.layers[0].shape[1]

    @property
    def operations(self) -> list[Operation]:
        return mlp([self.n_in, *(layer.shape[0] for layer in self.layers)])

    def layer(self, name: str) -> Layer:
        return dict(zip(names_of(len(self.layers)), self.layers, strict=True))[name]


class StandInReplay:
    """A ring of transitions."""

    def __init__(self, capacity: int, observation_size: int, action_size: int) -> None:
        width = 2 * observation_size + action_size + 2
        self.rows = np.zeros((capacity, width), np.float32)
        self.capacity, self.cursor, self.size = capacity, 0, 0

    def add(
        self, observation: Any, action: Any, reward: float, next_observation: Any, terminated: bool, truncated: bool
    ) -> None:
        self.rows[self.cursor] = np.concatenate([observation, action, [reward], next_observation, [terminated]])
        self.cursor = (self.cursor + 1) % self.capacity
        self.size = min(self.size + 1, self.capacity)

    def cut(self, before: int = 0) -> None:
        pass

    def __len__(self) -> int:
        return self.size

    def state(self) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
        return {"rows": self.rows[: self.size]}, {"cursor": self.cursor, "size": self.size}

    def load_state(self, arrays: dict[str, NDArray[Any]], values: dict[str, Any], own: bool = False) -> None:
        self.cursor, self.size = values["cursor"], values["size"]
        self.rows[: self.size] = arrays["rows"]


class StandInAgent:
    """A linear policy that wanders; every update depends on the replay memory and on a random stream."""

    name = "stand-in"
    config = None
    tasks = 0

    def __init__(self, observation_size: int, action_size: int, seed: int = 0) -> None:
        self.observation_size, self.action_size = observation_size, action_size
        self.updates = 0
        self.weights = (
            seeding.generator(seed, "weights").normal(size=(action_size, observation_size)).astype(np.float32)
        )
        self.rng = seeding.generator(seed, "stand-in")
        self.loss = 0.0
        self.predicted: list[int] = []
        self.normalisation = Normalisation(observation_size, False, False, 0.99)

    def predict(self, observations: NDArray[np.float32]) -> NDArray[np.float32]:
        self.predicted.append(len(observations))
        return np.tanh(observations @ self.weights.T)

    def explore(self, observation: NDArray[np.float32], environment: int = 0) -> NDArray[np.float32]:
        noisy = np.tanh(self.weights @ observation) + self.rng.normal(0, 0.1, self.action_size)
        return np.clip(noisy, -1, 1).astype(np.float32)

    def update(self, replay: StandInReplay) -> None:
        row = replay.rows[self.rng.integers(len(replay))]
        self.loss = float(row.mean())
        self.weights += 0.01 * np.float32(self.loss) * self.rng.normal(size=self.weights.shape).astype(np.float32)
        self.updates += 1

    def cut(self, environment: int = 0) -> None:
        self.normalisation.cut(environment)

    def diagnostics(self) -> dict[str, float]:
        return {"loss": self.loss}

    def networks(self) -> dict[str, Network]:
        # A connection moves on at every update, through 12 places in turn.
        moving = tuple(sorted({*range(5), 5 + self.updates % 7}))
        actor = Network([Layer((4, 3), moving), Layer((2, 4), tuple(range(8)))])
        return {"actor": actor, "target_actor": Network([Layer((4, 3), (0,)), Layer((2, 4), (7,))])}

    def state(self) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
        return {"weights": self.weights}, {"updates": self.updates, "loss": self.loss, "rng": seeding.state(self.rng)}

    def load_state(self, arrays: dict[str, NDArray[Any]], values: dict[str, Any]) -> None:
        self.weights = arrays["weights"].copy()
        self.updates, self.loss = values["updates"], values["loss"]
        seeding.restore(self.rng, values["rng"])

    def policy_state(self) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
        return {"weights": self.weights}, {}

    def use_threads(self, threads: int) -> None:
        self.threads = threads

    def close(self) -> None:
        pass
