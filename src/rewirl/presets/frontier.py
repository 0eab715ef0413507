"""SimBa (Lee et al., ICLR 2025), XQC (Palenicek et al., ICLR 2026) and CrossQ (Bhatt et al., ICLR 2024).

Dense as in the papers, and sparse, of which no paper says anything: 80% as where Ma et al. (ICML 2025) see static
topologies win. SimBa's paper has no MuJoCo task of Gymnasium either; two critics and gamma 0.995 there are ours.

On the DeepMind Control Suite the papers hold every action for two control steps, and count control steps. Here a step
is a decision: a million control steps are 500,000 steps, with two updates each.
"""

from __future__ import annotations

from typing import Any

from rewirl.presets.preset import VERSION, Preset

_TASKS = tuple(f"{task}-{VERSION}" for task in ("HalfCheetah", "Hopper", "Walker2d", "Ant", "Humanoid"))

_STEPS, _WARM_UP = 1_000_000, 5_000

_OF_PAPER: dict[str, dict[str, Any]] = {
    "simba": {},
    "xqc": {"learning_rate_updates": 2 * (_STEPS - _WARM_UP)},
    "crossq": {},
}
"""What an agent's defaults leave to the length of a run."""

_SMALL_SIMBA = {"hidden_sizes": (256, 256), "actor_hidden_sizes": (128,), "learning_rate": 3e-4}
"""SBX's networks and step size for SimBa on MuJoCo."""

_SUITE_STEPS = 500_000

_SUITE = ("dog-stand", "dog-walk", "dog-trot", "dog-run", "humanoid-stand", "humanoid-walk", "humanoid-run")
_EASIER = ("cheetah-run", "hopper-hop", "quadruped-run", "walker-run")
"""Tasks that have published curves: SimBa's are half as long of these four. How often they are evaluated is ours."""

_OF_SUITE: dict[str, Any] = {
    "env_kwargs": {"action_repeat": 2},
    "gamma": 0.99,
    "updates_per_step": 2,
    "eval_every": 12_500,
}


def _suite_options(paper: str, task: str) -> dict[str, Any]:
    steps = _SUITE_STEPS // 2 if paper == "simba" and task in _EASIER else _SUITE_STEPS
    own = {"n_critics": 1} if paper == "simba" else {"learning_rate_updates": 2 * (steps - _WARM_UP)}
    return {**_OF_SUITE, **own, "total_timesteps": steps}


PRESETS = {
    **{
        f"{paper}/{kind}{paper}/{task}-v0": Preset(
            f"{kind}{paper}", f"dm_control/{task}-v0", _suite_options(paper, task)
        )
        for paper in ("simba", "xqc")
        for kind in ("", "static-", "ds-")
        for task in (*_SUITE, *_EASIER)
    },
    **{
        f"{paper}/{kind}{paper}/{env}": Preset(f"{kind}{paper}", env, {**options, "total_timesteps": _STEPS})
        for paper, options in _OF_PAPER.items()
        for kind in ("", "static-", "ds-")
        for env in _TASKS
    },
    **{f"simba/small-simba/{env}": Preset("simba", env, {**_SMALL_SIMBA, "total_timesteps": _STEPS}) for env in _TASKS},
}
