"""What the user says about a training run: which agent, which environment, how long, and what is kept."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from rewirl.exact import make_exact
from rewirl.processes import cores
from rewirl.storage import strict_json


def default_threads() -> int:
    """Return 2 when this process may run on two or more cores, else 1."""
    return 2 if cores() >= 2 else 1


@dataclass(frozen=True)
class TrainConfig:
    """One training run; how long it is and how it is evaluated are by default as in Sokar et al. 2022."""

    agent: str = "ds-td3"
    """Which agent learns: td3 (dense), static-td3 (sparse, never rewired), ds-td3 (sparse, rewired as it learns), and
    the same of sac, simba, xqc, crossq, dqn, ppo, pqn, stream-ac, stream-q and stream-sarsa. Each has its own options:
    `rewirl train --agent ppo --help` shows PPO's."""

    env: str = "HalfCheetah-v5"
    """Gymnasium id of the environment. It observes a Box, or a Dict or Tuple of Boxes, which are flattened; its actions
    are a Box with bounds, or Discrete for an agent that takes them."""

    env_kwargs: dict[str, Any] = field(default_factory=dict)
    """Arguments for the environment as a JSON object, for instance '{"forward_reward_weight": 2}'."""

    env_module: str | None = None
    """Module imported first, so that it can register environments of your own; found from the working directory too."""

    wrapper: tuple[str, ...] = ()
    """Wrappers around the environment, each as module:Class, from the inside; in training, evaluation and watching.
    Arguments follow as in Python, 'gymnasium.wrappers:TimeLimit(max_episode_steps=200)'. Typical:
    my_package:MyWrapper."""

    n_envs: int = 1
    """Environments to collect from; they take turns, so a step is still one transition. An agent with a replay memory
    chooses an action that many updates before it learns from its transition. Typical: 1 to 8."""

    env_processes: bool = False
    """Whether each environment has a process of its own, so that they take their steps at the same time as the agent
    learns. The run is the same to the bit. Typical: where a step takes a millisecond or more."""

    seed: int = 0
    """Decides every random number of the run: same seed, same settings, same result to the bit. Typical: 0 to 4."""

    warm_up_policy: str | None = None
    """Directory of a run or of a saved policy, or the name of one that comes with Rewirl (`rewirl policies`): it
    chooses the actions of the first `learning_starts` steps, with noise N(0, 0.1) on them, or a random one of numbered
    actions now and then, and must be of the same environment. None chooses them at random."""

    total_timesteps: int = 1_000_000
    """Environment steps of the whole run, the random ones at the start included. Typical: 100000 to 3000000."""

    eval_every: int = 5_000
    """Steps between two evaluations without exploration noise; 0 never evaluates. Typical: 5000 to 20000."""

    eval_episodes: int = 10
    """Episodes per evaluation, played side by side in environments of their own. Typical: 4 to 30."""

    checkpoint_every: int = 100_000
    """Steps between two checkpoints, from which `rewirl resume` continues; 0 keeps only those at the end and on a
    signal. Each holds the replay memory too: about 200 MB for a full one of HalfCheetah. Typical: 50000 to 200000."""

    keep_checkpoints: int = 2
    """How many checkpoints stay on disk, the newest ones; a damaged one falls back to the one before. Typical: 2."""

    threads: int = field(default_factory=default_threads)
    """Cores to use: with 2 the networks of an agent are updated side by side, and evaluations run in a process beside
    training; with 1 the run is a single process on one core, best for several runs at once. The result is the same.
    Typical: 1 or 2."""

    def __post_init__(self) -> None:
        """Turn each value into its type exactly, and check its range."""
        make_exact(self)
        for name, lowest in {
            "seed": 0,
            "total_timesteps": 1,
            "eval_every": 0,
            "eval_episodes": 1,
            "checkpoint_every": 0,
            "keep_checkpoints": 1,
            "threads": 1,
            "n_envs": 1,
        }.items():
            if getattr(self, name) < lowest:
                raise ValueError(f"{name} must be at least {lowest}, got {getattr(self, name)}")
        for name, highest in {
            "eval_episodes": 10_000,
            "threads": 256,
            "n_envs": 1_000,
        }.items():  # each is an environment or a thread
            if getattr(self, name) > highest:
                raise ValueError(f"{name} must be at most {highest:,}, got {getattr(self, name):,}")
        for name in ("agent", "env"):
            if not getattr(self, name):
                raise ValueError(f"{name} must be a name, got {getattr(self, name)!r}")
        if self.warm_up_policy == "":
            raise ValueError(f"warm_up_policy must be a directory, got {self.warm_up_policy!r}")
        strict_json.plain(self.env_kwargs, "env_kwargs")  # the run's record could not hold anything else
