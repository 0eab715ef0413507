"""What options of other programs' command lines are called here: RL Zoo's, CleanRL's and Stable-Baselines3's names."""

from __future__ import annotations

import re
from collections.abc import Sequence

from rewirl.options import sb3
from rewirl.options.option import all_options

OPTIONS = {
    "algo": "--agent, such as td3, ds-td3 or ppo",
    "env-id": "--env",
    "environment": "--env",
    "output-dir": "--run-dir",
    "topology": "none: its settings are options of their own, such as --sparsity 0.9",
    "gym-packages": "--env-module",
    "env-wrapper": "--wrapper",
    "max-episode-steps": "--env-kwargs '{\"max_episode_steps\": 1000}'",
    "render-mode": "none: rewirl watch shows the policy, after training",
    "n-timesteps": "--total-timesteps",
    "timesteps": "--total-timesteps",
    "num-timesteps": "--total-timesteps",
    "total-steps": "--total-timesteps",
    "max-steps": "--total-timesteps",
    "steps": "--total-timesteps",
    "eval-freq": "--eval-every",
    "n-eval-episodes": "--eval-episodes",
    "n-eval-envs": "none: the episodes of an evaluation are played side by side",
    "save-freq": "--checkpoint-every",
    "log-folder": "--run-dir",
    "log-dir": "--run-dir",
    "tensorboard-log": "--run-dir: TensorBoard events are written there",
    "exp-name": "none: a run is named by its directory",
    "trained-agent": "rewirl resume DIRECTORY",
    "save-replay-buffer": "none: checkpoints hold the replay memory",
    "hyperparams": "every hyper-parameter is an option, such as --gamma 0.98; --preset takes many from a file",
    "hyperparameters": "every hyper-parameter is an option, such as --gamma 0.98; --preset takes many from a file",
    "conf-file": "--preset FILE.toml",
    "optimize-hyperparameters": "rewirl tune",
    "optimize": "rewirl tune",
    "n-trials": "rewirl tune --trials",
    "vec-env": "--env-processes is what subproc is",
    "num-envs": "--n-envs",
    "num-threads": "--threads",
    "n-jobs": "rewirl sweep and rewirl tune run side by side: --workers",
    "device": "none: everything runs on the processor; --threads 2 uses two cores",
    "cuda": "none: everything runs on the processor; --threads 2 uses two cores",
    "verbose": "none: progress is always shown",
    "progress": "none: progress is always shown",
    "track": "rewirl.WandbCallback, from Python",
    "wandb-project-name": "rewirl.WandbCallback, from Python",
    "wandb-entity": "rewirl.WandbCallback, from Python",
    "capture-video": "rewirl watch DIRECTORY --video out.mp4, after training",
    "torch-deterministic": "none: a run is the same to the bit anyway",
    "num-steps": "--rollout-steps, over all environments together",
    "num-minibatches": "--batch-size, steps of a minibatch",
    "n-epochs": "--epochs",
    "update-epochs": "--epochs",
    "anneal-lr": "--learning-rate-schedule linear, with --learning-rate-updates",
    "lr-schedule": "--learning-rate-schedule linear, with --learning-rate-updates",
    "lr": "--learning-rate",
    "clip-coef": "--clip-range",
    "clip-vloss": "--value-clip-range",
    "norm-adv": "none: PPO normalises the advantages of every minibatch",
    "ent-coef": "--entropy-coefficient, for PPO; --temperature, for SAC",
    "alpha": "--temperature, for SAC",
    "autotune": "--temperature auto, for SAC",
    "policy-lr": "--learning-rate; for SimBa, XQC and CrossQ --actor-learning-rate",
    "q-lr": "--learning-rate",
    "policy-frequency": "--policy-delay",
    "target-network-frequency": "--target-update-interval",
    "train-frequency": "--update-every, for DQN",
    "start-e": "--epsilon-start",
    "end-e": "--epsilon-end",
    "policy": "none: there is one kind of policy",
    "policy-kwargs": "--hidden-sizes 256 256; the other settings of networks are options of their own",
    "net-arch": "--hidden-sizes 256 256",
    "activation-fn": "--activation tanh or relu, for PPO; --hidden-layers tanh or relu, for TD3, SAC, DQN and PQN",
    "action-noise": "--exploration-noise 0.1, in units of [-1, 1]; --exploration normal or ornstein-uhlenbeck",
    "load-best": "none: rewirl evaluate, watch and export take the policy of the latest checkpoint",
}
"""By their names with hyphens."""

_OF_OTHER_COMMANDS = {
    "run-dir": "--run-dir",
    "directory": "--run-dir",
    "output": "--run-dir",
    "preset": 'presets = ["small/pendulum"] in the file of a sweep',
}
"""Options of ours that not every command has, by the name that it may have instead."""

_ABBREVIATED = {"-n": "n-timesteps", "-f": "log-folder", "-i": "trained-agent", "-params": "hyperparams"}


def hint(flag: str, there: Sequence[str]) -> str:
    """Return what an option of another program or command is here, in words.

    It is "" for any other option, and if the command has none such.

    Args:
        flag: as it was typed, such as "--algo".
        there: the options of the command; one for many runs has --agents for --agent, and --directory for --run-dir.
    """
    name = _ABBREVIATED.get(flag, flag.lstrip("-").replace("_", "-"))
    if said := OPTIONS.get(name) or _OF_OTHER_COMMANDS.get(name):
        text = said if said.startswith("none") else f"that is here: {said}"
    else:
        python = name.replace("-", "_")
        text = sb3.hint(python, sb3.ARGUMENTS) or sb3.hint(python, sb3.LEARN)
        known = all_options()
        text = re.sub(r"\w+_\w+", lambda word: f"--{word[0].replace('_', '-')}" if word[0] in known else word[0], text)
    here = {option.removesuffix("s"): option for option in there} | {option: option for option in there}
    if "--directory" in there:
        here.setdefault("--run-dir", "--directory")
    named = re.findall(r"--[\w-]+", text)
    if named and named[0] not in here and "rewirl" not in text:
        return ""  # this command has nothing of the kind
    return re.sub(r"--[\w-]+", lambda option: here.get(option[0], option[0]), text)
