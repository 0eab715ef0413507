"""What every agent can do in Python: learn, predict, evaluate, save, show its topology."""

from __future__ import annotations

import dataclasses
import signal
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import NDArray

from rewirl.environments.source import environment_source
from rewirl.exact import exactly
from rewirl.nn import Layer, Network
from rewirl.options.option import options, unknown_option
from rewirl.options.resolve import changed, resolve
from rewirl.storage.policy_file import save_policy
from rewirl.training.evaluation import Evaluation, Evaluator, Predict
from rewirl.training.progress import Silent, Switchable, for_this_terminal
from rewirl.training.run import Run
from rewirl.training.signals import StopRequest
from rewirl.training.trained_policy import Observation

if TYPE_CHECKING:
    import gymnasium
    from scipy.sparse import csr_array  # type: ignore[import-untyped]

    EnvironmentLike = str | gymnasium.Env[Any, Any] | Callable[[], gymnasium.Env[Any, Any]]
    """A Gymnasium id, an environment, or a function without arguments that makes one."""


class _Unset:
    """The default of an option whose real one depends on the environment, or gives way to another option."""

    def __repr__(self) -> str:
        """Return what `help` shows in the signature."""
        return "<default>"


UNSET: Any = _Unset()


class LayerTopology:
    """Which connections a layer has now; ask for `agent.topology` again after a rewiring."""

    def __init__(self, layer: Layer) -> None:
        self._layer = layer

    @property
    def shape(self) -> tuple[int, int]:
        """(outputs, inputs)."""
        return self._layer.shape

    @property
    def connections(self) -> int:
        """Number of connections."""
        return self._layer.connections

    @property
    def density(self) -> float:
        """Connections divided by places."""
        return self._layer.density

    @property
    def mask(self) -> csr_array:
        """The connections as a sparse boolean matrix [outputs, inputs], a copy."""
        from scipy.sparse import csr_array

        rows, columns = np.divmod(self._layer.places(), self.shape[1])
        mask = csr_array((np.ones(len(rows), dtype=np.bool_), (rows, columns)), shape=self.shape)
        mask.sort_indices()  # SciPy before 1.15 leaves them in the order they come in
        return mask

    def __repr__(self) -> str:
        """Return shape, connections and density."""
        return f"LayerTopology(shape={self.shape}, connections={self.connections:,}, density={self.density:.3f})"


