"""When connections are rewired, how many, and how a changing density moves."""

from __future__ import annotations

from dataclasses import dataclass
from math import cos, gcd, lcm, pi
from typing import Literal

from rewirl.exact import make_exact

Anneal = Literal["constant", "cosine"]


@dataclass(frozen=True)
class ScheduleConfig:
    """Which updates have a rewiring event, and which fraction of the connections it rewires."""

    adapt_every: int = 1000
    """Updates between two rewiring events, e in the paper. Typical: 500 to 10000."""

    adapt_fraction: float = 0.05
    """Fraction of a layer's connections rewired in an event, eta in the paper. Typical: 0.05 to 0.3."""

    anneal: Anneal = "constant"
    """How that fraction changes: constant, or cosine from --adapt-fraction at the start to 0 at --adapt-end."""

    adapt_offset: int = 0
    """An event falls on update u when u % adapt_every == adapt_offset (the published code has 2)."""

    adapt_end: int | None = None
    """Last update on which an event may fall; none means until the end of training."""

    adapt_actor: bool = True
    """Whether events rewire the actor too. With --no-adapt-actor they rewire the critics alone, and the actor keeps the
    topology it starts with."""

    freeze_after: tuple[int, ...] = ()
    """Updates after which a task ends (SpaceNet): hidden connections and biases in use are frozen, as many new ones
    come, and the output layer begins again. Typical: none, or the updates after which the environment changes."""

    def __post_init__(self) -> None:
        """Turn each value into its type exactly; check each option, and those that belong together."""
        make_exact(self, ScheduleConfig)
        if self.anneal == "cosine" and not self.adapt_end:
            raise ValueError("anneal cosine needs adapt_end, the update at which nothing is rewired any more")
        if self.adapt_every < 1:
            raise ValueError(
                f"adapt_every must be at least 1 update, got {self.adapt_every}; the rule static never adapts"
            )
        if not 0 <= self.adapt_fraction <= 1:
            raise ValueError(f"adapt_fraction must be between 0 and 1, got {self.adapt_fraction}")
        if not 0 <= self.adapt_offset < self.adapt_every:
            raise ValueError(
                f"adapt_offset must be at least 0 and below adapt_every ({self.adapt_every}), got {self.adapt_offset}"
            )
        if list(self.freeze_after) != sorted({update for update in self.freeze_after if update > 0}):
            raise ValueError(f"freeze_after must be updates in their order, each later than 0, got {self.freeze_after}")
        if self.adapt_end is not None and self.adapt_end < 0:
            raise ValueError(f"adapt_end must be an update, 0 or later, or none, got {self.adapt_end}")

    def due(self, update: int) -> bool:
        """Tell whether connections are to be rewired after this update.

        Args:
            update: number of the gradient update, from 1.
        """
        return update % self.adapt_every == self.adapt_offset and (self.adapt_end is None or update <= self.adapt_end)

    def first_event(self, delay: int) -> int | None:
        """Return the first update on which a network is rewired that learns with every delay-th update.

        Args:
            delay: updates of the agent per update of the network.

        Returns:
            The smallest u > 0 that is a multiple of the delay and is `due`; None if there is none.
        """
        common = gcd(self.adapt_every, delay)
        if self.adapt_offset % common:
            return None
        period = delay // common
        turns = (-self.adapt_offset // common) * pow(self.adapt_every // common, -1, period) % period
        update = self.adapt_offset + turns * self.adapt_every or lcm(self.adapt_every, delay)
        return update if self.due(update) else None

    def rewires(self, network: str) -> bool:
        """Tell whether events rewire a network.

        Args:
            network: its name.
        """
        return self.adapt_actor or network != "actor"

    def fraction_at(self, update: int) -> float:
        """Return the fraction of a layer's connections that an event on this update rewires.

        Args:
            update: number of the gradient update, from 1.

        Returns:
            `adapt_fraction`; annealed by cosine, alpha / 2 * (1 + cos(pi * update / adapt_end)) with alpha that
            fraction (Evci et al. 2020, equation 1).
        """
        if self.anneal == "constant" or self.adapt_end is None:
            return self.adapt_fraction
        return self.adapt_fraction / 2 * (1 + cos(pi * min(update, self.adapt_end) / self.adapt_end))


def density_at(update: int, initial: float, final: float, start: int, end: int) -> float:
    """Return the density of a layer that changes as a cubic, fast at first (Zhu and Gupta 2017, equation 1).

    Args:
        update: number of the gradient update, from 1.
        initial: density until update `start`.
        final: density from update `end` on.
        start: see above.
        end: see above.

    Returns:
        final + (initial - final) * (1 - (update - start) / (end - start))^3, with the update held within [start, end].
    """
    left = 1 - (min(max(update, start), end) - start) / (end - start)
    return final + (initial - final) * left**3
