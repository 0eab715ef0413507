"""A sparsity that adapts to the loss: shrink, expand or remain (PALS, Atashgahi et al. 2024)."""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil, floor, inf, prod
from typing import Any

import numpy as np

from rewirl.saved import count, fields, number
from rewirl.topology.config import TopologyConfig
from rewirl.topology.distribution import Shapes

SHRINK, REMAIN, EXPAND = 1, 0, -1
"""What an event does to a network: it gets sparser, as sparse as before, or denser."""


class AdaptiveSparsity:
    """Decides at every event whether networks shrink, expand or remain as dense (PALS, Algorithm 1).

    With L the loss since the event before, L* the least so far, and s* the sparsity that a network had then, it

    * shrinks if its sparsity is below the lowest, or if L <= loss_tolerance L* and it is below the highest;
    * expands if L > loss_tolerance L* and its sparsity is above s*;
    * remains else.

    Args:
        config: of the agent.
    """

    def __init__(self, config: TopologyConfig) -> None:
        self._config = config
        self._error = self._variance = 0.0  # sums since the latest event
        self._decided = 0
        self._loss: float | None = None
        self._least = inf
        self._best: dict[str, float] = {}
        self._seen: dict[str, float] = {}  # the least loss when a network had its latest event
        self._moves: dict[str, int] = {}

    def note(self, error: float, variance: float) -> None:
        """Add an update: the mean squared error of its values, and the variance of what they should have been.

        Sums of both over a period make the loss, which does not depend on the scale of rewards.
        """
        self._error += error
        self._variance += max(variance, 0.0)  # of values that are all equal, rounding may leave less

    def budgets(self, network: str, shapes: Shapes, connections: Sequence[int], update: int) -> list[int]:
        """Return how many connections each layer of a network is to have after an event.

        A network that shrinks loses the share adapt_fraction * (sparsity_step - 1) of the connections of each layer,
        one that expands gains it, as far as its bounds allow, rounded so that their sum is exact.

        Args:
            network: its name.
            shapes: (n_out, n_in) of every layer.
            connections: how many each layer has before the event.
            update: number of the gradient update, from 1; its first call ends the period of the loss.
        """
        c, totals = self._config, [prod(shape) for shape in shapes]
        places, before = sum(totals), sum(connections)
        highest = c.of(network).sparsity or 0.0
        move = self._move(network, update, 1 - before / places, highest)
        if move == REMAIN:
            return list(connections)
        if move == SHRINK:
            room = before - ceil((1 - highest) * places - 1e-6)
        else:
            room = floor((1 - c.lowest_sparsity) * places + 1e-6) - before
        share = c.fraction_at(update) * (c.sparsity_step - 1)
        change = min(max(round(share * before), 1 if share else 0), max(room, 0))
        ends = np.rint(np.cumsum(connections) * (change / before)).astype(int)
        changes = np.diff(ends, prepend=0)
        if move == SHRINK:
            return [max(n - each, 1) for n, each in zip(connections, changes.tolist(), strict=True)]
        return [min(n + each, most) for n, each, most in zip(connections, changes.tolist(), totals, strict=True)]

    def _move(self, network: str, update: int, sparsity: float, highest: float) -> int:
        """Return what a network does, and remember its sparsity if the loss is the least so far."""
        self._end_period(update)
        c, loss = self._config, self._loss
        if loss == self._least or self._least < self._seen.get(network, inf):  # now, or since its latest event
            self._best[network] = sparsity
        self._seen[network] = self._least
        move = REMAIN
        if loss is not None and c.sparsity_start <= update <= c.sparsity_end:
            tolerable = loss <= c.loss_tolerance * self._least
            if sparsity < c.lowest_sparsity or (tolerable and sparsity < highest):
                move = SHRINK
            elif not tolerable and sparsity > self._best.get(network, 1.0):
                move = EXPAND
        self._moves[network] = move
        return move

    def _end_period(self, update: int) -> None:
        if update == self._decided:
            return
        self._decided = update
        self._loss = self._error / self._variance if self._variance > 0 else None
        self._error = self._variance = 0.0
        if self._loss is not None:
            self._least = min(self._least, self._loss)

    def told(self) -> dict[str, float]:
        """Return the loss of the latest period and what each network did, 1 (shrank), 0 or -1, by name."""
        moves = {f"{network}_sparsity_move": float(move) for network, move in self._moves.items()}
        return ({} if self._loss is None else {"sparsity_loss": self._loss}) | moves

    def state(self) -> dict[str, Any]:
        """Return everything an exact continuation needs, as JSON values."""
        return {
            "error": self._error,
            "variance": self._variance,
            "decided": self._decided,
            "loss": self._loss,
            "least": None if self._least == inf else self._least,
            "best": self._best,
            "seen": {network: least for network, least in self._seen.items() if least < inf},
            "moves": self._moves,
        }

    def load_state(self, saved: Any) -> None:
        """Put back what `state` returned.

        Raises:
            ValueError: it is not such a state.
        """
        values = fields(saved, "the saved adaptive sparsity")
        error, variance = (
            number(values.get(name), f"the saved {name} of the sparsity") for name in ("error", "variance")
        )
        loss, least = (
            None if values.get(name) is None else number(values[name], f"the saved {name} of the sparsity")
            for name in ("loss", "least")
        )
        decided = count(values.get("decided"), "the saved update of the latest event")
        earlier = dict.fromkeys(fields(values.get("best"), "best"), least or 0.0)  # versions that saved none
        values = {"seen": earlier, **values}
        best, seen, moves = (
            {network[:100]: number(each, f"a saved {name}") for network, each in fields(values.get(name), name).items()}
            for name in ("best", "seen", "moves")
        )
        if min(error, loss or 0.0, least or 0.0) < 0 or not set(moves.values()) <= {SHRINK, REMAIN, EXPAND}:
            raise ValueError("the saved adaptive sparsity has a negative loss, or a move that there is not")
        self._error, self._variance = error, max(variance, 0.0)
        self._decided, self._loss, self._least = decided, loss, inf if least is None else least
        self._best, self._seen, self._moves = best, seen, {network: int(move) for network, move in moves.items()}
