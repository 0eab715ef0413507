"""How far an exported policy is from the one it was made of, on random observations."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rewirl import seeding
from rewirl.environments.action_bounds import ActionBounds
from rewirl.export.plan import Floats, NormalStep, Plan
from rewirl.nn import reference
from rewirl.training.trained_policy import TrainedPolicy

OBSERVATIONS = 1000
"""How many are tried."""

BOUND = 1e-4
"""More than this, in units of half the range of an action, is no rounding of float32."""

_TIE = 1e-5


@dataclass(frozen=True)
class Parity:
    """What comparing has shown.

    Args:
        by: what computed the exported policy: the C compiler, NumPy or onnxruntime.
        difference: the largest of any action from what float64 makes of the policy, in units of half its range; None
            where actions are choices.
        others: observations in which another choice was made, of outputs that are no tie; None for a Box.
        own: the largest difference of the policy itself, which computes in float32 too; None where actions are choices.
        apart: the largest distance of neighbouring float32 numbers within the bounds of an action, in these units.
        unexplained: the largest difference that this distance does not explain.
        unchosen: observations for which the policy itself makes no choice, as its outputs are no numbers.
    """

    by: str
    difference: float | None
    others: int | None
    own: float | None = None
    apart: float = 0.0
    unexplained: float = 0.0
    unchosen: int = 0

    @property
    def within(self) -> bool:
        """Whether rounding in float32 explains it."""
        return not self.others if self.difference is None else self.unexplained < BOUND

    @property
    def wild(self) -> bool:
        """Whether Rewirl's own float32 is far away too: the network has numbers that are too large for it."""
        return self.unchosen > 0 or (self.own is not None and self.own - self.apart >= BOUND)

    def __str__(self) -> str:
        """Say it in words."""
        if self.difference is None:
            return f"{self.others:,} of {OBSERVATIONS:,} random observations lead to another choice ({self.by})"
        return (
            f"largest difference on {OBSERVATIONS:,} random observations: {self.difference:.2g} of half an action's "
            f"range ({self.by}), from the policy in float64; Rewirl's own float32: {self.own:.2g}"
            + (f"; so narrow are its bounds that float32 numbers are {self.apart:.2g} apart" * (self.apart > BOUND))
        )


def observations(plan: Plan) -> Floats:
    """Return random observations, float32 [OBSERVATIONS, n_in]: normal, as spread as what normalises them first says.

    Where nothing does they are standard normal.
    """
    drawn = seeding.generator(0, "export").standard_normal((OBSERVATIONS, plan.n_in)).astype(np.float32)
    for step in plan.steps:
        if isinstance(step, NormalStep) and step.reads == (0,):
            factor = np.abs(step.factor_float32)
            spread = np.divide(1, factor, out=np.ones_like(factor), where=factor != 0)
            return step.mean + drawn * spread
    return drawn


def compare(trained: TrainedPolicy, exported: Callable[[Floats], NDArray[Any]], by: str, plan: Plan) -> Parity:
    """Compare an exported policy with the one it was made of.

    Args:
        trained: the policy.
        exported: returns the actions for observations.
        by: what computes them.
        plan: what was exported.
    """
    given, actions = observations(plan), trained.spaces.actions
    chosen = trained.act(given)
    expected, got = actions.to_user(chosen), exported(given)
    if isinstance(actions, ActionBounds):
        half = (actions.high - actions.low) / 2
        exact = np.clip(actions.low / 2 + actions.high / 2 + half * _exact(trained, given), actions.low, actions.high)

        units = np.where(half > 0, half, 1)
        apart = np.spacing(np.maximum(np.abs(actions.low), np.abs(actions.high)).astype(np.float32)) / units

        def differences(found: NDArray[Any]) -> NDArray[np.float64]:
            difference: NDArray[np.float64] = np.abs(found.reshape(exact.shape) - exact) / units
            return np.where(np.isnan(difference), np.inf, difference)

        exported_differences = differences(got)
        return Parity(
            by,
            float(exported_differences.max()),
            None,
            float(differences(expected).max()),
            float(apart[half > 0].max(initial=0)),
            float((exported_differences - apart).max()),
        )
    other = np.flatnonzero(got != expected)
    others = sum(not _tie(trained, given[i], got[i], expected[i]) for i in other)
    return Parity(by, None, others, unchosen=int(np.sum(chosen < 0)))


def _exact(trained: TrainedPolicy, given: Floats) -> NDArray[np.float64]:
    """Return the actions of a policy in [-1, 1], computed in float64 from its own network, not from a plan of it."""
    actor = trained.actor
    arrays, _ = actor.actor.state(training=False)
    parameters = {name: array.astype(np.float64) for name, array in arrays.items()}
    parameters |= {f"{layer.name}.values": layer.weights().astype(np.float64) for layer in actor.actor.layers}
    seen = given.astype(np.float64)
    if actor.statistics is not None:
        mean, factor = actor.statistics.affine
        seen = (seen - mean) * factor
    outputs = reference.run(actor.actor.operations, parameters, seen, training=False)
    raw = outputs[-1][:, : actor.action_size]
    return np.tanh(raw) if actor.head == "tanh" else np.clip(raw, -1, 1)


def _tie(trained: TrainedPolicy, observation: Floats, one: int, other: int) -> bool:
    """Tell whether two choices are as good as each other to the policy."""
    actor, start = trained.actor, int(trained.spaces.actions.to_user(np.zeros(1, np.int64))[0])
    outputs = actor.actor.act(actor.seen(observation[np.newaxis])[0])
    if not all(0 <= int(choice) - start < actor.action_size for choice in (one, other)):
        return False
    gap = abs(float(outputs[int(one) - start]) - float(outputs[int(other) - start]))
    return gap <= _TIE * max(1.0, float(np.abs(outputs[: actor.action_size]).max()))
