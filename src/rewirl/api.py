"""The Python face: agents as users of Stable-Baselines3 would guess them, and the policies that they save."""

from __future__ import annotations

import inspect
import signal
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Never, NoReturn, Unpack

from numpy.typing import NDArray

from rewirl import learners, seeding
from rewirl.agents import agent_entry
from rewirl.environments.environment import FaultyEnvironmentError
from rewirl.environments.identity import import_named
from rewirl.environments.observations import ObservationError
from rewirl.environments.spaces import UnsuitableEnvironmentError
from rewirl.exact import a_path, exactly
from rewirl.experiments.sweep import table
from rewirl.experiments.sweep.pool import ProcessPool
from rewirl.experiments.tune.prepare import checked, make_task, usual_directory
from rewirl.experiments.tune.session import study
from rewirl.hints import did_you_mean
from rewirl.learners import *  # noqa: F403
from rewirl.learners.evaluating import evaluate_in
from rewirl.learners.learner import Learner
from rewirl.learners.options import Options
from rewirl.learners.views import LayerTopology, Transitions, layer_topologies
from rewirl.options import sb3
from rewirl.options.option import all_options
from rewirl.options.resolve import resolve
from rewirl.options.unknown import UnknownOptionError, refuse_unknown
from rewirl.presets import lookup
from rewirl.processes import cores
from rewirl.storage.checkpoint import CheckpointError
from rewirl.storage.policy_file import PolicyError
from rewirl.storage.run_directory import RunDirectory, RunDirectoryError, RunInUseError
from rewirl.training.callbacks import Callback, Moment, WandbCallback
from rewirl.training.divergence import DivergedError
from rewirl.training.evaluation import Evaluation
from rewirl.training.resume import settings_of
from rewirl.training.signals import StopRequest
from rewirl.training.trained_policy import Observation, TrainedPolicy

if TYPE_CHECKING:
    import torch

    from rewirl.export.plan import Precision
    from rewirl.learners.learner import EnvironmentLike

__all__ = [
    "Callback",
    "CheckpointError",
    "DivergedError",
    "Evaluation",
    "FaultyEnvironmentError",
    "LayerTopology",
    "Moment",
    "ObservationError",
    "Policy",
    "PolicyError",
    "RunDirectoryError",
    "RunInUseError",
    "Transitions",
    "UnsuitableEnvironmentError",
    "WandbCallback",
    "from_preset",
    "load",
    "resume",
    "tune",
]
__all__ += learners.__all__


class Policy:
    """A saved policy; needs its environment only to be evaluated."""

    def __init__(self, trained: TrainedPolicy) -> None:
        """Use `load` instead."""
        self._trained = trained
        self.about: dict[str, Any] = dict(trained.about)
        """What its file says: agent, agent_config, environment, seed, step."""
        self._noise = seeding.generator(trained.about["seed"], "predict")

    def predict(
        self, observation: Observation, deterministic: bool = True, *, allow_nonfinite: bool = False, **unknown: Never
    ) -> NDArray[Any]:
        """Return the action for one observation, or for a batch of them; see `DSTD3.predict`."""
        refuse_unknown(self.predict, unknown, sb3.PREDICT)
        return self._trained.predict(observation, None if deterministic else self._noise, allow_nonfinite)

    def evaluate(self, episodes: int = 10, env: EnvironmentLike | None = None, **unknown: Never) -> Evaluation:
        """Play the evaluation episodes of the seed it was trained with.

        Args:
            episodes: how many.
            env: the environment, where training was given an object or a function that only your program can make
                again. One that differs from it is warned of by name. None goes by the policy's file.

        Raises:
            UnsuitableEnvironmentError: its environment cannot be made here.
            FaultyEnvironmentError: the environment misbehaved.
        """
        refuse_unknown(self.evaluate, unknown, sb3.EVALUATE)
        return evaluate_in(self._trained, env, episodes)

    def to_torch(self, precision: Precision = "float64") -> torch.nn.Module:
        """Return the policy as a module of PyTorch, with weights of its own.

        It takes observations as vectors, float32 [..., observation], and gives the environment's actions as vectors,
        float32 [..., action], or its numbers of the choices, int64 [...]. A sparse layer has a parameter for each
        connection.

        Args:
            precision: what the network is computed in; parameters are float32. float64 keeps actions within 1e-5 of
                half their range; float32 takes half the time, and is for devices without float64.

        Raises:
            ValueError: the network has an operation that cannot be exported, or there is no such precision.
            ModuleNotFoundError: PyTorch is not installed.
        """
        from rewirl.export.plan import PRECISIONS, plan_of

        if precision not in PRECISIONS:
            raise ValueError(f"precision must be {' or '.join(PRECISIONS)}, got {precision!r}")
        try:
            from rewirl.export.torch_module import TorchPolicy
        except ModuleNotFoundError as error:
            raise ModuleNotFoundError(f"to_torch needs the package {error.name}: pip install torch") from error

        return TorchPolicy(plan_of(self._trained, dense_from=1.0), precision)

    @property
    def topology(self) -> dict[str, list[LayerTopology]]:
        """The layers of the actor, inputs first."""
        return layer_topologies({"actor": self._trained.actor.actor})

    if not TYPE_CHECKING:  # or a type checker would take every name for an attribute

        def __getattr__(self, name: str) -> NoReturn:
            """Say what does what a policy does not."""
            hint = sb3.POLICY.get(name)
            problem = f"'Policy' object has no attribute {name!r}"
            raise AttributeError(f"{problem}; {hint}" if hint else problem)

    def __reduce_ex__(self, protocol: Any) -> NoReturn:
        """Refuse to be pickled or copied: it holds memory of the native core."""
        raise TypeError("a Policy can be neither pickled nor copied; pass its directory on, which rewirl.load reads")

    def __repr__(self) -> str:
        """Return agent, environment and steps."""
        return f"Policy({self.about['agent']!r}, {self.about['environment']['name']!r}, step={self.about['step']})"


