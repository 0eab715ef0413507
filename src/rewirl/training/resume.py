"""A run continued: put together again as its newest sound checkpoint has it."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from rewirl import _core
from rewirl.agents import Agent, AgentConfig, agent_entry, make_agent
from rewirl.agents.config import setting
from rewirl.environments.identity import said_in, same_identity
from rewirl.environments.recipe import Recipe
from rewirl.environments.same import difference
from rewirl.environments.source import EnvironmentSource, environment_source, recorded_source
from rewirl.environments.spaces import Spaces, UnsuitableEnvironmentError
from rewirl.exact import from_values
from rewirl.options.train import TrainConfig
from rewirl.saved import count, fields, lines, numbers, shown
from rewirl.storage.checkpoint import Checkpoint, CheckpointError, load_latest, sweep
from rewirl.storage.files import exists
from rewirl.storage.metrics_log import last_event, read_metrics
from rewirl.storage.policy_file import PolicyError
from rewirl.storage.recorder import RunRecord
from rewirl.storage.run_directory import RunDirectory, RunDirectoryError, differences
from rewirl.topology.memory import KEPT
from rewirl.training.loop import Training
from rewirl.training.own_state import load_agent, refuse_unsaveable
from rewirl.training.progress import Progress
from rewirl.training.room import refuse_sizes_beyond_memory
from rewirl.training.run import Run, what_computes
from rewirl.training.trained_policy import TrainedPolicy


@dataclass(frozen=True)
class Reopened:
    """A run as its newest checkpoint has it. Its directory is locked, and nothing is written before `record`."""

    run: Run
    directory: RunDirectory
    record: Callable[[], None]
    """Lets the record go on; what was logged after the checkpoint is cut off."""

    def close(self) -> None:
        """Release the run and its directory; idempotent."""
        self.run.close()
        self.directory.close()


def resume(path: Path, progress: Progress, total_timesteps: int | None = None) -> Run | None:
    """Put a run together as its newest sound checkpoint has it, to continue it to the bit; arguments as for `reopen`.

    Returns:
        The run, or None if it has ended; nothing is written then.
    """
    reopened = reopen(path, progress, total_timesteps)
    if reopened is None:
        return None
    try:
        reopened.run.configure(reopened.run.config)
        reopened.record()
    except BaseException:
        reopened.close()
        raise
    return reopened.run


def reopen(
    path: Path,
    progress: Progress,
    total_timesteps: int | None = None,
    source: EnvironmentSource | None = None,
    ended: bool = False,
) -> Reopened | None:
    """Put a run together as its newest sound checkpoint has it, without writing anything.

    `Run.configure` has to follow before it is evaluated.

    Args:
        path: the run's directory.
        progress: is told how far the run is.
        total_timesteps: steps of the whole run, if it is to go on longer than was said when it started.
        source: where its environment comes from, if the record does not say.
        ended: whether a run that has ended is put together too.

    Returns:
        The run, or None if it has ended and such are left out.

    Raises:
        RunDirectoryError: there is no run, another process owns it, or its configuration is damaged.
        CheckpointError: there are checkpoints, but none is sound and fits the run; or they were removed.
        UnsuitableEnvironmentError: the environment cannot be found any more.
        FaultyEnvironmentError: the environment misbehaved when the current episode was played again.
        PolicyError: the warm-up is not over, and its policy is not there or not the same any more.
        ValueError: the agent cannot be built.
    """
    directory = RunDirectory.open(path)
    run: Run | None = None
    total = total_timesteps

    def put_back(saved: Checkpoint) -> None:
        nonlocal run, total
        values = {"config": directory.config, **saved.values}  # earlier versions did not say whose checkpoint it is
        with _naming(directory, saved):
            differing = list(differences(directory.config, values["config"], ""))
            if differing:
                raise ValueError(
                    "\n  ".join(["it is of another run: config.json there, the checkpoint here", *differing])
                )
            count(values.get("metrics_offset"), "the saved metrics_offset")
            lines(values.get("metrics_unwritten", []), "the saved metrics_unwritten")
            if not isinstance(values.get("metrics_sha256", ""), str):
                raise ValueError(f"its metrics_sha256 is {shown(values['metrics_sha256'])}, which is no sum")
            _generation(saved)
            if values.get("step") != saved.step:
                raise ValueError(f"its step is {shown(values.get('step'))}, but {saved.step} elsewhere")
            total = total_timesteps or count(values.get("total_timesteps"), "the saved total_timesteps")
        if ended or saved.step < total or (saved.step == total and not _has_ended(directory, total)):
            run = run or Run(config, agent_config, progress, environment)
            with _naming(directory, saved):
                run.training.load_state(saved.arrays, values, own=True)

    try:
        recorded, agent_config = settings_of(directory)
        environment = source_of(directory, recorded, source, progress.message)
        config = dataclasses.replace(recorded, eval_every=0)  # whoever continues says whether it is evaluated
        sweep(directory.checkpoints)
        # The replay memory goes on in the memory into which it is read: there may be no room for two.
        room = {"replay/transitions": setting(agent_config, "buffer_size", 0)}
        saved = load_latest(directory.checkpoints, progress.message, put_back, room)
        if saved is None:
            total = total or config.total_timesteps
            if (ended or not _has_ended(directory, total)) and had_checkpoints(directory):
                raise CheckpointError(
                    f"{path} has no checkpoints any more, so it cannot go on; its record and its policy stay as they "
                    "are. To train from the start, move it away"
                )
            if not _has_ended(directory, total):
                run = Run(config, agent_config, progress, environment)
                progress.message(f"{path} has no checkpoint yet, so it starts over")
        if run is None:
            _warn_of_changes(directory, progress)
            directory.close()
            return None
        assert total is not None
        run.training.ended = _has_ended(directory, total)
        run.config = run.training.config = dataclasses.replace(
            run.config, total_timesteps=total, eval_every=recorded.eval_every
        )
        _warn_of_memory(directory, {} if saved is None else saved.values, progress)
        made_on = _instruction_set(directory, saved)
        if made_on not in (None, _core.instruction_set()):
            progress.message(
                f"warning: this run was saved on {shown(made_on)} and goes on with {_core.instruction_set()!r}: its "
                "last bits differ from those of a run never stopped"
            )
        if saved is not None and _generation(saved) != _core.KERNEL_GENERATION:
            progress.message(
                f"warning: this run was saved with generation {_generation(saved)} of the core's kernels and goes on "
                f"with generation {_core.KERNEL_GENERATION}: its last bits differ from those of a run never stopped"
            )
        if run.training.step < agent_config.learning_starts:
            run.warm_up_with_policy(directory.config.get("warm_up_policy"))
        position = None if saved is None else (saved.step, saved.values)

        def record(training: Training = run.training) -> None:
            refuse_unsaveable(training.agent, training.environment.actions.kind)
            keep = config.keep_checkpoints
            training.learning.untried = True
            training.recorder = RunRecord(directory, keep, progress.message, position, what_computes())

        return Reopened(run, directory, record)
    except BaseException:
        if run is not None:
            run.close()
        directory.close()
        raise


def _instruction_set(directory: RunDirectory, saved: Checkpoint | None) -> Any:
    """Return the instruction set that a checkpoint was computed on; of earlier versions the one the run began with."""
    if saved is None:
        return None
    machine = directory.record.get("machine")
    return saved.values.get("instruction_set", machine.get("instruction_set") if isinstance(machine, dict) else None)


def _generation(saved: Checkpoint) -> int:
    """Return the generation of the kernels that a checkpoint was computed with; version 0.1.0 had the first."""
    return count(saved.values.get("kernels", 1), "the saved generation of kernels")


def _warn_of_memory(directory: RunDirectory, values: Mapping[str, Any], progress: Progress) -> None:
    """Say that a run is not continued to the bit, if its environment or its rule keeps what no checkpoint has."""
    kept = (values.get("agent", {}).get("adaptation") or {}).get(KEPT)
    if kept:
        rule = (directory.config["agent"].get("topology") or {}).get("rule")
        progress.message(
            f"warning: this run is not continued to the bit: its rule {shown(rule)} keeps something from one event to "
            f"the next, in {', '.join(map(str, kept))[:200]}, and no checkpoint has it. A rule with rewirl_state() and "
            "load_rewirl_state(values) is continued exactly"
        )
    memory = directory.config.get("environment_memory")
    if isinstance(memory, dict):
        progress.message(
            "warning: this run is not continued to the bit: its environment keeps something from one episode to the "
            f"next, in {memory.get('place')}, and no checkpoint has it"
        )


def _warn_of_changes(directory: RunDirectory, progress: Progress) -> None:
    """Say that the log of a run that has ended is not what was written."""
    try:
        read_metrics(directory.metrics, ())
    except (ValueError, OSError) as error:
        progress.message(f"warning: {error}")


def _has_ended(directory: RunDirectory, step: int) -> bool:
    """Tell whether a run has all there is to it: a kill may have come between its last checkpoint and its policy."""
    last = last_event(directory.metrics)
    return last.get("event") == "end" and last.get("step") == step


def had_checkpoints(directory: RunDirectory) -> bool:
    """Tell whether a run has saved something: its policy is written after the first checkpoint."""
    return exists(directory.policy) or last_event(directory.metrics).get("event") == "end"


@contextlib.contextmanager
def _naming(directory: RunDirectory, saved: Checkpoint) -> Iterator[None]:
    """Say of which checkpoint it is that something cannot be."""
    try:
        yield
    except ValueError as error:
        raise CheckpointError(f"{directory.checkpoints / saved.name} does not fit the run: {error}") from error


def settings_of(directory: RunDirectory) -> tuple[TrainConfig, AgentConfig]:
    """Return the settings of a run and of its agent.

    Raises:
        RunDirectoryError: they are not those of a run of this version.
    """
    try:
        config = from_values(TrainConfig, directory.config["train"])
        try:
            agent_entry(config.agent)
        except ValueError as error:
            own = "one of your own is known once its module is imported, by --env-module (env_module in Python) too"
            raise RunDirectoryError(
                f"{directory.path} is a run of {config.agent}, which is no agent here; "
                f"{error if ':' in config.agent else own}"
            ) from error
        return config, from_values(agent_entry(config.agent).config, directory.config["agent"])
    except (KeyError, TypeError, ValueError) as error:
        raise RunDirectoryError(
            f"{directory.path}/config.json is not the configuration of a run of this version: {error}"
        ) from error


def source_of(
    directory: RunDirectory,
    config: TrainConfig,
    given: EnvironmentSource | None = None,
    say: Callable[[str], None] = lambda text: None,
) -> EnvironmentSource:
    """Return where the environment of a run comes from.

    Args:
        directory: of the run.
        config: its settings.
        given: the environment handed over again by the program that made it; None goes by the record.
        say: is told in what that may be another one.

    Raises:
        UnsuitableEnvironmentError: it cannot be found here, or only the program that made it can make it again; or what
            was handed over is another one.
        RunDirectoryError: what its record says of it is impossible.
    """
    recorded = directory.config.get("environment")
    if given is not None:
        certain = given if given.examine is None else given.examine(True)
        here = None if certain.id is None else said_in(certain.module, certain.id)
        same = here is not None and same_identity(here, said_in(config.env_module, config.env))
        if certain.made_by == "an id" and same and recorded is None:
            # Of an id the run knows the arguments and wrappers.
            return environment_source(config.env, config.env_kwargs, certain.module, config.wrapper)
        try:
            of_record = config.env, config.env_kwargs, config.wrapper, recorded
            differs, perhaps = difference(*of_record, certain, config.env_module)
        except ValueError as error:
            raise RunDirectoryError(f"{directory.path}/config.json: {error}") from error
        if differs:
            raise UnsuitableEnvironmentError(f"{directory.path} is a run in {differs}; give the same one")
        if perhaps:
            say(f"warning: {directory.path} is a run in {perhaps}. It goes on in the one given")
        return certain
    if recorded is None:
        return environment_source(config.env, config.env_kwargs, config.env_module, config.wrapper)
    try:
        return recorded_source(config.env, fields(recorded, "environment"), config.env_module)
    except UnsuitableEnvironmentError:
        raise
    except ValueError as error:
        raise RunDirectoryError(f"{directory.path}/config.json: {error}") from error


@dataclass(frozen=True)
class Shown:
    """A run for looking at its agent; use it as a context manager."""

    agent: Agent
    """As the newest checkpoint has it."""
    total: int
    """Steps of the whole run."""
    env: str
    """The name of its environment."""
    diagnostics: dict[str, float]
    """What the checkpoint has of them; empty where there is none."""
    transitions: NDArray[np.float32] | None
    """Of its replay memory, see `input_importance`; None where it has none."""
    stripped: bool
    """Whether its checkpoints were removed: the agent is as it began then."""

    def __enter__(self) -> Self:
        """Return self."""
        return self

    def __exit__(self, *_: object) -> None:
        """Release the agent's threads."""
        self.agent.close()


