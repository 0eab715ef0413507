"""A policy: a network and how an action is made of its outputs, without what training keeps beside it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from rewirl.agents.normalisation import Statistics
from rewirl.nn import LOG_STD_BOUNDS, LogStd, Network, SoftplusNormal, normal, pack, sample_one, unpack
from rewirl.saved import saved_array, shown

Head = Literal["tanh", "clip", "greedy", "softmax"]
"""How an action is made of the outputs: their tanh; they themselves, clipped to [-1, 1]; or the number of the largest,
counted from 0 (greedy and softmax). With noise softmax draws that number from the softmax of the outputs."""


class Policy:
    """A deterministic policy.

    Args:
        actor: the network; it is shared, not copied.
        action_size: features of an action, or how many there are to choose from: the first outputs of the network; None
            is all of them. The actor of SAC has as many more, for the noise.
        head: how an action is made of these outputs.
        statistics: by which observations are normalised before the network sees them; shared, not copied. None leaves
            them as they are.
        log_std: how the actor of SAC makes standard deviations of its second half of outputs; None is as usual.
        deviation: of the noise on clipped outputs, float32 [action]; None is none.
    """

    def __init__(
        self,
        actor: Network,
        action_size: int | None = None,
        head: Head = "tanh",
        statistics: Statistics | None = None,
        log_std: LogStd | None = None,
        deviation: NDArray[np.float32] | None = None,
    ) -> None:
        self.actor = actor
        self.action_size = actor.n_out if action_size is None else action_size
        self.head: Head = head
        self.statistics = statistics
        self.log_std = log_std or LogStd()
        self.deviation = deviation

    @property
    def observation_size(self) -> int:
        """Features of an observation."""
        return self.actor.n_in

    @property
    def actions(self) -> str:
        """The space of actions that it takes, as Gymnasium calls it: Box or Discrete."""
        return "Box" if self.head in ("tanh", "clip") else "Discrete"

    def seen(self, observations: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return observations, float32 [..., observation], as the network sees them."""
        return observations if self.statistics is None else self.statistics.normalised(observations)

    def predict(self, observations: NDArray[np.float32]) -> NDArray[Any]:
        """Return the actions for a batch of observations.

        Args:
            observations: float32 [batch, observation].

        Returns:
            float32 [batch, action], each in [-1, 1] or NaN; or int64 [batch], the numbers of the choices, -1 where an
            output is NaN.

        Raises:
            ValueError: the observations have another number of features.
        """
        if observations.ndim != 2 or observations.shape[1] != self.actor.n_in:
            raise ValueError(f"observations must be [batch, {self.actor.n_in}], got {list(observations.shape)}")
        observations = self.seen(observations)
        if len(observations) > 1:
            outputs = unpack(self.actor.predict(pack(observations))[:, : self.action_size], len(observations))
            return np.tanh(outputs) if self.head == "tanh" else self._actions_of(outputs)
        if self.head == "tanh":
            return self.actor.act_squashed(observations[0])[np.newaxis, : self.action_size]
        return self._actions_of(self.actor.act(observations[0])[np.newaxis, : self.action_size])

    def _actions_of(self, outputs: NDArray[np.float32]) -> NDArray[Any]:
        """Return the actions of a head other than tanh."""
        return np.clip(outputs, -1, 1) if self.head == "clip" else _largest(outputs)

    def explore(self, observations: NDArray[np.float32], rng: np.random.Generator, noise: float) -> NDArray[Any]:
        """Return actions with noise.

        Args:
            observations: float32 [batch, observation].
            rng: of the noise.
            noise: standard deviation of what is added to an action, in units of [-1, 1]; of numbered actions the
                probability that one is replaced by a random one. Not used by the policies of SAC and PPO, which are
                distributions themselves.

        Returns:
            As `predict`.

        Raises:
            ValueError: the observations have another number of features; or numbered actions have no noise.
        """
        if self.head == "greedy" and not noise:
            raise ValueError(
                "this policy chooses between numbered actions, and has no noise to add to them (no epsilon_end above "
                "0); leave deterministic=False out"
            )
        if observations.ndim != 2 or observations.shape[1] != self.actor.n_in:
            raise ValueError(f"observations must be [batch, {self.actor.n_in}], got {list(observations.shape)}")
        if self.head in ("clip", "softmax"):
            return self._drawn(self.seen(observations), rng)
        if self.head == "greedy":
            actions = self.predict(observations)
            drawn = rng.random(len(actions)) < noise
            return np.where(drawn, rng.integers(self.action_size, size=len(actions)), actions)
        observations = self.seen(observations)
        if self.actor.n_out == 2 * self.action_size:
            return np.stack([sample_one(self.actor.act(each), rng, self.log_std) for each in observations])
        return np.stack([self.actor.act_squashed(each, rng, noise) for each in observations])

    def _drawn(self, observations: NDArray[np.float32], rng: np.random.Generator) -> NDArray[Any]:
        """Return actions of clip with the noise of their deviations, or of softmax drawn from it."""
        outputs = np.stack([self.actor.act(each)[: self.action_size] for each in observations])
        if self.head == "softmax":
            return drawn(outputs, rng)
        if self.actor.n_out == 2 * self.action_size:  # deviations of their own: softplus of the second half
            normals = SoftplusNormal(self.action_size)
            outputs = np.stack([normals.sample(self.actor.act(each), rng).copy() for each in observations])
        elif self.deviation is not None:
            outputs += self.deviation * normal(rng, outputs.size).reshape(outputs.shape)
        return np.clip(outputs, -1, 1)

    def state(self) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
        """Return what `from_state` needs."""
        arrays, values = self.actor.state(training=False)
        del values["steps"]
        head = {} if self.head == "tanh" else {"head": self.head}
        values = {**values, "action_size": self.action_size, **head}
        if not self.log_std.usual:
            values["log_std"] = list(self.log_std)
        if self.deviation is not None:
            arrays["deviation"] = self.deviation.copy()
        if self.statistics is not None:
            of_statistics, values["normalisation"] = self.statistics.state()
            arrays |= of_statistics
        return arrays, values

    @classmethod
    def from_state(cls, arrays: Mapping[str, NDArray[Any]], values: Mapping[str, Any]) -> Policy:
        """Return the policy that `state` described.

        Raises:
            ValueError: an array is missing or impossible; the message names it.
        """
        actor = Network.from_state(arrays, values, trainable=False)
        action_size = values.get("action_size", actor.n_out)
        if type(action_size) is not int or not 1 <= action_size <= actor.n_out:
            raise ValueError(f"the actor has {actor.n_out} outputs, which cannot hold {shown(action_size)} actions")
        head = values.get("head", "tanh")
        if head not in get_args(Head):
            raise ValueError(
                f"the head of a policy is {', '.join(get_args(Head)[:-1])} or {get_args(Head)[-1]}, got {shown(head)}"
            )
        statistics = None
        if "normalisation" in values:
            statistics = Statistics.from_state(arrays, values["normalisation"], actor.n_in)
        deviation = arrays.get("deviation")
        if deviation is not None and (saved_array(arrays, "deviation", np.float32, (action_size,)) < 0).any():
            raise ValueError("the array deviation has negative numbers")
        return cls(actor, action_size, head, statistics, _log_std(values.get("log_std")), deviation)


