"""What follows a step of an environment: its transition is stored, and the agent learns.

An environment with a process of its own is still at work on the step while the agent does the updates that follow it.
Which transitions these look at is drawn first; only if the step's own is among them do they wait for it. So the numbers
are those of a run that fetches, stores and learns one after the other.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from rewirl.agents import Agent
from rewirl.environments.environment import Step
from rewirl.environments.environment_process import EnvironmentProcess
from rewirl.replay import Replay
from rewirl.training.collection import Collection
from rewirl.training.episode import Episode
from rewirl.training.own_state import refuse_unsaveable
from rewirl.training.scales import of_scales


class Learning:
    """An agent that learns from steps as they end.

    Args:
        agent: what learns.
        replay: its memory, if it has one.
        collection: of the run.
        learning_starts: steps before the first update.
        tell: what a remark is told to.
    """

    def __init__(
        self,
        agent: Agent,
        replay: Replay | None,
        collection: Collection,
        learning_starts: int,
        tell: Callable[[str], None],
    ) -> None:
        self._agent = agent
        self._replay = replay
        self._collection = collection
        self._learning_starts = learning_starts
        self._tell = tell
        self.untried = False
        """Whether a checkpoint is due some time, and the agent's state is to be tried once it has learnt."""
        self._updates_at = getattr(agent.config, "updates_at", lambda step: 1)  # agents of another kind have none
        self.between_steps = True
        """Whether the agent is as it was between two steps: not while it learns beside a step that is under way."""
        # The reward of a step counts for the factor of all rewards in the updates that follow it.
        beside = agent.normalisation.returns is None
        self._beside = [
            beside and isinstance(environment, EnvironmentProcess) for environment in collection.environments
        ]

    def may_begin(self, episode: Episode, step: int) -> bool:
        """Tell whether a step may begin: without a replay memory, once no update is due before it ends.

        Args:
            episode: in which it would begin.
            step: steps of the run so far.
        """
        if self._replay is not None:
            return True
        updates_after = self._agent.config.updates_after
        return updates_after(self._collection.ends(episode, step)) == updates_after(step)

    def finish(self, episode: Episode, step: int) -> Step:
        """Return the outcome of the step that was begun in an episode, and do what follows it.

        Args:
            episode: in which the step ends.
            step: its number in the run, from 0.

        Raises:
            FaultyEnvironmentError: the environment misbehaved.
            FloatingPointError: what the agent learns is not finite.
            UnsaveableError: an agent of the user's own could not be saved and resumed after its first update.
        """
        outcome = self._finish(episode, step)
        if self.untried and self._agent.updates:  # what is empty before may be filled then
            refuse_unsaveable(self._agent, self._collection.environments[0].actions.kind)
            self.untried = False
        return outcome

    def _finish(self, episode: Episode, step: int) -> Step:
        replay = self._replay
        if replay is None:
            return self._fetch(episode, partial(self._agent.learn, environment=episode.index))
        learning_for = step - self._learning_starts
        updates = 0 if learning_for < 0 else self._updates_at(learning_for)
        if updates and learning_for and self._beside[episode.index]:
            outcomes: list[Step] = []
            self.between_steps = False
            replay.expect(lambda: outcomes.append(self._fetch(episode, replay.add)))
            self._update(replay, updates, step)
            replay.settle()
            self.between_steps = True
            return outcomes[0]
        outcome = self._fetch(episode, replay.add)
        if learning_for == 0:
            for remark in of_scales(replay, self._agent):
                self._tell(remark)
        self._update(replay, updates, step)
        return outcome

    def cut(self, episode: Episode, since: int, step: int, problem: str) -> None:
        """Learn nothing across the place where an episode ends that cannot go on.

        Args:
            episode: the one that was cut.
            since: steps of the run that have ended since one did in it.
            step: steps of the run so far.
            problem: why, for a message.
        """
        self.leave(episode, since)
        self._tell(f"warning: {problem}. A new episode begins at step {step:,}; the run continues, but not to the bit")

    def leave(self, episode: Episode, since: int) -> None:
        """Learn nothing across the place where an episode is given up; the arguments are those of `cut`."""
        if self._replay is not None:
            self._replay.cut(since)
        self._agent.cut(episode.index)

    def _fetch(self, episode: Episode, store: Callable[..., None]) -> Step:
        observation, row, after = episode.finish_step()
        self._agent.normalisation.reward(after.reward, after.terminated or after.truncated, episode.index)
        # Truncation ends the episode but not the task: only a terminated step has no future to bootstrap from.
        store(observation, row, after.reward, after.observation, after.terminated, after.truncated)
        return after

    def _update(self, replay: Replay, updates: int, step: int) -> None:
        tasks = self._agent.tasks
        for _ in range(updates):
            self._agent.update(replay)
        for task in range(tasks, self._agent.tasks):
            self._collection.task_ended(task + 1, step)
