"""How many steps a second agents of stream-x learn from, compared with PyTorch.

    python benchmarks/stream.py

The environment costs nothing: observations are drawn beforehand. A step is all that an agent does in one: it normalises
the observation and the reward, acts, and learns. PyTorch's candidate is written here from the paper's formulas, as one
would write it; each candidate takes turns with the others in this process, on one thread.
"""

from __future__ import annotations

import itertools
import json
import math
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median

import numpy as np
import tyro

from rewirl.agents import StreamACConfig, StreamQConfig, make_agent
from rewirl.bench import machine
from rewirl.bench.machine import table
from rewirl.bench.serve import versions
from rewirl.topology import TopologyConfig

try:
    import torch
    from torch.nn import functional
except ModuleNotFoundError:
    raise SystemExit("torch is not installed: pip install 'rewirl[oracle]'") from None

OBSERVATION, ACTION = 17, 6  # those of HalfCheetah


@dataclass(frozen=True)
class Options:
    """Time whole steps of agents and print a Markdown table."""

    hidden_sizes: tuple[int, ...] = (128, 128)
    """Units of the hidden layers."""

    sparsities: tuple[float, ...] = (0.0, 0.5, 0.9)
    """Shares of the connections that do not exist; PyTorch is dense."""

    rounds: int = 7
    """How many turns each candidate gets. Typical: 5 to 15."""

    seconds: float = 0.3
    """Length of a turn. Typical: 0.2 to 1."""

    json: Path | None = None
    """File for everything measured, every round included."""

    def __post_init__(self) -> None:
        if not self.hidden_sizes or min(self.rounds, *self.hidden_sizes) < 1 or self.seconds <= 0:
            raise SystemExit("--hidden-sizes and --rounds must be at least 1, --seconds more than 0")
        if not all(0 <= sparsity < 1 for sparsity in self.sparsities):
            raise SystemExit(f"--sparsities must be at least 0 and below 1, got {self.sparsities}")
        if self.json and not self.json.parent.is_dir():
            raise SystemExit(f"--json {self.json}: there is no folder {self.json.parent}")


class Steps:
    """Observations, rewards and ends, the same for all: every 200th step ends an episode."""

    def __init__(self) -> None:
        """Draw them."""
        rng = np.random.default_rng(0)
        self.observations = rng.normal(size=(1000, OBSERVATION)).astype(np.float32)
        self.rewards = rng.normal(size=1000).tolist()

    def at(self, step: int) -> tuple[np.ndarray, float, np.ndarray, bool]:
        """Return s, r, s' and whether the episode is over."""
        return (
            self.observations[step % 1000],
            self.rewards[step % 1000],
            self.observations[(step + 1) % 1000],
            step % 200 == 199,
        )


def of_rewirl(kind: str, sizes: tuple[int, ...], sparsity: float, steps: Steps) -> Callable[[int], None]:
    """Return a step of an agent of Rewirl."""
    topology = TopologyConfig(sparsity=sparsity, rule="static")
    config = (StreamACConfig if kind == "stream-ac" else StreamQConfig)(hidden_sizes=sizes, topology=topology)
    agent = make_agent(kind, config, OBSERVATION, ACTION, 0)
    rows = np.eye(ACTION, dtype=np.float32)

    def step(number: int) -> None:
        observation, reward, after, over = steps.at(number)
        agent.normalisation.observe(observation)
        action = agent.explore(observation)
        agent.normalisation.reward(reward, over)
        agent.learn(observation, rows[action] if isinstance(action, int) else action, reward, after, over, False)

    return step


class Running:
    """Mean and deviation of a sample (Welford)."""

    def __init__(self, size: int) -> None:
        """Begin with nothing."""
        self.mean, self.squares, self.count = np.zeros(size), np.zeros(size), 0

    def add(self, x: np.ndarray) -> np.ndarray:
        """Count a vector and return the deviation."""
        self.count += 1
        difference = x - self.mean
        self.mean += difference / self.count
        self.squares += difference * (x - self.mean)
        return np.sqrt((self.squares / (self.count - 1) if self.count > 1 else np.ones_like(self.squares)) + 1e-8)


class Bounded:
    """ObGD, with one call for all parameters of a network where PyTorch has one."""

    def __init__(self, network: torch.nn.Module, kappa: float, decay: float = 0.99 * 0.8) -> None:
        """Begin with traces of 0."""
        self.parameters, self.kappa, self.decay = tuple(network.parameters()), kappa, decay
        self.traces = [torch.zeros_like(each) for each in self.parameters]

    @torch.no_grad()
    def step(self, what: torch.Tensor, delta: float, reset: bool) -> None:
        """Take a step for what is to grow."""
        with torch.enable_grad():
            gradients = torch.autograd.grad(what, self.parameters)
        torch._foreach_mul_(self.traces, self.decay)
        torch._foreach_add_(self.traces, gradients)
        norm = sum(float(each) for each in torch._foreach_norm(self.traces, 1))
        size = 1 / max(self.kappa * max(abs(delta), 1) * norm, 1)
        torch._foreach_add_(self.parameters, self.traces, alpha=size * delta)
        if reset:
            torch._foreach_zero_(self.traces)


