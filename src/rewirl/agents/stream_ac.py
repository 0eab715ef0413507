"""Stream AC(lambda), dense, static and rewired (Elsayed et al. 2024, Algorithm 7): they differ by topology alone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import inf
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from rewirl.agents.cost import Cost
from rewirl.agents.networks import Networks
from rewirl.agents.policy import Policy
from rewirl.agents.streaming import StreamConfig, Streaming, finite, saved_vectors
from rewirl.nn import SoftplusNormal

ACTOR, CRITIC = "actor", "critic"
_ONE = np.ones(1, np.float32)


@dataclass(frozen=True)
class StreamACConfig(StreamConfig):
    """Hyper-parameters of Stream AC(lambda)."""

    actor_kappa: float = 3.0
    """How far a step of the policy is kept from overshooting; larger makes smaller steps. Typical: 2 to 3."""

    entropy: float = 0.01
    """Weight of the entropy in what the policy ascends; its sign is that of the error of the value function. Typical:
    0.01."""

    def __post_init__(self) -> None:
        """Refuse what cannot work."""
        super().__post_init__()
        self._require("actor_kappa", 0 < self.actor_kappa < inf, "finite and positive")
        self._require("entropy", 0 <= self.entropy < inf, "finite, 0 or more")


class StreamAC(Streaming[StreamACConfig]):
    """An actor and a critic that learn from every step once, on networks of any density.

    The actor's outputs are the means of a normal distribution of actions, and then what their deviations are the
    softplus of. Actions that are drawn are clipped to [-1, 1] for the environment.

    Args:
        name: what to call it: stream-ac, static-stream-ac or ds-stream-ac.
        config: hyper-parameters.
        observation_size: features of an observation.
        action_size: features of an action.
        seed: of every random stream of the agent.
        threads: a step is computed by one thread, so more change nothing.

    Raises:
        ValueError: the topology is impossible for these sizes, or nothing for networks that see one sample at a time.
    """

    ONLINE: ClassVar[tuple[str, ...]] = (ACTOR, CRITIC)
    STREAMS: ClassVar[Mapping[str, str]] = {"exploration": "exploration"}
    COST = Cost(ONLINE)

    def __init__(
        self, name: str, config: StreamACConfig, observation_size: int, action_size: int, seed: int, threads: int = 1
    ) -> None:
        self._normal = SoftplusNormal(action_size)
        self._drawn: NDArray[np.float32] | None = None  # the action of this step, before it was clipped
        outputs = {ACTOR: 2 * action_size, CRITIC: 1}
        super().__init__(name, config, observation_size, action_size, outputs, seed, threads)

    def _use(self, networks: Networks) -> Policy:
        streams = self._streams_of()
        self._actor, self._critic = streams[ACTOR], streams[CRITIC]
        return Policy(networks.online[ACTOR], self.action_size, head="clip")

    def explore(self, observation: NDArray[np.float32], environment: int = 0) -> NDArray[np.float32]:
        """Return an action a ~ pi(.|s), clipped; see `Agent`."""
        outputs = self._actor.forward(self._met(observation))
        self._drawn = self._normal.sample(outputs, self._streams["exploration"])
        return np.minimum(np.maximum(self._drawn, np.float32(-1)), np.float32(1))

    def _update(
        self,
        state: NDArray[np.float32],
        action: Any,
        reward: float,
        after: NDArray[np.float32],
        discount: float,
        over: bool,
    ) -> float:
        """Learn from a step (Elsayed et al. 2024, Algorithm 7, the body of the loop); see `Streaming`."""
        c, rate, decay = self.config, self.config.learning_rate_at(self.updates), self._decay
        drawn, self._drawn = action if self._drawn is None else self._drawn, None
        # delta = r + gamma v(s') - v(s)
        next_value = float(self._critic.forward(after)[0])
        value = float(self._critic.forward(state)[0])
        delta = finite(reward + discount * next_value - value)
        # z_v <- gamma lambda z_v + grad v(s); ObGD with kappa of the critic
        critic_step = self._critic.step(_ONE, delta, rate, c.kappa, decay, over)
        # z_pi <- gamma lambda z_pi + grad (ln pi(a|s) + entropy sign(delta) H(pi(.|s))); ObGD with kappa of the actor
        outputs = self._actor.forward(state)
        gradient = self._normal.gradient(outputs, drawn, c.entropy * ((delta > 0) - (delta < 0)))
        actor_step = self._actor.step(gradient, delta, rate, c.actor_kappa, decay, over)
        self._told = {"value": value, "actor_step": actor_step, "critic_step": critic_step}
        return delta

    def state(self) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
        """Return everything an exact continuation needs, of a step that has begun too; see `Streaming`."""
        arrays, values = super().state()
        return arrays if self._drawn is None else {**arrays, "drawn": self._drawn.copy()}, values

    def load_state(self, arrays: Mapping[str, NDArray[Any]], values: Mapping[str, Any]) -> None:
        """Put back what `state` returned.

        Raises:
            ValueError: an array or value is missing or does not fit this agent; the message names it. Nothing has
                changed then.
        """
        drawn = saved_vectors(arrays, "drawn", (self.action_size,))
        super().load_state(arrays, values)
        self._drawn = drawn
