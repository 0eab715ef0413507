"""What an exported policy computes: a list of steps with their arrays, from which files of any format are written.

Step i makes value i + 1 of those it reads; value 0 is the observation. Nothing here depends on names in a policy file.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from rewirl.agents import Policy
from rewirl.environments.action_bounds import ActionBounds
from rewirl.environments.actions import DiscreteActions
from rewirl.export.weights import DENSE_FROM, Weights, weights_of
from rewirl.nn import Network, operations
from rewirl.nn.operations import named
from rewirl.training.trained_policy import TrainedPolicy

Floats = NDArray[np.float32]

Precision = Literal["float64", "float32"]
"""What the network of an ONNX model or a module of PyTorch is computed in; weights and actions are float32 anyway."""
PRECISIONS: tuple[Precision, ...] = get_args(Precision)

_LARGEST_CHOICE = 2**63 - 1


@dataclass(frozen=True)
class Step:
    """One step; a class for each kind.

    Args:
        reads: the values it reads.
        features: of the value it makes.
        name: of the operation, as a policy file has it: for people, never for code.
    """

    reads: tuple[int, ...]
    features: int
    name: str

    @property
    def bytes(self) -> int:
        """Memory of its arrays."""
        return sum(value.nbytes for value in vars(self).values() if isinstance(value, np.ndarray))

    @property
    def products(self) -> int:
        """Multiplications of weights, each with an addition, of one observation."""
        return 0


@dataclass(frozen=True)
class LinearStep(Step):
    """y = W x + bias."""

    weights: Weights
    bias: Floats | None

    @property
    def bytes(self) -> int:
        """Memory of its arrays."""
        return self.weights.bytes + (0 if self.bias is None else self.bias.nbytes)

    @property
    def products(self) -> int:
        """Multiplications of weights, each with an addition, of one observation."""
        return self.weights.products


@dataclass(frozen=True)
class NormalStep(Step):
    """y = (x - mean) * factor + shift: batch norm by running statistics, and normalised observations.

    It is not folded into weights: where a mean is far larger than a deviation, that would lose digits.
    """

    mean: Floats
    factor: NDArray[np.float64]
    """In float64 for what computes so. One of many batch norms, rounded to float32, takes actions up to 2e-6 away."""
    shift: Floats | None

    @property
    def factor_float32(self) -> Floats:
        """The factor as what computes in float32 stores it."""
        return self.factor.astype(np.float32)

    @property
    def bytes(self) -> int:
        """Memory of its arrays in float32."""
        return self.mean.nbytes + self.factor_float32.nbytes + (0 if self.shift is None else self.shift.nbytes)


@dataclass(frozen=True)
class LayerNormStep(Step):
    """y = (x - mean) / sqrt(variance + eps) * scale + shift, over the features."""

    eps: float
    scale: Floats | None
    shift: Floats | None


@dataclass(frozen=True)
class ReLUStep(Step):
    """y = x where x > 0, else slope * x."""

    slope: float


@dataclass(frozen=True)
class TanhStep(Step):
    """y = tanh(x)."""


@dataclass(frozen=True)
class PairStep(Step):
    """y = a + b, or a * b."""

    times: bool


@dataclass(frozen=True)
class ConstantStep(Step):
    """A vector that depends on nothing."""

    values: Floats


@dataclass(frozen=True)
class Box:
    """Actions centre + half * tanh(outputs), or * outputs, within [low, high]; float32 [action] each."""

    centre: Floats
    half: Floats
    low: Floats
    high: Floats
    squashed: bool
    """Whether there is a tanh."""


@dataclass(frozen=True)
class Choice:
    """The number of the largest output, counted from `start`."""

    start: int


@dataclass(frozen=True)
class Plan:
    """A policy to export.

    Args:
        n_in: features of an observation.
        steps: what is computed; the actions are made of the last value's first `n_out` features.
        n_out: dimensions of an action, or how many there are to choose from.
        head: how an action is made.
        about: what people may want to know of where it comes from, line by line; text of the policy's file.
    """

    n_in: int
    steps: tuple[Step, ...]
    n_out: int
    head: Box | Choice
    about: tuple[str, ...]

    def features(self, value: int) -> int:
        """Return how many features a value has."""
        return self.steps[value - 1].features if value else self.n_in

    @property
    def bytes(self) -> int:
        """Memory of all arrays of the network."""
        return sum(step.bytes for step in self.steps)

    @property
    def products(self) -> int:
        """Multiplications of weights, each with an addition, of one action."""
        return sum(step.products for step in self.steps)


def plan_of(trained: TrainedPolicy, int8: bool = False, dense_from: float = DENSE_FROM) -> Plan:
    """Return what it takes to act as a policy does.

    Args:
        trained: the policy.
        int8: whether weights are rounded to 8 bits, with a scale for each row.
        dense_from: the density from which on a layer is dense.

    Raises:
        ValueError: it has an operation that cannot be exported, or bounds or numbers that float32 cannot hold.
    """
    policy, made_in = trained.actor, trained.about["environment"]
    about = (
        f"{trained.about['agent']} in {made_in['name']}, trained for {trained.about['step']} steps, "
        f"seed {trained.about['seed']}",
        f"observation: {trained.spaces.observations}, as one vector",
    )
    actions = trained.spaces.actions
    head: Box | Choice
    if isinstance(actions, ActionBounds):
        head = _box(actions, policy.head == "tanh")
    else:
        assert isinstance(actions, DiscreteActions)
        if not -_LARGEST_CHOICE <= actions.start <= _LARGEST_CHOICE - actions.size:
            raise ValueError(f"{actions} are numbers beyond the 64 bits of an exported policy")
        head = Choice(actions.start)
    return Plan(policy.observation_size, tuple(_steps(policy, int8, dense_from)), policy.action_size, head, about)


def _box(actions: ActionBounds, squashed: bool) -> Box:
    low, high = (actions.to_user(np.full((1, actions.size), side, np.float32)).reshape(-1) for side in (-1, 1))
    centre, half = (actions.high / 2 + actions.low / 2), (actions.high / 2 - actions.low / 2)
    with np.errstate(over="ignore"):  # it is refused
        box = Box(centre.astype(np.float32), half.astype(np.float32), low, high, squashed)
    if not all(np.isfinite(array).all() for array in (box.centre, box.half, low, high)):
        raise ValueError("the bounds of its actions are beyond float32, in which an exported policy acts")
    for number in np.flatnonzero((low < actions.low) | (high > actions.high)):
        raise ValueError(
            f"no float32 number is within the bounds of its action {number}, {actions.low[number]} to "
            f"{actions.high[number]}, and in float32 an exported policy acts; widen them in the environment"
        )
    return box


def _steps(policy: Policy, int8: bool, dense_from: float) -> list[Step]:
    network = policy.actor
    steps: list[Step] = []
    if policy.statistics is not None:
        mean, factor = policy.statistics.affine
        steps.append(NormalStep((0,), policy.observation_size, "observations", mean, factor.astype(np.float64), None))
    values = [len(steps)]  # the number here of each value of the network
    arrays = dict(network.arrays())
    listed = named(network.operations)
    for index, (operation, name, reads) in enumerate(listed):
        prefix = f"{name}."
        own = {key.removeprefix(prefix): array for key, array in arrays.items() if key.startswith(prefix)}
        read = tuple(values[each] for each in reads)
        features = (steps[read[0] - 1].features if read[0] else network.n_in) if read else 0
        kept = policy.action_size if index == len(listed) - 1 else operation.made(features)
        steps.append(_step(operation, own, read, features, name, kept, network, int8, dense_from))
        values.append(len(steps))
    return steps


def _step(
    operation: operations.Operation,
    own: Mapping[str, Floats],
    reads: tuple[int, ...],
    features: int,
    name: str,
    kept: int,
    network: Network,
    int8: bool,
    dense_from: float,
) -> Step:
    """Return the step of an operation; of a linear one only the first `kept` outputs are."""
    settings: Any = operation
    own = {key: array.astype(np.float32) for key, array in own.items()}  # copies
    match operation:
        case operations.Linear():
            layer = network.layer(name)
            places, values = layer.places(), layer.values
            used = places < kept * features
            height = min(layer.height, kept)
            weights = weights_of((kept, features), places[used], values[used], height, int8, dense_from)
            return LinearStep(reads, kept, name, weights, own["bias"][:kept] if operation.bias else None)
        case operations.BatchNorm():  # and BatchRenorm, which differs in training alone
            factor = 1 / np.sqrt(own["variance"].astype(np.float64) + settings.eps)
            factor = factor * own["scale"] if settings.affine else factor
            return NormalStep(reads, features, name, own["mean"], factor, own.get("shift"))
        case operations.LayerNorm():
            return LayerNormStep(reads, features, name, settings.eps, own.get("scale"), own.get("shift"))
        case operations.ReLU():
            return ReLUStep(reads, features, name, 0.0)
        case operations.LeakyReLU():
            return ReLUStep(reads, features, name, settings.slope)
        case operations.Tanh():
            return TanhStep(reads, features, name)
        case operations.Add():
            return PairStep(reads, features, name, times=False)
        case operations.Multiply():
            return PairStep(reads, features, name, times=True)
        case operations.Parameter():
            return ConstantStep((), settings.size, name, own["values"])
    raise ValueError(f"the operation {operation.kind} of its network cannot be exported; those of Rewirl's own can")
