"""From what was typed to options, with tyro: types, help and defaults come from the dataclasses that configure all."""

from __future__ import annotations

import dataclasses
import functools
import json
from types import SimpleNamespace
from typing import TYPE_CHECKING, Annotated, Any, get_type_hints

from rewirl.cli.commands import COMMANDS
from rewirl.cli.errors import UsageError, usage_errors

if TYPE_CHECKING:
    from rewirl.agents import AgentConfig
    from rewirl.training.config import TrainConfig


def parse_agent(command: str, arguments: list[str], **more: tuple[Any, Any, str]) -> Any:
    """Parse the options of a run and its agent, whose defaults depend on agent, environment and preset."""
    from rewirl.training.config import TrainConfig

    with usage_errors():
        defaults, run = _resolved(arguments)
    return parse(
        command,
        arguments,
        preset=(
            str | None,
            None,
            "A paper's setting of agent, environment and topology, such as ds-drl/ds-td3/HalfCheetah-v5. None is the "
            "paper's own for its environments, 50% sparsity for any other.",
        ),
        run=(TrainConfig, run, ""),
        agent=(type(defaults), defaults, ""),
        **more,
    )


def _resolved(arguments: list[str]) -> tuple[AgentConfig, TrainConfig]:
    """Find the default settings of the agent and of its run, before the other options are parsed."""
    from rewirl.presets.lookup import agent_config, preset
    from rewirl.topology.config import making_room
    from rewirl.training.config import TrainConfig

    asked = {name: _value_of(name, arguments) for name in ("--agent", "--env", "--preset")}
    if asked["--preset"] is not None:
        chosen = preset(asked["--preset"])
        agent, env, config, train = chosen.agent, chosen.env, chosen.config, chosen.train
        for option, meant in (("--agent", agent), ("--env", env)):
            if asked[option] not in (None, meant):
                raise UsageError(
                    f"--preset {asked['--preset']} is for {option} {meant}, not {asked[option]}; leave one out"
                )
    else:
        agent, env = asked["--agent"] or TrainConfig.agent, asked["--env"] or TrainConfig.env
        config, train = agent_config(agent, env), {}
    names = ("sparsity", "lambdas", "layer_sparsities", "distribution")
    topology = making_room(
        config.topology, [n for n in names if _value_of("--" + n.replace("_", "-"), arguments) not in (None, "None")]
    )
    config = dataclasses.replace(config, topology=topology)
    return config, TrainConfig(agent=agent, env=env, **train)


def _value_of(option: str, arguments: list[str]) -> str | None:
    """Return the last value arguments for an option, or None."""
    value = None
    for index, argument in enumerate(arguments):
        name, equals, _ = argument.replace("_", "-").partition("=")
        if name == option:
            value = argument.partition("=")[2] if equals else next(iter(arguments[index + 1 : index + 2]), None)
    return value


def parse(command: str, arguments: list[str], about: str | None = None, /, **fields: tuple[Any, Any, str]) -> Any:
    """Parse options with tyro.

    Args:
        command: its name.
        arguments: the arguments after it.
        about: says what the command does; None is its summary.
        **fields: for each option its type, default and help. Without a default (MISSING) it is given by its place. A
            settings dataclass stands for one option per field; the field's docstring is the help.

    Returns:
        An object with an attribute per field.
    """
    import tyro

    positional: Any = tyro.conf.Positional
    made = dataclasses.make_dataclass(
        "Options",
        [
            (name, positional[Annotated[_mirror(kind), tyro.conf.arg(help=text or None)]])
            if default is dataclasses.MISSING
            else (
                name,
                Annotated[_mirror(kind), tyro.conf.arg(help=text or None)],
                dataclasses.field(default_factory=functools.partial(_mirrored, default)),
            )
            for name, (kind, default, text) in fields.items()
        ],
    )
    parsed: Any = tyro.cli(
        made,
        prog=f"rewirl {command}",
        description=about or COMMANDS[command].summary,
        args=arguments,
        config=(tyro.conf.OmitArgPrefixes, tyro.conf.FlagCreatePairsOff),
        registry=_registry(),
    )
    with usage_errors():
        return SimpleNamespace(
            **{name: _original(kind, getattr(parsed, name)) for name, (kind, _, _) in fields.items()}
        )


@functools.cache
def _mirror(kind: Any) -> Any:
    """Return a dataclass of the same fields for tyro to fill in; any other type is returned as it is.

    It checks nothing, so that an impossible setting is reported by us, the same way everywhere. Line breaks of field
    docstrings are taken out, because tyro would keep some of them.
    """
    if not (isinstance(kind, type) and dataclasses.is_dataclass(kind)):
        return kind
    import docstring_parser
    import tyro

    hints = get_type_hints(kind)
    texts = {
        entry.arg_name: entry.description
        for owner in reversed(kind.__mro__[:-1])  # the docstring of a field may be that of a parent
        for entry in docstring_parser.parse_from_object(owner).params
        if entry.description
    }
    made = dataclasses.make_dataclass(
        kind.__name__,
        [
            (field.name, Annotated[_mirror(hints[field.name]), tyro.conf.arg(help=" ".join(text.split()) or None)])
            for field in dataclasses.fields(kind)
            for text in [texts.get(field.name, "")]
        ],
    )
    made.__doc__ = (kind.__doc__ or "").partition("\n")[0]
    return made


def _mirrored(settings: Any) -> Any:
    if not dataclasses.is_dataclass(settings) or isinstance(settings, type):
        return settings
    values = {field.name: _mirrored(getattr(settings, field.name)) for field in dataclasses.fields(settings)}
    return _mirror(type(settings))(**values)


def _original(kind: Any, mirrored: Any) -> Any:
    if not (isinstance(kind, type) and dataclasses.is_dataclass(kind)):
        return mirrored
    hints = get_type_hints(kind)
    return kind(
        **{
            field.name: _original(hints[field.name], getattr(mirrored, field.name))
            for field in dataclasses.fields(kind)
        }
    )


def _registry() -> Any:
    """Return tyro's registry with JSON objects for dictionaries."""
    import tyro

    registry = tyro.constructors.ConstructorRegistry()

    @registry.primitive_rule
    def _(info: tyro.constructors.PrimitiveTypeInfo) -> tyro.constructors.PrimitiveConstructorSpec[Any] | None:
        if info.type_origin is not dict:
            return None
        return tyro.constructors.PrimitiveConstructorSpec(
            nargs=1,
            metavar="JSON",
            instance_from_str=lambda words: _json_object(words[0]),
            is_instance=lambda value: isinstance(value, dict),
            str_from_instance=lambda value: [json.dumps(value)],
        )

    return registry


def _json_object(text: str) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except json.JSONDecodeError as error:
        raise ValueError(f"not JSON: {error}") from error
    if not isinstance(value, dict):
        raise ValueError("must be a JSON object such as '{\"name\": 1}'")
    return value