def at_latest_checkpoint(directory: RunDirectory, progress: Progress) -> Shown:
    """Return the agent of a run as its newest sound checkpoint has it; nothing is written.

    The run's policy says the sizes of observations and actions, so its environment is made only where it has none.

    Raises:
        RunDirectoryError: the configuration is damaged.
        CheckpointError: there are checkpoints, but none is sound and fits the run.
        UnsuitableEnvironmentError: there is no policy yet, and the environment cannot be found any more.
        ValueError: the agent cannot be built.
    """
    config, agent_config = settings_of(directory)
    spaces = _spaces(directory, config)
    sizes = spaces.observation_size, spaces.action_size
    refuse_sizes_beyond_memory(config.agent, agent_config, spaces.observation_size)
    agent = make_agent(config.agent, agent_config, *sizes, config.seed, config.threads, spaces.actions.kind)
    total, diagnostics, transitions = config.total_timesteps, dict[str, float](), None
    try:

        def put_back(saved: Checkpoint) -> None:
            nonlocal total, transitions
            prefix = "agent/"
            arrays = {name.removeprefix(prefix): a for name, a in saved.arrays.items() if name.startswith(prefix)}
            with _naming(directory, saved):
                load_agent(agent, arrays, fields(saved.values.get("agent"), "the saved agent"))
                total = count(saved.values.get("total_timesteps"), "the saved total_timesteps")
                diagnostics.update(numbers(saved.values.get("diagnostics"), "the saved diagnostics"))
                transitions = _transitions(saved, 2 * sizes[0] + sizes[1] + 2)

        saved = load_latest(directory.checkpoints, progress.message, put_back)
    except BaseException:
        agent.close()
        raise
    name = Recipe(config.env, named=config.wrapper).name
    return Shown(agent, total, name, diagnostics, transitions, saved is None and had_checkpoints(directory))


def _transitions(saved: Checkpoint, columns: int) -> NDArray[np.float32] | None:
    """Return the transitions of a checkpoint, which may have none.

    Raises:
        ValueError: they are not so many numbers each, or not finite.
    """
    rows = saved.arrays.get("replay/transitions")
    if rows is None:
        return None
    if rows.dtype != np.float32 or rows.ndim != 2 or rows.shape[1] != columns or not np.isfinite(rows).all():
        raise ValueError(f"the saved transitions are not finite float32 numbers in {columns} columns")
    return rows


def _spaces(directory: RunDirectory, config: TrainConfig) -> Spaces:
    """Return the spaces of observations and actions, by the run's policy or else by its environment."""
    try:
        return TrainedPolicy.load(directory.path).spaces
    except PolicyError:
        environment = source_of(directory, config).make_training()
        environment.close()
        return environment.spaces