def load(path: str | Path, **unknown: Never) -> Policy:
    """Read a policy: one that an agent saved, that of a run directory, or one that comes with Rewirl.

    Nothing in the files is executed.

    Args:
        path: the directory; or, where there is none, a name that `rewirl policies` lists, as "Walker2d-v5/ds-td3".

    Returns:
        The policy.

    Raises:
        PolicyError: there is none, or it is not whole and sound; names the file and the reason.
        ValueError: `path` is no path.
    """
    refuse_unknown(load, unknown, sb3.LOAD)
    return Policy(TrainedPolicy.load(a_path(path, "path")))


def from_preset(
    preset: str | Path,
    env: EnvironmentLike | None = None,
    seed: int = 0,
    threads: int | None = None,
    **options: Unpack[Options],
) -> Learner:
    """Return the agent that a preset names, of whatever kind, with the preset's settings.

    `from_preset("small/pendulum").learn(run_dir="runs/x")` trains as `rewirl train --preset small/pendulum` does, to
    the bit; with other numbers of steps or evaluations, give them to `learn`.

    Args:
        preset: its name, one of `rewirl presets`, or a file that ends in .toml, such as `rewirl tune` writes.
        env: the preset's environment as an object or a function, such as one in wrappers; None makes it by its id.
        seed: decides every random number.
        threads: 2 updates both critics at once and evaluates in a process beside training, with the same result; None
            is 2 where there are two cores.
        **options: any option of `rewirl train`, in place of the preset's, such as sparsity=0.9.

    Raises:
        UnsuitableEnvironmentError: the environment cannot be found, or has spaces that the agent does not take.
        PolicyError: the preset names a warm-up policy that is not there.
        ValueError: there is no such preset or option, or a value is impossible; or `env` is another one.
    """
    request: dict[str, Any] = {"preset": str(preset), "seed": seed, **options}
    if threads is not None:
        request["threads"] = threads
    return _class_of(resolve(request).run.agent)._of_preset(request, env)


