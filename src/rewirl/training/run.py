"""A training run from its settings to its directory: put together, started, and continued."""

from __future__ import annotations

import contextlib
import dataclasses
import weakref
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from rewirl import _core, agents
from rewirl.agents import AgentConfig, ReplayConfig
from rewirl.environments.environment import FaultyEnvironmentError
from rewirl.environments.environment_process import EnvironmentProcess, portable
from rewirl.environments.memory import Memory, memory_of_spare
from rewirl.environments.portrait import traces
from rewirl.environments.source import EnvironmentSource, environment_source
from rewirl.environments.spaces import UnsuitableEnvironmentError, refuse_kind
from rewirl.options.train import TrainConfig
from rewirl.replay import Replay
from rewirl.saved import fields, shown
from rewirl.storage.policy_file import PolicyError
from rewirl.storage.recorder import RunRecord, State
from rewirl.storage.run_directory import RunDirectory
from rewirl.storage.values import to_values
from rewirl.training import remarks
from rewirl.training.collection import AnyEnvironment, environments_of
from rewirl.training.evaluation import Evaluations, Evaluator, SerialEvaluations
from rewirl.training.evaluation_process import ParallelEvaluations
from rewirl.training.loop import Training
from rewirl.training.outcome import Outcome
from rewirl.training.own_state import refuse_unsaveable
from rewirl.training.progress import Progress
from rewirl.training.room import refuse_sizes_beyond_memory
from rewirl.training.trained_policy import policy_state
from rewirl.training.warm_up import lasting, load_warm_up_policy, refuse_other_arguments


