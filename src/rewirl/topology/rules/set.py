"""SET: drop the connections closest to zero, grow as many at random (Mocanu et al. 2018, Sokar et al. 2022)."""

from __future__ import annotations

from rewirl.topology.rules.by_criteria import ByCriteria


class SET(ByCriteria):
    """Drop half positive and half negative weights, those closest to zero; grow at random."""

    drops = "halves"
    grows = "random"