def resume(
    run_dir: str | Path, env: EnvironmentLike | None = None, *, env_module: str | None = None, **unknown: Never
) -> Learner:
    """Return the agent of a run, of whatever kind, as its newest checkpoint has it; see `DSTD3.load`.

    `resume(run_dir).learn()` trains to the end of the run, to the bit as if it had never stopped.

    Args:
        run_dir: the run's directory. It is locked until the agent is closed; only `learn` and `freeze` write to it.
        env: the environment, where the run was given an object or a function that only your program can make again.
        env_module: module imported first, which registers the environment or the agent.

    Raises:
        RunDirectoryError: there is no run, another process owns it, or it is damaged.
        CheckpointError: no checkpoint is sound and fits the run, or they were removed.
        PolicyError: the warm-up is not over, and its policy is not there or not the same any more.
        UnsuitableEnvironmentError: the environment cannot be made again without `env`, or `env` is another one.
        FaultyEnvironmentError: the environment misbehaved when the current episode was played again.
        ValueError: `run_dir` is no path, or `env_module` no name.
    """
    refuse_unknown(resume, unknown, sb3.LOAD)
    import_named(exactly(str | None, env_module, "env_module"))
    with RunDirectory.open(a_path(run_dir, "run_dir"), lock=False) as directory:
        name = settings_of(directory)[0].agent
    return _class_of(name).load(run_dir, env, env_module=env_module)


def _class_of(agent: str) -> type[Learner]:
    """Return the class of an agent; one of the user's own has none with its options, so it gets a plain one."""
    name = agent_entry(agent).python
    known: type[Learner] | None = getattr(learners, name, None)
    return known if known is not None and known.name == agent else type(name, (Learner,), {"name": agent})


def tune(
    env: str | None = None,
    agent: str | None = None,
    preset: str | Path | None = None,
    seed: int = 0,
    *,
    sample: Sequence[str] = (),
    trials: int = 50,
    seeds: Sequence[int] = (),
    prune: bool = True,
    directory: str | Path | None = None,
    workers: int | None = None,
    progress: bool = False,
    **options: Unpack[Options],
) -> Path:
    """Search the options of an agent for the best ones, as `rewirl tune` does; needs `pip install 'rewirl[tune]'`.

    Each run is a process of its own. The same call goes on with a study that was stopped.

    Args:
        env: a Gymnasium id.
        agent: such as "ds-td3"; None is the preset's, or ds-td3.
        preset: what says agent, environment and options; its name or a file.
        seed: decides what is sampled.
        sample: what to sample, such as "sparsity=0.5,0.8,0.9", "learning-rate=log:1e-4:1e-3" or "gamma"; none is a
            space for the agent.
        trials: of the study in all.
        seeds: of the runs of each trial, whose mean counts; none is `seed`.
        prune: whether trials end early that are worse than most were at a step.
        directory: where the study and its runs are; None is tune/ENVIRONMENT-AGENT.
        workers: runs side by side, at least 1; None is one per core.
        progress: whether to show progress.
        **options: any option of `rewirl train` that all runs are to have.

    Returns:
        The file with the best trial, which `from_preset` takes.

    Raises:
        ValueError: Optuna is not installed, something cannot be sampled or trained, or the directory has another study.
        RuntimeError: no trial is complete, or the study cannot be written any more.
    """
    named = lookup.preset(str(preset)).agent if agent is None and preset is not None else agent
    if named is not None:
        agent_entry(exactly(str, named, "agent"))  # one of the user's own brings options
    for name in options.keys() - all_options().keys():
        known = [*inspect.signature(tune).parameters, *all_options()]
        raise UnknownOptionError(f"tune() has no argument {name!r}; {did_you_mean(name, known, 'help(rewirl.tune)')}")
    asked = {"env": env, "agent": agent, "preset": None if preset is None else str(preset)}
    request = {**{name: value for name, value in asked.items() if value is not None}, **options}
    trials, workers = exactly(int, trials, "trials"), exactly(int | None, workers, "workers")
    for name, number in (("trials", trials), ("workers", workers)):
        if number is not None and number < 1:
            raise ValueError(f"{name} must be at least 1, got {number}")
    sample, seeds = exactly(tuple[str, ...], sample, "sample"), exactly(tuple[int, ...], seeds, "seeds")
    task = make_task(request, sample, trials, seeds or (seed,), seed, exactly(bool, prune, "prune"))
    place = usual_directory(task) if directory is None else a_path(directory, "directory")
    checked(task, place)
    view = table.for_this_terminal() if progress else table.Nothing()
    with StopRequest() as stop:
        outcome = study(task, place, ProcessPool(workers or cores()), view, lambda: bool(stop))
    if stop.signal is not None:
        raise KeyboardInterrupt if stop.signal == signal.SIGINT else SystemExit(128 + stop.signal)
    if outcome.problem or outcome.best is None:
        raise RuntimeError(outcome.problem or "no trial is complete")
    return outcome.best
