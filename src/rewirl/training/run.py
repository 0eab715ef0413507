"""A training run from its settings to its directory: put together, started, and continued."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from rewirl import _core, agents
from rewirl.environments.environment import EnvironmentSource, UnsuitableEnvironmentError, environment_source
from rewirl.options.train import TrainConfig
from rewirl.replay import Replay
from rewirl.saved import count, fields, lines, shown
from rewirl.storage.checkpoint import Checkpoint, CheckpointError, load_latest, sweep
from rewirl.storage.metrics_log import last_event
from rewirl.storage.policy_file import PolicyError
from rewirl.storage.recorder import RunRecord
from rewirl.storage.run_directory import RunDirectory, RunDirectoryError, differences
from rewirl.storage.values import from_values, to_values
from rewirl.training.evaluation import Evaluations, Evaluator, SerialEvaluations
from rewirl.training.evaluation_process import ParallelEvaluations
from rewirl.training.loop import Outcome, Training
from rewirl.training.progress import Progress
from rewirl.training.trained_policy import policy_state
from rewirl.training.warm_up import load_warm_up_policy


class Run:
    """Everything one training run needs, put together; use it as a context manager or call `close`.

    Args:
        config: the run's settings.
        agent_config: the agent's settings.
        source: where its environments come from; None is the id of `config`.
        progress: is told how far the run is.

    Raises:
        UnsuitableEnvironmentError: the environment cannot be found or has unsuitable spaces.
        ValueError: the agent cannot be built with these settings and sizes.
    """

    def __init__(
        self,
        config: TrainConfig,
        agent_config: agents.AgentConfig,
        progress: Progress,
        source: EnvironmentSource | None = None,
    ) -> None:
        """See the class."""
        self.source = source or environment_source(config.env, config.env_kwargs, config.env_module)
        self.environment = self.source.make_training()
        sizes = self.environment.observation_size, self.environment.action_size
        try:
            noise_from = agent_config.resample_noise_from
            if noise_from is not None and self.environment.changes:
                raise ValueError(
                    "resample_noise_from says which features are noise for the whole run, but "
                    f"{self.source.name} changes in its course; leave one of them out"
                )
            replay = Replay(agent_config.buffer_size, *sizes, config.seed, noise_from)
            self.agent = agents.make_agent(config.agent, agent_config, *sizes, config.seed, config.threads)
        except BaseException:
            self.environment.close()
            raise
        self.training = Training(
            self.agent,
            replay,
            self.environment,
            config,
            agent_config.learning_starts,
            self.policy_state,
            progress,
        )
        self._progress = progress
        self._warm_up_policy: dict[str, Any] | None = None
        self.configure(config)

    def configure(self, config: TrainConfig) -> None:
        """Take on settings that change nothing of what is learnt: how long, how often to evaluate and to save.

        Raises:
            UnsuitableEnvironmentError: it is to be evaluated, but its environment cannot be made a second time.
        """
        if self.training.evaluations is not None:
            self.training.evaluations.close()
        self.config = self.training.config = config
        self.training.evaluations = self._evaluations() if config.eval_every else None
        self.total = config.total_timesteps
        """Steps of the whole run."""

    def evaluator(self, episodes: int) -> Evaluator:
        """Return an evaluator in environments of its own, with the run's evaluation seeds.

        Raises:
            UnsuitableEnvironmentError: the environment cannot be made a second time.
        """
        if self.source.make_another is None:
            raise UnsuitableEnvironmentError(
                f"{self.source.name} cannot be made a second time for evaluation: give a function that makes it "
                "instead, register it with Gymnasium, or do not evaluate (eval_every=0)"
            )
        return Evaluator(self.source.make_another, episodes, self.config.seed)

    def _evaluations(self) -> Evaluations:
        """Return what evaluates while training: a process of its own where there are two threads and it can be."""
        evaluator = self.evaluator(self.config.eval_episodes)
        if self.config.threads > 1 and ParallelEvaluations.possible(self.source):
            return ParallelEvaluations(evaluator, self.source, self._progress.message)
        return SerialEvaluations(evaluator)

    def train(self, stop: Callable[[], bool] = lambda: False) -> Outcome:
        """Train to the end, or until `stop`, asked after every step, is true; see Training.run."""
        try:
            return self.training.run(self.total, stop)
        finally:
            if self.training.evaluations is not None:
                self.training.evaluations.close()  # no process stays behind between two calls

    def policy_state(self) -> tuple[Any, Any]:
        """Return the arrays and JSON values of the policy as it is now."""
        return policy_state(self.agent, self.environment, self.source, self.config.seed, self.training.step)

    def warm_up_with_policy(self, recorded: Mapping[str, Any] | None = None) -> None:
        """Take the first actions from the policy of the settings, if they name one.

        Args:
            recorded: what the run's record says of the policy, where the run has begun: it must be the same still.

        Raises:
            PolicyError: there is no sound policy, or it is not the recorded one.
            UnsuitableEnvironmentError: it was trained in another environment.
        """
        if self.config.warm_up_policy is None:
            return
        path = Path(self.config.warm_up_policy)
        policy, about = load_warm_up_policy(path, self.environment, self.source)
        if recorded is not None and recorded != about:
            then = shown(fields(recorded, "warm_up_policy of config.json").get("step"))
            raise PolicyError(
                f"warm_up_policy {path} has changed since the run began with it (it is of step {about['step']} now, it "
                f"was of step {then}); put it back, or start a new run"
            )
        self.training.warm_up.policy, self._warm_up_policy = policy, about

    def record_in(self, path: Path) -> None:
        """Write the record from now on into a new run directory.

        Raises:
            RunDirectoryError: the directory cannot be used for this run.
        """
        settings = {"train": to_values(self.config), "agent": to_values(self.agent.config)}
        if self._warm_up_policy is not None:
            settings["warm_up_policy"] = self._warm_up_policy
        directory = RunDirectory.create(path, settings, instruction_set=_core.instruction_set())
        self.training.recorder.close()
        try:
            self.training.recorder = RunRecord(directory, self.config.keep_checkpoints, self._progress.message)
        except BaseException:
            directory.close()
            raise

    def close(self) -> None:
        """Release directory, environments and threads; idempotent."""
        self.training.recorder.close()
        if self.training.evaluations is not None:
            self.training.evaluations.close()
        self.environment.close()
        self.agent.close()

    def __enter__(self) -> Run:
        """Return self."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close."""
        self.close()


