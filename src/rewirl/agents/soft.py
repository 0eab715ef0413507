"""What SimBa, XQC and CrossQ have in common: SAC's policy and temperature on networks with norms."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import inf
from typing import Any, ClassVar, TypeVar

import numpy as np
from numpy.typing import NDArray

from rewirl.agents.actor_critic import ACTOR, CRITICS
from rewirl.agents.architecture import Architecture
from rewirl.agents.config import UNIT_REPLACEMENT, ReplayConfig
from rewirl.agents.networks import Networks
from rewirl.agents.policy import Policy
from rewirl.agents.replay_learner import ReplayLearner
from rewirl.agents.temperature import Temperature
from rewirl.nn import Ensemble, Initialisation, LogStd, Operation, Samples, SquashedGaussian, Tiles, sample_one
from rewirl.replay import Batch


@dataclass(frozen=True)
class SoftConfig(ReplayConfig):
    """Hyper-parameters of SAC on networks with norms."""

    WITHOUT: ClassVar[Mapping[str, str]] = {
        **dict.fromkeys(
            UNIT_REPLACEMENT, "it replaces units of multilayer perceptrons of ReLUs, and there are none here"
        ),
        "freeze_after": "connections and biases can be frozen, and its norms learn too",
    }

    actor_hidden_sizes: tuple[int, ...] = (256, 256)
    """Units of the hidden layers of the actor."""

    actor_learning_rate: float | None = None
    """Step size of the actor at the start; it follows the schedule in proportion to --learning-rate. None is the
    same."""

    initial_temperature: float = 1.0
    """Weight of the entropy in the objective at the start, from which it is learnt. Typical: 0.01 to 1."""

    target_entropy: float | None = None
    """Entropy of the policy that the temperature is learnt for, in nats; none is in proportion to the action
    dimensions, as the agent's paper says."""

    def __post_init__(self) -> None:
        """Validate."""
        super().__post_init__()
        smallest = min(self.actor_hidden_sizes, default=0)
        self._require("actor_hidden_sizes", smallest >= 1, "at least one size, each at least 1")
        rate = self.actor_learning_rate
        self._require("actor_learning_rate", rate is None or 0 < rate < inf, "finite and positive, or none")
        self._require("initial_temperature", 0 < self.initial_temperature < inf, "finite and positive")
        entropy = self.target_entropy
        self._require("target_entropy", entropy is None or -inf < entropy < inf, "finite, or none")


Config = TypeVar("Config", bound=SoftConfig)


