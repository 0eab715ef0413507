"""The networks of an agent: any number, by name, with targets, rewiring, recycling, random streams and their state."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rewirl import seeding
from rewirl.agents.adaptation import Adaptation, sparse_network
from rewirl.agents.architecture import Architecture
from rewirl.agents.config import AgentConfig
from rewirl.agents.continual_backprop import ContinualBackprop
from rewirl.agents.dormancy import recycle, refuse_replaced_units
from rewirl.agents.frozen import Frozen, allocate, refuse_full, refuse_unfreezable
from rewirl.agents.plasticity import measured, weight_norm
from rewirl.nn import (
    Ensemble,
    Initialisation,
    Network,
    Pool,
    Start,
    TargetNetwork,
    Tiles,
    mlp,
    update_targets,
)
from rewirl.nn.operations import ends
from rewirl.nn.state import described
from rewirl.saved import count, fields, shown
from rewirl.topology.predictive import predictability


class Networks:
    """Networks that learn, targets of some of them, and the random streams of the agent that owns them.

    Every network starts with a random sparse topology of its own (Sokar et al. 2022, sparse initialisation); its
    target is a copy, topology included.

    Args:
        architectures: of the networks that learn, by name.
        targets: which of them have a target.
        streams: the purpose of each random stream by its name; see `seeding.generator`.
        config: the agent's settings.
        initialisation: of the weights.
        seed: of every random stream.
        pool: the threads.

    Raises:
        ValueError: the sparsity is impossible for these sizes, or there is no such rule, or a network has units that
            cannot be recycled.
    """

    def __init__(
        self,
        architectures: Mapping[str, Architecture],
        targets: Sequence[str],
        streams: Mapping[str, str],
        config: AgentConfig,
        initialisation: Initialisation,
        seed: int,
        pool: Pool,
    ) -> None:
        self._config, self._pool, self._seed = config, pool, seed
        self._architectures = architectures
        self._starts = {
            name: Start(made.initialisation or initialisation, config.topology.initial_scale, made.gains)
            for name, made in architectures.items()
        }
        self._adaptation = Adaptation(config.topology, seed)
        self._purposes = streams
        self.streams = {name: seeding.generator(seed, purpose) for name, purpose in streams.items()}
        """The random streams by name."""
        self._redo_rng = seeding.generator(seed, "recycling")
        self._recycled = 0
        online = {name: self._new(name) for name in architectures}
        for name, network in online.items():
            if not _is_mlp(network):
                refuse_replaced_units(config, name)
        if config.topology.initial_topology == "predictive" and not any(map(_chooses_inputs, online.values())):
            raise ValueError(
                "initial_topology predictive chooses the connections of first layers, and those of all networks are "
                "dense; give a higher sparsity, or layer_sparsities"
            )
        if config.topology.freeze_after:
            refuse_unfreezable(config, online)
            for name, network in online.items():
                refuse_full(name, network, len(config.topology.freeze_after))
        self.frozen = Frozen()
        """The connections that never change again."""
        self._begin(online, targets)

    def _begin(self, online: dict[str, Network], targets: Iterable[str]) -> None:
        """Own networks before their first step, with targets that are copies."""
        c = self._config
        self._own(
            online,
            {name: TargetNetwork(online[name]) for name in targets},
            {name: ContinualBackprop(network, c) for name, network in online.items() if c.cbp_replacement_rate},
        )

    def _new(self, name: str, predicts: NDArray[np.float64] | None = None) -> Network:
        """Return a network as it begins; see `sparse_network`."""
        made = self._architectures[name]
        return sparse_network(
            made.n_in,
            made.operations,
            self._config.topology,
            self._seed,
            name,
            self._starts[name].initialisation,
            made.gains,
            predicts,
        )

    def freeze(self) -> int:
        """End a task: freeze the hidden connections that live, and give every network new ones and new outputs.

        Returns:
            The number of the task, from 1.

        Raises:
            ValueError: the settings do not allow it, or a network has no free place; names which. Nothing has changed.
        """
        refuse_unfreezable(self._config, self.online)
        for name, network in self.online.items():
            refuse_full(name, network, before=self.frozen.tasks)
        self.frozen.freeze(self.online)
        topology, seed = self._config.topology, self._seed
        for name, network in self.online.items():
            allocate(name, network, self.frozen.tasks, topology, self._starts[name].initialisation, seed)
            self.frozen.moved(name, network)
        return self.frozen.tasks

    def predictive(self, observations: NDArray[Any], actions: NDArray[Any], later: NDArray[Any]) -> Networks:
        """Return new networks, whose first layers are chosen by what predicts the next observation.

        Everything else is as networks began: other layers, the numbers of connections, and the streams.

        Args:
            observations: float32 [steps, observation].
            actions: float32 [steps, action].
            later: the observations after the steps, float32 [steps, observation].

        Raises:
            ValueError: a network takes neither observations nor observations and actions.
        """
        predicts = predictability(np.concatenate([observations, actions], axis=1), later)
        online = {}
        for name, made in self._architectures.items():
            if made.n_in not in (observations.shape[1], predicts.shape[0]):
                raise ValueError(
                    f"initial_topology predictive needs networks of observations, or of observations and actions; "
                    f"{name} has {made.n_in} inputs"
                )
            online[name] = self._new(name, predicts[: made.n_in])
        other = copy.copy(self)
        other._begin(online, self.targets)
        return other

    def _own(
        self,
        online: dict[str, Network],
        targets: dict[str, TargetNetwork],
        continual: dict[str, ContinualBackprop],
    ) -> None:
        self.online, self.targets = online, targets
        """The networks that learn, and the targets of some of them, by name."""
        self._continual = continual
        self._ensembles: dict[tuple[Any, ...], Ensemble] = {}
        if self._config.bias_correction == "connection":  # of layers too that are dense now and may not be later
            for network in online.values():
                network.count_ages()

    def all(self) -> dict[str, Network]:
        """Return all networks by name; a target is called target_ and the name of what it follows."""
        return {**self.online, **{f"target_{name}": target for name, target in self.targets.items()}}

    def ensemble(self, *names: str, gradients: bool | None = None, batch_statistics: bool | None = None) -> Ensemble:
        """Return networks that take the same input and are computed side by side; the same object for the same request.

        Args:
            *names: as `all` has them.
            gradients: as for `Ensemble`.
            batch_statistics: as for `Ensemble`.
        """
        key = (*names, gradients, batch_statistics)
        if key not in self._ensembles:
            networks = [self.all()[name] for name in names]
            dense = self._adaptation.rule.uses_gradient
            self._ensembles[key] = Ensemble(networks, self._pool, gradients, batch_statistics, dense)
        return self._ensembles[key]

    def update_targets(self, tau: float) -> None:
        """Move every target towards its network: the soft update, then MaintainSparsity; see `nn.update_targets`."""
        update_targets(self.targets.values(), tau, self._pool)

    def note_errors(self, errors: Sequence[Tiles], targets: Tiles, weights: Tiles) -> None:
        """Tell a sparsity that adapts to the loss how far values are from their targets, before their step.

        Args:
            errors: of each network of values, float32 [tiles, 1, width].
            targets: of the values, float32 [tiles, 1, width].
            weights: of the samples, as for `after_step`; they add up to 1.
        """
        adaptive = self._adaptation.sparsity
        if adaptive is None:
            return
        w, y = weights.astype(np.float64), targets.astype(np.float64)
        squares = [float((each.astype(np.float64) ** 2 * w).sum()) for each in errors]
        adaptive.note(sum(squares) / len(squares), float((y**2 * w).sum() - (y * w).sum() ** 2))

    def after_step(self, names: tuple[str, ...], x: Tiles, weights: Tiles, update: int) -> None:
        """Do what falls on an update once networks have taken a step: rewire, then recycle dormant units (ReDo) or
        replace those of least utility (continual backprop).

        Args:
            names: of the networks, which took the step as one ensemble.
            x: their inputs in that step, float32 [tiles, n_in, width].
            weights: of the samples, 0 for padding, float32 [tiles, 1, width].
            update: its number, from 1.
        """
        c = self._config
        if self.frozen.tasks:
            for name in names:
                self.frozen.restore(name, self.online[name])
        if self._adaptation.due(update):
            for number, name in enumerate(names):
                if not c.topology.rewires(name):
                    continue
                gradient = partial(self.ensemble(*names).dense_gradient, number, x=x)
                self._adaptation.adapt(name, self.online[name], update, gradient, self.frozen)
                if self._continual:
                    self._continual[name].rewired()
        # After an event, which drops the smallest weights first: outgoing weights of new units are 0.
        before = self._recycled
        for number, name in enumerate(names):
            start, rng = self._starts[name], self._redo_rng
            if c.redo_every and update % c.redo_every == 0:
                stays = partial(self.frozen.of, name)
                self._recycled += recycle(self.ensemble(*names), number, weights, c.redo_threshold, start, rng, stays)
            if self._continual:
                self._recycled += self._continual[name].step(self.ensemble(*names), number, weights, start, rng)
        if self.frozen.tasks and self._recycled > before:
            for name in names:
                self.frozen.restore(name, self.online[name])

    def rewire(self, name: str, update: int) -> None:
        """Rewire a network that has just taken a step, if an event falls on it; its rule needs no gradient.

        Args:
            name: of the network.
            update: its number, from 1.
        """
        if self._adaptation.due(update) and self._config.topology.rewires(name):
            self._adaptation.adapt(name, self.online[name], update, _no_gradient)

    def diagnostics(self, inputs: Mapping[tuple[str, ...], Tiles], weights: Tiles) -> dict[str, float]:
        """Return named scalars: the connections rewired and the units recycled so far, and of each network the measures
        of `plasticity.measured`.

        Args:
            inputs: the batch for each ensemble, float32 [tiles, n_in, width]; of networks that are in none only the
                norm of their weights is told.
            weights: of its samples, as for `after_step`.
        """
        result = {"rewired": float(self._adaptation.rewired)}
        if self._config.redo_every or self._continual:
            result["recycled"] = float(self._recycled)
        if self._adaptation.sparsity is not None:
            result |= self._adaptation.sparsity.told()
        samples = int(np.count_nonzero(weights))
        for names, x in inputs.items():
            ensemble = self.ensemble(*names)
            ensemble.forward(x, samples)
            for number, name in enumerate(names):
                found = measured(ensemble, number, weights)
                result.update({f"{name}_{what}": value for what, value in found.items()})
        for name, network in self.online.items():
            if not any(name in names for names in inputs):
                result[f"{name}_weight_norm"] = weight_norm(network)
        return result

    def state(self) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
        """Return everything an exact continuation needs: networks, moments, targets, streams, counters."""
        arrays: dict[str, NDArray[Any]] = {}
        values: dict[str, Any] = {
            "adaptation": self._adaptation.state(),
            **{name: seeding.state(stream) for name, stream in self.streams.items()},
            "redo": {"rng": seeding.state(self._redo_rng), "recycled": self._recycled},
            "networks": {},
        }
        for name, network in self.all().items():
            network_arrays, values["networks"][name] = network.state()
            arrays.update({f"{name}.{key}": array for key, array in network_arrays.items()})
        for name, units in self._continual.items():
            arrays.update({f"cbp.{name}.{key}": array for key, array in units.state().items()})
        of_frozen, tasks = self.frozen.state()
        return {**arrays, **of_frozen}, {**values, **tasks}

    def restored(self, arrays: Mapping[str, NDArray[Any]], values: Mapping[str, Any]) -> Networks:
        """Return networks of the same kind as `state` described them; these here stay what they are.

        Raises:
            ValueError: an array or value is missing or does not fit; the message names it.
        """
        online: dict[str, Network] = {}
        targets: dict[str, TargetNetwork] = {}
        saved = values.get("networks")
        for name, own in self.all().items():
            own_arrays = {k.partition(".")[2]: a for k, a in arrays.items() if k.partition(".")[0] == name}
            own_values = saved.get(name) if isinstance(saved, dict) else None
            own_values = own_values if isinstance(own_values, dict) else {}
            _check_description(name, own, own_values)
            try:
                if name in self.online:
                    online[name] = Network.from_state(own_arrays, own_values)
                    self._check_structure(own, online[name])
                else:
                    followed = name.removeprefix("target_")
                    targets[followed] = TargetNetwork.restored(online[followed], own_arrays, own_values)
            except ValueError as error:
                raise ValueError(f"the saved {name}: {error}") from error
        continual = {}
        for name, units in self._continual.items():
            prefix = f"cbp.{name}."
            records = {key.removeprefix(prefix): a for key, a in arrays.items() if key.startswith(prefix)}
            try:
                continual[name] = units.restored(online[name], records)
            except ValueError as error:
                raise ValueError(f"the saved {name}: {error}") from error
        other = copy.copy(self)
        other._adaptation = Adaptation(self._config.topology, 0)
        other._adaptation.load_state(values.get("adaptation"))
        other.streams = {name: _restored(purpose, values.get(name)) for name, purpose in self._purposes.items()}
        redo = values.get("redo", {"rng": seeding.state(self._redo_rng), "recycled": 0})  # earlier versions had none
        redo = fields(redo, "the saved state of recycling")
        other._recycled = count(redo.get("recycled"), "the saved number of units recycled")
        other._redo_rng = _restored("recycling", redo.get("rng"))
        other.frozen = Frozen.restored(online, arrays, values)
        other._own(online, targets, continual)
        return other

    def _check_structure(self, own: Network, saved: Network) -> None:
        """Refuse layers whose connections are not spread as the structure says; this agent's own are."""
        topology = self._config.topology
        if topology.spread is None:
            return
        for index, (layer, mine) in enumerate(zip(saved.layers, own.layers, strict=True)):
            if topology.ablate_below and index < len(own.layers) - 1:
                continue  # fan-ins move from unit to unit there
            if not topology.spread.kept(layer.shape, mine.places(), layer.places()):
                raise ValueError(f"layer {layer.name} does not have the structure {topology.structure}")


