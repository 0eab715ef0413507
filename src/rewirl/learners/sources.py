"""Where the environment of a planned or a recorded run comes from, by what Python was given."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from rewirl.environments.identity import import_named
from rewirl.environments.source import EnvironmentSource, environment_source
from rewirl.options.resolve import Settings, resolve

if TYPE_CHECKING:
    from rewirl.learners.learner import EnvironmentLike


def of_preset(request: Mapping[str, Any], env: EnvironmentLike | None) -> tuple[Settings, EnvironmentSource]:
    """Return the settings of a preset, and where its environment comes from.

    Args:
        request: as for `resolve`, with the preset.
        env: the environment; an id has the arguments and wrappers of the preset. None is the preset's.

    Raises:
        UnsuitableEnvironmentError: it cannot be found, or arguments or wrappers are given to an object or a function.
        ValueError: an option is impossible.
    """
    if env is None or isinstance(env, str):
        settings = resolve(request if env is None else {**request, "env": env})
        run = settings.run
        return settings, environment_source(run.env, run.env_kwargs, run.env_module, run.wrapper)
    given = request.get("env_kwargs"), request.get("env_module"), request.get("wrapper", ())
    source = environment_source(env, *given)
    return resolve({**request, "env": source.task, "env_kwargs": dict(source.kwargs), "wrapper": ()}), source


def of_run(env: EnvironmentLike | None, env_module: str | None) -> EnvironmentSource | None:
    """Return where the environment of a run comes from; None goes by its record, once the module is imported.

    Raises:
        UnsuitableEnvironmentError: the module cannot be imported, or the environment cannot be found.
    """
    if env is not None:
        return environment_source(env, None, env_module)
    import_named(env_module)
    return None
