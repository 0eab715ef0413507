"""The replay memory and the batches drawn from it; rollouts of agents that have none."""

from rewirl.replay.batch import Batch
from rewirl.replay.forgetting import Forgetting
from rewirl.replay.ring import Replay
from rewirl.replay.rollout import Rollout

__all__ = ["Batch", "Forgetting", "Replay", "Rollout"]
