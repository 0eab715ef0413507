"""The Python face: agents as users of Stable-Baselines3 would guess them."""

from __future__ import annotations

import dataclasses
import signal
from collections.abc import Callable, Iterator, Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from rewirl.experiments.presets import topology as default_topology
from rewirl.nn import Layer, Network
from rewirl.topology import TopologyConfig
from rewirl.topology.config import making_room
from rewirl.training.config import TrainConfig, default_threads
from rewirl.training.environments import environment_source
from rewirl.training.evaluation import Evaluation, Evaluator
from rewirl.training.policy import save_policy
from rewirl.training.progress import Progress, Silent, for_this_terminal
from rewirl.training.run import Run, agent_config_class
from rewirl.training.signals import StopRequest
from rewirl.training.trained_policy import TrainedPolicy, predict_in_bounds

if TYPE_CHECKING:
    import gymnasium
    from scipy.sparse import csr_array  # type: ignore[import-untyped]

__all__ = ["DSSAC", "DSTD3", "SAC", "TD3", "LayerTopology", "Policy", "StaticSAC", "StaticTD3", "load"]


class LayerTopology:
    """Which connections a layer has now; ask for `agent.topology` again after a rewiring."""

    def __init__(self, layer: Layer) -> None:
        """See the class."""
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
        return csr_array((np.ones(len(rows), dtype=np.bool_), (rows, columns)), shape=self.shape)

    def __repr__(self) -> str:
        """Return shape, connections and density."""
        return f"LayerTopology(shape={self.shape}, connections={self.connections:,}, density={self.density:.3f})"


