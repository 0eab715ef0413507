"""The papers' settings by name, and those that an agent has in an environment of its paper unless told otherwise."""

from __future__ import annotations

from pathlib import Path

from rewirl.hints import nearest
from rewirl.presets import (
    anf,
    cleanrl,
    fast,
    frontier,
    gallici,
    graesser,
    methods,
    minatar,
    plasticity,
    rlx2,
    small,
    sokar,
    spacenet,
    stream,
)
from rewirl.presets.preset import Preset
from rewirl.presets.preset_file import SUFFIX, read_preset
from rewirl.presets.small import suggestion
from rewirl.presets.sokar import defaults, protocol
from rewirl.printing import program

__all__ = ["PAPERS", "defaults", "names", "preset", "protocol", "suggestion"]

PAPERS = {"ds-drl": protocol}
"""Papers whose settings a sweep may take as its own, and what each says of an agent."""

_EXPERIMENTS = Path(__file__).parents[1] / "experiments" / "sweeps"

_OF_PAPERS = {
    name: preset
    for presets in (
        *(sokar.PRESETS, rlx2.PRESETS, graesser.PRESETS, methods.PRESETS, anf.PRESETS),
        *(frontier.PRESETS, fast.PRESETS, minatar.PRESETS, cleanrl.PRESETS, stream.PRESETS),
        *(plasticity.PRESETS, spacenet.PRESETS, gallici.PRESETS),
    )
    for name, preset in presets.items()
}

_PRESETS = {
    **{
        name: Preset(preset.agent, preset.env, {**protocol(preset.agent), **preset.options})
        for name, preset in _OF_PAPERS.items()
    },
    **small.PRESETS,
}
"""What the other papers do not say is as in Sokar et al. 2022, so that methods differ by the method alone."""


def names() -> list[str]:
    """Return the names of all presets, paper/agent/environment, such as ds-drl/ds-td3/HalfCheetah-v5."""
    return list(_PRESETS)


def _is_file(name: str) -> bool:
    try:
        return Path(name).is_file()
    except OSError:  # a name too long, or a directory above that is closed
        return False


def preset(name: str) -> Preset:
    """Return what a preset stands for.

    Args:
        name: one of `names`, or a file that ends in .toml.

    Raises:
        ValueError: there is no such preset; the message says what is near, or that it is an experiment. Or the file
            is no preset.
    """
    if name.endswith(SUFFIX):
        return read_preset(Path(name))
    if name not in _PRESETS:
        experiments = {
            path.relative_to(_EXPERIMENTS).with_suffix("").as_posix() for path in _EXPERIMENTS.rglob("*.toml")
        }
        if name in experiments:
            raise ValueError(f"no preset {name!r}; it is an experiment, many runs: {program()} sweep {name} --dry-run")
        own = next((file for file in (f"{name}{SUFFIX}", f"{name}/best{SUFFIX}") if _is_file(file)), None)
        near = f"did you mean {own}? " if own else nearest(name, _PRESETS)
        raise ValueError(f"no preset {name!r}; {near}`{program()} presets` lists them all")
    return _PRESETS[name]
