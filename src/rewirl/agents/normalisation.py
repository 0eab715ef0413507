"""Observation normalisation and reward scaling: running statistics, and what networks see through them.

The replay memory keeps what the environment returned. A batch is normalised when it is sampled, with the statistics of
that moment, so that old transitions are seen as new ones are.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from rewirl import _core
from rewirl.nn import Tiles
from rewirl.replay import Batch
from rewirl.saved import count, fields, listed, number, saved_array, truth

EPSILON = 1e-8
"""Added to variances, as in SimBa, SimbaV2 and Gymnasium's wrappers."""

_NAME = "observations"


class Statistics:
    """Running mean and variance of vectors, in float64 (Welford 1962; RSNorm of SimBa, Lee et al. 2025).

        mean_n = mean_(n-1) + (x_n - mean_(n-1)) / n
        variance_n = (n - 1) / n (variance_(n-1) + (x_n - mean_(n-1))^2 / n)

    Before the first vector the mean is 0 and the variance 1, so that nothing is changed.

    Args:
        size: numbers in a vector.
        sample: whether vectors are divided by the deviation of a sample, with n - 1 for n, where there are two or more
            (stream-x, Elsayed et al. 2024).
    """

    def __init__(self, size: int, sample: bool = False) -> None:
        self.sample = sample
        self.count = 0
        self.mean = np.zeros(size)
        self.variance = np.ones(size)
        self._affine: tuple[NDArray[np.float32], NDArray[np.float32]] | None = None

    def add(self, x: NDArray[np.floating[Any]]) -> None:
        """Count a vector, [size]."""
        self.count += 1
        difference = x - self.mean
        step = difference / self.count
        self.mean += step
        self.variance += difference * step
        self.variance *= (self.count - 1) / self.count
        self._affine = None

    def add_number(self, x: float) -> None:
        """Count a number, of statistics of single ones: `add` in less time."""
        self.count += 1
        difference = x - float(self.mean[0])
        step = difference / self.count
        self.mean[0] += step
        self.variance[0] = (float(self.variance[0]) + difference * step) * ((self.count - 1) / self.count)
        self._affine = None

    def add_and_normalise(self, x: NDArray[np.float32]) -> NDArray[np.float32]:
        """Count a vector, float32 [size], and return it normalised, with the deviation of a sample."""
        self.count += 1
        self._affine = None
        out = np.empty_like(x)
        _core.count_and_normalise(self.count, x, self.mean, self.variance, EPSILON, out)
        return out

    @property
    def spread(self) -> NDArray[np.float64]:
        """The variance that vectors are normalised by, float64 [size]."""
        if not self.sample:
            return self.variance
        return self.variance * (self.count / (self.count - 1)) if self.count > 1 else np.ones_like(self.variance)

    @property
    def factor(self) -> NDArray[np.float64]:
        """What a difference from the mean is multiplied by, 1 / sqrt(variance + EPSILON), float64 [size].

        It is 1 where the variance is 0: a feature that never varied would be multiplied by 10,000 when it does at last,
        in the last state of an episode, which is not counted, or where a policy is used.
        """
        spread = self.spread
        return np.where(spread == 0, 1.0, 1 / np.sqrt(spread + EPSILON))

    @property
    def affine(self) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """The mean and `factor`, float32 [size]."""
        if self._affine is None:
            self._affine = self.mean.astype(np.float32), self.factor.astype(np.float32)
        return self._affine

    def normalised(self, x: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return (x - mean) * factor for float32 [..., size], a new array."""
        mean, factor = self.affine
        result: NDArray[np.float32] = (x - mean) * factor
        return result

    def foreseen(self, x: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return a vector that is going to be counted, float32 [size], normalised before that.

        A feature that was the same in all vectors so far has no deviation to divide a change of it by. So such features
        are normalised as if this vector was counted. With n counted until then that is

            n / (n + 1) difference / sqrt(n / (n + 1)^2 difference^2 + EPSILON)

        which is about 1 where it is the second vector of all.
        """
        result, n = self.normalised(x), self.count
        fresh = self.variance == 0
        if fresh.any():
            difference = (x[fresh] - self.mean[fresh]) / (n + 1)
            result[fresh] = n * difference / np.sqrt(n * difference**2 + EPSILON)
        return result

    def normalise(self, tiles: Tiles, batch: int) -> None:
        """Normalise a batch of so many samples in place, float32 [tiles, size, width]; padding becomes 0."""
        mean, factor = self.affine
        np.subtract(tiles, mean[:, np.newaxis], out=tiles)
        np.multiply(tiles, factor[:, np.newaxis], out=tiles)
        tile, column = divmod(batch, tiles.shape[2])
        tiles[tile : tile + 1, :, column:] = 0
        tiles[tile + 1 :] = 0

    def state(self) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
        """Return what `from_state` needs: copies of the arrays, and JSON values."""
        arrays = {f"{_NAME}.mean": self.mean.copy(), f"{_NAME}.variance": self.variance.copy()}
        return arrays, {"count": self.count, **({"sample": True} if self.sample else {})}

    @classmethod
    def from_state(cls, arrays: Mapping[str, NDArray[Any]], values: Any, size: int) -> Self:
        """Return the statistics that `state` described.

        Raises:
            ValueError: an array or value is missing or impossible; the message names it.
        """
        saved_values = fields(values, "the saved statistics")
        result = cls(size, truth(saved_values.get("sample", False), "whether the saved statistics are of a sample"))
        result.count = count(saved_values.get("count"), "the saved number of observations")
        for name, own in (("mean", result.mean), ("variance", result.variance)):
            own[:] = saved_array(arrays, f"{_NAME}.{name}", np.float64, (size,))
        if (result.variance < 0).any():
            raise ValueError(f"the array {_NAME}.variance has negative numbers")
        return result


class Normalisation:
    """What an agent makes of observations and rewards before its networks see them.

    Observations, if they are normalised: (s - mean) / sqrt(variance + EPSILON), over all observations acted on, warm-up
    included (SimBa, Lee et al. 2025). Rewards, if they are scaled: r / sqrt(variance(G) + EPSILON), over all steps;
    G_t = gamma G_(t-1) + r_t is the discounted return so far in an episode (XQC, Palenicek et al. 2026).

    An observation is counted before it is acted on, a reward before the update of its step. So in step t the action and
    the update have the observations and rewards up to those of step t; what the step leads to is counted in step t + 1.

    Args:
        observation_size: features of an observation.
        observations: whether they are normalised.
        rewards: whether they are scaled.
        gamma: discount per step.
    """

    def __init__(self, observation_size: int, observations: bool, rewards: bool, gamma: float) -> None:
        self.observations = Statistics(observation_size) if observations else None
        """Of the observations; None leaves them as they are."""
        self.returns = Statistics(1) if rewards else None
        """Of the discounted returns so far; None leaves rewards as they are."""
        self._gamma = gamma
        self._running: dict[int, float] = {}

    def observe(self, observation: NDArray[np.float32]) -> None:
        """Count an observation that is about to be acted on in training, float32 [observation]."""
        if self.observations is not None:
            self.observations.add(observation)

    def reward(self, reward: float, over: bool, environment: int = 0) -> None:
        """Count the reward of a step.

        Args:
            reward: as the environment gave it.
            over: whether the episode is over, terminated or truncated.
            environment: in which of several environments.
        """
        if self.returns is not None:
            discounted = self._gamma * self._running.get(environment, 0.0) + reward
            self.returns.add_number(discounted)
            self._running[environment] = 0.0 if over else discounted

    def cut(self, environment: int = 0) -> None:
        """Note that the episode in an environment is given up: another one begins."""
        self._running[environment] = 0.0

    def apply(self, batch: Batch) -> None:
        """Normalise a batch that has just been sampled, in place."""
        if self.observations is not None:
            self.observations.normalise(batch.states, batch.size)
            self.observations.normalise(batch.next_states, batch.size)
            size = batch.states.shape[1]
            for between in batch.between if batch.steps > 1 else ():
                self.observations.normalise(between[:, :size], batch.size)
                between[:, :size] *= between[:, size:] != 0  # no state there: 0 stays 0
        if self.returns is not None:
            batch.rewards[...] *= self.returns.affine[1]

    def state(self) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
        """Return everything an exact continuation needs, as arrays and JSON values; neither where it does nothing."""
        arrays: dict[str, NDArray[Any]] = {}
        values: dict[str, Any] = {}
        if self.observations is not None:
            arrays, values["observations"] = self.observations.state()
        if self.returns is not None:
            values["returns"] = {
                "count": self.returns.count,
                "mean": float(self.returns.mean[0]),
                "variance": float(self.returns.variance[0]),
                "running": [self._running.get(number, 0.0) for number in range(max(self._running, default=-1) + 1)],
            }
        return arrays, values

    def restored(self, arrays: Mapping[str, NDArray[Any]], values: Any) -> Normalisation:
        """Return what `state` described, of the same kind as this, which stays what it is.

        Raises:
            ValueError: an array or value is missing or impossible; the message names it.
        """
        result = copy.copy(self)
        result._running = {}
        saved = fields(values, "the saved normalisation")
        if self.observations is not None:
            size = len(self.observations.mean)
            result.observations = Statistics.from_state(arrays, saved.get("observations"), size)
            result.observations.sample = self.observations.sample
        if self.returns is not None:
            returns = fields(saved.get("returns"), "the saved statistics of returns")
            result.returns = Statistics(1, self.returns.sample)
            result.returns.count = count(returns.get("count"), "the saved number of rewards")
            result.returns.mean[0] = number(returns.get("mean"), "the saved mean of returns")
            result.returns.variance[0] = variance = number(returns.get("variance"), "the saved variance of returns")
            if variance < 0:
                raise ValueError(f"the saved variance of returns is {variance}, which is negative")
            running = listed(returns.get("running"), "the saved returns so far")
            result._running = {index: number(value, "a saved return so far") for index, value in enumerate(running)}
        return result

    @property
    def reward_factor(self) -> float:
        """What a reward is multiplied by: 1, or 1 / sqrt(variance(G) + EPSILON)."""
        return 1.0 if self.returns is None else float(self.returns.factor[0])

    def description(self) -> dict[str, Any]:
        """Return the statistics as JSON values for people; empty where there are none.

        `observations` with `count`, and `mean` and `std` of each feature; `returns` with `count` and `std`.
        """
        result: dict[str, Any] = {}
        if self.observations is not None:
            of = self.observations
            result["observations"] = {"count": of.count, "mean": of.mean.tolist(), "std": np.sqrt(of.spread).tolist()}
        if self.returns is not None:
            result["returns"] = {"count": self.returns.count, "std": float(np.sqrt(self.returns.spread[0]))}
        return result


class OnlineNormalisation(Normalisation):
    """The same where every step is learnt from as it comes (stream-x, Elsayed et al. 2024, Algorithms 4 to 6).

    An observation is counted when it is met: the first of an episode, and then what each step leads to, the last one
    too. Networks see it as it was normalised then. The deviations are those of samples; arguments as of Normalisation.
    """

    def __init__(self, observation_size: int, observations: bool, rewards: bool, gamma: float) -> None:
        super().__init__(observation_size, observations, rewards, gamma)
        for statistics in (self.observations, self.returns):
            if statistics is not None:
                statistics.sample = True

    def observe(self, observation: NDArray[np.float32]) -> None:
        """Do nothing: `met` has counted it, or will."""

    def met(self, observation: NDArray[np.float32]) -> NDArray[np.float32]:
        """Count an observation, float32 [observation], and return it as networks see it, an array of its own."""
        return observation.copy() if self.observations is None else self.observations.add_and_normalise(observation)
