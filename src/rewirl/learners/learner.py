"""What every agent can do in Python: learn, predict, evaluate, save, show its topology."""

from __future__ import annotations

import contextlib
import dataclasses
import signal
import threading
import warnings
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Never, NoReturn, Self

from numpy.typing import NDArray

from rewirl import seeding
from rewirl.environments.source import environment_source
from rewirl.exact import a_path, exactly
from rewirl.learners import sources
from rewirl.learners.evaluating import episode_count, evaluate_in, evaluation_of
from rewirl.learners.how_often import how_many_steps, how_often, may_evaluate, unknown_argument, unknown_setting
from rewirl.learners.tasks import Tasks
from rewirl.learners.unset import UNSET
from rewirl.learners.views import NO_MEMORY, LayerTopology, Transitions, layer_topologies, transitions_of
from rewirl.options import sb3
from rewirl.options.option import options
from rewirl.options.resolve import changed, resolve
from rewirl.options.train import TrainConfig
from rewirl.options.unknown import refuse_unknown
from rewirl.printing import to_resume
from rewirl.storage.run_directory import RunDirectoryError
from rewirl.storage.values import to_values
from rewirl.tested import UntestedVersionWarning, untested
from rewirl.training.callbacks import CallbackLike, Callbacks
from rewirl.training.evaluation import Evaluation
from rewirl.training.progress import Silent, Switchable, for_this_terminal
from rewirl.training.resume import Reopened, reopen
from rewirl.training.run import Run
from rewirl.training.signals import StopRequest
from rewirl.training.trained_policy import Observation, TrainedPolicy

if TYPE_CHECKING:
    import gymnasium

    EnvironmentLike = str | gymnasium.Env[Any, Any] | Callable[[], gymnasium.Env[Any, Any]]
    """A Gymnasium id, an environment, or a function without arguments that makes one."""


