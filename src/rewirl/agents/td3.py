"""TD3, Static-TD3 and DS-TD3 (Fujimoto et al. 2018; Sokar et al. 2022, Algorithm 1): they differ by topology alone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import inf
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from rewirl import seeding
from rewirl.agents.adaptation import Adaptation, sparse_network
from rewirl.agents.policy import Policy
from rewirl.nn import Group, Pool, SparseMLP, TargetNetwork, empty_tiles, squash_gradient, update_targets
from rewirl.replay import Batch, Replay
from rewirl.topology import TopologyConfig


@dataclass(frozen=True)
class TD3Config:
    """Hyper-parameters of TD3; the defaults are those of Sokar et al. 2022."""

    hidden_sizes: tuple[int, ...] = (256, 256)
    """Units of the hidden layers of actor and critics. Typical: 256 256."""

    topology: TopologyConfig = field(default_factory=TopologyConfig)
    """Which connections exist and how they are rewired."""

    learning_rate: float = 1e-3
    """Step size of Adam. Larger learns faster until it diverges. Typical: 3e-4 to 1e-3."""

    weight_decay: float = 2e-4
    """L2 penalty added to Adam's gradients, biases included; 0 is none. Typical: 0 to 1e-3."""

    bias_correction: Literal["network", "connection"] = "network"
    """What Adam's bias correction counts: the steps of the network, which gives grown connections long first steps, or
    those of each connection since it was grown."""

    batch_size: int = 100
    """Transitions per update. Typical: 100 to 256."""

    gamma: float = 0.99
    """Discount of future rewards per step. Typical: 0.98 to 0.995."""

    tau: float = 0.005
    """Share of the online networks that the targets take over per target update. Typical: 0.001 to 0.01."""

    policy_delay: int = 2
    """Critic updates per update of actor and targets, d in the paper. Typical: 1 to 2."""

    policy_noise: float = 0.2
    """Standard deviation of the noise that smooths the target policy, in units of [-1, 1]. Typical: 0.1 to 0.2."""

    noise_clip: float = 0.5
    """Bound of that noise. Typical: 0.5."""

    exploration_noise: float = 0.1
    """Standard deviation of the noise on actions while training, in units of [-1, 1]. Typical: 0.1."""

    learning_starts: int = 25_000
    """Steps with uniformly random actions before the first update. Typical: 1000 to 25000."""

    buffer_size: int = 1_000_000
    """Transitions the replay memory holds. Typical: 100000 to 1000000."""

    def __post_init__(self) -> None:
        """Refuse what cannot work."""
        for name, fine, rule in (
            ("hidden_sizes", min(self.hidden_sizes, default=0) >= 1, "at least one size, each at least 1"),
            ("learning_rate", 0 < self.learning_rate < inf, "finite and positive"),
            ("weight_decay", 0 <= self.weight_decay < inf, "finite, 0 or more"),
            ("bias_correction", self.bias_correction in ("network", "connection"), "network or connection"),
            ("batch_size", self.batch_size >= 1, "at least 1"),
            ("gamma", 0 <= self.gamma <= 1, "between 0 and 1"),
            ("tau", 0 < self.tau <= 1, "above 0 and at most 1"),
            ("policy_delay", self.policy_delay >= 1, "at least 1"),
            ("policy_noise", 0 <= self.policy_noise < inf, "finite, 0 or more"),
            ("noise_clip", self.noise_clip >= 0, "0 or more"),
            ("exploration_noise", 0 <= self.exploration_noise < inf, "finite, 0 or more"),
            ("learning_starts", self.learning_starts >= 1, "at least 1 (the first update needs a transition)"),
            ("buffer_size", self.buffer_size >= 1, "at least 1"),
        ):
            if not fine:
                raise ValueError(f"{name} must be {rule}, got {getattr(self, name)}")


