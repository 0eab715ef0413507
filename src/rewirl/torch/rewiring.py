"""Rules of Rewirl on a model of PyTorch: connections are rewired after steps of its optimiser."""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, distributed, nn
from torch.nn.parallel import DistributedDataParallel

from rewirl import seeding
from rewirl.exact import exactly
from rewirl.hints import did_you_mean
from rewirl.saved import count, fields, number
from rewirl.topology import LayerState, TopologyConfig, densities, drop_scores, layer_budgets, make_rule, rewire
from rewirl.topology.budget import budgets_from
from rewirl.topology.memory import KEPT, RuleMemory
from rewirl.topology.rounding import rounds_to_nothing
from rewirl.topology.structure import UNSTRUCTURED
from rewirl.torch.dense_gradient import DenseGradient
from rewirl.torch.layers_of import ends_of, layers_of
from rewirl.torch.linear import SparseLinear
from rewirl.torch.optimizers import carry, optimizers_of
from rewirl.torch.uncompiled import uncompiled

_SAME_SPARSITY = 0.1
"""How far a model's sparsity may be from the one asked for: small layers and blocks do not meet it exactly."""

_OF_EVENTS = (
    "adapt_every", "adapt_fraction", "adapt_offset", "adapt_end", "anneal", "drop", "grow", "regrow_dropped",
    "sparsity_schedule",
)  # fmt: skip
"""Options of TopologyConfig that are about events."""

_OF_CHANGE = ("initial_sparsity", "sparsity", "sparsity_start", "sparsity_end", "distribution")
"""Those that are about a sparsity that changes."""


