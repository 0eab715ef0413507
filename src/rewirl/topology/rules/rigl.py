"""RigL: drop the smallest weights, grow where the gradient is largest (Evci et al. 2020)."""

from __future__ import annotations

from rewirl.topology.rules.set import SET


class RigL(SET):
    """SET with another criterion to drop by and another to grow by."""

    drops = "magnitude"
    grows = "gradient"
