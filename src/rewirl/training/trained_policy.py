"""A trained policy outside of training: what its file holds, and how it acts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from rewirl import agents
from rewirl.agents import Agent, Policy
from rewirl.environments.source import EnvironmentSource, environment_source, recorded_source
from rewirl.environments.spaces import Spaces, UnsuitableEnvironmentError
from rewirl.hints import nearest
from rewirl.saved import count, fields, listed, number, shown
from rewirl.storage import pretrained
from rewirl.storage.files import exists
from rewirl.storage.policy_file import PolicyError, load_policy, policy_directory
from rewirl.storage.values import to_values
from rewirl.training.collection import AnyEnvironment, TaskEnd

Observation = ArrayLike | Mapping[str, Any] | tuple[Any, ...]
"""An array of numbers, or a dict or tuple of such, as the environment has it."""


@dataclass(frozen=True)
class TrainedPolicy:
    """An actor with the spaces of its environment; needs neither the environment nor the critics."""

    actor: Policy
    """Acts on vectors, in [-1, 1]."""

    spaces: Spaces
    about: Mapping[str, Any]
    """What else the file says: agent, agent_config, environment (name, id, kwargs, module), seed, step."""

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read a policy: from its own directory, from the run directory that holds it, or one that comes with Rewirl.

        Args:
            path: the directory; or, where there is none, the name of a policy that comes with Rewirl.

        Raises:
            PolicyError: there is none, or it is not whole and sound; names the file and the reason.
        """
        name = path.as_posix()
        if exists(path):
            try:
                return cls._from(policy_directory(path))
            except PolicyError as error:
                if not pretrained.archive(name).is_file():
                    raise
                raise PolicyError(
                    f"{error}. The policy {name} that comes with Rewirl is hidden by {path.absolute()}: to load it, "
                    "move that away or work in another directory"
                ) from error
        try:
            known = pretrained.cards()
        except PolicyError as error:
            raise PolicyError(f"there is no {path}, and {error}") from error
        if name in known:
            with pretrained.unpacked(name) as directory:
                return cls._from(directory)
        # A name that was made a path of the working directory ends as the name does.
        hint = nearest(name, known) or nearest("/".join(path.parts[-2:]), known)
        if hint:
            raise PolicyError(f"there is no {path}, and no such policy comes with Rewirl; {hint.strip()}")
        return cls._from(policy_directory(path))

    @classmethod
    def _from(cls, path: Path) -> Self:
        try:
            return cls.of_state(*load_policy(path))
        except KeyError as error:
            raise PolicyError(f"{path} is not a policy of Rewirl: {error.args[0]!r} is missing") from error
        except ValueError as error:
            raise PolicyError(f"{path} is not a policy of Rewirl: {error}") from error
        except MemoryError as error:
            raise PolicyError(f"{path} does not fit into memory") from error

    @classmethod
    def of_state(cls, arrays: Mapping[str, NDArray[Any]], values: Mapping[str, Any]) -> Self:
        """Return the policy of which this is the state, as `policy_state` returns it.

        Raises:
            KeyError: something is missing; names it.
            ValueError: it is no such state; says why.
        """
        spaces = Spaces.from_values(values)
        about = _about(values)
        actor = agents.Policy.from_state(arrays, fields(values["actor"], "actor"))
        if (actor.observation_size, actor.action_size) != (spaces.observation_size, spaces.action_size):
            raise ValueError("its sizes do not fit its networks")
        if actor.actions != spaces.actions.kind:
            raise ValueError(f"its network chooses {actor.actions} actions, its spaces have {spaces.actions.kind}")
        return cls(actor, spaces, about)

    def act(self, observations: NDArray[np.float32]) -> NDArray[Any]:
        """Return actions as agents choose them, for observations as vectors, float32 [batch, observation_size]."""
        return self.actor.predict(observations)

    def act_noisily(self, observations: NDArray[np.float32], rng: np.random.Generator) -> NDArray[Any]:
        """Return actions with exploration noise from this stream; otherwise as `act`."""
        option = "exploration_noise" if self.actor.actions == "Box" else "epsilon_end"
        noise = number(self.about["agent_config"].get(option, 0.0), option)
        return self.actor.explore(observations, rng, noise)

    def predict(
        self, observation: Observation, rng: np.random.Generator | None = None, allow_nonfinite: bool = False
    ) -> NDArray[Any]:
        """Return the action for one observation, or for a batch of them.

        Args:
            observation: as the environment has it: an array, or a dict or tuple of arrays; in a batch every array has
                one more dimension, the first.
            rng: of exploration noise; None acts without.
            allow_nonfinite: return NaN for an observation that is not finite, rather than refuse it.

        Returns:
            The action as the environment takes it, or [batch, *its shape]: float32 for a Box, integers for Discrete.

        Raises:
            ValueError: the observation has another structure or shape, or a number that is not finite.
        """
        act = self.act if rng is None else partial(self.act_noisily, rng=rng)
        return self.spaces.predict(act, observation, allow_nonfinite)

    @property
    def environment_state(self) -> list[Any] | None:
        """What its environment kept between episodes when it was saved; None where it keeps nothing."""
        state: list[Any] | None = self.about["environment"].get("state")
        return state

    @property
    def environment_step(self) -> int:
        """The step of the run that an environment is told which changes as a run goes on: where the policy was saved,
        or of a task that had ended, its last one."""
        step: int = self.about["environment"].get("step", self.about["step"])
        return step

    def source(self) -> EnvironmentSource:
        """Return where the policy's own environment comes from.

        Raises:
            UnsuitableEnvironmentError: it was made by a program, not by its id, or cannot be found here.
        """
        made_in = self.about["environment"]
        if made_in["id"] is None:
            if isinstance(made_in.get("handed_over"), dict):
                return recorded_source(made_in["name"], made_in["handed_over"], made_in["module"])
            raise UnsuitableEnvironmentError(
                f"this policy was trained in {made_in['name']}, an environment made by a Python program rather than by "
                "a registered id, so only that program can make it again"
            )
        return environment_source(made_in["id"], made_in["kwargs"], made_in["module"], made_in.get("wrapper", ()))

    def check_fits(self, environment: AnyEnvironment) -> None:
        """Refuse an environment with other observations or actions.

        A policy of vectors fits any observations and actions with as many features: those of Rewirl 0.1 had no others.

        Raises:
            UnsuitableEnvironmentError: the sizes or the structure differ.
        """
        there, own = environment.spaces, self.spaces
        if (there.observation_size, there.action_size) != (own.observation_size, own.action_size):
            raise UnsuitableEnvironmentError(
                f"{environment.name} has {there.observation_size} observations and {there.action_size} actions, but "
                f"the policy was trained with {own.observation_size} and {own.action_size}"
            )
        problem = own.differs(there)
        if problem:
            raise UnsuitableEnvironmentError(f"{environment.name} does not fit the policy: {problem}")


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
    if not all(isinstance(name, str) for name in listed(made_in.get("wrapper", []), "environment.wrapper")):
        raise ValueError(f"environment.wrapper is {shown(made_in['wrapper'])}, which is not a list of names")
    listed(made_in.get("state", []), "environment.state")
    count(made_in.get("step", 0), "environment.step")
    count(about["step"], "step")
    if type(about["seed"]) is not int or not 0 <= about["seed"] < 2**128:
        raise ValueError(f"seed is {shown(about['seed'])}, which is not a seed")
    return about


def policy_state(
    agent: Agent,
    environment: AnyEnvironment,
    source: EnvironmentSource,
    seed: int,
    step: int,
    task: int | None = None,
    ended: TaskEnd | None = None,
) -> tuple[Mapping[str, NDArray[Any]], dict[str, Any]]:
    """Return the arrays and JSON values of a policy file; of a task that has ended, or of the agent as it is."""
    arrays, actor = agent.policy_state() if task is None else agent.policy_of(task).state()
    state = environment.last_state() if ended is None else ended.state
    step = step if ended is None else ended.step
    named = () if source.recipe is None else source.recipe.named
    return arrays, {
        "agent": agent.name,
        "agent_config": to_values(agent.config),
        "environment": {
            "name": source.name,
            "id": source.id,
            "kwargs": dict(source.kwargs),
            "module": source.module,
            **({"wrapper": list(named)} if named else {}),
            **({"handed_over": source.values()} if source.values() else {}),
            **({"state": state} if state else {}),
            **({} if ended is None else {"step": max(step - 1, 0)}),  # the last one of the task
        },
        **environment.spaces.values(),
        "seed": seed,
        "step": step,
        "actor": actor,
    }
