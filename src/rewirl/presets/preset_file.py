"""A preset of one's own: a TOML file with agent, environment and options, as `rewirl tune` writes one."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rewirl.presets.preset import Preset
from rewirl.toml_file import read_toml, toml

SUFFIX = ".toml"
_AXES = ("agent", "env")


def read_preset(path: Path) -> Preset:
    """Return what a file stands for; its options are checked where they are resolved.

    Args:
        path: the file; keys are names of options, with _ or -.

    Raises:
        ValueError: it cannot be read, or is no preset; names the file.
    """
    content: dict[str, Any] = {}
    for key, value in read_toml(path, "a preset").items():
        name = key.replace("-", "_")
        if name in content:
            raise ValueError(f"the preset {path} has {name} twice, with _ and with -; leave one out")
        content[name] = value
    for axis in _AXES:
        value = content.get(axis)
        if not isinstance(value, str) or not value:
            example = 'agent = "ds-td3"' if axis == "agent" else 'env = "Pendulum-v1"'
            raise ValueError(f"the preset {path} does not say its {axis}; it needs a line such as {example}")
    if "seed" in content:
        raise ValueError(f"the preset {path} has a seed; a preset is for any, so say it with --seed")
    return Preset(content.pop("agent"), content.pop("env"), content)


def preset_text(preset: Preset, comment: str = "") -> str:
    """Return the content of a file that stands for a preset.

    Args:
        preset: the preset.
        comment: lines for its beginning.

    Raises:
        ValueError: a file cannot hold one of its values; names the option.
    """
    lines = "".join(f"# {line}\n" for line in comment.splitlines())
    values: Mapping[str, Any] = {"agent": preset.agent, "env": preset.env, **preset.options}
    return lines + toml(values)
