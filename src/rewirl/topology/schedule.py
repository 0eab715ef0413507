"""When connections are rewired, how many, and how many there are to be."""

from __future__ import annotations

from dataclasses import dataclass
from math import cos, pi

from rewirl.topology.config import Anneal, TopologyConfig


@dataclass(frozen=True)
class Schedule:
    """Rewire `fraction` of the connections whenever update % period == offset, up to and including update `end`.

    Args:
        period: updates from one event to the next, e in the paper.
        fraction: of a layer's connections that one event rewires, eta in the paper.
        offset: remainder on which events fall, in [0, period).
        end: last update on which an event may fall; None for no end.
        anneal: constant, or cosine: the fraction falls from `fraction` at update 0 to 0 at `end`.

    Raises:
        ValueError: a number out of its range.
    """

    period: int
    fraction: float
    offset: int = 0
    end: int | None = None
    anneal: Anneal = "constant"

    def __post_init__(self) -> None:
        """Refuse a schedule that no run could follow."""
        if self.period < 1:
            raise ValueError(f"period must be at least 1 update, got {self.period}")
        if not 0 <= self.fraction <= 1:
            raise ValueError(f"fraction must be between 0 and 1, got {self.fraction}")
        if not 0 <= self.offset < self.period:
            raise ValueError(f"offset must be at least 0 and below the period {self.period}, got {self.offset}")

    @classmethod
    def from_config(cls, config: TopologyConfig) -> Schedule:
        """Return the schedule that a topology configuration asks for."""
        return cls(config.adapt_every, config.adapt_fraction, config.adapt_offset, config.adapt_end, config.anneal)

    def due(self, update: int) -> bool:
        """Say whether an event falls on this update.

        Args:
            update: number of the gradient update, from 1.

        Returns:
            True when connections are to be rewired after this update.
        """
        return update % self.period == self.offset and (self.end is None or update <= self.end)

    def fraction_at(self, update: int) -> float:
        """Return the fraction of a layer's connections that an event on this update rewires.

        Args:
            update: number of the gradient update, from 1.

        Returns:
            `fraction`; annealed by cosine, fraction / 2 * (1 + cos(pi * update / end)) (Evci et al. 2020, equation 1).
        """
        if self.anneal == "constant" or self.end is None:
            return self.fraction
        return self.fraction / 2 * (1 + cos(pi * min(update, self.end) / self.end))


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
