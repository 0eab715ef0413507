"""What agents with an actor and twin critics have in common: their networks, streams and state, not how they learn."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from rewirl import seeding
from rewirl.agents.adaptation import Adaptation, sparse_network
from rewirl.agents.config import AgentConfig
from rewirl.agents.dormancy import dormant_share, recycle
from rewirl.agents.policy import Policy
from rewirl.nn import Ensemble, Initialisation, Network, Pool, TargetNetwork, Tiles, empty_tiles
from rewirl.replay import Batch, Replay
from rewirl.saved import count, fields, shown

ONLINE = ("actor", "critic1", "critic2")

# Dynamic-capacity buffer of RLx2 (Tan et al. 2023): updates between two looks at the oldest transitions, and how many.
FORGET_EVERY, FORGET_AT_ONCE = 10_000, 2048

DORMANT = 0.025
"""Score up to which a unit counts as dormant in the diagnostics."""


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
        self._settings = config
        self._pool = Pool(threads)
        self._adaptation = Adaptation(config.topology, seed)
        self._initialisation: Initialisation = initialisation
        self._redo_rng = seeding.generator(seed, "recycling")
        self._recycled = 0
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
        self._assemble(online, {name: TargetNetwork(online[name]) for name in self.TARGETS})

    def _assemble(self, online: dict[str, Network], targets: dict[str, TargetNetwork]) -> None:
        self._online, self._targets = online, targets
        if self._settings.bias_correction == "connection":  # of layers too that are dense now and may not be later
            for network in online.values():
                network.count_ages()
        self._actor, self._critic1, self._critic2 = online.values()
        self._actors = Ensemble([self._actor], self._pool)
        self._critics = Ensemble([self._critic1, self._critic2], self._pool)
        self._target_critics = Ensemble([targets["critic1"], targets["critic2"]], self._pool)
        self._passes = {"actor": (self._actors, 0), "critic1": (self._critics, 0), "critic2": (self._critics, 1)}
        self._policy = Policy(self._actor, self.action_size)

    def predict(self, observations: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the policy's actions without noise, float32 [batch, action] for float32 [batch, observation]."""
        return self._policy.predict(observations)

    def _sample(self, replay: Replay) -> Batch:
        """Draw the batch of an update, of windows of `n_steps` once `n_steps_after` updates are done."""
        c = self._settings
        if c.buffer_distance is not None and self.updates % FORGET_EVERY == 0:
            self._forget(replay, c.buffer_distance, c.buffer_minimum)
        if c.buffer_empty_every and self.updates % c.buffer_empty_every == 0:
            replay.forget(max(0, len(replay) - c.buffer_minimum))
        steps = c.n_steps if self.updates > c.n_steps_after else 1
        return replay.sample(self._batch, steps, c.gamma)

    def _forget(self, replay: Replay, distance: float, minimum: int) -> None:
        """Forget the oldest transitions, some at a time, while they are not those of the policy (Tan et al. 2023)."""
        while len(replay) > minimum:
            states, actions = replay.oldest(FORGET_AT_ONCE)
            if np.square(self.predict(states) - actions).mean() / 2 <= distance:
                return
            replay.forget(min(FORGET_AT_ONCE, len(replay) - minimum))

    def _recycle(self, names: tuple[str, ...]) -> None:
        """Begin anew with the dormant units of networks that have just taken a step, where ReDo is wanted and due."""
        c = self._settings
        if c.redo_every and self.updates % c.redo_every == 0:
            for name in names:
                self._recycled += recycle(
                    *self._passes[name], self._batch.weights, c.redo_threshold, self._initialisation, self._redo_rng
                )

    def _adapt_critics(self, batch: Batch) -> None:
        for name in ("critic1", "critic2"):
            self._adapt(name, batch.states_actions)

    def _adapt_actor(self, batch: Batch) -> None:
        self._adapt("actor", batch.states)

    def _adapt(self, name: str, x: Tiles) -> None:
        ensemble, number = self._passes[name]
        gradient = partial(ensemble.dense_gradient, number, x=x)
        self._adaptation.adapt(name, self._online[name], self.updates, gradient)

    def diagnostics(self) -> dict[str, float]:
        """Return named scalars of the last update; empty before the first.

        The critics' losses, the mean target, the connections rewired and the units recycled so far, and the share of
        the hidden units of each network that are dormant on the last batch (score at most DORMANT).
        """
        if not self._learnt:
            return {}
        w = self._batch.weights.astype(np.float64)
        result = {f"critic{i}_loss": float((e**2 * w).sum()) for i, e in enumerate(self._errors, 1)}
        result["target_mean"] = float((self._y * w).sum())
        result["rewired"] = float(self._adaptation.rewired)
        if self._settings.redo_every:
            result["recycled"] = float(self._recycled)
        self._actors.forward(self._batch.states)  # anew, as predicting may have come between
        self._critics.forward(self._batch.states_actions)
        for name, passes in self._passes.items():
            result[f"{name}_dormant"] = dormant_share(*passes, self._batch.weights, DORMANT)
        return result

    def networks(self) -> dict[str, Network]:
        """Return actor, critic1, critic2 and the targets by name."""
        return {**self._online, **{f"target_{name}": target for name, target in self._targets.items()}}

    def state(self) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
        """Return everything an exact continuation needs: networks, moments, targets, streams, counters."""
        arrays: dict[str, NDArray[Any]] = {}
        values: dict[str, Any] = {
            "updates": self.updates,
            "adaptation": self._adaptation.state(),
            **{name: seeding.state(stream) for name, stream in self._streams.items()},
            "redo": {"rng": seeding.state(self._redo_rng), "recycled": self._recycled},
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
        online: dict[str, Network] = {}
        targets: dict[str, TargetNetwork] = {}
        saved = values.get("networks")
        for name, own in self.networks().items():
            own_arrays = {k.partition(".")[2]: a for k, a in arrays.items() if k.partition(".")[0] == name}
            own_values = saved.get(name) if isinstance(saved, dict) else None
            sizes = own_values.get("sizes") if isinstance(own_values, dict) else None
            if not isinstance(own_values, dict) or sizes != list(own.sizes):
                raise ValueError(f"the saved {name} has the sizes {shown(sizes)}, this agent's {list(own.sizes)}")
            try:
                if own.trainable:
                    online[name] = Network.from_state(own_arrays, own_values)
                    self._check_structure(own, online[name])
                else:
                    followed = name.removeprefix("target_")
                    targets[followed] = TargetNetwork.restored(online[followed], own_arrays, own_values)
            except ValueError as error:
                raise ValueError(f"the saved {name}: {error}") from error
        updates = count(values.get("updates"), "the saved number of updates")
        adaptation = Adaptation(self._settings.topology, 0)
        adaptation.load_state(values.get("adaptation"))
        streams = {name: seeding.generator(0, purpose) for name, purpose in self.STREAMS.items()}
        for name, stream in streams.items():
            seeding.restore(stream, values.get(name))
        redo = values.get("redo", {"rng": seeding.state(self._redo_rng), "recycled": 0})  # earlier versions had none
        redo = fields(redo, "the saved state of recycling")
        recycled = count(redo.get("recycled"), "the saved number of units recycled")
        redo_rng = seeding.generator(0, "recycling")
        seeding.restore(redo_rng, redo.get("rng"))
        self._redo_rng, self._recycled = redo_rng, recycled
        self._adaptation, self._streams, self.updates = adaptation, streams, updates
        self._learnt.clear()
        self._assemble(online, targets)

    def _check_structure(self, own: Network, saved: Network) -> None:
        """Refuse layers whose connections are not spread as the structure says; this agent's own are."""
        topology = self._settings.topology
        if topology.spread is None:
            return
        for index, (layer, mine) in enumerate(zip(saved.layers, own.layers, strict=True)):
            if topology.ablate_below and index < len(own.layers) - 1:
                continue  # fan-ins move from unit to unit there
            counts, wanted = (topology.spread.counts(each.shape, each.places()) for each in (layer, mine))
            if (counts != wanted).any():
                raise ValueError(f"layer {index} does not have the structure {topology.structure}")

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