class Run:
    """Everything one training run needs, put together; use it as a context manager or call `close`.

    Args:
        config: the run's settings.
        agent_config: the agent's settings.
        source: where its environments come from; None is the id of `config`.
        progress: is told how far the run is.

    Raises:
        UnsuitableEnvironmentError: the environment cannot be found or has unsuitable spaces.
        ValueError: the agent cannot be built with these settings and sizes, or one of the user's own cannot be saved.
    """

    def __init__(
        self,
        config: TrainConfig,
        agent_config: AgentConfig,
        progress: Progress,
        source: EnvironmentSource | None = None,
    ) -> None:
        """Build environment, replay memory and agent."""
        if config.warm_up_policy is not None:  # the run may be continued from another working directory
            config = dataclasses.replace(config, warm_up_policy=lasting(config.warm_up_policy))
        self.source = source or environment_source(config.env, config.env_kwargs, config.env_module, config.wrapper)
        self.environments = environments_of(self.source, config.n_envs, config.env_processes)
        self.environment = self.environments[0]
        sizes = self.environment.observation_size, self.environment.action_size
        try:
            _refuse_actions(config.agent, self.environment)
            _refuse_number(config)
            refuse_sizes_beyond_memory(config.agent, agent_config, self.environment.observation_size)
            replay = self._replay(config, agent_config)
            kind = self.environment.actions.kind
            self.agent = agents.make_agent(config.agent, agent_config, *sizes, config.seed, config.threads, kind)
        except BaseException:
            for environment in self.environments:
                environment.close()
            raise
        own = weakref.proxy(self)  # see Training.__init__
        self.training = Training(
            self.agent,
            replay,
            self.environments,
            config,
            agent_config.learning_starts,
            lambda: own.policy_state(),
            progress,
        )
        self._progress = progress
        self.config = config
        self._warm_up_policy: dict[str, Any] | None = None
        self._examined = False
        self._checked = False
        self._memory: Memory | None = None
        self._left: list[Any] | None = None
        self.spare = True
        """Whether a policy that is saved may be of an environment compared with a spare one, which is made for it."""
        try:
            self.configure(config)
        except BaseException:
            self.close()
            raise

    def _replay(self, config: TrainConfig, agent_config: AgentConfig) -> Replay | None:
        """Return the replay memory; None for an agent that has none."""
        if not isinstance(agent_config, ReplayConfig):
            if config.warm_up_policy is not None:
                raise ValueError(
                    f"warm_up_policy fills a replay memory, and {config.agent} has none; leave warm_up_policy out"
                )
            return None
        noise_from = agent_config.resample_noise_from
        if noise_from is not None and self.environment.changes:
            raise ValueError(
                "resample_noise_from says which features are noise for the whole run, but "
                f"{self.source.name} changes in its course; leave one of them out"
            )
        sizes = self.environment.observation_size, self.environment.action_size
        return Replay(agent_config.buffer_size, *sizes, config.seed, noise_from, config.n_envs)

    def configure(self, config: TrainConfig) -> None:
        """Take on settings that change nothing of what is learnt: how long, how often to evaluate and to save.

        Raises:
            UnsuitableEnvironmentError: it is to be evaluated, but its environment cannot be made a second time.
        """
        if self.training.evaluations is not None:
            self.training.evaluations.close()
        if config.eval_every:
            self.examine()
        name, kwargs = self.config.env, self.config.env_kwargs
        self.config = self.training.config = dataclasses.replace(config, env=name, env_kwargs=kwargs)
        self.training.evaluations = self._evaluations() if config.eval_every else None

    @property
    def total(self) -> int:
        """Steps of the whole run."""
        return self.config.total_timesteps

    def examine(self, spare: bool = True) -> None:
        """Make sure what can be said of the environment to whoever makes it again; only once.

        Args:
            spare: whether another environment may be made for it, and played for a moment, where one can be.
        """
        if self._examined:
            return
        self._examined = True
        if self.source.examine is not None:
            self.source = self.source.examine(spare)
            name, kwargs = self.source.name, dict(self.source.kwargs)
            self.config = self.training.config = dataclasses.replace(self.config, env=name, env_kwargs=kwargs)

    def check_memory(self, spare: bool = True) -> None:
        """Play a spare environment for a moment and warn if it keeps something between episodes; only once.

        Args:
            spare: False makes and plays none.
        """
        if self._checked:
            return
        self._checked = True
        if not spare or self.source.make_another is None:
            return
        # A spare one with a fault of its own says nothing; the run meets it where it counts, if it does.
        with contextlib.suppress(FaultyEnvironmentError, UnsuitableEnvironmentError):
            self._memory = memory_of_spare(self.source)
        if self._memory is not None:
            self._progress.message(f"warning: {self.source.name}: {self._memory}")

    def remarks(self) -> Iterator[str]:
        """Yield what the run says of its settings when it begins."""
        starts = self.agent.config.learning_starts
        yield from remarks.at_start(self.agent, self.training.replay, self.total, starts, self.config.env)

    def evaluator(self, episodes: int) -> Evaluator:
        """Return an evaluator in environments of its own, with the run's evaluation seeds.

        Raises:
            UnsuitableEnvironmentError: the environment cannot be made a second time.
        """
        self.examine()
        if self.source.make_another is None:
            raise UnsuitableEnvironmentError(
                f"{self.source.name} cannot be made a second time for evaluation ({self.source.why}): give a function "
                "that makes it instead, or register it with Gymnasium; or evaluate(env=make_env), or eval_every=0"
            )
        return Evaluator(self.source.make_another, episodes, self.config.seed)

    def _evaluations(self) -> Evaluations:
        """Return what evaluates while training: a process of its own where there are two threads and it can be."""
        evaluator = self.evaluator(self.config.eval_episodes)
        if self.config.threads > 1 and portable(self.source):
            return ParallelEvaluations(evaluator, self.source, self._progress.message)
        return SerialEvaluations(evaluator)

    def train(self, stop: Callable[[], bool] = lambda: False) -> Outcome:
        """Train to the end, or until `stop`, asked after every step, is true; see Training.run."""
        if isinstance(self.training.recorder, RunRecord):
            self.training.recorder.keep = self.config.keep_checkpoints
            self._tell_of_other_evaluations(self.training.recorder.config["train"])
        if self._left is not None and self._left != self._traces():
            self.training.cut(
                f"{self.source.name} was handed over as an object, and somebody has played it since the agent last "
                "learnt; give a function that makes one"
            )
        try:
            return self.training.run(self.total, stop)
        finally:
            self._left = self._traces()
            self.training.callbacks = None  # they know the agent, so they would keep it
            if self.training.evaluations is not None:
                self.training.evaluations.close()  # no process stays behind between two calls

    def _traces(self) -> list[Any] | None:
        """Return what tells whether the program plays the environment that it handed over; None of any other."""
        if self.source.made_by != "an object" or isinstance(self.environment, EnvironmentProcess):
            return None
        return traces(self.environment.env)

    def _tell_of_other_evaluations(self, recorded: Mapping[str, Any]) -> None:
        """Say where the run is evaluated in another way than its record says, which stays as it is."""
        for name in ("eval_every", "eval_episodes"):
            there, here = recorded.get(name), getattr(self.config, name)
            if there not in (None, here):
                self._progress.message(
                    f"{name} is {here:,} from now on, but {there:,} in config.json, by which the run is resumed and "
                    "repeated"
                )

    def policy_state(self, task: int | None = None) -> State:
        """Return the arrays and JSON values of the policy as it is now, or of a task that has ended."""
        if self.spare:
            self.examine()
        source = self.source
        if not self._examined and source.examine is not None:
            source = source.examine(False)  # for this file alone: evaluating makes others, and so may compare
        ended = None if task is None else self.training.collection.tasks.get(task)
        return policy_state(self.agent, self.environment, source, self.config.seed, self.training.step, task, ended)

    def freeze(self) -> int:
        """End a task, and save at once that it has ended; see `Agent.freeze`."""
        ended = self.agent.freeze()
        self.training.collection.task_ended(ended, self.training.step)
        self.training.note("freeze", tasks=ended)
        self.training.changed()
        return ended

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
        if recorded is None:
            refuse_other_arguments(path, policy, self.source)
        elif recorded != about:
            then = shown(fields(recorded, "warm_up_policy of config.json").get("step"))
            raise PolicyError(
                f"warm_up_policy {path} has changed since the run began with it (it is of step {about['step']} now, it "
                f"was of step {then}); put it back, or start a new run"
            )
        self.training.warm_up.policy, self._warm_up_policy = policy, about

    def record_in(self, path: Path) -> None:
        """Write the record from now on into a new run directory, what has been learnt before at once.

        Raises:
            RunDirectoryError: the directory cannot be used for this run.
            UnsaveableError: no checkpoint can hold what an agent of the user's own keeps.
        """
        refuse_unsaveable(self.agent, self.environment.actions.kind)
        self.examine()
        others: dict[str, Any] = {
            "environment_memory": None if self._memory is None else dataclasses.asdict(self._memory),
            "environment": self.source.values() or None,
            "warm_up_policy": self._warm_up_policy,
        }
        settings: dict[str, Any] = {"train": to_values(self.config), "agent": to_values(self.agent.config)}
        settings |= {name: value for name, value in others.items() if value is not None}
        core = what_computes()
        directory = RunDirectory.create(path, settings, **core)
        try:
            recorder = RunRecord(directory, self.config.keep_checkpoints, self._progress.message, core=core)
        except BaseException:
            directory.abandon()
            raise
        self.training.recorder.close()
        self.training.recorder, self.training.learning.untried = recorder, True
        if self.training.step > 0:
            self.training.total = self.total  # of this run, not of the one before
            self.training.checkpoint()

    def close(self) -> None:
        """Release directory, environments and threads; idempotent."""
        self.training.recorder.close()
        if self.training.evaluations is not None:
            self.training.evaluations.close()
        for environment in self.environments:
            environment.close()
        self.agent.close()

    def __enter__(self) -> Run:
        """Return self."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close."""
        self.close()


