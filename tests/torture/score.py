"""What a scenario of the torture suite counts."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Score:
    """How often something was done to Rewirl, and what came of it."""

    faults: int = 0
    """Faults injected."""
    survived: int = 0
    """Of these, how often the run went on, or ended as it should, with nothing lost."""
    compared: int = 0
    """States held against each other, all of them equal to the bit."""
    refused: int = 0
    """Inputs refused by name with the reason."""

    def __add__(self, other: Score) -> Score:
        return Score(
            self.faults + other.faults,
            self.survived + other.survived,
            self.compared + other.compared,
            self.refused + other.refused,
        )
