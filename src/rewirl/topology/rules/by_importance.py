"""A rule that keeps in mind how important inputs and outputs have been, and rewires by that."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from rewirl.saved import fields, number
from rewirl.topology.config import TopologyConfig
from rewirl.topology.indices import distinct, random_free_indices
from rewirl.topology.rule import Rule
from rewirl.topology.state import LayerState


class ByImportance(Rule):
    """Drop by |w| I_out I_in; grow where I_out I_in is largest, of equal places at random.

    The importance I of an input of the network, and of an output, is the sum of |w| over its connections, added up over
    all events. Hidden units are equally important: 1.
    """

    def __init__(self, config: TopologyConfig) -> None:
        """Begin without a memory."""
        super().__init__(config)
        self._importance: dict[str, NDArray[np.float64]] = {}

    def drop_score(self, state: LayerState, fraction: float, rng: np.random.Generator) -> NDArray[np.float64]:
        """Add to the importance of inputs and outputs, and score by |w| I_out I_in."""
        n_out, n_in = state.shape
        rows, columns = np.divmod(state.indices, n_in)
        magnitudes = np.abs(state.weights).astype(np.float64)
        if state.of_input:
            self._add(_inputs_of(state), np.bincount(columns, magnitudes, n_in))
        if state.of_output and state.height == 1:  # a block has several outputs, which count the same then
            self._add(_outputs_of(state), np.bincount(rows, magnitudes, n_out))
        of_inputs, of_outputs = self._importances(state)
        scores: NDArray[np.float64] = magnitudes * of_outputs[rows] * of_inputs[columns]
        return scores

    def grow(
        self, state: LayerState, occupied: NDArray[np.int64], count: int, rng: np.random.Generator
    ) -> NDArray[np.int64]:
        """Choose the free indices of the largest I_out I_in, of equal ones any with the same probability."""
        of_inputs, of_outputs = self._importances(state)
        if (of_inputs == of_inputs[0]).all() and (of_outputs == of_outputs[0]).all():
            return random_free_indices(occupied, state.total, count, rng)
        scores = np.outer(of_outputs, of_inputs).reshape(-1)
        scores[occupied] = -np.inf
        limit = np.partition(scores, -count)[-count]
        above, equal = np.flatnonzero(scores > limit), np.flatnonzero(scores == limit)
        return np.concatenate([above, equal[distinct(rng, count - len(above), len(equal))]])

    def grow_score(self, state: LayerState, rng: np.random.Generator) -> NDArray[np.floating[Any]]:
        """Score by the rank of I_out I_in, equal ones in random order, float64 [n_out * n_in]."""
        of_inputs, of_outputs = self._importances(state)
        ascending = np.lexsort((rng.random(state.total), np.outer(of_outputs, of_inputs).reshape(-1)))
        ranks = np.empty(state.total)
        ranks[ascending] = np.arange(state.total)
        return ranks

    def rewirl_state(self) -> dict[str, list[float]]:
        """Return the importances as JSON values."""
        return {name: importance.tolist() for name, importance in self._importance.items()}

    def load_rewirl_state(self, values: Any) -> None:
        """Put back what `rewirl_state` returned; a ValueError says what is wrong with it."""
        importance: dict[str, NDArray[np.float64]] = {}
        for name, saved in fields(values, "the saved importances").items():
            if not isinstance(saved, list):
                raise ValueError(f"the importances of {name[:100]} are no list")
            importance[name] = np.array([number(each, "a saved importance") for each in saved], dtype=np.float64)
            if (importance[name] < 0).any():
                raise ValueError(f"an importance of {name[:100]} is negative")
        self._importance = importance

    def _add(self, name: str, strengths: NDArray[Any]) -> None:
        before = self._importance.get(name, np.zeros(len(strengths), dtype=np.float64))
        if before.shape != strengths.shape:
            raise ValueError(f"there are importances of {len(before)} of {name}, which has {len(strengths)} now")
        self._importance[name] = before + strengths

    def _importances(self, state: LayerState) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return those of the inputs, float64 [n_in], and of the outputs, float64 [n_out]; of hidden units 1."""
        n_out, n_in = state.shape
        of_inputs = self._importance.get(_inputs_of(state)) if state.of_input else None
        of_outputs = self._importance.get(_outputs_of(state)) if state.of_output else None
        return (
            np.ones(n_in) if of_inputs is None else of_inputs,
            np.ones(n_out) if of_outputs is None else of_outputs,
        )


def _inputs_of(state: LayerState) -> str:
    return f"the inputs of {state.name}"


def _outputs_of(state: LayerState) -> str:
    return f"the outputs of {state.name}"
