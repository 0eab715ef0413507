"""What agents with an actor and twin critics have in common: their networks, streams and state, not how they learn."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from rewirl import seeding
from rewirl.agents.adaptation import Adaptation, sparse_network
from rewirl.agents.config import AgentConfig
from rewirl.agents.policy import Policy
from rewirl.nn import Group, Initialisation, Pool, SparseMLP, TargetNetwork, empty_tiles
from rewirl.replay import Batch

ONLINE = ("actor", "critic1", "critic2")


class ActorCritic:
    """An actor, twin critics, and targets of some of them, all of any density.

    Args:
        name: what to call the agent.
        config: hyper-parameters.
        observation_size: features of an observation.
        action_size: features of an action.
        actor_outputs: outputs of the actor, the first `action_size` of them the deterministic policy before its tanh.
        initialisation: of the weights.
        seed: of every random stream of the agent.
        threads: 2 computes the critics side by side; the results are the same.

    Raises:
        ValueError: the sparsity is impossible for these sizes, or there is no such rule.
    """

    TARGETS: ClassVar[tuple[str, ...]] = ()
    """Which of the online networks have a target."""

    STREAMS: ClassVar[Mapping[str, str]] = {}
    """The purpose of each random stream, by its name."""

    def __init__(
        self,
        name: str,
        config: AgentConfig,
        observation_size: int,
        action_size: int,
        actor_outputs: int,
        initialisation: Initialisation,
        seed: int,
        threads: int,
    ) -> None:
        """See the class."""
        self.name = name
        self.observation_size = observation_size
        self.action_size = action_size
        self.updates = 0
        self._topology = config.topology
        self._pool = Pool(threads)
        self._adaptation = Adaptation(config.topology, seed)
        self._streams = {name: seeding.generator(seed, purpose) for name, purpose in self.STREAMS.items()}
        self._batch = Batch(config.batch_size, observation_size, action_size, self._pool)
        # Of the last update: y, and Q_i - y.
        self._y, *self._errors = (empty_tiles(config.batch_size, 1) for _ in range(3))
        self._learnt: set[str] = set()

        # Sparse initialisation: Erdos-Renyi topologies for pi, Q_1, Q_2; the targets are copies, topology included.
        hidden = list(config.hidden_sizes)
        sizes = {"actor": [observation_size, *hidden, actor_outputs]}
        sizes |= {critic: [observation_size + action_size, *hidden, 1] for critic in ("critic1", "critic2")}
        online = {n: sparse_network(sizes[n], config.topology, seed, n, initialisation) for n in ONLINE}
        if config.bias_correction == "connection":
            for network in online.values():
                network.count_ages()
        self._assemble(online, {name: TargetNetwork(online[name]) for name in self.TARGETS})

    def _assemble(self, online: dict[str, SparseMLP], targets: dict[str, TargetNetwork]) -> None:
        self._online, self._targets = online, targets
        self._actor, self._critic1, self._critic2 = online.values()
        self._actors = Group([self._actor], self._pool)
        self._critics = Group([self._critic1, self._critic2], self._pool)
        self._target_critics = Group([targets["critic1"], targets["critic2"]], self._pool)
        self._policy = Policy(self._actor, self.action_size)

    def predict(self, observations: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the policy's actions without noise, float32 [batch, action] for float32 [batch, observation]."""
        return self._policy.predict(observations)

    def _adapt_critics(self) -> None:
        self._adaptation.adapt(self._critic1, self.updates)
        self._adaptation.adapt(self._critic2, self.updates)

    def _adapt_actor(self) -> None:
        self._adaptation.adapt(self._actor, self.updates)

    def diagnostics(self) -> dict[str, float]:
        """Return the critics' losses, the mean target, and the connections rewired so far; empty before an update."""
        if not self._learnt:
            return {}
        w = self._batch.weights.astype(np.float64)
        result = {f"critic{i}_loss": float((e**2 * w).sum()) for i, e in enumerate(self._errors, 1)}
        result["target_mean"] = float((self._y * w).sum())
        result["rewired"] = float(self._adaptation.rewired)
        return result

    def networks(self) -> dict[str, SparseMLP]:
        """Return actor, critic1, critic2 and the targets by name."""
        return {**self._online, **{f"target_{name}": target for name, target in self._targets.items()}}

    def state(self) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
        """Return everything an exact continuation needs: networks, moments, targets, streams, counters."""
        arrays: dict[str, NDArray[Any]] = {}
        values: dict[str, Any] = {
            "updates": self.updates,
            "adaptation": self._adaptation.state(),
            **{name: seeding.state(stream) for name, stream in self._streams.items()},
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
        online: dict[str, SparseMLP] = {}
        targets: dict[str, TargetNetwork] = {}
        saved = values.get("networks")
        for name, own in self.networks().items():
            own_arrays = {k.partition(".")[2]: a for k, a in arrays.items() if k.partition(".")[0] == name}
            own_values = saved.get(name) if isinstance(saved, dict) else None
            sizes = own_values.get("sizes") if isinstance(own_values, dict) else None
            if not isinstance(own_values, dict) or sizes != list(own.sizes):
                raise ValueError(f"the saved {name} has the sizes {sizes}, this agent's {list(own.sizes)}")
            try:
                if own.trainable:
                    online[name] = SparseMLP.from_state(own_arrays, own_values)
                else:
                    followed = name.removeprefix("target_")
                    targets[followed] = TargetNetwork.restored(online[followed], own_arrays, own_values)
            except ValueError as error:
                raise ValueError(f"the saved {name}: {error}") from error
        updates = values.get("updates")
        if not isinstance(updates, int) or isinstance(updates, bool) or updates < 0:
            raise ValueError(f"the saved number of updates is {updates!r}")
        adaptation = Adaptation(self._topology, 0)
        adaptation.load_state(values.get("adaptation"))
        streams = {name: seeding.generator(0, purpose) for name, purpose in self.STREAMS.items()}
        for name, stream in streams.items():
            seeding.restore(stream, values.get(name))
        self._adaptation, self._streams, self.updates = adaptation, streams, updates
        self._learnt.clear()
        self._assemble(online, targets)

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