def _chooses_inputs(network: Network) -> bool:
    """Tell whether there is a sparse layer of the network's inputs."""
    return any(first and not network.layer(name).dense for name, (first, _) in ends(network.operations).items())


def _no_gradient(layer: str) -> NDArray[np.float32]:
    raise ValueError(f"there is no batch whose gradient {layer} could have")


def _is_mlp(network: Network) -> bool:
    """Tell whether a network is a multilayer perceptron, whatever its layers store."""
    own, expected = ([(o.kind, o.name, o.of) for o in each] for each in (network.operations, mlp(network.sizes)))
    return own == expected


def _described(network: Network) -> dict[str, Any]:
    return described(network.n_in, network.operations, network.sizes)


def _check_description(name: str, own: Network, saved: Mapping[str, Any]) -> None:
    """Refuse a saved network that is made of something else than the agent's own, before it is made."""
    expected = _described(own)
    if "sizes" in expected and ("operations" in saved or saved.get("sizes") != expected["sizes"]):
        raise ValueError(
            f"the saved {name} has the sizes {shown(saved.get('sizes'))}, this agent's {expected['sizes']}"
        )
    if any(saved.get(key) != value for key, value in expected.items()):
        raise ValueError(f"the saved {name} is made of other operations than this agent's")


def _restored(purpose: str, saved: Any) -> np.random.Generator:
    stream = seeding.generator(0, purpose)
    seeding.restore(stream, saved)
    return stream