def start(config: TrainConfig, agent_config: AgentConfig, path: Path, progress: Progress, check: bool = True) -> Run:
    """Put a new run together, with its record in a new run directory.

    Args:
        config: the run's settings.
        agent_config: the agent's settings.
        path: the run's directory.
        progress: is told how far the run is.
        check: whether a spare environment is played for a moment, to see that nothing in it survives a reset.

    Raises:
        RunDirectoryError: the directory cannot be used for this run.
        UnsuitableEnvironmentError: the environment cannot be found or has unsuitable spaces, or is not that of the
            warm-up policy.
        PolicyError: there is no sound warm-up policy.
        ValueError: the agent cannot be built, or nothing would be learnt or rewired.
    """
    run = Run(config, agent_config, progress)
    try:
        remarks.refuse_impossible(run.agent, config.total_timesteps)
        run.warm_up_with_policy()
        run.check_memory(check)
        run.record_in(path)
    except BaseException:
        run.close()
        raise
    return run


def _refuse_number(config: TrainConfig) -> None:
    """Refuse more environments than the agent can learn in."""
    most = agents.agent_entry(config.agent).agent.MOST_ENVIRONMENTS
    if most is not None and config.n_envs > most:
        raise ValueError(
            f"n_envs is {config.n_envs}, and {config.agent} learns from one stream of steps; leave n_envs out"
        )


def _refuse_actions(agent: str, environment: AnyEnvironment) -> None:
    """Refuse an environment whose actions are not of a kind that the agent takes."""
    kind, own = environment.actions.kind, agents.agent_entry(agent)
    others = [entry for entry in agents.AGENTS.values() if kind in entry.actions]
    others.sort(key=lambda entry: entry.topology.rule != own.topology.rule or entry.dense != own.dense)  # alike first
    refuse_kind(environment.actions, environment.name, agent, own.actions, [entry.name for entry in others])


def what_computes() -> dict[str, Any]:
    """Return what the last bits depend on, for records: the generation of the kernels, and the instruction set."""
    return {"kernels": _core.KERNEL_GENERATION, "instruction_set": _core.instruction_set()}
