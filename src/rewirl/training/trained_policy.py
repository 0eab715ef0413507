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
from rewirl.environments.action_bounds import ActionBounds
from rewirl.environments.environment import Environment
from rewirl.environments.source import EnvironmentSource, environment_source
from rewirl.environments.spaces import UnsuitableEnvironmentError
from rewirl.saved import count, fields, number, shown
from rewirl.storage.policy_file import PolicyError, load_policy, policy_directory
from rewirl.storage.values import to_values

_FLOATS = ("float16", "float32", "float64", "longdouble", np.dtype(np.longdouble).name)


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
        path = policy_directory(path)
        arrays, values = load_policy(path)
        try:
            bounds = _bounds(fields(values["bounds"], "bounds"))
            size = count(values["observation_size"], "observation_size")
            about = _about(values)
            actor = agents.load_policy(arrays, fields(values["actor"], "actor"))
            if (actor.actor.sizes[0], actor.action_size) != (size, bounds.size):
                raise ValueError("its sizes do not fit its networks")
        except KeyError as error:
            raise PolicyError(f"{path} is not a policy of Rewirl: {error.args[0]!r} is missing") from error
        except ValueError as error:
            raise PolicyError(f"{path} is not a policy of Rewirl: {error}") from error
        except MemoryError as error:
            raise PolicyError(f"{path} does not fit into memory") from error
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


def _bounds(saved: Mapping[str, Any]) -> ActionBounds:
    low, high = ([number(value, f"a bound of {name}") for value in _listed(saved, name)] for name in ("low", "high"))
    kind = saved["dtype"]
    if kind not in _FLOATS:  # NumPy takes more for a type than these words, and not every word it takes is harmless
        raise ValueError(f"the dtype of actions is {shown(kind)}; it must be one of {', '.join(_FLOATS)}")
    return ActionBounds(low, high, kind)


def _listed(saved: Mapping[str, Any], name: str) -> list[Any]:
    if not isinstance(saved[name], list):
        raise ValueError(f"the bounds {name} are {shown(saved[name])}, which is not a list")
    found: list[Any] = saved[name]
    return found


def _about(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a file says about its policy, as far as anybody relies on it."""
    about = {name: values[name] for name in ("agent", "agent_config", "environment", "seed", "step")}
    made_in = fields(about["environment"], "environment")
    words = {"agent": about["agent"], "environment.name": made_in["name"]}
    optional = {f"environment.{name}": made_in[name] for name in ("id", "module")}
    for name, word in (words | {name: word for name, word in optional.items() if word is not None}).items():
        if not isinstance(word, str) or not word:
            raise ValueError(f"{name} is {shown(word)}, which is not a name")
    fields(about["agent_config"], "agent_config")
    fields(made_in["kwargs"], "environment.kwargs")
    count(about["step"], "step")
    if type(about["seed"]) is not int or not 0 <= about["seed"] < 2**128:
        raise ValueError(f"seed is {shown(about['seed'])}, which is not a seed")
    return about


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
