"""A batch drawn from the replay memory, in the networks' tiles."""

from __future__ import annotations

from rewirl import _core
from rewirl.nn import Pool, Tiles, empty_tiles, mean_weights, tile_shape


class Batch:
    """A sampled batch, in memory that is used again for every batch.

    States and actions lie side by side because that is what a critic takes.

    Args:
        batch_size: number of transitions.
        observation_size: features of an observation.
        action_size: features of an action.
        pool: the threads that fill it; None for the caller alone.
    """

    def __init__(self, batch_size: int, observation_size: int, action_size: int, pool: Pool | None = None) -> None:
        self.size = batch_size
        self.pool = pool or Pool(1)
        tiles, width = tile_shape(batch_size)
        self.joint = _core.empty_tiles(2 * tiles, observation_size + action_size, width)
        """Both of the following, one after the other: float32 [2 * tiles, observation + action, width]."""
        self.states_actions = self.joint[:tiles]
        """float32 [tiles, observation + action, width]."""
        self.next_states_actions = self.joint[tiles:]
        """The same for the next states; the actions in it are the agent's to write."""
        self.states = self.states_actions[:, :observation_size]
        self.actions = self.states_actions[:, observation_size:]
        self.next_states = self.next_states_actions[:, :observation_size]
        self.next_actions = self.next_states_actions[:, observation_size:]
        self.outcomes = empty_tiles(batch_size, 2)
        self.rewards = self.outcomes[:, :1]
        """float32 [tiles, 1, width]."""
        self.continues = self.outcomes[:, 1:]
        """0 where the episode terminated, else 1; float32 [tiles, 1, width]."""
        self.parts = (self.states_actions, self.next_states, self.outcomes)
        """Where the columns of a transition go, in their order."""
        self.weights = mean_weights(batch_size)
        """1 / batch_size, and 0 for padding; float32 [tiles, 1, width]."""
        self.steps = 1
        """How many transitions the windows of the last sample could have."""
        self.between: list[Tiles] = []
        """For each step between two of a window, float32 [tiles, observation + 1, width]: the state after it and gamma
        to the power of the transitions before that state, 0 where the window is over by then; see `keep_between`."""

    def keep_between(self, count: int) -> None:
        """Keep the states between the steps of windows too, `count` of them, one less than steps, in `between`."""
        features = self.states.shape[1] + 1
        self.between = [empty_tiles(self.size, features) for _ in range(count)]