class _Learner:
    """What all agents have in common; the subclasses only name the agent."""

    name: str

    def __init__(
        self,
        env: str | gymnasium.Env[Any, Any] | Callable[[], gymnasium.Env[Any, Any]],
        seed: int = 0,
        threads: int | None = None,
        *,
        env_kwargs: Mapping[str, Any] | None = None,
        env_module: str | None = None,
        **options: Any,
    ) -> None:
        """Build the agent.

        Args:
            env: a Gymnasium id, an environment, or a function without arguments that makes one. A single environment
                that is not registered can be learnt in, but not evaluated in.
            seed: decides every random number.
            threads: 2 updates both critics at once and, for an environment given by its id, evaluates in a process
                beside training, with the same result; None is 2 where there are two cores.
            env_kwargs: arguments for an environment given by its id.
            env_module: module imported first, which registers environments of your own.
            **options: any setting of the agent (TD3Config, SACConfig) or of TopologyConfig by its name, such as
                sparsity=0.8 or gamma=0.98. The defaults are the paper's for its environments, 50% sparsity for any
                other.

        Raises:
            UnsuitableEnvironmentError: the environment cannot be found, or its spaces are not Boxes that fit.
            ValueError: an option is unknown or impossible.
        """
        source = environment_source(env, env_kwargs, env_module)
        self._progress = _Shown()
        config = TrainConfig(
            agent=self.name,
            env=source.name,
            env_kwargs=dict(source.kwargs),
            env_module=env_module,
            seed=seed,
            threads=default_threads() if threads is None else threads,
            eval_every=0,
        )
        self._run = Run(config, _settings(self.name, source.name, options), self._progress, source)
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

        Returns:
            The agent itself.

        Raises:
            RunDirectoryError: `run_dir` cannot be used.
            FaultyEnvironmentError: the environment misbehaved.
            DivergedError: the agent's values are not finite.
            ValueError: a number is out of range.
        """
        run = self._run
        if total_timesteps < 1:
            raise ValueError(f"total_timesteps must be at least 1, got {total_timesteps}")
        wanted = None if run_dir is None else Path(run_dir).absolute()
        recorded = wanted is not None or self._directory is not None
        if eval_every is None:
            eval_every = 5_000 if (recorded or progress) and run.source.make_another is not None else 0
        run.configure(
            dataclasses.replace(
                run.config,
                total_timesteps=run.training.step + total_timesteps,
                eval_every=eval_every,
                eval_episodes=eval_episodes,
                checkpoint_every=checkpoint_every,
                keep_checkpoints=keep_checkpoints,
            )
        )
        if wanted is not None and wanted != self._directory:
            run.record_in(wanted)
            self._directory = wanted
        self._progress.shown = for_this_terminal() if progress else Silent()
        with StopRequest() as stop:
            run.train(lambda: bool(stop))
        if stop.signal == signal.SIGINT:
            raise KeyboardInterrupt
        if stop.signal is not None:
            raise SystemExit(128 + stop.signal)
        return self

    def predict(self, observation: ArrayLike) -> NDArray[np.float32]:
        """Return the action for one observation, or for a batch of them, without exploration noise.

        Args:
            observation: numbers [observation_size] or [batch, observation_size].

        Returns:
            float32 [action_size] or [batch, action_size], in the environment's own bounds.

        Raises:
            ValueError: the observation has another shape.
        """
        environment = self._run.environment
        return predict_in_bounds(self._run.agent.predict, environment.bounds, environment.observation_size, observation)

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
        return _evaluate(self._run.evaluator(_at_least_one(episodes)), self._run.agent.predict, self.steps)

    @property
    def topology(self) -> dict[str, list[LayerTopology]]:
        """The layers of each network, inputs first: actor, critic1, critic2 and their targets."""
        return _topology(self._run.agent.networks())

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


class TD3(_Learner):
    """Dense TD3 (Fujimoto et al. 2018) with the settings of Sokar et al. 2022."""

    name = "td3"


class StaticTD3(_Learner):
    """TD3 on a random sparse topology that never changes (Static-TD3 of Sokar et al. 2022)."""

    name = "static-td3"


class DSTD3(_Learner):
    """TD3 on a sparse topology that is rewired while it learns (DS-TD3 of Sokar et al. 2022, Algorithm 1)."""

    name = "ds-td3"


class SAC(_Learner):
    """Dense SAC (Haarnoja et al. 2018) with the settings of Sokar et al. 2022, appendix A."""

    name = "sac"


class StaticSAC(_Learner):
    """SAC on a random sparse topology that never changes."""

    name = "static-sac"


class DSSAC(_Learner):
    """SAC on a sparse topology that is rewired while it learns (DS-SAC of Sokar et al. 2022, appendix A)."""

    name = "ds-sac"


class Policy:
    """A saved policy; needs its environment only to be evaluated."""

    def __init__(self, trained: TrainedPolicy) -> None:
        """Use `load` instead."""
        self._trained = trained
        self.about: dict[str, Any] = dict(trained.about)
        """What its file says: agent, agent_config, environment, seed, step."""

    def predict(self, observation: ArrayLike) -> NDArray[np.float32]:
        """Return the action for one observation, or for a batch of them; see `DSTD3.predict`."""
        return self._trained.predict(observation)

    def evaluate(self, episodes: int = 10) -> Evaluation:
        """Play the evaluation episodes of the seed it was trained with.

        Raises:
            UnsuitableEnvironmentError: its environment cannot be made here.
            FaultyEnvironmentError: the environment misbehaved.
        """
        source = self._trained.source()
        assert source.make_another is not None
        evaluator = Evaluator(source.make_another, _at_least_one(episodes), self.about["seed"])
        return _evaluate(evaluator, self._trained.act, self.about["step"])

    @property
    def topology(self) -> dict[str, list[LayerTopology]]:
        """The layers of the actor, inputs first."""
        return _topology({"actor": self._trained.actor.actor})

    def __repr__(self) -> str:
        """Return agent, environment and steps."""
        return f"Policy({self.about['agent']!r}, {self.about['environment']['name']!r}, step={self.about['step']})"


def load(path: str | Path) -> Policy:
    """Read a policy that an agent saved, or that of a run directory. Nothing in the files is executed.

    Args:
        path: the directory.

    Returns:
        The policy.

    Raises:
        PolicyError: there is none, or it is not whole and sound; names the file and the reason.
    """
    return Policy(TrainedPolicy.load(Path(path)))


class _Shown:
    """Progress that can be shown or not from one call of `learn` to the next."""

    def __init__(self) -> None:
        self.shown: Progress = Silent()

    def begin(self, step: int, total: int) -> None:
        """See Progress."""
        self.shown.begin(step, total)

    def step(self, step: int) -> None:
        """See Progress."""
        self.shown.step(step)

    def evaluated(self, step: int, evaluation: Evaluation, density: float) -> None:
        """See Progress."""
        self.shown.evaluated(step, evaluation, density)

    def message(self, text: str) -> None:
        """See Progress."""
        self.shown.message(text)

    def end(self) -> None:
        """See Progress."""
        self.shown.end()


def _settings(agent: str, env: str, options: Mapping[str, Any]) -> Any:
    kind = agent_config_class(agent)
    of_topology = {field.name for field in dataclasses.fields(TopologyConfig)}
    of_agent = {field.name for field in dataclasses.fields(kind)} - {"topology"}
    for name in options:
        if name not in of_topology | of_agent:
            near = get_close_matches(name, of_topology | of_agent, n=1)
            hint = f"; did you mean {near[0]}?" if near else f"; there are {', '.join(sorted(of_topology | of_agent))}"
            raise ValueError(f"{agent} has no option {name!r}{hint}")
    chosen = dict(_tuples(options))
    topology = {name: value for name, value in chosen.items() if name in of_topology}
    base = making_room(default_topology(agent, env), [name for name, value in topology.items() if value is not None])
    return kind(
        topology=dataclasses.replace(base, **topology),
        **{name: value for name, value in chosen.items() if name in of_agent},
    )


def _tuples(options: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    for name, value in options.items():
        yield name, tuple(value) if isinstance(value, list) else value


def _topology(networks: Mapping[str, Network]) -> dict[str, list[LayerTopology]]:
    return {name: [LayerTopology(layer) for layer in network.layers] for name, network in networks.items()}


def _evaluate(
    evaluator: Evaluator, predict: Callable[[NDArray[np.float32]], NDArray[np.float32]], step: int
) -> Evaluation:
    try:
        found = evaluator.evaluate(predict, "evaluation", step=step)
    finally:
        evaluator.close()
    assert found is not None
    return found


def _at_least_one(episodes: int) -> int:
    if episodes < 1:
        raise ValueError(f"episodes must be at least 1, got {episodes}")
    return episodes
