"""The games of MinAtar (Young and Tian 2019), from the package minatar: `pip install 'rewirl[minatar]'`.

Importing this module registers them with Gymnasium, under the ids that the package has for them, Seaquest with a time
limit:

    rewirl train --agent dqn --env-module rewirl.minatar --env MinAtar/Breakout-v1
"""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np

from rewirl.saved import count

try:
    from minatar.gym import BaseEnv  # type: ignore[import-not-found,import-untyped,unused-ignore]
except ModuleNotFoundError as error:
    raise ImportError(f"{error}; its games need the package minatar: pip install 'rewirl[minatar]'") from error

_GAMES = {"asterix": None, "breakout": None, "freeway": None, "seaquest": 10_000, "space_invaders": None}
"""By game the most steps of an episode. A submarine at the surface lives for ever; the others end by themselves."""
_ENLARGED = 32
"""Pixels of a picture along each side of a square of the game."""


class Remembered(gymnasium.Wrapper[Any, Any, Any, Any]):
    """A game whose last action is kept by checkpoints: it may be repeated in the first step of the next episode.

    Its pictures are those of the package, as videos take them.
    """

    def __init__(self, env: gymnasium.Env[Any, Any]) -> None:
        """Say how fast it is to be shown, which the package does not."""
        super().__init__(env)
        self.metadata = {**env.metadata, "render_fps": 15}

    def render(self) -> Any:
        """Return what the package draws; colours in [0, 1] become those of a picture, uint8 [320, 320, 3]."""
        drawn = self.env.render()
        if not isinstance(drawn, np.ndarray) or drawn.dtype.kind != "f":
            return drawn
        return np.rint(255 * drawn).astype(np.uint8).repeat(_ENLARGED, axis=0).repeat(_ENLARGED, axis=1)

    def rewirl_state(self) -> int:
        """Return the last action, as the game numbers it."""
        return int(self.env.unwrapped.game.last_action)  # type: ignore[attr-defined]

    def load_rewirl_state(self, state: Any) -> None:
        """Put back what `rewirl_state` returned.

        Raises:
            ValueError: it is not the number of an action.
        """
        self.env.unwrapped.game.last_action = count(state, "the last action")  # type: ignore[attr-defined]


def make(game: str, use_minimal_action_set: bool, **kwargs: Any) -> Remembered:
    """Make a game by its name; further arguments are those of the package."""
    return Remembered(BaseEnv(game, use_minimal_action_set=use_minimal_action_set, **kwargs))


for _game, _steps in _GAMES.items():
    for _version, _minimal in (("v0", False), ("v1", True)):
        gymnasium.register(
            f"MinAtar/{_game.title().replace('_', '')}-{_version}",
            entry_point="rewirl.minatar:make",
            max_episode_steps=_steps,
            kwargs={"game": _game, "use_minimal_action_set": _minimal},
        )