class Learner:
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
        known = [name for name, option in options(self.name).items() if option.part != "run"]
        for name in arguments["unknown"]:
            raise unknown_option(self.name, name, known)
        env_kwargs = exactly(dict[str, Any], arguments["env_kwargs"] or {}, "env_kwargs")
        env_module = exactly(str | None, arguments["env_module"], "env_module")
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
        config = dataclasses.replace(settings.run, env=source.id or source.name)
        self._progress = Switchable()
        self._run = Run(config, settings.agent, self._progress, source)
        self._directory: Path | None = None

    def learn(
        self,
        total_timesteps: int,
        run_dir: str | Path | None = None,
        *,
        eval_every: int | None = None,
        eval_episodes: int = 10,
        checkpoint_every: int = 100_000,
        keep_checkpoints: int = 2,
        progress: bool = False,
        check: bool = True,
    ) -> Self:
        """Train for a number of steps; called again, it goes on where it stopped.

        Ctrl-C ends it after the current step with KeyboardInterrupt; what has been learnt is kept, and saved if there
        is a run directory.

        Args:
            total_timesteps: environment steps of this call.
            run_dir: new directory for metrics, TensorBoard events, checkpoints and the policy. None keeps using that of
                an earlier call, or writes nothing.
            eval_every: steps between evaluations. None is 5,000 if there is a run directory or progress to show them
                in and the environment can be made again, else 0, which is never.
            eval_episodes: episodes per evaluation.
            checkpoint_every: steps between checkpoints; 0 saves at the end only.
            keep_checkpoints: how many stay on disk.
            progress: whether to show progress.
            check: whether a spare environment may be made at the start and played for a moment, to see that another
                one is the same and that nothing in it survives `reset`. Not for hardware that is there only once.

        Returns:
            The agent itself.

        Raises:
            RunDirectoryError: `run_dir` cannot be used.
            FaultyEnvironmentError: the environment misbehaved.
            DivergedError: the agent's values are not finite.
            ValueError: a number is out of range.
        """
        run = self._run
        steps = exactly(int, total_timesteps, "total_timesteps")
        if steps < 1:
            raise ValueError(f"total_timesteps must be at least 1, got {steps}")
        path = None if run_dir is None else Path(run_dir).absolute()
        recorded = path is not None or self._directory is not None
        if eval_every is None:
            eval_every = 0
            if recorded or progress:
                run.examine(check)
                eval_every = 0 if run.source.make_another is None else 5_000
                if eval_every == 0:
                    self._progress.message(f"{run.source.name} is not evaluated in: {run.source.why}")
        if eval_every or recorded:
            run.examine(check)
            run.check_memory(check)
        run.configure(
            changed(
                run.config,
                total_timesteps=run.training.step + steps,
                eval_every=eval_every,
                eval_episodes=eval_episodes,
                checkpoint_every=checkpoint_every,
                keep_checkpoints=keep_checkpoints,
            )
        )
        if path is not None and path != self._directory:
            run.record_in(path)
            self._directory = path
        self._progress.to = for_this_terminal() if progress else Silent()
        with StopRequest() as stop:
            run.train(lambda: bool(stop))
        if stop.signal == signal.SIGINT:
            raise KeyboardInterrupt
        if stop.signal is not None:
            raise SystemExit(128 + stop.signal)
        return self

    def predict(self, observation: Observation) -> NDArray[Any]:
        """Return the action for one observation, or for a batch of them, without exploration noise.

        Args:
            observation: as the environment has it: an array, or a dict or tuple of arrays; in a batch every array has
                one more dimension, the first.

        Returns:
            The action as the environment takes it, or [batch, *its shape]: float32 for a Box, integers for Discrete.

        Raises:
            ValueError: the observation has another structure or shape.
        """
        return self._run.environment.spaces.predict(self._run.agent.predict, observation)

    def evaluate(self, episodes: int = 10) -> Evaluation:
        """Play the evaluation episodes of this seed without exploration noise; training is not disturbed.

        Args:
            episodes: how many.

        Returns:
            Returns and lengths of the episodes.

        Raises:
            UnsuitableEnvironmentError: the environment cannot be made a second time.
            FaultyEnvironmentError: the environment misbehaved.
        """
        evaluator, state = self._run.evaluator(episode_count(episodes)), self._run.environment.state() or None
        return evaluation_of(evaluator, self._run.agent.predict, self.steps, state)

    @property
    def topology(self) -> dict[str, list[LayerTopology]]:
        """The layers of each network, inputs first: actor, critic1, critic2 and their targets."""
        return layer_topologies(self._run.agent.networks())

    @property
    def steps(self) -> int:
        """Environment steps learnt from so far."""
        return self._run.training.step

    def save(self, path: str | Path) -> None:
        """Save the policy as a directory, from which `rewirl.load` and `rewirl evaluate` read it.

        Raises:
            PolicyError: it cannot be written, or `path` holds something else.
        """
        save_policy(Path(path), *self._run.policy_state())

    def close(self) -> None:
        """Release run directory, environments and threads; an environment of yours stays open. Idempotent."""
        self._run.close()

    def __enter__(self) -> Self:
        """Return self."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close."""
        self.close()

    def __repr__(self) -> str:
        """Return environment, seed and steps."""
        return f"{type(self).__name__}({self._run.source.name!r}, seed={self._run.config.seed}, steps={self.steps})"


def layer_topologies(networks: Mapping[str, Network]) -> dict[str, list[LayerTopology]]:
    """Return the layers of each network, inputs first."""
    return {name: [LayerTopology(layer) for layer in network.layers] for name, network in networks.items()}


def evaluation_of(evaluator: Evaluator, predict: Predict, step: int, state: list[Any] | None = None) -> Evaluation:
    """Play the episodes of an evaluator without exploration noise and close it; arguments as for Evaluator.evaluate."""
    try:
        evaluation = evaluator.evaluate(predict, "evaluation", step=step, state=state)
    finally:
        evaluator.close()
    assert evaluation is not None
    return evaluation


def episode_count(episodes: int) -> int:
    """Return a number of episodes.

    Raises:
        ValueError: it is not a whole number of at least 1.
    """
    episodes = exactly(int, episodes, "episodes")
    if episodes < 1:
        raise ValueError(f"episodes must be at least 1, got {episodes}")
    return episodes
