"""The best trial as a preset: a file that `rewirl train --preset` and Python take."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rewirl.experiments.tune.error import TuneError
from rewirl.experiments.tune.space import sampled_values
from rewirl.experiments.tune.study import Task
from rewirl.experiments.tune.trials import last_evaluations
from rewirl.options.option import AXES, INDIFFERENT, options
from rewirl.options.resolve import resolve
from rewirl.presets.preset import Preset
from rewirl.presets.preset_file import preset_text
from rewirl.printing import number
from rewirl.storage.files import write_atomically

BEST = "best.toml"


def preset_of(task: Task, params: Mapping[str, Any]) -> Preset:
    """Return the settings of a trial as a preset: what was sampled, and all else that differs from the defaults.

    Args:
        task: what is tuned.
        params: what Optuna sampled.

    Raises:
        TuneError: a file cannot hold a setting; names it.
    """
    settings = resolve({**task.request, **sampled_values(task.space, params)})
    agent, env = settings.run.agent, settings.run.env
    usual = resolve({"agent": agent, "env": env})
    known = [option for option in options(agent).values() if option.name not in (*AXES, *INDIFFERENT)]
    own = {
        option.name: settings.value(option)
        for option in known
        if option.name in task.space or settings.value(option) != usual.value(option)
    }
    preset = Preset(agent, env, {name: value for name, value in own.items() if value is not None})
    again = resolve({"agent": agent, "env": env, **preset.options})
    for option in known:
        if again.value(option) != settings.value(option):
            raise TuneError(
                f"{option.name} is {settings.value(option)}, which a preset file cannot say; give it another value"
            )
    return preset


def write_best(task: Task, trial: Any, trials: int, directory: Path) -> Path:
    """Write a trial of Optuna's as a preset, and return the file.

    Raises:
        OSError: it cannot be written.
    """
    path = directory / BEST
    text = preset_text(preset_of(task, trial.params), _comment(task, trial, trials))
    if not path.exists() or path.read_bytes() != text.encode():
        write_atomically(path, text.encode())
    return path


def corner(task: Task) -> dict[str, Any]:
    """Return what Optuna might sample: the least of everything.

    Raises:
        TuneError: a preset file could not hold the settings of a trial.
    """
    params = {name: dimension.sampled(dimension.corners()[0]) for name, dimension in task.space.items()}
    preset_text(preset_of(task, params))
    return params


def _comment(task: Task, trial: Any, trials: int) -> str:
    seeds = f"{'seed' if len(task.seeds) == 1 else 'seeds'} {', '.join(map(str, task.seeds))}"
    what = f"mean return of the {last_evaluations(trial)}, {seeds}"
    return f"Trial {trial.number}, the best of {trials}: {number(trial.value, least=1)}, {what}"