class Rewiring:
    """Rewires the sparse layers of a model on a schedule; `step` follows every `optimizer.step()`.

    A dropped connection takes its optimiser state with it: of every tensor in `optimizer.state` that has a number for
    each value. A grown one begins with the value 0 and the state of a new parameter: zeros; in Adagrad's sum
    `initial_accumulator_value`, in Rprop's step sizes `lr`. `values.grad` is None after an event.

    A frozen layer, whose `values.requires_grad` is False at an event, is left as it is. So is one that no gradient has
    reached since the last step, if the rule needs it.

    Args:
        model: has layers that are `SparseLinear`; they are rewired in the order of `model.modules()`.
        optimizer: owns their values; or several, where two own the same layer. `torch.optim.LBFGS` cannot be used, as
            it does not keep values apart.
        rule: set, rigl, static, prune, wast, or package.module:Class; with settings of its own as in Python,
            package.module:Class(decay=0.9).
        seed: of the rule's random stream.
        followers: models whose layers of the same names have the same connections, and go on having them, such as a
            target network. Their grown values are 0 too. A layer may be the model's own.
        options: fields of `rewirl.topology.TopologyConfig`, by name: adapt_every, adapt_offset, adapt_fraction, anneal,
            adapt_end, drop, grow, regrow_dropped; initial_sparsity, sparsity, sparsity_start, sparsity_end and
            distribution, for a sparsity that changes. The layers are made with initial_sparsity as their sparsity then.

    Raises:
        TypeError: there is no such option, or it is about layers, which are as they were made.
        ValueError: there is no such rule, an option is impossible, the model has no layer to be rewired, the optimiser
            does not own its values, or two layers share them; or the rule needs a gradient, of which each of several
            processes has a part.
    """

    def __init__(
        self,
        model: nn.Module,
        optimizer: torch.optim.Optimizer | Sequence[torch.optim.Optimizer],
        rule: str = "set",
        seed: int = 0,
        followers: Sequence[nn.Module] = (),
        **options: Any,
    ) -> None:
        known = _OF_EVENTS + (_OF_CHANGE if "initial_sparsity" in options else ("initial_sparsity",))
        for name in sorted(options.keys() - {*known}):
            if name in _OF_CHANGE:
                raise TypeError(
                    f"Rewiring has no use for {name!r} without initial_sparsity: the sparsity of layers stays"
                )
            elsewhere = name in TopologyConfig.__dataclass_fields__
            hint = "layers are as they were made, by SparseLinear(...)" if elsewhere else did_you_mean(name, known)
            raise TypeError(f"Rewiring has no option {name!r}; {hint}")
        self.config = TopologyConfig(rule=rule, **options)
        if self.config.adaptive:
            raise ValueError("sparsity_schedule adaptive goes by the losses of an agent; give cubic")
        self._layers = layers_of(model)
        if not self._layers:
            raise ValueError("the model has no SparseLinear, so there is nothing to rewire")
        if self.config.initial_sparsity is not None:  # what is impossible is refused now, not at the first event
            densities(self.config, self._shapes())
        self._ends = ends_of(model)
        blocks = (layer.structure for layer in self._layers.values() if layer.blocks is not None)
        # What ranks weights by sign cannot rank blocks: it is refused or, where the rule's paper has it, replaced.
        self._in_blocks = TopologyConfig(rule=rule, structure=next(blocks, UNSTRUCTURED), **options)
        self.rule = make_rule(rule, self._in_blocks)
        self.rewired = 0
        """Connections grown so far."""
        self.updates = 0
        """Steps of the optimiser so far."""
        self._initial: list[float] | None = None  # densities of the layers as they begin to change, if they are to
        self._begun = False
        self._memory = RuleMemory(self.rule)
        self._rng = seeding.generator(exactly(int, seed, "seed"), "adaptation")
        self._optimizers = optimizers_of(optimizer)
        if any(isinstance(each, torch.optim.LBFGS) for each in self._optimizers):
            raise ValueError("LBFGS keeps the history of all values in one tensor, which cannot be rewired")
        self._refuse_other_owner()
        self._refuse_parts_of_a_gradient(model)
        self._followers = [self._following(follower) for follower in followers]
        self._refuse_shared_values()
        self._gradients: dict[str, DenseGradient] = {}
        self._watch()
        for line in self._odd(options):
            warnings.warn(line, stacklevel=2)

    @uncompiled
    @torch.inference_mode(False)
    def step(self) -> bool:
        """Count a step of the optimiser, and rewire if an event is due.

        Returns:
            Whether there was an event.

        Raises:
            ValueError: the rule broke its contract, or keeps what no state can hold; or the optimiser owns the values
                no longer; or, at the first step, also after another schedule's state was loaded, a sparsity is to
                change and the layers do not have the initial one.
            RuntimeError: the rule needs a gradient, and no backward pass has added to one since the last call.
            FloatingPointError: values, or gradients that the rule needs, are not finite.
        """
        if not self._begun:
            self._begin()
            self._begun = True
        self.updates += 1
        due = self._due(self.updates)
        if due:
            self._event()
        self._watch()
        return due

    def state_dict(self) -> dict[str, Any]:
        """Return what an exact continuation needs apart from the states of the model and the optimiser."""
        return {
            "rng": seeding.state(self._rng),
            "rewired": self.rewired,
            "updates": self.updates,
            **({} if self._initial is None else {"initial_densities": self._initial, "schedule": self._schedule()}),
            **self._memory.state(),
        }

    def load_state_dict(self, state: Any) -> None:
        """Put back what `state_dict` returned; the model and the optimiser are loaded by themselves.

        A sparsity goes on changing from where it began only by the schedule that the state is of. By another one it
        begins anew, at the next step, with the densities that the layers have.

        Raises:
            ValueError: it is not such a state.
        """
        values = fields(state, "the saved rewiring")
        rewired, updates = (count(values.get(name), f"the saved number {name}") for name in ("rewired", "updates"))
        rng = seeding.generator(0, "adaptation")
        seeding.restore(rng, values.get("rng"))
        initial = values.get("initial_densities")  # none before the first step
        if values.get("schedule") != self._schedule():  # a phase of its own
            initial = None
        if initial is not None:
            if not isinstance(initial, list) or len(initial) != len(self._layers):
                raise ValueError(f"the saved initial_densities must be a list of {len(self._layers)}, one per layer")
            initial = [number(each, "a saved initial density") for each in initial]
            if not all(0 <= each <= 1 for each in initial):
                raise ValueError("a saved initial density is not between 0 and 1")
        self._memory.load_state(values)
        self._rng, self._initial, self._begun = rng, initial, initial is not None
        self.rewired, self.updates = rewired, updates
        self._watch()
        if values.get(KEPT):
            warnings.warn(
                f"the rewiring does not go on to the bit: its rule {self.config.rule} keeps something from one event "
                f"to the next, in {', '.join(values[KEPT])[:200]}, and no state has it. A rule with rewirl_state() and "
                "load_rewirl_state(values) goes on exactly",
                stacklevel=2,
            )

    def _due(self, update: int) -> bool:
        return self.rule.adapts and self.config.due(update)

    def _odd(self, options: Mapping[str, Any]) -> list[str]:
        """Return what is odd about the layers and how their sparsity is to change, a line each."""
        c, lines = self.config, list[str]()
        if c.initial_sparsity is None:
            full = all(layer.connections == math.prod(layer.shape) for layer in self._layers.values())
            if self.rule.adapts and full:
                lines.append(f"the rule {c.rule} does nothing: the layers have every connection; give them a sparsity")
            states = [
                (LayerState(layer.shape, layer.indices.numpy(), layer.values.detach().numpy()), layer.blocks)
                for layer in self._layers.values()
                if layer.connections < math.prod(layer.shape)
            ]
            lines += filter(None, [rounds_to_nothing(c, states)])
            return lines
        if "sparsity" not in options:
            lines.append(f"the sparsity changes to {c.sparsity:g}, the default of sparsity; give the one to be reached")
        if "sparsity_end" not in options:
            lines.append(
                f"the sparsity changes until update {c.sparsity_end:,}, the default of sparsity_end; give the update "
                "by which it is to be reached"
            )
        last = None if c.adapt_end is None else c.adapt_end - (c.adapt_end - c.adapt_offset) % c.adapt_every
        if last is not None and last < c.sparsity_end:
            lines.append(
                f"the sparsity does not get to its end: sparsity_end is {c.sparsity_end:,}, and by adapt_end the last "
                f"event is on update {max(last, 0):,}"
            )
        return lines

    def _shapes(self) -> list[tuple[int, int]]:
        return [layer.shape for layer in self._layers.values()]

    def _schedule(self) -> list[Any] | None:
        """Return what a state must agree in to go on with a sparsity that changes; None where it stays."""
        c = self.config
        if c.initial_sparsity is None:
            return None
        return [c.initial_sparsity, c.sparsity, c.sparsity_start, c.sparsity_end, c.distribution]

    def _begin(self) -> None:
        """Note how dense layers are before their sparsity changes, and refuse other ones than it is to change from.

        At the first step, as states are loaded before. Pruning the best of the whole model, distribution global, begins
        with what is there.
        """
        initial = self.config.initial_sparsity
        if initial is None or self.config.distribution == "global":
            return
        connections, places = [each.connections for each in self._layers.values()], list(map(math.prod, self._shapes()))
        sparsity = 1 - sum(connections) / sum(places)
        if abs(sparsity - initial) > _SAME_SPARSITY:
            raise ValueError(
                f"the sparsity is to change from initial_sparsity {initial:g}, but that of the model's layers is "
                f"{sparsity:.4g}; make them with it: SparseLinear(..., sparsity={initial:g})"
                + (f", or give initial_sparsity={sparsity:.4g} to go on from there" if self.updates else "")
            )
        self._initial = [there / total for there, total in zip(connections, places, strict=True)]

    def _refuse_other_owner(self) -> None:
        groups = [group for optimizer in self._optimizers for group in optimizer.param_groups]
        owned = {id(parameter) for group in groups for parameter in group["params"]}
        for name, layer in self._layers.items():
            if layer.values.requires_grad and id(layer.values) not in owned:
                raise ValueError(
                    f"the optimiser does not own the values of the layer {name!r}; give it model.parameters() as they "
                    "are now, or add them by add_param_group"
                )

    def _refuse_parts_of_a_gradient(self, model: nn.Module) -> None:
        """Refuse processes that would grow other connections each."""
        for module in model.modules() if self.rule.uses_gradient else ():
            if isinstance(module, DistributedDataParallel) and distributed.get_world_size(module.process_group) > 1:
                raise ValueError(
                    f"the rule {self.config.rule} needs the gradient of the loss, and of that each process has only "
                    "the part of its own samples; take a rule without a gradient, such as set"
                )

    def _refuse_shared_values(self) -> None:
        """Refuse layers with one parameter but connections of their own, as an event would part them."""
        of_values: dict[Tensor, tuple[str, SparseLinear]] = {}
        for layers in (self._layers, *self._followers):
            for name, layer in layers.items():
                other, first = of_values.setdefault(layer.values, (name, layer))
                if first is not layer:
                    raise ValueError(
                        f"the layers {other!r} and {name!r} share their values, but an event rewires each by itself; "
                        "put one SparseLinear into both places"
                    )

    def __repr__(self) -> str:
        """Return the rule, its layers and how far it is."""
        connections = sum(layer.connections for layer in self._layers.values())
        return (
            f"Rewiring({self.config.rule!r}, {len(self._layers)} layers, {connections:,} connections, every "
            f"{self.config.adapt_every:,} updates; updates={self.updates:,}, rewired={self.rewired:,})"
        )

    def _following(self, follower: nn.Module) -> dict[str, SparseLinear]:
        found = layers_of(follower)
        if found.keys() != self._layers.keys():
            raise ValueError(f"a follower has the sparse layers {list(found)}, the model has {list(self._layers)}")
        return found

    def _watch(self) -> None:
        """Collect the gradients of the next update, if its event asks for them."""
        for gradient in self._gradients.values():
            gradient.close()
        wanted = self.rule.uses_gradient and self._due(self.updates + 1)
        self._gradients = {name: DenseGradient(layer) for name, layer in self._layers.items() if wanted}

    def _rewirable(self) -> list[str]:
        """Return the names of the layers that take part in an event.

        Raises:
            RuntimeError: the rule needs a gradient, and not one of them has any.
            FloatingPointError: one has numbers that are not finite.
        """
        trained = [name for name, layer in self._layers.items() if layer.values.requires_grad]
        found = self._reached(trained) if self.rule.uses_gradient else trained
        for name in found:
            if not torch.isfinite(self._layers[name].values).all():
                raise FloatingPointError(
                    f"the layer {name!r} has values that are not finite; lower the learning rate, or clip gradients"
                )
        return found

    def _reached(self, trained: list[str]) -> list[str]:
        """Return which of these layers a gradient has reached; see `_rewirable`."""
        found = [name for name in trained if self._gradients[name]]
        for name in found:
            if not self._gradients[name].finite:
                raise FloatingPointError(
                    f"the gradient of the layer {name!r} has numbers that are not finite; lower the learning rate, or "
                    "where optimizer.step is left out for such numbers, leave out rewiring.step too"
                )
        if trained and not found:
            raise RuntimeError(
                "the rule needs the gradient of the loss, and since the last step, or since the rewiring was made or "
                "loaded, no backward pass has added to the values.grad of its layers; call backward, optimizer.step "
                "and rewiring.step in this order"
            )
        return found

    def _event(self) -> None:
        self._refuse_other_owner()
        config, fraction = self.config, self.config.fraction_at(self.updates)
        layers, rewirable = list(self._layers.items()), self._rewirable()

        def scores(number: int) -> NDArray[np.float64]:
            name, layer = layers[number]
            return drop_scores(self.rule, self._state(name), fraction, self._rng, layer.blocks)

        connections = [layer.connections for _, layer in layers]
        if self._initial is None:
            budgets = layer_budgets(config, self._shapes(), connections, self.updates, scores)
        else:
            budgets = budgets_from(self._initial, config, self._shapes(), connections, self.updates)
        changes = []  # of all layers, before one of them is touched: what is refused changes nothing
        for (name, layer), budget in zip(layers, budgets, strict=True):
            if name not in rewirable or budget == layer.connections == math.prod(layer.shape):
                continue
            followers = {id(each): each for each in (follower[name] for follower in self._followers)}
            followers.pop(id(layer), None)
            if any(not torch.equal(follower.indices, layer.indices) for follower in followers.values()):
                raise ValueError(
                    f"a follower has other connections in the layer {name!r} than the model; load the model's state "
                    "into it"
                )
            change = rewire(
                self.rule,
                self._state(name),
                fraction,
                self._rng,
                regrow_dropped=config.regrow_dropped,
                connections=budget,
                structure=layer.blocks,
            )
            if len(change.dropped) or len(change.grown):
                changes.append((layer, followers.values(), change))
        self._memory.check(lambda: make_rule(self.config.rule, self._in_blocks))
        for layer, following, change in changes:
            before = layer.values.shape
            source = layer.rewire(change.dropped, change.grown)
            carry(self._optimizers, layer.values, before, source)
            for follower in following:
                follower.rewire(change.dropped, change.grown)
            self.rewired += len(change.grown)

    def _state(self, name: str) -> LayerState:
        layer = self._layers[name]
        first, last = self._ends
        return LayerState(
            layer.shape,
            layer.indices.numpy(),
            layer.values.detach().numpy(),
            self._gradients[name].total if self.rule.uses_gradient else None,
            1,
            name,
            layer is first,
            layer is last,
        )
