"""The Python face: agents as users of Stable-Baselines3 would guess them, and the policies that they save."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from numpy.typing import NDArray

from rewirl import learners, seeding
from rewirl.agents import agent_entry
from rewirl.environments.environment import FaultyEnvironmentError
from rewirl.environments.same import difference
from rewirl.environments.source import environment_source
from rewirl.environments.spaces import UnsuitableEnvironmentError
from rewirl.exact import a_path
from rewirl.learners import *  # noqa: F403
from rewirl.learners.learner import Learner, episode_count, evaluation_of
from rewirl.learners.views import LayerTopology, Transitions, layer_topologies
from rewirl.storage.checkpoint import CheckpointError
from rewirl.storage.policy_file import PolicyError
from rewirl.storage.run_directory import RunDirectory, RunDirectoryError, RunInUseError
from rewirl.training.callbacks import Callback, Moment, WandbCallback
from rewirl.training.divergence import DivergedError
from rewirl.training.evaluation import Evaluation, Evaluator
from rewirl.training.resume import settings_of
from rewirl.training.trained_policy import Observation, TrainedPolicy

if TYPE_CHECKING:
    import torch

    from rewirl.learners.learner import EnvironmentLike

__all__ = [
    "Callback",
    "CheckpointError",
    "DivergedError",
    "Evaluation",
    "FaultyEnvironmentError",
    "LayerTopology",
    "Moment",
    "Policy",
    "PolicyError",
    "RunDirectoryError",
    "RunInUseError",
    "Transitions",
    "UnsuitableEnvironmentError",
    "WandbCallback",
    "load",
    "resume",
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
        self, observation: Observation, deterministic: bool = True, *, allow_nonfinite: bool = False
    ) -> NDArray[Any]:
        """Return the action for one observation, or for a batch of them; see `DSTD3.predict`."""
        return self._trained.predict(observation, None if deterministic else self._noise, allow_nonfinite)

    def evaluate(self, episodes: int = 10, env: EnvironmentLike | None = None) -> Evaluation:
        """Play the evaluation episodes of the seed it was trained with.

        Args:
            episodes: how many.
            env: the environment, where training was given an object or a function that only your program can make
                again. One that differs from it is warned of by name. None goes by the policy's file.

        Raises:
            UnsuitableEnvironmentError: its environment cannot be made here.
            FaultyEnvironmentError: the environment misbehaved.
        """
        source = self._trained.source() if env is None else environment_source(env)
        source = source if source.examine is None else source.examine(True)
        if source.make_another is None:
            raise UnsuitableEnvironmentError(
                f"{source.name} cannot be made again for each episode ({source.why}); give a function that makes it"
            )
        if env is not None:
            environment = source.make_another()
            try:
                self._trained.fits(environment)
            finally:
                environment.close()
            there = self.about["environment"]
            wrapper, recorded = there.get("wrapper", ()), there.get("handed_over")
            try:
                differs = "".join(difference(there["name"], there["kwargs"], wrapper, recorded, source))
            except ValueError as error:
                raise PolicyError(f"what the policy's file says of its environment is impossible: {error}") from error
            if differs:
                warnings.warn(f"the policy was trained in {differs}", stacklevel=2)
        evaluator = Evaluator(source.make_another, episode_count(episodes), self.about["seed"])
        return evaluation_of(evaluator, self._trained.act, self.about["step"], self._trained.environment_state)

    def to_torch(self) -> torch.nn.Module:
        """Return the policy as a module of PyTorch, with weights of its own.

        It takes observations as vectors, float32 [..., observation], and gives actions as the environment takes them:
        float32 [..., action], or int64 [...], numbers of choices. A sparse layer has a parameter for each connection.

        Raises:
            ValueError: the network has an operation that cannot be exported.
            ModuleNotFoundError: PyTorch is not installed.
        """
        from rewirl.export.plan import plan_of

        try:
            from rewirl.export.torch_module import TorchPolicy
        except ModuleNotFoundError as error:
            raise ModuleNotFoundError(f"to_torch needs the package {error.name}: pip install torch") from error

        return TorchPolicy(plan_of(self._trained, dense_from=1.0))

    @property
    def topology(self) -> dict[str, list[LayerTopology]]:
        """The layers of the actor, inputs first."""
        return layer_topologies({"actor": self._trained.actor.actor})

    def __reduce_ex__(self, protocol: Any) -> NoReturn:
        """Refuse to be pickled or copied: it holds memory of the native core."""
        raise TypeError("a Policy can be neither pickled nor copied; pass its directory on, which rewirl.load reads")

    def __repr__(self) -> str:
        """Return agent, environment and steps."""
        return f"Policy({self.about['agent']!r}, {self.about['environment']['name']!r}, step={self.about['step']})"


def load(path: str | Path) -> Policy:
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
    return Policy(TrainedPolicy.load(a_path(path, "path")))


def resume(run_dir: str | Path, env: EnvironmentLike | None = None, *, env_module: str | None = None) -> Learner:
    """Return the agent of a run, of whatever kind, as its newest checkpoint has it; see `DSTD3.load`.

    `resume(run_dir).learn()` trains to the end of the run, to the bit as if it had never stopped.

    Args:
        run_dir: the run's directory. It is locked until the agent is closed, and not written to before `learn`.
        env: the environment, where the run was given an object or a function that only your program can make again.
        env_module: module imported first, where `env` is an id that it registers.

    Raises:
        RunDirectoryError: there is no run, another process owns it, or it is damaged.
        CheckpointError: there are checkpoints, but none is sound and fits the run.
        UnsuitableEnvironmentError: the environment cannot be made again without `env`, or `env` is another one.
        FaultyEnvironmentError: the environment misbehaved when the current episode was played again.
        ValueError: `run_dir` is no path, or `env_module` no name.
    """
    with RunDirectory.open(a_path(run_dir, "run_dir"), lock=False) as directory:
        name = settings_of(directory)[0].agent
    kind: type[Learner] = getattr(learners, agent_entry(name).python)
    return kind.load(run_dir, env, env_module=env_module)
