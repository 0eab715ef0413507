"""Evaluation: episodes without exploration noise, in environments and with seeds of their own."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from rewirl import seeding
from rewirl.environments.environment import Environment, FaultyEnvironmentError
from rewirl.environments.spaces import UnsuitableEnvironmentError
from rewirl.printing import option, say, typed

if TYPE_CHECKING:
    from rewirl.agents import Agent, Policy

LONGEST_EPISODE = 1_000_000
"""Steps after which an episode without an end is given up: nobody would ever hear of it otherwise."""

NO_END_IN_SIGHT = 30_000
"""Steps of an episode after which whoever waits for its end is told so; the longest usual ones have 27,000."""

Predict = Callable[[NDArray[np.float32]], NDArray[Any]]
"""Observations [batch, observation_size], not to be kept, to actions as agents choose them: [batch, action_size] in
[-1, 1], or [batch] numbers of Discrete ones."""


@dataclass(frozen=True)
class Evaluation:
    """The outcome of an evaluation."""

    returns: tuple[float, ...]
    """Undiscounted return of each episode, in the order of their seeds."""

    lengths: tuple[int, ...]
    """Steps of each episode."""

    seconds: float
    """Wall-clock time of the evaluation."""

    @property
    def mean(self) -> float:
        """Mean of the returns."""
        return float(np.mean(self.returns))

    @property
    def std(self) -> float:
        """Standard deviation of the returns over the episodes (divisor: number of episodes)."""
        return float(np.std(self.returns))


def endless(environment: Environment) -> FaultyEnvironmentError:
    """Return the error that says that an episode does not come to its end."""
    arguments = "--env-kwargs '{\"max_episode_steps\": 1000}'" if typed() else 'env_kwargs={"max_episode_steps": 1000}'
    return environment.fault(
        f"the episode is not over after {LONGEST_EPISODE:,} steps; evaluating plays episodes to their end. Give "
        f"it a time limit: register it with max_episode_steps=1000, or {arguments}, "
        f"or gymnasium.wrappers.TimeLimit(env, 1000); or do not evaluate ({option('eval_every')} 0)"
    )


class Evaluator:
    """Plays the same episodes each time, side by side, one prediction per step for all that are still running.

    It has no state of its own and touches none of the agent's: evaluating more or less often changes nothing else.

    Args:
        make_environment: makes one environment; called once per episode, at the first evaluation.
        episodes: how many.
        seed: the run's seed, from which the episodes' seeds come.
    """

    def __init__(self, make_environment: Callable[[], Environment], episodes: int, seed: int) -> None:
        """Make no environment yet."""
        self.episodes, self.seed = episodes, seed
        self._make = make_environment
        self._seeds = [seeding.episode_seed(seed, "evaluation", episode) for episode in range(episodes)]
        self._environments: list[Environment] = []
        self._told = False

    def evaluate(
        self,
        predict: Predict,
        when: str,
        stop: Callable[[], bool] = lambda: False,
        step: int = 0,
        state: list[Any] | None = None,
    ) -> Evaluation | None:
        """Play all episodes to their ends.

        Args:
            predict: the policy to evaluate.
            when: where a fault happened, for its message: "evaluation after step 5000".
            stop: asked before every step; once it is true the evaluation is given up.
            step: steps of the run so far, for environments that change with them.
            state: what the training environment keeps between episodes, for those that offer it; see
                `Environment.state`. None leaves each with what it has.

        Returns:
            The evaluation, or None if it was given up.

        Raises:
            FaultyEnvironmentError: an environment misbehaved.
            UnsuitableEnvironmentError: one cannot be made.
        """
        started = time.perf_counter()
        while len(self._environments) < len(self._seeds):
            try:
                self._environments.append(self._make())
            except UnsuitableEnvironmentError as error:
                remedy = f"with {option('eval_every')} 0 a run needs none"
                raise UnsuitableEnvironmentError(f"{when} needs environments of its own: {error}; {remedy}") from error
        count = len(self._seeds)
        returns, lengths = [0.0] * count, [0] * count
        for episode, environment in enumerate(self._environments):
            environment.where = lambda e=episode: f"{when}, episode {e}, step {lengths[e] + 1}"  # type: ignore[misc]
        if state is not None:
            for environment in self._environments:
                environment.load_state(state)
        running = list(range(count))
        steps = 0
        observations = np.stack(
            [environment.reset(seed, step) for environment, seed in zip(self._environments, self._seeds, strict=True)]
        )
        space = self._environments[0].actions
        while running:
            if stop():
                return None
            if steps >= LONGEST_EPISODE:
                raise endless(self._environments[running[0]])
            if steps == NO_END_IN_SIGHT and not self._told:
                self._told = True
                say(
                    f"{self._environments[0].name}: {when}: {len(running)} of {count} episodes are not over after "
                    f"{steps:,} steps. They are played to their ends, of at most {LONGEST_EPISODE:,} steps; where "
                    "there may be none, set a time limit, such as max_episode_steps"
                )
            steps += 1
            actions = predict(observations[: len(running)])
            if not space.valid(actions):
                raise self._environments[running[0]].fault(f"the policy computes actions that are not {space.expected}")
            taken = space.to_environment(actions)
            still: list[int] = []
            for row, episode in enumerate(running):
                after = self._environments[episode].step(taken[row])
                returns[episode] += after.reward
                lengths[episode] += 1
                if not (after.terminated or after.truncated):
                    observations[len(still)] = after.observation  # all rows have been acted on
                    still.append(episode)
            running = still
        return Evaluation(tuple(returns), tuple(lengths), time.perf_counter() - started)

    def close(self) -> None:
        """Close the environments; idempotent."""
        while self._environments:
            self._environments.pop().close()


class Evaluations(Protocol):
    """What the training loop asks of whoever evaluates for it: one evaluation at a time, begun now, collected later."""

    def begin(self, agent: Agent | Policy, when: str, step: int = 0, state: list[Any] | None = None) -> None:
        """Begin to evaluate an agent as it is now, or a policy; the other arguments are as for `Evaluator.evaluate`."""

    def ready(self) -> bool:
        """Tell whether `collect` has nothing to wait for but its own work; cheap enough to be asked at every step."""

    def collect(self, stop: Callable[[], bool] = lambda: False) -> Evaluation | None:
        """Return what was begun, or None if `stop` came true before it was done; see `Evaluator.evaluate`."""

    def close(self) -> None:
        """Release what is held; idempotent."""


class SerialEvaluations:
    """Evaluates in this process, when asked for the result; the agent must not learn in between.

    Args:
        evaluator: plays the episodes.
    """

    def __init__(self, evaluator: Evaluator) -> None:
        """Evaluate nothing yet."""
        self._evaluator = evaluator
        self._begun: tuple[Predict, str, int, list[Any] | None] | None = None

    def begin(self, agent: Agent | Policy, when: str, step: int = 0, state: list[Any] | None = None) -> None:
        """See Evaluations."""
        self._begun = agent.predict, when, step, state

    def ready(self) -> bool:
        """See Evaluations."""
        return True

    def collect(self, stop: Callable[[], bool] = lambda: False) -> Evaluation | None:
        """See Evaluations."""
        assert self._begun is not None, "nothing was begun"
        predict, when, step, state = self._begun
        return self._evaluator.evaluate(predict, when, stop, step, state)

    def close(self) -> None:
        """See Evaluations."""
        self._evaluator.close()