class SoftActorCritic(ReplayLearner[Config]):
    """A tanh-Gaussian actor, twin critics, and a temperature that is learnt.

    The mean of the Gaussian is the deterministic policy.

    Args:
        name: what to call the agent.
        config: hyper-parameters.
        observation_size: features of an observation.
        action_size: features of an action.
        architectures: of actor and critics, by name.
        log_std: how outputs of the actor become standard deviations.
        target_entropy: that of the paper, which the config may replace.
        initialisation: of the weights whose architecture says nothing else.
        seed: of every random stream of the agent.
        threads: 2 computes the critics side by side; the results are the same.

    Raises:
        ValueError: the sparsity is impossible for these sizes, or there is no such rule.
    """

    ONLINE: ClassVar[tuple[str, ...]] = (*ACTOR, *CRITICS)
    STREAMS: ClassVar[Mapping[str, str]] = {"exploration": "exploration noise", "policy": "policy noise"}

    def __init__(
        self,
        name: str,
        config: Config,
        observation_size: int,
        action_size: int,
        architectures: Mapping[str, Architecture],
        log_std: LogStd,
        target_entropy: float,
        initialisation: Initialisation,
        seed: int,
        threads: int,
    ) -> None:
        self._target_entropy = target_entropy if config.target_entropy is None else config.target_entropy
        self._temperature = self._new_temperature(config, action_size)
        self._log_std = log_std
        self._gaussian = SquashedGaussian(config.batch_size, action_size, log_std)
        self._told: dict[str, float] = {}
        super().__init__(name, config, observation_size, action_size, architectures, initialisation, seed, threads)

    def _new_temperature(self, config: SoftConfig, action_size: int) -> Temperature:
        return Temperature("auto", self._target_entropy, action_size, config.initial_temperature, of_alpha=True)

    def _use(self, networks: Networks) -> Policy:
        self._told.clear()
        self._of_critics: Callable[[], tuple[Sequence[float], float]] | None = None
        """Returns the losses of the critics in the last update, and the mean target."""
        self._critic_names = tuple(name for name in CRITICS if name in networks.online)
        self._actor = networks.ensemble(*ACTOR)
        self._critics = networks.ensemble(*self._critic_names)
        return Policy(networks.online["actor"], self.action_size, log_std=self._log_std)

    def _explore(self, observation: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return a ~ pi(.|s).

        Args:
            observation: float32 [observation], as networks see it.

        Returns:
            float32 [action] in [-1, 1].
        """
        return sample_one(self._policy.actor.act(observation), self._streams["exploration"], self._log_std)

    @property
    def _learning_rate(self) -> float:
        """The step size of this update, of critics and temperature."""
        return self.config.learning_rate_at(self.updates)

    @property
    def _actor_learning_rate(self) -> float:
        """The step size of this update, of the actor."""
        own = self.config.actor_learning_rate
        return self._learning_rate * (1.0 if own is None else own / self.config.learning_rate)

    def _draw_actions(self, actor: Ensemble, states: Tiles, out: Tiles) -> Samples:
        """Draw a ~ pi(.|s) for every state of a batch, and write the actions where they belong."""
        (raw,) = actor.forward(states, self.config.batch_size)
        return self._gaussian.sample(raw, out, self._streams["policy"])

    def _actor_gradient(self, batch: Batch, samples: Samples, d_actions: Sequence[Tiles], alpha: float) -> Tiles:
        """Return the gradient of mean (alpha ln pi(a|s) - Q(s, a)) for the outputs of the actor.

        Args:
            batch: the batch.
            samples: the actions, which are in it.
            d_actions: the gradient of -mean Q(s, a) with respect to the actions, as a sum.
            alpha: the temperature.
        """
        first, *others = d_actions
        for other in others:
            first += other
        # through a = tanh(mean + exp(log_std) N(0, 1)) and through ln pi(a|s), dL/dln pi = alpha / batch
        self._told["entropy"] = -float(np.vdot(samples.log_probability, batch.weights))
        return self._gaussian.gradient(samples, first, np.float32(alpha) * batch.weights)

    def diagnostics(self) -> dict[str, float]:
        """Return named scalars of the last update; empty before the first.

        The critics' losses and the mean target; of the policy the mean value of its actions, its entropy in nats, and
        the temperature; and those of `Networks.diagnostics` on the last batch.
        """
        if self._of_critics is None:
            return {}
        batch, (losses, target_mean) = self._batch, self._of_critics()
        inputs = {ACTOR: batch.states, self._critic_names: batch.states_actions}
        told = {f"critic{number}_loss": loss for number, loss in enumerate(losses, 1)}
        told |= {"target_mean": target_mean, **self._told, "temperature": self._temperature.value}
        return {**told, **self._networks.diagnostics(inputs, batch.weights)}

    def state(self) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
        """Return everything an exact continuation needs: networks, moments, targets, streams, counters, temperature."""
        arrays, values = super().state()
        return arrays, {**values, "temperature": self._temperature.state()}

    def load_state(self, arrays: Mapping[str, NDArray[Any]], values: Mapping[str, Any]) -> None:
        """Put back what `state` returned.

        Raises:
            ValueError: an array or value is missing or does not fit this agent; the message names it. Nothing has
                changed then.
        """
        temperature = self._new_temperature(self.config, self.action_size)
        temperature.load_state(values.get("temperature"))
        super().load_state(arrays, values)
        self._temperature = temperature


def architectures_of(
    observation_size: int, action_size: int, actor: Sequence[Operation], critic: Sequence[Operation]
) -> dict[str, Architecture]:
    """Return the architectures of actor and twin critics.

    Args:
        observation_size: features of an observation.
        action_size: features of an action.
        actor: what the actor is made of.
        critic: what each critic is made of.
    """
    critics = Architecture(observation_size + action_size, critic)
    return {"actor": Architecture(observation_size, actor), **dict.fromkeys(CRITICS, critics)}