def _log_std(saved: object) -> LogStd | None:
    """Return what `Policy.state` saved.

    Raises:
        ValueError: it is impossible.
    """
    if saved is None:
        return None
    if isinstance(saved, list) and len(saved) == 3:
        low, high, soft = saved
        if all(isinstance(bound, float) for bound in (low, high)) and isinstance(soft, bool):
            lowest, highest = LOG_STD_BOUNDS
            if lowest <= low < high <= highest:
                return LogStd(low, high, soft)
    raise ValueError(f"log_std of a policy is two bounds within {list(LOG_STD_BOUNDS)} and soft, got {shown(saved)}")


def drawn(logits: NDArray[np.float32], rng: np.random.Generator) -> NDArray[np.int64]:
    """Draw numbers of choices, int64 [...], from the softmax of logits, float32 [..., choices].

    The largest of logits plus independent Gumbel noise is such a number. It is -1 where there is none.
    """
    numbers: NDArray[np.int64] = (logits + rng.gumbel(size=logits.shape)).argmax(axis=-1)
    return np.where(np.isnan(logits).any(axis=-1), -1, numbers)


def _largest(outputs: NDArray[np.float32]) -> NDArray[np.int64]:
    """Return the number of the largest output of each row, -1 where there is none."""
    return np.where(np.isnan(outputs).any(axis=1), -1, outputs.argmax(axis=1))
