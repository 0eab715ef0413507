"""The command `presets`: the papers' settings."""

from __future__ import annotations

import json

from rewirl.cli.errors import usage_errors
from rewirl.cli.fields import OPTIONAL_NAME
from rewirl.cli.parse import parse
from rewirl.options.option import options as options_of
from rewirl.options.resolve import resolve
from rewirl.presets import lookup
from rewirl.presets.preset import Preset
from rewirl.presets.preset_file import preset_text
from rewirl.printing import program, result
from rewirl.storage.values import to_values


def presets(arguments: list[str]) -> int:
    """Run `rewirl presets` and return its exit code."""
    options = parse(
        "presets",
        arguments,
        name=(
            OPTIONAL_NAME,
            None,
            "Name of a preset, such as ds-drl/ds-td3/Ant-v5, to show in full as a preset file; or what names begin "
            "with, such as small, to list them. Without it all are listed.",
        ),
        json=(bool, False, "Print JSON instead of a table, or of a preset file."),
    )
    name: str | None = options.name
    known = lookup.names()
    if name is not None:
        listed = [each for each in known if each.startswith(f"{name.rstrip('/')}/")]
        known, name = (listed, None) if listed else ([name], name)
    with usage_errors():
        by_name = {each: lookup.preset(each) for each in known}
        agents = {n: resolve({"preset": n}).agent for n in by_name}  # a file may have anything for options
        text = None if name is None or options.json else _as_file(name, by_name[name]).rstrip("\n")
    if text is not None:
        result(text)
        return 0
    settings = {
        n: {
            "agent": preset.agent,
            "env": preset.env,
            "settings": to_values(agents[n]),
            "run": {o: value for o, value in preset.options.items() if options_of(preset.agent)[o].part == "run"},
        }
        for n, preset in by_name.items()
    }
    if options.json:
        result(json.dumps(settings if name is None else settings[name], indent=2))
        return 0
    width = max(map(len, by_name))
    result(f"{'preset':<{width}}  {'agent':<10}  topology")
    for n, preset in by_name.items():
        result(f"{n:<{width}}  {preset.agent:<10}  {agents[n].topology.summary()}")
    result(f"\n{program()} presets NAME shows one in full; {program()} train --preset NAME trains with it.")
    return 0


def _as_file(name: str, preset: Preset) -> str:
    """Return a preset file with every setting that a preset ends in; what is none is left out."""
    settings = resolve({"preset": name})
    values = {
        option.name: value
        for option in options_of(preset.agent).values()
        if option.part != "run" or option.name in preset.options
        if (value := settings.value(option)) is not None
    }
    comment = f"{name} in full. `{program()} train --preset FILE.toml` trains with a file such as this."
    return preset_text(Preset(preset.agent, preset.env, values), comment)