def network_of(sizes: tuple[int, ...]) -> torch.nn.Sequential:
    """Return a network of stream-x."""
    layers: list[torch.nn.Module] = []
    for n_in, n_out in itertools.pairwise(sizes[:-1]):
        layers += [
            torch.nn.Linear(n_in, n_out),
            torch.nn.LayerNorm(n_out, elementwise_affine=False),
            torch.nn.LeakyReLU(),
        ]
    return torch.nn.Sequential(*layers, torch.nn.Linear(sizes[-2], sizes[-1]))


def of_pytorch(kind: str, sizes: tuple[int, ...], steps: Steps) -> Callable[[int], None]:
    """Return a step of the same agent, dense, in PyTorch."""
    actor = network_of((OBSERVATION, *sizes, 2 * ACTION))
    values = network_of((OBSERVATION, *sizes, 1 if kind == "stream-ac" else ACTION))
    to_value, to_actor = Bounded(values, 2.0), Bounded(actor, 3.0)
    seen, returns = Running(OBSERVATION), Running(1)
    state: torch.Tensor | None = None
    running, rng = 0.0, np.random.default_rng(0)

    def met(observation: np.ndarray) -> torch.Tensor:
        deviation = seen.add(observation)
        return torch.from_numpy(((observation - seen.mean) / deviation).astype(np.float32))

    def step(number: int) -> None:
        nonlocal state, running
        observation, reward, after, over = steps.at(number)
        now = met(observation) if state is None else state
        action = 0
        if kind == "stream-ac":
            with torch.no_grad():
                mean, raw = actor(now).chunk(2)
                drawn = mean + functional.softplus(raw) * torch.randn(ACTION)
                drawn.clamp(-1, 1).numpy()
        else:
            with torch.no_grad():
                best = int(values(now).argmax())
            action = int(rng.integers(ACTION)) if rng.random() < 0.9 else best
        running = 0.99 * running + reward
        scaled = reward / float(returns.add(np.array([running]))[0])
        running = 0.0 if over else running
        following = met(after)
        with torch.no_grad():
            next_value = 0.0 if over else float(values(following).max())
        value = values(now)[action]
        delta = scaled + 0.99 * next_value - value.item()
        to_value.step(value, delta, over or (kind == "stream-q" and action != best))
        if kind == "stream-ac":
            mean, raw = actor(now).chunk(2)
            deviation = functional.softplus(raw)
            # ln p(a) and the entropy, without what is constant
            logarithm = -((drawn - mean) ** 2) / (2 * deviation**2) - deviation.log()
            to_actor.step((logarithm + 0.01 * math.copysign(1, delta) * deviation.log()).sum(), delta, over)
        state = None if over else following

    return step


def rate(step: Callable[[int], None], seconds: float, number: int) -> tuple[float, int]:
    """Return the steps per second of a turn, and the number of the step after it."""
    began, first = time.perf_counter(), number
    while time.perf_counter() - began < seconds:
        for _ in range(20):
            step(number)
            number += 1
    return (number - first) / (time.perf_counter() - began), number


def main(options: Options) -> None:
    """Time everything and print it."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    steps = Steps()
    candidates: dict[tuple[str, float | str], Callable[[int], None]] = {
        (kind, sparsity): of_rewirl(kind, options.hidden_sizes, sparsity, steps)
        for kind in ("stream-ac", "stream-q")
        for sparsity in options.sparsities
    }
    for kind in ("stream-ac", "stream-q"):
        candidates[kind, "PyTorch"] = of_pytorch(kind, options.hidden_sizes, steps)
    rates: dict[tuple[str, float | str], list[float]] = {key: [] for key in candidates}
    numbers = dict.fromkeys(candidates, 0)
    for turn in range(options.rounds + 1):  # the first is not counted
        for key, step in candidates.items():
            rates_now, numbers[key] = rate(step, options.seconds, numbers[key])
            if turn:
                rates[key].append(rates_now)
    rows = []
    for (kind, what), found in rates.items():
        times = [own / theirs for own, theirs in zip(found, rates[kind, "PyTorch"], strict=True)]
        name = what if isinstance(what, str) else "dense" if what == 0 else f"{what:.0%} sparse"
        rows.append([kind, name, f"{median(found):,.0f}", f"{median(times):.1f}"])
    sizes = "-".join(map(str, options.hidden_sizes))
    print(
        f"Steps per second of learning, {sizes}, one thread, {machine.describe()['cpu']}, PyTorch {torch.__version__}\n"
    )
    print(table(["agent", "networks", "steps per second", "times PyTorch"], rows, words=2))
    if options.json is not None:
        results = [{"agent": kind, "networks": what, "rates": found} for (kind, what), found in rates.items()]
        described = {"machine": machine.describe(), "versions": versions("rewirl", "numpy", "torch")}
        values = {"options": {**asdict(options), "json": None}, **described, "results": results}
        options.json.write_text(json.dumps(values, indent=1, default=str) + "\n")


if __name__ == "__main__":
    main(tyro.cli(Options))
