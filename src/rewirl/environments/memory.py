"""What an environment keeps from one episode to the next, found by playing the same episode twice."""

from __future__ import annotations

import hashlib
import json
import time
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rewirl.environments.environment import Environment
from rewirl.environments.portrait import Portrait, differing, portrait
from rewirl.environments.source import EnvironmentSource
from rewirl.printing import typed

_STEPS = 1_000
_SECONDS = 1.0
_SEED = 20_260_101
_NORMALISING = {"NormalizeObservation": "normalise_observations", "NormalizeReward": "scale_rewards"}
"""Gymnasium's wrappers that normalise, and the options of agents that do what they do."""

_KEEP_NOTHING: dict[str, Any] = {}
"""The specs of registered environments that were played in this process and keep nothing, by id and arguments."""


@dataclass(frozen=True)
class Memory:
    """What of an environment is not a function of seed, actions and steps."""

    place: str
    """The layers that are not as they were after the first reset, with the attributes that are not."""
    what: str
    """What was different: observation, reward or end, and in which step."""

    def __str__(self) -> str:
        """Say what it is, what follows and what helps."""
        instead = [
            f"{option} (--{option.replace('_', '-')})" for name, option in _NORMALISING.items() if name in self.place
        ]
        if instead:
            remedy = (
                f"leave it out and train with {' and '.join(instead)}, which evaluation, policies and resuming know of"
            )
        else:
            remedy = "let reset() put everything back and draw from self.np_random alone"
        return (
            f"something is kept from one episode to the next, in {self.place}: reset with the same seed and given the "
            f"same actions, {self.what} is another one. Evaluation does not see what training sees, and resuming is "
            f"not to the bit. To mend it {remedy}; or offer rewirl_state() and load_rewirl_state(values)"
        )


def memory_of_spare(source: EnvironmentSource) -> Memory | None:
    """Make a spare environment, play it as `memory_of` does, and close it.

    What is registered, has no wrappers of the user's and kept nothing is played once in a process.

    Args:
        source: where it comes from; it can make another.

    Returns:
        What differs the second time; None if nothing does.

    Raises:
        FaultyEnvironmentError: the environment misbehaved.
        UnsuitableEnvironmentError: it cannot be made a second time.
    """
    import gymnasium

    recipe = source.recipe
    plain = recipe is not None and source.made_by == "an id" and not recipe.wrappers and not recipe.named
    spec = gymnasium.registry.get(source.id) if plain and source.id else None
    key = json.dumps([source.id, dict(source.kwargs)], sort_keys=True, default=repr)
    if spec is not None and _KEEP_NOTHING.get(key) is spec:
        return None
    assert source.make_another is not None
    environment = source.make_another()
    try:
        memory = memory_of(environment)
    finally:
        environment.close()
    if spec is not None and memory is None:
        _KEEP_NOTHING[key] = spec
    return memory


def memory_of(environment: Environment) -> Memory | None:
    """Play one episode of a spare environment twice, and return what differs the second time; None if nothing does.

    At most 1,000 steps, or those of a second. An environment that offers its state gets it back in between.

    Args:
        environment: a spare one, which nobody has played yet.

    Raises:
        FaultyEnvironmentError: the environment misbehaved.
    """
    leave_out = "--no-check" if typed() else "check=False"
    environment.where = lambda: f"the check at the start (see {leave_out})"
    space = environment.actions
    rng = np.random.default_rng(0)
    actions: list[Any] = []
    states = environment.state()
    outcomes: list[tuple[bytes, float, bool, bool]] = [(_sum(environment.reset(_SEED)), 0.0, False, False)]
    first = portrait(environment.env)
    until = time.perf_counter() + _SECONDS
    while not any(outcomes[-1][2:]) and len(actions) < _STEPS and time.perf_counter() < until:
        actions.append(space.to_environment(space.random(rng)))
        step = environment.step(actions[-1])
        outcomes.append((_sum(step.observation), step.reward, step.terminated, step.truncated))
    environment.load_state(states)
    again = (_sum(environment.reset(_SEED)), 0.0, False, False)
    second = portrait(environment.env)
    for number, outcome in enumerate(outcomes):
        if number:
            step = environment.step(actions[number - 1])
            again = (_sum(step.observation), step.reward, step.terminated, step.truncated)
        if again != outcome:
            parts = ("observation", "reward", "terminated", "truncated")
            part = next(name for name, one, other in zip(parts, outcome, again, strict=True) if one != other)
            return Memory(_place(environment, first, second), f"the {part} of step {number}")
    return None


def _sum(observation: NDArray[np.float32]) -> bytes:
    """Return what tells observations apart: a thousand large ones take more memory than the run."""
    return hashlib.blake2b(observation.tobytes()).digest()


def _place(environment: Environment, first: Portrait, second: Portrait) -> str:
    """Return the layers that are not as they were after the first reset, from the inside, with what is not."""
    keys = differing(first, second)
    kinds = dict.fromkeys((number, kind) for number, kind, _ in keys)
    places = [f"{kind} ({', '.join(name for number, _, name in keys if number == layer)})" for layer, kind in kinds]
    return ", ".join(places) or environment.name
