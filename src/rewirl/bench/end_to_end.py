"""How many environment steps a second a whole run makes, evaluations and all, and how long the paper's would take."""

from __future__ import annotations

import dataclasses
import tempfile
import time
from dataclasses import dataclass, fields
from pathlib import Path
from statistics import median
from typing import Any

from rewirl.agents import agent_entry
from rewirl.agents.changing_cost import updates_of
from rewirl.agents.config import ReplayConfig
from rewirl.bench import machine
from rewirl.bench.interleaved import say
from rewirl.bench.machine import table
from rewirl.bench.serve import versions
from rewirl.bench.synthetic import refuse_agents
from rewirl.options.resolve import Settings, resolve
from rewirl.presets.lookup import protocol
from rewirl.printing import option
from rewirl.training import run as training_run
from rewirl.training.evaluation import Evaluation
from rewirl.training.progress import Silent

PROTOCOL_STEPS = 1_000_000
_SAID_BY_PRESETS = ("agents", "sparsity", "env", "batch_size", "hidden_sizes")
"""Options that are those of a preset where presets are run."""


@dataclass(frozen=True)
class Options:
    """Which runs are made, and how long they are."""

    agents: tuple[str, ...] = ("td3", "ds-td3")
    """Agents to run, each with its default topology for the environment."""

    sparsity: float | None = None
    """Share of absent connections of the sparse agents; None is their default. Typical: 0.5 to 0.95."""

    presets: tuple[str, ...] = ()
    """Presets to run instead of --agents, each with its own agent, environment, networks and batch. Typical:
    ds-drl/ds-td3/HalfCheetah-v5 fast/td3/HalfCheetah-v5."""

    env: str = "HalfCheetah-v5"
    """Gymnasium id of the environment."""

    env_module: str | None = None
    """Module imported first, so that it can register environments of your own."""

    threads: tuple[int, ...] = (1, 2)
    """Thread counts to run every agent with. Typical: 1 2."""

    steps: int = 10_000
    """Steps that are timed, with the updates that follow them, rounded up to whole evaluation periods. Typical: 10000
    to 100000."""

    learning_starts: int = 1_000
    """Steps before them, which are not timed; of an agent with a replay memory, with random actions. Typical: 1000."""

    eval_every: int = 5_000
    """Steps between two evaluations, rounded up to whole rollouts for PPO and PQN. Typical: 5000."""

    eval_episodes: int = 10
    """Episodes per evaluation. Typical: 10."""

    batch_size: int = 100
    """Samples per update. Typical: 100 to 256."""

    hidden_sizes: tuple[int, ...] = (256, 256)
    """Units of the hidden layers. Typical: 256 256."""

    rounds: int = 3
    """How often every run is made, in turns. Typical: 3 to 5."""

    def __post_init__(self) -> None:
        """Validate."""
        refuse_agents(self.agents, "Name others by presets, such as --presets cleanrl/ppo/CartPole-v1")
        for each in fields(self):
            if self.presets and each.name in _SAID_BY_PRESETS and getattr(self, each.name) != each.default:
                raise ValueError(f"presets say {each.name} themselves: leave {option(each.name)} out, or presets")
        for name in ("steps", "learning_starts", "eval_every", "eval_episodes", "batch_size", "rounds"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}")
        if not self.threads or min(self.threads) < 1:
            raise ValueError(f"threads must be at least 1, got {self.threads}")


def run(options: Options) -> dict[str, Any]:
    """Make every run in a temporary directory, one after the other, as often as there are rounds.

    Returns:
        JSON values: `runs`, machine, versions, options. Of each run `step_seconds` and `evaluation_seconds` of every
        round; `first`, the steps before those that are timed; `timed`, how many are; `eval_every`; `updates_per_step`.
        The `agent` of a run is the name of its preset, where presets are run.

    Raises:
        UnsuitableEnvironmentError: the environment cannot be found or has unsuitable spaces.
        ValueError: the agent cannot be built, or there is no such preset.
    """
    contestants = options.presets or options.agents
    runs: list[dict[str, Any]] = [
        {"agent": name, "threads": threads, "step_seconds": [], "evaluation_seconds": []}
        for threads in options.threads
        for name in contestants
    ]
    settings = [_settings(options, one["agent"], one["threads"]) for one in runs]
    for one, own in zip(runs, settings, strict=True):
        first, last = _first(options.learning_starts, own.run.eval_every), own.run.total_timesteps
        updates = updates_of(own.agent, last) - updates_of(own.agent, first)
        one |= {"first": first, "timed": last - first, "eval_every": own.run.eval_every}
        one["updates_per_step"] = updates / (last - first)
    for number in range(options.rounds):
        for one, own in zip(runs, settings, strict=True):
            say(f"round {number + 1}/{options.rounds}: {one['agent']}, {one['threads']} threads")
            watch = _run_once(options, own)
            one["step_seconds"].append(watch.step_seconds())
            one["evaluation_seconds"].append(watch.evaluation_seconds())
    return {
        **dataclasses.asdict(options),
        "machine": machine.describe(),
        "versions": versions("rewirl", "numpy", "gymnasium", "mujoco"),
        "runs": runs,
    }


