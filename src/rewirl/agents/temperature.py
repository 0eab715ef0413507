"""The temperature of SAC: fixed, or learnt so that the policy keeps its entropy (Haarnoja et al. 2018b, section 5)."""

from __future__ import annotations

import math
from typing import Any, Literal

from rewirl.saved import count, fields, number


class Temperature:
    """The weight alpha of the entropy in SAC's objective.

    Args:
        value: alpha, or auto, which learns ln alpha by Adam.
        target_entropy: that auto aims at, in nats; None is minus `action_size`.
        action_size: features of an action.
        initial: alpha that auto starts from, more than 0.
        of_alpha: whether the loss that auto goes down is alpha * (entropy - target), as in codes after SAC's; else it
            is ln(alpha) * (entropy - target).
    """

    def __init__(
        self,
        value: float | Literal["auto"],
        target_entropy: float | None,
        action_size: int,
        initial: float = 1.0,
        of_alpha: bool = False,
    ) -> None:
        self._learns, self._of_alpha = value == "auto", of_alpha
        self._initial = initial
        self.value = initial if value == "auto" else value
        """alpha, 0 or more."""
        self._target = -float(action_size) if target_entropy is None else target_entropy
        self._log = math.log(initial)
        self._first = self._second = 0.0
        self._steps = 0

    def update(self, entropy: float, learning_rate: float) -> None:
        """Take one step of Adam with ln(alpha) down the loss; nothing happens if alpha is fixed.

        Args:
            entropy: of the policy on a batch, the mean of -ln pi(a|s), in nats.
            learning_rate: step size.
        """
        if not self._learns:
            return
        gradient = entropy - self._target
        if self._of_alpha:
            gradient *= self.value
        self._steps += 1
        self._first = 0.9 * self._first + 0.1 * gradient
        self._second = 0.999 * self._second + 0.001 * gradient**2
        size = math.sqrt(self._second / (1 - 0.999**self._steps)) + 1e-8
        self._log -= learning_rate * self._first / (1 - 0.9**self._steps) / size
        try:
            self.value = math.exp(self._log)
        except OverflowError:
            raise FloatingPointError(f"the temperature is exp({self._log})") from None

    def state(self) -> dict[str, Any]:
        """Return everything an exact continuation needs, as JSON values."""
        return {"log": self._log, "first": self._first, "second": self._second, "steps": self._steps}

    def load_state(self, values: Any) -> None:
        """Put back what `state` returned.

        Raises:
            ValueError: the values are not such a state.
        """
        values = fields(values, "the saved temperature")
        log, first, second = (
            number(values.get(n), f"{n} of the saved temperature") for n in ("log", "first", "second")
        )
        steps = count(values.get("steps"), "steps of the saved temperature")
        if second < 0:
            raise ValueError(f"second of the saved temperature is {second}, a mean of squares")
        if self._learns:
            self._log, self._first, self._second, self._steps = log, first, second, steps
            try:
                self.value = math.exp(self._log) if steps else self._initial  # exp(ln(it)) is not it to the bit
            except OverflowError:
                raise ValueError(f"the saved temperature is exp({self._log})") from None
