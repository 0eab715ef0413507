"""How dense each layer of a network is: the options, and the formulas."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import inf, log, nan
from typing import Literal, Self

from rewirl.exact import make_exact

Distribution = Literal["erdos-renyi", "uniform", "global", "connectivity"]
Shapes = Sequence[tuple[int, int]]

_ADAPTIVE = (0.2, 1.1, 1.1)
"""The usual lowest sparsity, step and tolerance of an adaptive one."""


@dataclass(frozen=True)
class DistributionConfig:
    """How many connections a network has, at the start and at the end, and how they are spread over its layers."""

    sparsity: float | None = 0.5
    """Share of a network's weights that are absent, spread over its layers by `distribution`; 0 is dense. Set either
    this or `lambdas`. Typical: 0.5 to 0.95."""

    lambdas: tuple[float, ...] | None = None
    """The paper's lambda_l per layer: a connection of layer l exists with probability
    lambda_l (n_l + n_{l-1}) / (n_l n_{l-1}). One for each hidden layer (the output layer is then dense), or one for
    every layer. Typical: 7 64."""

    layer_sparsities: tuple[float, ...] | None = None
    """Sparsity of each layer of every network, inputs first, instead of `sparsity` or `lambdas`; 0 is a dense layer.
    Typical: 0.8 0 0, where only the first layer is sparse, and none."""

    actor_sparsity: float | None = None
    """Sparsity of the actor, instead of `sparsity` or `lambdas`; none is as those say. Typical: 0.5 to 0.97."""

    critic_sparsity: float | None = None
    """Sparsity of the critics, instead of `sparsity` or `lambdas`; none is as those say. Typical: 0.5 to 0.95."""

    initial_sparsity: float | None = None
    """Sparsity of all networks at the start, if it changes. It moves from this value to the final one by events between
    updates --sparsity-start and --sparsity-end. 0 starts dense and prunes; none does not change. Typical: 0."""

    sparsity_start: int = 0
    """Update at which the sparsity begins to change, if there is an initial one. Typical: 20% of all updates."""

    sparsity_end: int = 800_000
    """Update from which on the sparsity is the final one. It changes as a cubic, fast at first. Typical: 80% of all
    updates."""

    sparsity_schedule: Literal["cubic", "adaptive"] = "cubic"
    """How the sparsity changes, if there is an initial one: cubic, from it to the final one; or adaptive (PALS): every
    event between --sparsity-start and --sparsity-end shrinks or expands a network, or neither, by how the loss of the
    critics has changed, and the final sparsity is the highest."""

    lowest_sparsity: float = _ADAPTIVE[0]
    """Adaptive: below it every event shrinks, and none expands a network beyond it. Typical: 0.2."""

    sparsity_step: float = _ADAPTIVE[1]
    """Adaptive: a network that shrinks drops this many times --adapt-fraction and grows that fraction; one that expands
    does the reverse. Typical: 1.05 to 1.2."""

    loss_tolerance: float = _ADAPTIVE[2]
    """Adaptive: how many times the least loss so far still lets a network shrink. Typical: 1.05 to 1.2."""

    distribution: Distribution = "erdos-renyi"
    """How `sparsity` is spread over the layers: erdos-renyi (small layers are denser), uniform (the same in all),
    global (the drop scores of all layers of a network are ranked together; starts dense, as SNIP), or connectivity
    (starts as erdos-renyi; connections added later go to the layers that lack most to be connected, as topology-aware
    revival)."""

    def __post_init__(self) -> None:
        """Turn each value into its type exactly; check each option, and those that exclude each other."""
        make_exact(self, DistributionConfig)
        for name in ("sparsity", "actor_sparsity", "critic_sparsity", "initial_sparsity"):
            value = getattr(self, name)
            if value is not None and not 0 <= value < 1:
                raise ValueError(f"{name} must be at least 0 (dense) and below 1, got {value}")
        if not all(0 <= value < 1 for value in self.layer_sparsities or ()):
            raise ValueError(
                f"every one of layer_sparsities must be at least 0 (dense) and below 1, got {self.layer_sparsities}"
            )
        if self.layer_sparsities is not None and (self.actor_sparsity, self.critic_sparsity) != (None, None):
            raise ValueError("layer_sparsities say how dense actor and critics are; leave their own sparsities out")
        if self.lambdas is not None and not all(0 < value < inf for value in self.lambdas):
            raise ValueError(f"every one of lambdas must be positive and finite, got {self.lambdas}")
        if not 0 <= self.sparsity_start < self.sparsity_end:
            raise ValueError(
                "the sparsity changes from update sparsity_start, 0 or later, to a later sparsity_end, got "
                f"{self.sparsity_start} and {self.sparsity_end}"
            )
        if self.distribution in ("global", "connectivity"):
            self._check_changing_distribution()
        self._check_adaptive()

    def _check_changing_distribution(self) -> None:
        """Check what the distributions need that decide at events: a sparsity that falls or rises as they do."""
        if self.distribution == "global" and self.initial_sparsity != 0:
            raise ValueError("distribution global ranks the connections of a dense network; give initial_sparsity 0")
        if self.lambdas is not None or self.layer_sparsities is not None:
            raise ValueError(
                f"distribution {self.distribution} spreads a sparsity; leave lambdas and layer_sparsities out"
            )
        if self.distribution == "connectivity":
            sparsities = (self.sparsity, self.actor_sparsity, self.critic_sparsity)
            final = max((value for value in sparsities if value is not None), default=0.0)
            if self.initial_sparsity is None or self.initial_sparsity <= final:
                raise ValueError(
                    f"distribution connectivity spreads what is added; give an initial_sparsity of more than {final}"
                )

    def _check_adaptive(self) -> None:
        """Check what an adaptive sparsity needs, and that its options are not given without it."""
        if not 1 < self.sparsity_step < inf:
            raise ValueError(f"sparsity_step must be above 1 and finite, got {self.sparsity_step}")
        if not 1 <= self.loss_tolerance < inf:
            raise ValueError(f"loss_tolerance must be at least 1 and finite, got {self.loss_tolerance}")
        if not 0 <= self.lowest_sparsity < 1:
            raise ValueError(f"lowest_sparsity must be at least 0 and below 1, got {self.lowest_sparsity}")
        if not self.adaptive:
            if (self.lowest_sparsity, self.sparsity_step, self.loss_tolerance) != _ADAPTIVE:
                raise ValueError(
                    "lowest_sparsity, sparsity_step and loss_tolerance belong to sparsity_schedule adaptive; it is "
                    f"{self.sparsity_schedule}"
                )
            return
        if self.initial_sparsity is None:
            raise ValueError("sparsity_schedule adaptive needs an initial_sparsity to start from; 0 is dense")
        if self.distribution in ("global", "connectivity"):
            raise ValueError(
                f"sparsity_schedule adaptive changes every layer by the same share, and distribution "
                f"{self.distribution} does not; leave one of them out"
            )
        if self.lambdas is not None or self.layer_sparsities is not None or self.sparsity is None:
            raise ValueError("adaptive is bounded by sparsity; leave lambdas and layer_sparsities out")
        for name in ("sparsity", "actor_sparsity", "critic_sparsity"):
            value = getattr(self, name)
            if value is not None and value < max(self.lowest_sparsity, self.initial_sparsity):
                raise ValueError(
                    f"{name} is the highest with sparsity_schedule adaptive: it must be no less than lowest_sparsity "
                    f"{self.lowest_sparsity} and initial_sparsity {self.initial_sparsity}, got {value}"
                )

    @property
    def adaptive(self) -> bool:
        """Whether the sparsity follows the loss."""
        return self.sparsity_schedule == "adaptive"

    @property
    def at_start(self) -> Self:
        """The configuration of the networks at the start, with `initial_sparsity` as their sparsity if there is one."""
        if self.initial_sparsity is None:
            return self
        return replace(
            self,
            sparsity=self.initial_sparsity,
            distribution="erdos-renyi" if self.distribution == "connectivity" else self.distribution,
            lambdas=None,
            layer_sparsities=None,
            actor_sparsity=None,
            critic_sparsity=None,
            sparsity_schedule="cubic",
            lowest_sparsity=_ADAPTIVE[0],
            sparsity_step=_ADAPTIVE[1],
            loss_tolerance=_ADAPTIVE[2],
        )

    def of(self, network: str) -> Self:
        """Return the configuration of one network, with its own sparsity instead of `sparsity` or `lambdas`.

        Args:
            network: its name; `actor` has the actor's sparsity, every other one the critics'.
        """
        own = self.actor_sparsity if network == "actor" else self.critic_sparsity
        return self if own is None else replace(self, sparsity=own, lambdas=None)


def erdos_renyi(shapes: Shapes, lambdas: Sequence[float]) -> list[float]:
    """Return the paper's density per layer, min(1, lambda_l (n_l + n_{l-1}) / (n_l n_{l-1})).

    Sokar et al. 2022, section 4, "Sparse topology initialization".

    Args:
        shapes: (n_out, n_in) of every layer, from the input to the output.
        lambdas: lambda_l of every layer, or of every layer but the last, which is then dense.

    Returns:
        One density in (0, 1] per layer.

    Raises:
        ValueError: a wrong number of lambdas, one that is not positive, or layers left without connections.
    """
    _check_shapes(shapes)
    if len(lambdas) not in (len(shapes) - 1, len(shapes)):
        raise ValueError(
            f"{len(lambdas)} lambdas for {len(shapes)} layers:\n{_table(shapes, [nan] * len(shapes))}\n"
            f"Give {len(shapes) - 1} (the output layer is then dense) or {len(shapes)}; or a sparsity, such as 0.5, "
            "in place of the lambdas that the paper's tasks have by default."
        )
    result = [
        min(1.0, scale * (n_out + n_in) / (n_out * n_in)) for scale, (n_out, n_in) in zip(lambdas, shapes, strict=False)
    ]
    result += [1.0] * (len(shapes) - len(result))
    if not all(0 < scale < inf for scale in lambdas):
        raise ValueError(
            f"every lambda must be positive and finite, got {tuple(lambdas)}:\n{_table(shapes, result)}\n"
            "Typical: 7 to 64; about 1 is the least that leaves every unit an input."
        )
    return _possible(f"lambdas {tuple(lambdas)}", shapes, result, "Raise the lambda of this layer.")


def erdos_renyi_for_sparsity(shapes: Shapes, sparsity: float) -> list[float]:
    """Return Erdos-Renyi densities eps (n_l + n_{l-1}) / (n_l n_{l-1}) of which the whole network has `sparsity`.

    Layers that would be denser than dense are dense, and eps is solved again over the others. All layers take part, the
    output layer too. A network repeated side by side (both critics) gets the densities of one: there is one eps anyhow.

    Args:
        shapes: (n_out, n_in) of every layer.
        sparsity: share of absent connections in all layers together, in [0, 1).

    Returns:
        One density in (0, 1] per layer; sum of density * n_out * n_in = (1 - sparsity) * sum of n_out * n_in.

    Raises:
        ValueError: sparsity out of range, or layers left without connections.
    """
    _check_sparsity(shapes, sparsity)
    left = (1 - sparsity) * sum(n_out * n_in for n_out, n_in in shapes)
    sparse = set(range(len(shapes)))
    result = [1.0] * len(shapes)
    while sparse:
        eps = left / sum(sum(shapes[layer]) for layer in sparse)
        for layer in sparse:
            n_out, n_in = shapes[layer]
            result[layer] = eps * (n_out + n_in) / (n_out * n_in)
        saturated = {layer for layer in sparse if result[layer] > 1 - 1e-9}  # dense but for rounding is dense
        if not saturated:
            break
        for layer in saturated:
            result[layer] = 1.0
        sparse -= saturated
        left -= sum(shapes[layer][0] * shapes[layer][1] for layer in saturated)
    return _possible(f"sparsity {sparsity}", shapes, result, "Lower the sparsity, or make the hidden layers wider.")


def uniform(shapes: Shapes, sparsity: float) -> list[float]:
    """Return the same density, 1 - sparsity, for every layer.

    Args:
        shapes: (n_out, n_in) of every layer.
        sparsity: share of absent connections, in [0, 1).

    Returns:
        One density in (0, 1] per layer.

    Raises:
        ValueError: sparsity out of range, or layers left without connections.
    """
    _check_sparsity(shapes, sparsity)
    return _possible(
        f"uniform sparsity {sparsity}",
        shapes,
        [1.0 - sparsity] * len(shapes),
        "Lower the sparsity, or use the erdos-renyi distribution, which keeps small layers denser.",
    )


def with_connectivity(shapes: Shapes, start: Sequence[float], sparsity: float) -> list[float]:
    """Return densities to grow to, by how many connections each layer lacks to be connected (Jin et al. 2026).

    A random graph of N nodes is connected from about N ln(N) / 2 edges on; the nodes of a layer are its inputs and
    outputs. What is added to the network is split in proportion to what the layers lack, as far as there is room in
    them; where none lacks any, in proportion to N, as by Erdos-Renyi.

    Args:
        shapes: (n_out, n_in) of every layer.
        start: density of every layer before.
        sparsity: share of absent connections afterwards, in all layers together.

    Returns:
        One density per layer, none below that at the start.

    Raises:
        ValueError: sparsity out of range, or layers left without connections.
    """
    _check_sparsity(shapes, sparsity)
    nodes, totals = [n_out + n_in for n_out, n_in in shapes], [n_out * n_in for n_out, n_in in shapes]
    connections = [density * total for density, total in zip(start, totals, strict=True)]
    left = (1 - sparsity) * sum(totals) - sum(connections)
    while left > 1e-9 * sum(totals):
        room = [n - has if has < n * (1 - 1e-9) else 0.0 for n, has in zip(totals, connections, strict=True)]
        floors = [min(n * log(n) / 2, total) for n, total in zip(nodes, totals, strict=True)]
        lack = [
            max(0.0, floor - has) if free else 0.0 for floor, has, free in zip(floors, connections, room, strict=True)
        ]
        need = lack if any(lack) else [n if free else 0 for n, free in zip(nodes, room, strict=True)]
        gained = [min(left * share / sum(need), free) for share, free in zip(need, room, strict=True)]
        connections = [has + more for has, more in zip(connections, gained, strict=True)]
        left -= sum(gained)
    return _possible(
        f"sparsity {sparsity} by connectivity",
        shapes,
        [has / total for has, total in zip(connections, totals, strict=True)],
        "Lower the sparsity, or make the hidden layers wider.",
    )


def by_layer(shapes: Shapes, sparsities: Sequence[float]) -> list[float]:
    """Return the density of every layer, given its sparsity.

    Args:
        shapes: (n_out, n_in) of every layer.
        sparsities: share of absent connections of each, in [0, 1).

    Returns:
        One density in (0, 1] per layer.

    Raises:
        ValueError: there are more or fewer sparsities than layers, or a layer is left without connections.
    """
    _check_shapes(shapes)
    if len(sparsities) != len(shapes):
        raise ValueError(
            f"{len(sparsities)} layer_sparsities for a network of {len(shapes)} layers:\n"
            f"{_table(shapes, [nan] * len(shapes))}\nGive one for each layer, the output layer included."
        )
    remedy = "Lower the sparsity of this layer."
    return _possible(f"layer_sparsities {tuple(sparsities)}", shapes, [1 - value for value in sparsities], remedy)


def _possible(setting: str, shapes: Shapes, result: list[float], remedy: str) -> list[float]:
    """Refuse a layer most of whose units would have no input; single such units are usual in a random topology."""
    for number, ((_, n_in), density) in enumerate(zip(shapes, result, strict=True), start=1):
        if (1 - density) ** n_in > 0.5:
            raise ValueError(
                f"{setting} leaves most units of layer {number} without any input:\n{_table(shapes, result)}\n{remedy}"
            )
    return result


def _check_shapes(shapes: Shapes) -> None:
    if not shapes or any(n_out < 1 or n_in < 1 for n_out, n_in in shapes):
        raise ValueError(f"a network needs layers of at least one input and one output unit, got shapes {list(shapes)}")


def _check_sparsity(shapes: Shapes, sparsity: float) -> None:
    _check_shapes(shapes)
    if not 0 <= sparsity < 1:
        raise ValueError(
            f"sparsity must be at least 0 (dense) and below 1, got {sparsity}:\n"
            f"{_table(shapes, [1 - sparsity] * len(shapes))}\nTypical: 0.5 to 0.95."
        )


def _table(shapes: Shapes, result: Sequence[float]) -> str:
    """Lay the layers out in lines; a density that is not known (NaN) is left open."""
    lines = [f"  {'layer':<7}{'shape':<14}{'density':>8}{'connections':>13}{'inputs per unit':>17}"]
    for number, ((n_out, n_in), density) in enumerate(zip(shapes, result, strict=True), start=1):
        cells = ("?", "?", "?")
        if density == density:
            cells = (f"{density:.4f}", f"{density * n_out * n_in:.0f}", f"{density * n_in:.2f}")
        lines.append(f"  {number:<7}{f'{n_out} x {n_in}':<14}{cells[0]:>8}{cells[1]:>13}{cells[2]:>17}")
    return "\n".join(lines)
