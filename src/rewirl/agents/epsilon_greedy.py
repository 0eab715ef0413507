"""Epsilon-greedy exploration between numbered actions: a random one with a probability that falls."""

from __future__ import annotations


class EpsilonGreedy:
    """What the settings of an agent have that explores so; it has the three options, with defaults of its own."""

    epsilon_start: float
    epsilon_end: float
    epsilon_steps: int

    def epsilon_at(self, explored: int) -> float:
        """Return the probability of a random action, end + max(1 - explored / epsilon_steps, 0) (start - end).

        Args:
            explored: steps so far after a warm-up, this one not included.
        """
        left = max(1 - explored / self.epsilon_steps, 0.0)
        return self.epsilon_end + left * (self.epsilon_start - self.epsilon_end)

    def _refuse_epsilon(self) -> None:
        """Refuse what no probability and no number of steps can be.

        Raises:
            ValueError: names the option.
        """
        self._require("epsilon_start", 0 <= self.epsilon_start <= 1, "between 0 and 1")
        self._require("epsilon_end", 0 <= self.epsilon_end <= 1, "between 0 and 1")
        self._require("epsilon_steps", self.epsilon_steps >= 1, "at least 1")

    def _require(self, name: str, fine: bool, rule: str) -> None:
        raise NotImplementedError  # that of `AgentConfig`
