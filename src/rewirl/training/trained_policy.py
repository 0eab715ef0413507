"""A trained policy outside of training: what its file holds, and how it acts."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from rewirl import agents
from rewirl.agents import Agent, Policy
from rewirl.training.action_bounds import ActionBounds
from rewirl.training.environments import (
    Environment,
    EnvironmentSource,
    UnsuitableEnvironmentError,
    environment_source,
)
from rewirl.training.policy import PolicyError, load_policy
from rewirl.training.settings import to_values


@dataclass(frozen=True)
class TrainedPolicy:
    """An actor with the bounds of its environment's actions; needs neither the environment nor the critics."""

    actor: Policy
    """Acts in [-1, 1]."""

    observation_size: int
    bounds: ActionBounds
    about: Mapping[str, Any]
    """What else the file says: agent, agent_config, environment (name, id, kwargs, module), seed, step."""

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read a policy, from its own directory or from the run directory that holds it.

        Raises:
            PolicyError: there is none, or it is not whole and sound; names the file and the reason.
        """
        if (path / "config.json").exists():
            if not (path / "policy").exists():
                raise PolicyError(
                    f"{path} has no policy yet: the first one is saved with the first checkpoint, or when the run ends"
                )
            path = path / "policy"
        arrays, values = load_policy(path)
        try:
            low, high, kind = (values["bounds"][name] for name in ("low", "high", "dtype"))
            bounds = ActionBounds(low, high, kind)
            size = values["observation_size"]
            about = _checked({name: values[name] for name in ("agent", "agent_config", "environment", "seed", "step")})
            actor = agents.load_policy(arrays, values["actor"])
        except (KeyError, TypeError, AttributeError, ValueError, OverflowError, MemoryError) as error:
            problem = f"{error.args[0]!r} is missing" if isinstance(error, KeyError) else str(error)
            raise PolicyError(f"{path} is not a policy of Rewirl: {problem}") from error
        if type(size) is not int or (size, bounds.size) != (actor.actor.sizes[0], actor.action_size):
            raise PolicyError(f"{path} is not a policy of Rewirl: its sizes do not fit its networks")
        return cls(actor, size, bounds, about)

    def act(self, observations: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return actions in [-1, 1], float32 [batch, action_size], for observations [batch, observation_size]."""
        return self.actor.predict(observations)

    def predict(self, observation: ArrayLike) -> NDArray[np.float32]:
        """Return the action for one observation, or for a batch of them.

        Args:
            observation: numbers [observation_size] or [batch, observation_size].

        Returns:
            float32 [action_size] or [batch, action_size], in the environment's own bounds, without noise.

        Raises:
            ValueError: the observation has another shape.
        """
        return predict_in_bounds(self.act, self.bounds, self.observation_size, observation)

    def source(self) -> EnvironmentSource:
        """Return where the policy's own environment comes from.

        Raises:
            UnsuitableEnvironmentError: it was made by a program, not by its id, or cannot be found here.
        """
        made_in = self.about["environment"]
        if made_in["id"] is None:
            raise UnsuitableEnvironmentError(
                f"this policy was trained in {made_in['name']}, an environment made by a Python program rather than by "
                "a registered id, so only that program can make it again"
            )
        return environment_source(made_in["id"], made_in["kwargs"], made_in["module"])

    def fits(self, environment: Environment) -> None:
        """Refuse an environment of other sizes.

        Raises:
            UnsuitableEnvironmentError: the sizes differ.
        """
        there = (environment.observation_size, environment.action_size)
        if there != (self.observation_size, self.bounds.size):
            raise UnsuitableEnvironmentError(
                f"{environment.name} has {there[0]} observations and {there[1]} actions, but the policy was trained "
                f"with {self.observation_size} and {self.bounds.size}"
            )


def policy_state(
    agent: Agent, environment: Environment, source: EnvironmentSource, seed: int, step: int
) -> tuple[Mapping[str, NDArray[Any]], dict[str, Any]]:
    """Return the arrays and JSON values of a policy file."""
    arrays, actor = agent.policy_state()
    return arrays, {
        "agent": agent.name,
        "agent_config": to_values(agent.config),
        "environment": {
            "name": source.name,
            "id": source.id,
            "kwargs": dict(source.kwargs),
            "module": source.module,
        },
        "observation_size": environment.observation_size,
        "bounds": environment.bounds.values(),
        "seed": seed,
        "step": step,
        "actor": actor,
    }


def _checked(about: dict[str, Any]) -> dict[str, Any]:
    """Return what a file says about its policy, if it is of the right kinds.

    Raises:
        ValueError: something is not; names it.
        KeyError: something is missing.
    """
    made_in = about["environment"]
    kinds: dict[str, tuple[Any, Any]] = {
        "agent": (about["agent"], str),
        "agent_config": (about["agent_config"], dict),
        "environment": (made_in, dict),
        "seed": (about["seed"], int),
        "step": (about["step"], int),
    }
    if isinstance(made_in, dict):
        kinds |= {
            "name of the environment": (made_in["name"], str),
            "id of the environment": (made_in["id"], str | None),
            "kwargs of the environment": (made_in["kwargs"], dict),
            "module of the environment": (made_in["module"], str | None),
        }
    for name, (value, kind) in kinds.items():
        if not isinstance(value, kind) or isinstance(value, bool) or (kind is int and value < 0):
            raise ValueError(f"the {name} cannot be {value!r}")
    return about


def predict_in_bounds(
    act: Callable[[NDArray[np.float32]], NDArray[np.float32]],
    bounds: ActionBounds,
    observation_size: int,
    observation: ArrayLike,
) -> NDArray[np.float32]:
    """Act on one observation or a batch of them, in the environment's own bounds; see TrainedPolicy.predict."""
    observations = np.asarray(observation, dtype=np.float32)
    if observations.ndim not in (1, 2) or observations.shape[-1] != observation_size:
        raise ValueError(
            f"an observation has shape ({observation_size},) and a batch (batch, {observation_size}), "
            f"got {observations.shape}"
        )
    batch = np.ascontiguousarray(np.atleast_2d(observations))
    if not len(batch):
        return np.empty((0, bounds.size), np.float32)
    actions = bounds.to_float32(act(batch))
    return actions if observations.ndim == 2 else actions[0]
