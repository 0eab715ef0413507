"""Collecting from several environments that take turns: step t of a run ends in environment t mod N.

A step of an environment begins as soon as its last one has ended, with the policy of then, and ends N steps of the run
later: its outcome is not fetched before. So N environments are at work at the same time where each has a process of its
own, and a run is the same wherever they are. One environment is the usual loop: act, fetch, learn.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray

from rewirl.environments.environment import Environment
from rewirl.environments.environment_process import EnvironmentProcess, portable
from rewirl.environments.source import EnvironmentSource
from rewirl.environments.spaces import UnsuitableEnvironmentError
from rewirl.saved import count, fields, listed
from rewirl.training.episode import Episode

AnyEnvironment = Environment | EnvironmentProcess


@dataclass(frozen=True)
class TaskEnd:
    """When a task ended, whose connections are frozen."""

    step: int
    """Steps of the run until then."""
    state: list[Any]
    """What its environment kept between episodes; see `Environment.state`."""


class Collection:
    """The episodes of a run, one in each of its environments.

    Args:
        environments: at least one, all of the same kind.
        seed: the run's.
    """

    def __init__(self, environments: Sequence[AnyEnvironment], seed: int) -> None:
        self.environments = environments
        self.episodes = [Episode(environment, seed, index) for index, environment in enumerate(environments)]
        """Of each environment the current one."""
        self.tasks: dict[int, TaskEnd] = {}
        """By number the tasks that have ended; those of checkpoints of earlier versions are not among them."""

    def task_ended(self, number: int, step: int) -> None:
        """Note that a task has ended, when `step` steps of the run are done."""
        self.tasks[number] = TaskEnd(step, self.environments[0].last_state())

    def idle(self) -> Iterator[Episode]:
        """Yield the episodes that wait for an action, in the order of their environments."""
        return (episode for episode in self.episodes if episode.idle)

    def faulty(self) -> Iterator[Episode]:
        """Yield the episodes in which a step failed."""
        return (episode for episode in self.episodes if episode.faulty)

    def turn(self, step: int) -> Episode:
        """Return the episode in which step number `step` of the run ends, counted from 0."""
        return self.episodes[step % len(self.episodes)]

    def ends(self, episode: Episode, step: int) -> int:
        """Return the number of the step that ends in an episode next, from `step` on."""
        return step + (episode.index - step) % len(self.episodes)

    def since(self, episode: Episode, step: int) -> int:
        """Return how many steps of the run have ended since one did in an episode, when `step` have ended."""
        return step - 1 - self.ends(episode, step) + len(self.episodes)

    def where(self, index: int, step: int) -> str:
        """Return where the episode of an environment is, for a message, when `step` steps of the run are done."""
        episode = self.episodes[index]
        place = f"episode {max(episode.number, 0)}, its step {episode.length + 1}"
        if len(self.episodes) > 1:
            place = f"environment {episode.index}, {place}"
        return f"training step {self.ends(episode, step) + 1} ({place})"

    def state(self) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
        """Return everything needed to continue: those of the first environment's episode, and those of the others."""
        arrays, values = self.episodes[0].state()
        if len(self.episodes) > 1:
            values["others"] = []
        for episode in self.episodes[1:]:
            of_episode, saved = episode.state()
            arrays.update({f"{episode.index}/{name}": array for name, array in of_episode.items()})
            values["others"].append(saved)
        if self.tasks:
            ends = self.tasks.items()
            values["tasks"] = [{"number": number, "step": end.step, "state": end.state} for number, end in ends]
        return arrays, values

    def load_state(
        self, arrays: Mapping[str, NDArray[Any]], values: Mapping[str, Any], step: int
    ) -> Iterator[tuple[Episode, str]]:
        """Play all saved episodes again up to where they were, when `step` steps of the run are done.

        Yields:
            Each episode that cannot be continued, and why; another one begins in its place.

        Raises:
            ValueError: an array or value is missing or impossible; the message says which.
            FaultyEnvironmentError: an environment misbehaved.
        """
        others = listed(values.get("others", []), "the saved episodes of other environments")
        if len(others) != len(self.episodes) - 1:
            raise ValueError(f"{len(others) + 1} environments were saved, but the run has {len(self.episodes)}")
        self.tasks = {}
        for task in listed(values.get("tasks", []), "the saved ends of tasks"):
            saved = fields(task, "the saved end of a task")
            number, ended = (count(saved.get(name), f"the saved {name} of a task") for name in ("number", "step"))
            self.tasks[number] = TaskEnd(ended, listed(saved.get("state"), "the saved state of a task's environment"))
        of_each: list[dict[str, NDArray[Any]]] = [{} for _ in self.episodes]
        for key, array in arrays.items():
            index, slash, name = key.rpartition("/")
            if slash and not (index.isdecimal() and 0 < int(index) < len(of_each)):
                raise ValueError(f"unknown array {key[:100]!r} of an episode")
            of_each[int(index or 0)][name] = array
        for episode, own, saved in zip(self.episodes, of_each, [values, *others], strict=True):
            problem = episode.load_state(own, fields(saved, "a saved episode"), step)
            if problem:
                yield episode, problem


def environments_of(source: EnvironmentSource, count: int, processes: bool) -> list[AnyEnvironment]:
    """Make the environments of a run.

    Args:
        source: where they come from.
        count: how many.
        processes: whether each has a process of its own.

    Raises:
        UnsuitableEnvironmentError: there cannot be so many, or they cannot be made in processes of their own.
    """
    if processes and not portable(source):
        raise UnsuitableEnvironmentError(
            f"{source.name} was handed over as {source.made_by}, and no other process can make it; leave env_processes "
            "out, or register it with Gymnasium and give its id"
        )
    if count > 1 and source.made_by == "an object":
        raise UnsuitableEnvironmentError(
            f"{source.name} was handed over as an object, of which there is one, but n_envs is {count}; give a "
            "function that makes it, or its id"
        )
    result: list[AnyEnvironment] = []
    try:
        result.append(source.make_training())
        if processes:
            like = result.pop()
            assert isinstance(like, Environment)
            like.close()
            for _ in range(count):
                result.append(EnvironmentProcess(like, source))
            for process in result:
                assert isinstance(process, EnvironmentProcess)
                process.wait()
        while len(result) < count:
            result.append(source.make_training())
    except BaseException:
        for environment in result:
            environment.close()
        raise
    return result
