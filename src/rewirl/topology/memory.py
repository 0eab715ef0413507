"""What a rule keeps from one event to the next: saved where the rule offers it, and found where it does not."""

from __future__ import annotations

import copy
import hashlib
import pickle
from collections.abc import Callable, Mapping
from typing import Any

from rewirl.plugins import RAISED, global_streams_kept, place_of
from rewirl.saved import through_json
from rewirl.topology.contract import UnsaveableError
from rewirl.topology.rule import Rule

STATE, LOAD_STATE = "rewirl_state", "load_rewirl_state"
"""A rule that keeps something may offer it: `rewirl_state()` returns it as JSON values, and `load_rewirl_state(values)`
puts it back. Resuming is exact then."""

_RETURNS = (
    "be of JSON values: text, finite numbers, true, false, None, and lists and dicts of these, whose keys are text"
)
_TAKES = f"take what {STATE}() returned before, as JSON has it: tuples are lists there"

SAVED, KEPT = "rule", "rule_keeps"
"""Names in a saved state: what a rule offers, and the attributes that have changed in one that offers nothing."""


class RuleMemory:
    """The memory of one rule.

    Args:
        rule: new; what it is now is what every new one is.
    """

    def __init__(self, rule: Rule) -> None:
        self._rule = rule
        self._offers = hasattr(rule, STATE) and hasattr(rule, LOAD_STATE)
        self._checked = False
        self._new = {} if self._offers else _portrait(rule)

    def state(self) -> dict[str, Any]:
        """Return what a checkpoint keeps, as JSON values; nothing of a rule without a memory.

        Raises:
            ValueError: the rule offers what JSON cannot hold, or raised an exception; names it.
        """
        if self._offers:
            return {SAVED: self._called(STATE, through_json)}
        now = _portrait(self._rule)
        kept = sorted(name for name in now.keys() | self._new.keys() if now.get(name) != self._new.get(name))
        return {KEPT: kept} if kept else {}

    def check(self, make: Callable[[], Rule]) -> None:
        """See once that what the rule offers can be saved and put back into a new one, before a checkpoint needs it.

        The first checkpoint may be far, and all until then would be lost.

        Args:
            make: makes a rule as this one was made.

        Raises:
            ValueError: as of `state` and `load_state`.
        """
        if self._offers and not self._checked:
            with global_streams_kept():
                RuleMemory(make()).load_state(self.state())
        self._checked = True

    def load_state(self, values: Mapping[str, Any]) -> None:
        """Put back what `state` returned; values of a rule that offered nothing change nothing.

        Raises:
            ValueError: the rule does not take them.
        """
        kept = values.get(KEPT, [])
        if not isinstance(kept, list) or not all(isinstance(name, str) for name in kept):
            raise ValueError("the saved names of what the rule keeps are no list of names")
        if SAVED not in values:
            return
        if not self._offers:
            raise ValueError(f"the saved rule has a state, but {_named(self._rule)} has no {LOAD_STATE}")
        self._called(LOAD_STATE, lambda nothing: nothing, copy.deepcopy(values[SAVED]))

    def _called(self, method: str, use: Any, *arguments: Any) -> Any:
        try:
            return use(getattr(self._rule, method)(*arguments))
        except RAISED as error:
            due = _TAKES if method == LOAD_STATE else _RETURNS
            raise UnsaveableError(
                f"the rule {_named(self._rule)}: {method}() failed, {type(error).__name__}: {error}{place_of(error)}. "
                f"It must {due}"
            ) from error


def _named(rule: Rule) -> str:
    return f"{type(rule).__module__}:{type(rule).__qualname__}"


def _portrait(rule: Rule) -> dict[str, str]:
    """Return by name what is in each attribute of a rule, in a form that shows whether it has changed."""
    return {name: _digest(value) for name, value in vars(rule).items()}


def _digest(value: Any) -> str:
    try:
        return hashlib.sha256(pickle.dumps(value)).hexdigest()  # never read again
    except RAISED:  # a function without a name, an open file
        return repr(value)
