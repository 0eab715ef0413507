"""RigL: drop the smallest weights, grow where the gradient is largest (Evci et al. 2020)."""

from __future__ import annotations

from rewirl.topology.rules.by_criteria import ByCriteria


class RigL(ByCriteria):
    """Drop the weights of the smallest magnitude; grow where the loss has the largest gradient."""

    drops = "magnitude"
    grows = "gradient"