def markdown(result: dict[str, Any]) -> str:
    """Return what `run` found as Markdown."""
    rows = []
    for one in result["runs"]:
        step, evaluation = median(one["step_seconds"]), median(one["evaluation_seconds"])
        first_row = next(each for each in result["runs"] if each["threads"] == one["threads"])
        share = median(a / b for a, b in zip(one["step_seconds"], first_row["step_seconds"], strict=True))
        updates = f"{one['updates_per_step']:.3g}"
        cells = (f"{1 / step:,.0f}", updates, f"{evaluation:.2f}", f"{PROTOCOL_STEPS * step / 60:.1f}", f"{share:.2f}")
        rows.append([one["agent"], str(one["threads"]), *cells])
    presets = bool(result["presets"])
    return "\n\n".join(
        [
            "## Whole runs of presets"
            if presets
            else f"## Whole runs on {result['env']}, batch {result['batch_size']}",
            table(
                [
                    *(
                        "preset" if presets else "agent",
                        "threads",
                        "steps/s",
                        "updates per step",
                        "seconds per evaluation",
                    ),
                    *("minutes for a million steps", "time by the first's"),
                ],
                rows,
            ),
            f"Environment steps with the updates that follow them, over {_each(result, 'timed')} steps of a run after "
            f"the first {_each(result, 'first')}. Every {_each(result, 'eval_every')} steps there are "
            f"{result['eval_episodes']} evaluation episodes, which with two threads run beside training. Checkpoints "
            f"are not counted. Medians of {result['rounds']} runs each, in turns.",
            machine.markdown(result["machine"], result["versions"]),
        ]
    )


def _each(result: dict[str, Any], name: str) -> str:
    """Return a number of the runs, or from which to which it is."""
    least, most = (of(one[name] for one in result["runs"]) for of in (min, max))
    return f"{least:,}" if least == most else f"{least:,} to {most:,}"


def _first(learning_starts: int, eval_every: int) -> int:
    """Return the first step with an evaluation that learns: timed from there, every evaluation is timed once."""
    return -(-learning_starts // eval_every) * eval_every


def _timed(steps: int, eval_every: int) -> int:
    """Return how many steps are timed: as many as asked for, or a few more, so that whole periods are."""
    return -(-steps // eval_every) * eval_every


class Watch(Silent):
    """Notes the time at the first and at the last step that is timed, and what evaluations take."""

    def __init__(self, first: int, last: int) -> None:
        """Steps `first` (excluded) to `last` are timed."""
        self._first, self._last = first, last
        self._times: dict[int, float] = {}
        self._evaluations: list[float] = []

    def step(self, step: int) -> None:
        """See Progress."""
        if step == self._first or step == self._last:
            self._times[step] = time.perf_counter()

    def evaluated(self, step: int, evaluation: Evaluation, density: float) -> None:
        """See Progress."""
        self._evaluations.append(evaluation.seconds)

    def step_seconds(self) -> float:
        """Return the seconds per step, with what it waits for evaluations."""
        return (self._times[self._last] - self._times[self._first]) / (self._last - self._first)

    def evaluation_seconds(self) -> float:
        """Return the median seconds of an evaluation after the first, which also makes the environments."""
        return median(self._evaluations[1:])


def _settings(options: Options, name: str, threads: int) -> Settings:
    """Return the settings of a short run of a preset, or of an agent with those of the options."""
    request: dict[str, Any]
    if options.presets:
        request = {"preset": name}
    else:
        sparse = options.sparsity is not None and not agent_entry(name).dense
        request = {
            **protocol(name),
            "agent": name,
            "env": options.env,
            "batch_size": options.batch_size,
            "hidden_sizes": options.hidden_sizes,
            **({"sparsity": options.sparsity} if sparse else {}),
        }
    if options.env_module is not None:
        request["env_module"] = options.env_module
    agent = resolve(request).agent
    period = _timed(options.eval_every, getattr(agent, "rollout_steps", 1))  # which it learns from at their end
    return resolve(
        {
            **request,
            "total_timesteps": _first(options.learning_starts, period) + _timed(options.steps, period),
            "eval_every": period,
            "eval_episodes": options.eval_episodes,
            "checkpoint_every": 0,
            "threads": threads,
            **({"learning_starts": options.learning_starts} if isinstance(agent, ReplayConfig) else {}),
        }
    )


def _run_once(options: Options, settings: Settings) -> Watch:
    watch = Watch(_first(options.learning_starts, settings.run.eval_every), settings.run.total_timesteps)
    with tempfile.TemporaryDirectory(prefix="rewirl-bench-") as directory:
        run = training_run.start(settings.run, settings.agent, Path(directory) / "run", watch)
        with run:
            run.train()
    return watch