class TD3:
    """Twin delayed deep deterministic policy gradient on networks of any density.

    Args:
        name: what to call it: td3, static-td3 or ds-td3.
        config: hyper-parameters.
        observation_size: features of an observation.
        action_size: features of an action.
        seed: of every random stream of the agent.
        threads: 2 computes the critics side by side; the results are the same.

    Raises:
        ValueError: the sparsity is impossible for these sizes, or there is no such rule.
    """

    def __init__(
        self, name: str, config: TD3Config, observation_size: int, action_size: int, seed: int, threads: int = 1
    ) -> None:
        """See the class."""
        self.name = name
        self.config = config
        self.observation_size = observation_size
        self.action_size = action_size
        self.updates = 0
        self._pool = Pool(threads)
        self._adaptation = Adaptation(config.topology, seed)
        self._exploration = seeding.generator(seed, "exploration noise")
        self._smoothing = seeding.generator(seed, "policy noise")
        self._batch = Batch(config.batch_size, observation_size, action_size, self._pool)
        # Of the last update: y, Q_i - y, and Q_1(s, pi(s)) / batch of the last that was one of the actor.
        self._y, *self._errors, self._policy_values = (empty_tiles(config.batch_size, 1) for _ in range(4))
        self._nothing = empty_tiles(config.batch_size, 1)
        self._learnt: set[str] = set()
        self._ascent = [-self._batch.weights]

        # Sparse initialisation: Erdos-Renyi topologies for pi, Q_1, Q_2; the targets are copies, topology included.
        hidden = list(config.hidden_sizes)
        actor = sparse_network([observation_size, *hidden, action_size], config.topology, seed, "actor")
        critics = [
            sparse_network([observation_size + action_size, *hidden, 1], config.topology, seed, f"critic{i}")
            for i in (1, 2)
        ]
        if config.bias_correction == "connection":
            for network in (actor, *critics):
                network.count_ages()
        self._assemble([actor, *critics], [TargetNetwork(network) for network in (actor, *critics)])

    def _assemble(self, online: list[SparseMLP], targets: list[TargetNetwork]) -> None:
        self._actor, self._critic1, self._critic2 = online
        self._targets = targets
        self._actors = Group(online[:1], self._pool)
        self._critics = Group(online[1:], self._pool)
        self._first_critic = Group(online[1:2], self._pool)
        self._target_actors = Group(targets[:1], self._pool)
        self._target_critics = Group(targets[1:], self._pool)
        self._policy = Policy(self._actor)

    def explore(self, observation: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return pi(s) + N(0, exploration_noise), clipped.

        Args:
            observation: float32 [observation].

        Returns:
            float32 [action] in [-1, 1].
        """
        return self._actor.act_squashed(observation, self._exploration, self.config.exploration_noise)

    def predict(self, observations: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return pi(s) for a batch, float32 [batch, action] in [-1, 1] for float32 [batch, observation]."""
        return self._policy.predict(observations)

    def update(self, replay: Replay) -> None:
        """Do one update (Sokar et al. 2022, Algorithm 1, the body of the loop after a transition is stored)."""
        self.updates += 1
        batch = replay.sample(self._batch)
        adapt = self._adaptation.due(self.updates)
        self._update_critics(batch)
        if adapt:
            self._adaptation.adapt(self._critic1, self.updates)
            self._adaptation.adapt(self._critic2, self.updates)
        if self.updates % self.config.policy_delay == 0:
            self._update_actor(batch)
            if adapt:
                self._adaptation.adapt(self._actor, self.updates)
            update_targets(self._targets, self.config.tau, self._pool)  # soft update, then MaintainSparsity

    def _update_critics(self, batch: Batch) -> None:
        c = self.config
        # a' = clip(pi'(s') + clip(N(0, policy_noise), -noise_clip, noise_clip), -1, 1), with pi = tanh of the actor
        self._target_actors.compute(batch.next_states)
        self._targets[0].squash(batch.next_actions, self._smoothing, c.policy_noise, c.noise_clip)
        # y = r + gamma (1 - terminated) min_i Q'_i(s', a')
        self._target_critics.compute(batch.next_states_actions)
        self._target_critics.minimum(c.gamma, batch.continues, batch.rewards, out=self._y)
        # L_i = mean (Q_i(s, a) - y)^2
        self._critics.regress(
            batch.states_actions, self._y, batch.weights, self._errors, c.learning_rate, c.weight_decay
        )
        self._learnt.add("critics")

    def _update_actor(self, batch: Batch) -> None:
        c = self.config
        # L = -mean Q_1(s, pi(s)); the actions of the batch have served, so pi(s) takes their place
        self._actors.compute(batch.states)
        self._actor.squash(batch.actions)
        self._first_critic.compute(batch.states_actions)
        self._first_critic.minimum(1.0, batch.weights, self._nothing, out=self._policy_values)  # of one: its output
        self._learnt.add("actor")
        # dL/da = -(1/batch) dQ_1/da; only the action columns of the first layer are needed, no parameter of Q_1 is
        self._first_critic.backward(
            batch.states_actions, self._ascent, parameters=False, inputs_from=self.observation_size
        )
        # through a = tanh(z): dL/dz = dL/da (1 - a^2)
        gradient = self._critic1.input_gradient
        squash_gradient(batch.actions, gradient)
        self._actors.descend(batch.states, [gradient], c.learning_rate, c.weight_decay)

    def diagnostics(self) -> dict[str, float]:
        """Return the critics' losses, the mean target, the mean Q_1(s, pi(s)) and the connections rewired so far."""
        if not self._learnt:
            return {}
        w = self._batch.weights.astype(np.float64)
        result = {f"critic{i}_loss": float((e**2 * w).sum()) for i, e in enumerate(self._errors, 1)}
        result["target_mean"] = float((self._y * w).sum())
        if "actor" in self._learnt:
            result["policy_value"] = float(self._policy_values.sum(dtype=np.float64))
        result["rewired"] = float(self._adaptation.rewired)
        return result

    def networks(self) -> dict[str, SparseMLP]:
        """Return actor, critic1, critic2 and their targets by name."""
        online = {"actor": self._actor, "critic1": self._critic1, "critic2": self._critic2}
        return {**online, **{f"target_{n}": t for n, t in zip(online, self._targets, strict=True)}}

    def state(self) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
        """Return everything an exact continuation needs: networks, moments, targets, streams, counters."""
        arrays: dict[str, NDArray[Any]] = {}
        values: dict[str, Any] = {
            "updates": self.updates,
            "adaptation": self._adaptation.state(),
            "exploration": seeding.state(self._exploration),
            "smoothing": seeding.state(self._smoothing),
            "networks": {},
        }
        for name, network in self.networks().items():
            network_arrays, values["networks"][name] = network.state()
            arrays.update({f"{name}.{key}": array for key, array in network_arrays.items()})
        return arrays, values

    def load_state(self, arrays: Mapping[str, NDArray[Any]], values: Mapping[str, Any]) -> None:
        """Put back what `state` returned.

        Raises:
            ValueError: an array or value is missing or does not fit this agent; the message names it. Nothing has
                changed then.
        """
        restored: list[SparseMLP] = []
        names, saved = list(self.networks()), values.get("networks")
        for name, own in self.networks().items():
            own_arrays = {k.partition(".")[2]: a for k, a in arrays.items() if k.partition(".")[0] == name}
            own_values = saved.get(name) if isinstance(saved, dict) else None
            sizes = own_values.get("sizes") if isinstance(own_values, dict) else None
            if not isinstance(own_values, dict) or sizes != list(own.sizes):
                raise ValueError(f"the saved {name} has the sizes {sizes}, this agent's {list(own.sizes)}")
            try:
                if own.trainable:
                    restored.append(SparseMLP.from_state(own_arrays, own_values))
                else:
                    online = restored[names.index(name.removeprefix("target_"))]
                    restored.append(TargetNetwork.restored(online, own_arrays, own_values))
            except ValueError as error:
                raise ValueError(f"the saved {name}: {error}") from error
        updates = values.get("updates")
        if not isinstance(updates, int) or isinstance(updates, bool) or updates < 0:
            raise ValueError(f"the saved number of updates is {updates!r}")
        adaptation = Adaptation(self.config.topology, 0)
        adaptation.load_state(values.get("adaptation"))
        exploration, smoothing = seeding.generator(0, "exploration noise"), seeding.generator(0, "policy noise")
        seeding.restore(exploration, values.get("exploration"))
        seeding.restore(smoothing, values.get("smoothing"))
        self._adaptation, self._exploration, self._smoothing = adaptation, exploration, smoothing
        self.updates = updates
        self._learnt.clear()
        self._assemble(restored[:3], [t for t in restored[3:] if isinstance(t, TargetNetwork)])

    def policy_state(self) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
        """Return what `Policy.from_state` needs: the actor alone."""
        return self._policy.state()

    def use_threads(self, threads: int) -> None:
        """Compute with so many of the threads it was made with from now on; the results do not depend on it.

        Raises:
            ValueError: there are not so many.
        """
        self._pool.use(threads)

    def close(self) -> None:
        """Join the worker threads; may be called again."""
        self._pool.close()