class Learner(Tasks):
    """What all agents have in common; the generated classes only say which options theirs has."""

    name: str
    """As in the registry, such as ds-td3."""

    def _start(self, arguments: Mapping[str, Any]) -> None:
        """Build the agent.

        Args:
            arguments: what the class was called with, by the names of its parameters.

        Raises:
            UnsuitableEnvironmentError: the environment cannot be found, or has spaces that the agent does not take.
            ValueError: an option is unknown or impossible.
        """
        newer = untested()
        if newer:
            warnings.warn(newer, UntestedVersionWarning, stacklevel=3)
        known = [name for name, option in options(self.name).items() if option.part != "run"]
        for name in arguments["unknown"]:
            raise unknown_setting(self, name, known)
        env_kwargs = exactly(dict[str, Any], arguments["env_kwargs"] or {}, "env_kwargs")
        env_module = exactly(str | None, arguments["env_module"], "env_module")
        sb3.refuse_foreign(arguments)
        wrapper = exactly(tuple[str, ...], arguments["wrapper"], "wrapper")
        source = environment_source(arguments["env"], env_kwargs, env_module, wrapper)
        request = {name: arguments[name] for name in known if arguments[name] is not UNSET}
        if arguments["threads"] is not None:
            request["threads"] = arguments["threads"]
        settings = resolve(
            {
                "agent": self.name,
                "env": source.task,
                "env_kwargs": dict(source.kwargs),
                "env_module": env_module,
                "wrapper": wrapper,
                "n_envs": arguments["n_envs"],
                "env_processes": arguments["env_processes"],
                "seed": arguments["seed"],
                "eval_every": 0,
                **request,
            }
        )
        config, progress = dataclasses.replace(settings.run, env=source.id or source.name), Switchable()
        self._own(Run(config, settings.agent, progress, source), progress)

    @classmethod
    def _of_preset(cls, request: Mapping[str, Any], env: EnvironmentLike | None) -> Self:
        """Return an agent whose run is planned, as `rewirl train` has it.

        Args:
            request: as for `resolve`, with a preset; its agent is this class's.
            env: the environment; None is the preset's.
        """
        settings, source = sources.of_preset(request, env)
        config = dataclasses.replace(settings.run, env=source.id or source.name, eval_every=0)
        progress = Switchable()
        agent = cls.__new__(cls)._own(Run(config, settings.agent, progress, source), progress, plan=settings.run)
        try:
            agent._run.warm_up_with_policy()
        except BaseException:
            agent.close()
            raise
        return agent

    def _own(
        self, run: Run, progress: Switchable, reopened: Reopened | None = None, plan: TrainConfig | None = None
    ) -> Self:
        self._run, self._progress, self._reopened, self._plan = run, progress, reopened, plan
        self._directory = None if reopened is None else reopened.directory.path
        self._resumed = reopened is not None
        self._asked: dict[str, int] = {}
        """How often to evaluate and to save, as far as `learn` has been told."""
        self._noise = seeding.generator(run.config.seed, "predict")
        self._learning = threading.Lock()
        self._closed = False
        return self

    @classmethod
    def load(
        cls, run_dir: str | Path, env: EnvironmentLike | None = None, *, env_module: str | None = None, **unknown: Never
    ) -> Self:
        """Return an agent as the newest checkpoint of its run has it; `learn` continues the run, to the bit.

        Args:
            run_dir: the run's directory. It is locked until the agent is closed; only `learn` and `freeze` write to it.
            env: the environment, where the run was given an object or a function that only your program can make again.
                None goes by the run's record.
            env_module: module imported first, which registers the environment.

        Raises:
            RunDirectoryError: there is no run, another process owns it, or it is damaged; or it is another agent's.
            CheckpointError: no checkpoint is sound and fits the run, or they were removed.
            PolicyError: the warm-up is not over, and its policy is not there or not the same any more.
            UnsuitableEnvironmentError: the environment cannot be made again without `env`, or `env` is another one.
            FaultyEnvironmentError: the environment misbehaved when the current episode was played again.
        """
        refuse_unknown(cls.load, unknown, sb3.LOAD)
        progress = Switchable()
        source = sources.of_run(env, exactly(str | None, env_module, "env_module"))
        reopened = reopen(a_path(run_dir, "run_dir"), progress, source=source, ended=True)
        assert reopened is not None
        if (name := reopened.run.config.agent) != cls.name:
            reopened.close()
            raise RunDirectoryError(f"{run_dir} is a run of {name}, not of {cls.name}; rewirl.resume takes any")
        return cls.__new__(cls)._own(reopened.run, progress, reopened)

    def learn(
        self,
        total_timesteps: int | None = None,
        run_dir: str | Path | None = None,
        *,
        callback: CallbackLike | None = None,
        eval_every: int | None = None,
        eval_episodes: int | None = None,
        checkpoint_every: int | None = None,
        keep_checkpoints: int | None = None,
        progress: bool = False,
        check: bool = True,
        **unknown: Never,
    ) -> Self:
        """Train for a number of steps; called again, it goes on where it stopped.

        Ctrl-C ends it after the current step with KeyboardInterrupt; what has been learnt is kept, and saved if there
        is a run directory.

        Args:
            total_timesteps: environment steps of this call. None, for an agent of `rewirl.resume` or
                `rewirl.from_preset`, is what is left of the run.
            run_dir: new directory for metrics, TensorBoard events, checkpoints and the policy. None keeps using that of
                an earlier call, or writes nothing.
            callback: is called while the agent learns: a function of a `rewirl.Moment`, after every step; an object
                with some of the methods of `rewirl.Callback`; or a list of these. One that returns False ends training.
            eval_every: steps between evaluations. None, for this and the next three, is what an earlier call was
                given; else the run's own, of `rewirl.resume`, or of `rewirl.from_preset` where a run directory,
                progress or a callback shows them; else 5,000 if there is a run directory, progress or a callback with
                `on_evaluation` to show them in and the environment can be made again, as by a function; else 0, never.
            eval_episodes: episodes per evaluation; None is 10.
            checkpoint_every: steps between checkpoints; 0 saves at the end only. None is 100,000.
            keep_checkpoints: how many stay on disk; None is 2.
            progress: whether to show progress.
            check: whether a spare environment may be made at the start and played for a moment, to see that another
                one is the same and that nothing in it survives `reset`. Not for hardware that is there only once.

        Returns:
            The agent itself.

        Raises:
            RunDirectoryError: `run_dir` cannot be used, or what was learnt last could not be saved there.
            UnsuitableEnvironmentError: it is to be evaluated, and the environment cannot be made a second time.
            FaultyEnvironmentError: the environment misbehaved.
            DivergedError: the agent's values are not finite.
            RuntimeError: the agent is learning already, in another thread or around this callback; or it is closed.
            ValueError: a number is out of range.
        """
        run = self._run
        for name in unknown:
            raise unknown_argument(self, name)
        with self._one_at_a_time():
            self._refuse_closed()
            progress = exactly(bool, progress, "progress")
            check = run.spare = exactly(bool, check, "check")
            own = run.config if self._resumed else self._plan
            steps = how_many_steps(total_timesteps, run.training.step, own, run.training.ended)
            path = None if run_dir is None else a_path(run_dir, "run_dir").absolute()
            recorded = path is not None or self._directory is not None
            given = {"eval_every": eval_every, "eval_episodes": eval_episodes}
            given |= {"checkpoint_every": checkpoint_every, "keep_checkpoints": keep_checkpoints}
            asked = self._asked | {name: value for name, value in given.items() if value is not None}
            callbacks = None if callback is None else Callbacks(callback, run.training, self)
            watched = callbacks is not None and (own is not None or callbacks.wants_evaluations)
            shown = recorded or progress or watched
            often = how_often(asked, own, shown)
            if (
                shown
                and own is None
                and "eval_every" not in asked
                and not may_evaluate(run, check, self._progress.message)
            ):
                often["eval_every"] = 0
            if often["eval_every"] or recorded:
                run.examine(check)
                run.check_memory(check)
            run.configure(changed(run.config, total_timesteps=run.training.step + steps, **often))
            self._asked = asked
            if path is not None and path != self._directory:
                run.record_in(path)
                self._directory = path
            elif self._reopened is not None:
                self._reopened.record()
            self._reopened = None
            self._progress.to = for_this_terminal() if progress else Silent()
            run.training.callbacks = callbacks
            with StopRequest() as stop:
                ended = run.train(lambda: bool(stop))
        if stop.signal == signal.SIGINT:
            raise KeyboardInterrupt
        if stop.signal is not None:
            raise SystemExit(128 + stop.signal)
        ended.require_saved()
        return self

    @contextlib.contextmanager
    def _one_at_a_time(self) -> Iterator[None]:
        """Refuse what would change the agent while it learns."""
        if not self._learning.acquire(blocking=False):
            raise RuntimeError(f"{self!r} is learning, in another thread or around this callback")
        try:
            yield
        finally:
            self._learning.release()

    def _refuse_closed(self) -> None:
        """Refuse to learn without directory, environments and threads; another agent may have the directory by now."""
        if not self._closed:
            return
        instead = "close it later, or give the first learn a run_dir for rewirl.resume; save(path) still works"
        if self._directory is not None:
            instead = f"{to_resume(self._directory)} goes on with its run"
        raise RuntimeError(f"{self!r} is closed and learns no more; {instead}")

    def predict(
        self, observation: Observation, deterministic: bool = True, *, allow_nonfinite: bool = False, **unknown: Never
    ) -> NDArray[Any]:
        """Return the action for one observation, or for a batch of them.

        Args:
            observation: as the environment has it: an array, or a dict or tuple of arrays; in a batch every array has
                one more dimension, the first.
            deterministic: False adds exploration noise, from a random stream of its own: training is not disturbed.
            allow_nonfinite: whether an observation that is not finite is answered with NaN, every number of its action,
                rather than refused. Only for a Box of actions.

        Returns:
            The action as the environment takes it, or [batch, *its shape]: float32 for a Box, integers for Discrete.

        Raises:
            ValueError: the observation has another structure or shape, or a number that is not finite; the message says
                which.
        """
        refuse_unknown(self.predict, unknown, sb3.PREDICT)
        agent = self._run.agent
        act = agent.predict if deterministic else partial(agent.predict_noisily, rng=self._noise)
        return self._run.environment.spaces.predict(act, observation, allow_nonfinite)

    def evaluate(self, episodes: int = 10, env: EnvironmentLike | None = None, **unknown: Never) -> Evaluation:
        """Play the evaluation episodes of this seed without exploration noise; training is not disturbed.

        Args:
            episodes: how many.
            env: another environment, or a function that makes the agent's own where that was given as an object. One
                that differs from it is warned of by name. None is the agent's own.

        Returns:
            Returns and lengths of the episodes.

        Raises:
            UnsuitableEnvironmentError: the environment cannot be made a second time.
            FaultyEnvironmentError: the environment misbehaved.
        """
        refuse_unknown(self.evaluate, unknown, sb3.EVALUATE)
        if env is not None:
            return evaluate_in(TrainedPolicy.of_state(*self._run.policy_state()), env, episodes)
        evaluator, state = self._run.evaluator(episode_count(episodes)), self._run.environment.last_state() or None
        return evaluation_of(evaluator, self._run.agent.predict, self.steps, state)

    @property
    def topology(self) -> dict[str, list[LayerTopology]]:
        """The layers of each network, inputs first, such as actor, critic1, target_critic1; of DQN q and target_q."""
        return layer_topologies(self._run.agent.networks())

    @property
    def config(self) -> dict[str, Any]:
        """Every setting of the agent by its name as an option, a copy."""
        settings = to_values(self._run.agent.config)
        return {**settings.pop("topology"), **settings}

    @property
    def observation_space(self) -> gymnasium.Space[Any]:
        """The environment's."""
        return self._run.environment.observation_space

    @property
    def action_space(self) -> gymnasium.Space[Any]:
        """The environment's."""
        return self._run.environment.action_space

    @property
    def replay(self) -> Transitions:
        """The replay memory: arrays with a row per transition, read-only; copies once some were forgotten, else views.

        Raises:
            AttributeError: the agent has none.
        """
        return transitions_of(self._run.training.replay)

    @property
    def diagnostics(self) -> dict[str, float]:
        """Losses and other scalars of the latest update, as in metrics.jsonl; empty before the first."""
        return self._run.training.diagnostics()

    @property
    def steps(self) -> int:
        """Environment steps learnt from so far."""
        return self._run.training.step

    def close(self) -> None:
        """Release run directory, environments and threads; an environment of yours stays open. Idempotent.

        A closed agent does not `learn`; `rewirl.resume` goes on with its run. Everything else works as before, such as
        `predict`, `evaluate`, `save` and `topology`.

        Raises:
            RuntimeError: the agent is learning, in another thread or around this callback.
        """
        with self._one_at_a_time():
            self._closed = True
            self._run.close()
            if self._reopened is not None:
                self._reopened.close()

    def __reduce_ex__(self, protocol: Any) -> NoReturn:
        """Refuse to be pickled or copied: an agent holds environments, threads and a locked directory."""
        raise TypeError(
            f"{type(self).__name__} can be neither pickled nor copied; save its policy with save(path), which "
            "rewirl.load reads, or learn with a run_dir, which rewirl.resume continues"
        )

    if not TYPE_CHECKING:  # or a type checker would take every name for an attribute

        def __getattr__(self, name: str) -> NoReturn:
            """Say what Stable-Baselines3's names are here; a property that raises comes here too."""
            known = {key for key, each in options(type(self).name).items() if each.part != "run"}
            hint = NO_MEMORY if name == "replay" else sb3.attribute(name, known)
            problem = f"{type(self).__name__!r} object has no attribute {name!r}"
            raise AttributeError(f"{problem}; {hint}" if hint else problem)

    def __enter__(self) -> Self:
        """Return self."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close."""
        self.close()

    def __repr__(self) -> str:
        """Return environment, seed and steps."""
        return f"{type(self).__name__}({self._run.source.name!r}, seed={self._run.config.seed}, steps={self.steps})"
