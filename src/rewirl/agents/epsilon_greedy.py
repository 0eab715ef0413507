"""Epsilon-greedy exploration between numbered actions: a random one with a probability that falls."""

from __future__ import annotations

from rewirl.agents.config import AgentConfig


class EpsilonGreedy(AgentConfig):
    """Settings of an agent that explores so. Each subclass has the three options, with defaults of its own.

    Raises:
        ValueError: one of them is out of its range; the message names it.
    """

    epsilon_start: float
    epsilon_end: float
    epsilon_steps: int

    def __post_init__(self) -> None:
        """Refuse what cannot work."""
        super().__post_init__()
        self._require("epsilon_start", 0 <= self.epsilon_start <= 1, "between 0 and 1")
        self._require("epsilon_end", 0 <= self.epsilon_end <= 1, "between 0 and 1")
        self._require("epsilon_steps", self.epsilon_steps >= 1, "at least 1")

    def epsilon_at(self, explored: int) -> float:
        """Return the probability of a random action, end + max(1 - explored / epsilon_steps, 0) (start - end).

        Args:
            explored: steps so far after a warm-up, this one not included.
        """
        left = max(1 - explored / self.epsilon_steps, 0.0)
        return self.epsilon_end + left * (self.epsilon_start - self.epsilon_end)