def start(config: TrainConfig, agent_config: agents.AgentConfig, path: Path, progress: Progress) -> Run:
    """Put a new run together, with its record in a new run directory.

    Raises:
        RunDirectoryError: the directory cannot be used for this run.
        UnsuitableEnvironmentError: the environment cannot be found or has unsuitable spaces, or is not that of the
            warm-up policy.
        PolicyError: there is no sound warm-up policy.
        ValueError: the agent cannot be built.
    """
    if config.warm_up_policy is not None:  # the run may be continued from another working directory
        config = dataclasses.replace(config, warm_up_policy=str(Path(config.warm_up_policy).absolute()))
    run = Run(config, agent_config, progress)
    try:
        run.warm_up_with_policy()
        run.record_in(path)
    except BaseException:
        run.close()
        raise
    return run


def resume(path: Path, progress: Progress, total_timesteps: int | None = None) -> Run | None:
    """Put a run together as its newest sound checkpoint has it, to continue it to the bit.

    Args:
        path: the run's directory.
        progress: is told how far the run is.
        total_timesteps: steps of the whole run, if it is to go on longer than was said when it started.

    Returns:
        The run, or None if it has ended; nothing is written then.

    Raises:
        RunDirectoryError: there is no run, another process owns it, or its configuration is damaged.
        CheckpointError: there are checkpoints, but none is sound and fits the run.
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
            if values.get("step") != saved.step:
                raise ValueError(f"its step is {shown(values.get('step'))}, but {saved.step} elsewhere")
            total = total_timesteps or count(values.get("total_timesteps"), "the saved total_timesteps")
        if saved.step < total or (saved.step == total and not _has_ended(directory, total)):
            run = run or Run(config, agent_config, progress)
            with _naming(directory, saved):
                run.training.load_state(saved.arrays, values)

    try:
        config, agent_config = settings_of(directory)
        sweep(directory.checkpoints)
        saved = load_latest(directory.checkpoints, progress.message, put_back)
        if saved is None:
            run = Run(config, agent_config, progress)
            progress.message(f"{path} has no checkpoint yet, so it starts over")
        elif run is None:
            directory.close()
            return None
        run.total = total or config.total_timesteps
        if run.training.step < agent_config.learning_starts:
            run.warm_up_with_policy(directory.config.get("warm_up_policy"))
        position = None if saved is None else (saved.step, saved.values)
        run.training.recorder = RunRecord(directory, config.keep_checkpoints, progress.message, position)
        return run
    except BaseException:
        if run is not None:
            run.close()
        directory.close()
        raise


def _has_ended(directory: RunDirectory, step: int) -> bool:
    """Tell whether a run has all there is to it: a kill may have come between its last checkpoint and its policy."""
    last = last_event(directory.metrics)
    return last.get("event") == "end" and last.get("step") == step


@contextlib.contextmanager
def _naming(directory: RunDirectory, saved: Checkpoint) -> Iterator[None]:
    """Say of which checkpoint it is that something cannot be."""
    try:
        yield
    except ValueError as error:
        raise CheckpointError(f"{directory.checkpoints / saved.name} does not fit the run: {error}") from error


def settings_of(directory: RunDirectory) -> tuple[TrainConfig, agents.AgentConfig]:
    """Return the settings of a run and of its agent.

    Raises:
        RunDirectoryError: they are not those of a run of this version.
    """
    try:
        config = from_values(TrainConfig, directory.config["train"])
        return config, from_values(agents.agent_entry(config.agent).config, directory.config["agent"])
    except (KeyError, TypeError, ValueError) as error:
        raise RunDirectoryError(
            f"{directory.path}/config.json is not the configuration of a run of this version: {error}"
        ) from error


def at_latest_checkpoint(directory: RunDirectory, progress: Progress) -> Run:
    """Put a run together for looking at its agent, as its newest sound checkpoint has it; nothing is written.

    Raises:
        RunDirectoryError: the configuration is damaged.
        CheckpointError: there are checkpoints, but none is sound and fits the run.
        UnsuitableEnvironmentError: the environment cannot be found any more.
        ValueError: the agent cannot be built.
    """
    config, agent_config = settings_of(directory)
    run = Run(config, agent_config, progress)
    try:

        def put_back(saved: Checkpoint) -> None:
            prefix = "agent/"
            arrays = {name.removeprefix(prefix): a for name, a in saved.arrays.items() if name.startswith(prefix)}
            with _naming(directory, saved):
                run.agent.load_state(arrays, fields(saved.values.get("agent"), "the saved agent"))
                run.total = count(saved.values.get("total_timesteps"), "the saved total_timesteps")

        load_latest(directory.checkpoints, progress.message, put_back)
    except BaseException:
        run.close()
        raise
    return run
