"""What Sokar et al. 2022 published: numbers and claims, as data (v3 environments, 1,000,000 steps, 5 seeds)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

STEPS = 1_000_000
SEEDS = 5

LCA_UNIT = 5000
"""What the paper's tables divide learning-curve areas by."""

ENVIRONMENTS = ("HalfCheetah", "Walker2d", "Hopper", "Ant", "Humanoid")


@dataclass(frozen=True)
class Published:
    """The numbers of one agent on one environment."""

    final: float
    """Mean final return."""

    final_std: float | None
    """Standard deviation of the final return; None where the paper gives none."""

    lca: float
    """Learning-curve area divided by 5,000."""

    where: str
    """Table of the paper."""


def _rows(where: str, final: str, std: str | None, lca: str) -> dict[str, Published]:
    deviations = [None] * len(ENVIRONMENTS) if std is None else [float(text) for text in std.split()]
    rows = zip(ENVIRONMENTS, map(float, final.split()), deviations, map(float, lca.split()), strict=True)
    return {env: Published(mean, deviation, area, where) for env, mean, deviation, area in rows}


# By agent as the presets call it, and environment whatever its version; the columns are those of ENVIRONMENTS.
# "sac" has hard targets (appendix), as "ds-sac"; the main text's SAC has soft ones.
NUMBERS = {
    "td3": _rows("Tables 1, 2", "11153 4042 2185 4288 3809", "473 577 1224 1081 1053", "1.769 .526 .479 .552 .364"),
    "static-td3": _rows("Tables 1, 2", "10584 3951 3571 4149 4989", "307 448 44 802 546", "1.767 .517 .498 .581 .518"),
    "ds-td3": _rows("Tables 1, 2", "11460 4871 3587 5012 5238", "483 525 71 597 122", "1.956 .696 .544 .662 .609"),
    "sac-soft": _rows("Tables 1, 2", "11415 4566 3387 5849 5519", "357 448 149 386 97", "1.730 .613 .557 .797 .564"),
    "sac": _rows("appendix", "11645 3858 3100 5899 5426", None, "1.623 .537 .444 .750 .378"),
    "ds-sac": _rows("appendix", "11084 4217 3229 5944 5585", None, "1.708 .591 .488 .823 .678"),
}


@dataclass(frozen=True)
class Claim:
    """Something the paper says of two agents, to be held against runs environment by environment."""

    agent: str
    other: str
    measure: Literal["final", "lca", "share"]
    """Final return, learning-curve area, or the share of the steps after which the return is the other's final one."""

    environments: tuple[str, ...] = ENVIRONMENTS
    """Where the paper's numbers have it so."""

    below: float = 1.0
    """For a share: it is at most this. A difference agent - other is above 0."""

    @property
    def in_words(self) -> str:
        """The claim as a sentence without its stop."""
        if self.measure == "share":
            return f"{self.agent} has the final return of {self.other} after at most {self.below:.0%} of the steps"
        what = "final return" if self.measure == "final" else "learning-curve area"
        return f"{self.agent} has a higher {what} than {self.other}"


CLAIMS = (
    Claim("ds-td3", "td3", "final"),
    Claim("ds-td3", "td3", "lca"),
    Claim("ds-td3", "static-td3", "final"),
    Claim("ds-td3", "static-td3", "lca"),
    Claim("ds-td3", "td3", "share", below=0.6),
    Claim("ds-sac", "sac", "final", ("Walker2d", "Hopper", "Ant", "Humanoid")),
    Claim("ds-sac", "sac", "lca"),
)


def base_of(env: str) -> str:
    """Return the name of an environment without version and namespace, such as HalfCheetah.

    Args:
        env: its Gymnasium id.
    """
    return env.rpartition("/")[2].rpartition("-v")[0] or env


def task_of(env: str) -> str | None:
    """Return the name of an environment as `ENVIRONMENTS` has it; None for one with a namespace or a module.

    Args:
        env: its Gymnasium id. my/Hopper-v0 is somebody's own.
    """
    return None if "/" in env or ":" in env else base_of(env)


def version_of(env: str) -> str:
    """Return which of a task's versions this is, such as v5 or v5 (module mine); "" for a name without any.

    Args:
        env: as a report calls it. Its version of MuJoCo is left out.
    """
    _, dash, version = re.sub(r" \(MuJoCo [^)]*\)", "", env).rpartition("-v")
    return f"v{version}" if dash else ""


def numbers_of(preset: str | None, env: str) -> Published | None:
    """Return what the paper has for an agent on an environment, or None.

    Args:
        preset: the agent as the presets call it; None, for one with options of its own, has no number.
        env: Gymnasium id of the environment.
    """
    return NUMBERS.get(preset or "", {}).get(base_of(env))
