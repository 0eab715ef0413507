"""The replay memory and the batches drawn from it."""

from rewirl.replay.batch import Batch
from rewirl.replay.forgetting import Forgetting
from rewirl.replay.ring import Replay

__all__ = ["Batch", "Forgetting", "Replay"]
