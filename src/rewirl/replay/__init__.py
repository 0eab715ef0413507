"""The replay memory and the batches drawn from it."""

from rewirl.replay.ring import Batch, Replay

__all__ = ["Batch", "Replay"]
