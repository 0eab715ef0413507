"""What users of Stable-Baselines3 type, and what it is called here: data for errors and for docs/from-sb3.md."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

ARGUMENTS = {
    "policy": "leave it out: there is one kind of policy, and the environment comes first",
    "policy_kwargs": "net_arch is hidden_sizes=(256, 256); the other settings of networks are options of their own",
    "net_arch": "hidden_sizes=(256, 256)",
    "activation_fn": 'activation="tanh" or "relu", for PPO; hidden_layers="tanh" or "relu", for TD3, SAC, DQN and PQN',
    "action_noise": 'exploration_noise=0.1 in units of [-1, 1], for TD3, with exploration="normal" or '
    '"ornstein-uhlenbeck"; others explore by their policy',
    "ent_coef": 'temperature="auto" or a number, for SAC; initial_temperature, for SimBa, XQC and CrossQ; '
    "entropy_coefficient, for PPO; entropy, for Stream AC",
    "n_epochs": "epochs",
    "clip_range_vf": "value_clip_range",
    "vf_coef": "value_coefficient",
    "max_grad_norm": "max_gradient_norm, for PPO and PQN; others do not clip gradients",
    "normalize_advantage": "leave it out: PPO normalises the advantages of every minibatch",
    "target_kl": "none: PPO does all epochs",
    "rollout_buffer_class": "none: a rollout has rollout_steps steps, over all environments together",
    "rollout_buffer_kwargs": "none: a rollout has rollout_steps steps, over all environments together",
    "train_freq": "update_every, for DQN; rollout_steps, for PPO and PQN; for others updates follow every step",
    "gradient_steps": "updates_per_step, after every step",
    "exploration_fraction": "epsilon_steps, in steps",
    "exploration_initial_eps": "epsilon_start",
    "exploration_final_eps": "epsilon_end",
    "target_policy_noise": "policy_noise",
    "target_noise_clip": "noise_clip",
    "optimize_memory_usage": "none: a transition takes one row of float32",
    "replay_buffer_class": "none: the replay memory is uniform; buffer_distance and buffer_empty_every let it forget",
    "replay_buffer_kwargs": "buffer_size, buffer_distance and buffer_empty_every are options of their own",
    "tensorboard_log": "learn(run_dir=...) writes TensorBoard events there",
    "verbose": "learn(progress=True)",
    "device": "leave it out: everything runs on the processor; threads=2 uses two cores",
    "use_sde": "leave it out: exploration has no generalised state-dependent noise",
    "sde_sample_freq": "leave it out: exploration has no generalised state-dependent noise",
    "use_sde_at_warmup": "leave it out: exploration has no generalised state-dependent noise",
    "stats_window_size": "none: metrics.jsonl has every episode",
    "monitor_wrapper": "leave it out: episodes are recorded in run_dir",
    "_init_setup_model": "leave it out",
    "lr_schedule": 'learning_rate_schedule="linear" or "cosine", with learning_rate_updates',
}
"""Arguments of constructors, by their names in Stable-Baselines3."""

SCHEDULES = {
    "learning_rate": 'learning_rate_schedule="linear" or "cosine" changes it, over learning_rate_updates',
    "clip_range": "it stays what it is all the time",
}
"""Arguments that may be functions there."""

OF_ROLLOUTS = {"n_steps": "rollout_steps, over all environments together: n_steps times n_envs"}
"""Arguments of PPO's constructor whose name means something else here."""

LEARN = {
    "log_interval": "eval_every",
    "tb_log_name": "run_dir names the run",
    "reset_num_timesteps": "leave it out: a second call goes on; make a new agent to begin again",
    "progress_bar": "progress=True",
    "eval_freq": "eval_every",
    "n_eval_episodes": "eval_episodes",
    "eval_env": "leave it out: evaluation makes environments of its own",
    "save_freq": "checkpoint_every",
}
"""Arguments of `learn`."""

PREDICT = {
    "state": "leave it out: no network here has a memory of its own",
    "episode_start": "leave it out: no network here has a memory of its own",
}
"""Arguments of `predict`."""

LOAD = {
    "device": "leave it out: everything runs on the processor",
    "custom_objects": "leave it out: nothing is unpickled",
    "print_system_info": "config.json of a run directory says what made it",
    "force_reset": "leave it out: the episode under way is played again up to its step",
}
"""Arguments of `load`."""

EVALUATE = {
    "n_eval_episodes": "episodes",
    "eval_env": "env",
    "deterministic": "leave it out: evaluation is without exploration noise",
    "render": "rewirl watch, of a saved policy",
    "return_episode_rewards": "leave it out: the result has returns and lengths of all episodes",
    "callback": "none: agent.predict acts in episodes of your own",
    "reward_threshold": "none: compare the result's mean",
    "warn": "leave it out",
}
"""Arguments of `evaluate_policy`."""

ATTRIBUTES = {
    "get_parameters": "agent.topology has the weights and biases of every layer",
    "set_parameters": "none: rewirl.resume puts a run back",
    "policy": "agent.predict acts, and agent.topology has the layers",
    "actor": 'agent.topology["actor"]',
    "critic": 'agent.topology["critic1"] and agent.topology["critic2"]; of PPO agent.topology["critic"]',
    "q_net": 'agent.topology["q"]',
    "q_net_target": 'agent.topology["target_q"]',
    "actor_target": 'agent.topology["target_actor"]',
    "critic_target": 'agent.topology["target_critic1"] and agent.topology["target_critic2"]',
    "replay_buffer": "agent.replay",
    "save_replay_buffer": "learn(run_dir=...): checkpoints hold the replay memory",
    "load_replay_buffer": "rewirl.resume(run_dir)",
    "num_timesteps": "agent.steps",
    "env": "agent.observation_space and agent.action_space; the environment is yours",
    "get_env": "agent.observation_space and agent.action_space; the environment is yours",
    "set_env": "rewirl.resume(run_dir, env=...)",
    "logger": "agent.diagnostics has the latest values, metrics.jsonl in run_dir all of them",
    "set_logger": "learn(run_dir=...), or callback=",
    "ep_info_buffer": "metrics.jsonl in run_dir has every episode; a callback sees returns and lengths as they end",
    "set_random_seed": "none: the seed is the agent's, from its beginning: TD3(env, seed=0)",
    "device": "leave it out: everything runs on the processor",
    "collect_rollouts": "agent.learn",
    "train": "agent.learn",
    "evaluate_policy": "agent.evaluate(episodes), whose result has mean, std and returns",
}
"""Attributes and methods of agents."""

NAMES = {
    "A2C": "none: PPO and StreamAC are the actor-critics without a replay memory",
    "DDPG": "TD3, with policy_delay=1 and policy_noise=0; it has two critics",
    "evaluate_policy": "agent.evaluate(episodes), or policy.evaluate(episodes)",
    "make_vec_env": "n_envs=4",
    "DummyVecEnv": "n_envs=4",
    "SubprocVecEnv": "n_envs=4, env_processes=True",
    "VecNormalize": "normalise_observations=True, scale_rewards=True",
    "Monitor": "leave it out: episodes are recorded in run_dir",
    "EvalCallback": "learn(eval_every=..., eval_episodes=...)",
    "CheckpointCallback": "learn(run_dir=..., checkpoint_every=...)",
    "check_env": "leave it out: what is wrong with an environment is said when it is used",
}
"""Classes and functions."""

POLICY = {
    "learn": "a policy does not learn: rewirl.resume(run_dir) or rewirl.from_preset(...) gives an agent that does",
    "save": "it is saved: copy its directory",
    "close": "it holds nothing to be closed",
    "replay": "a policy has no replay memory: rewirl.resume(run_dir) gives the agent with it",
    "config": 'policy.about["agent_config"]',
    "steps": 'policy.about["step"]',
    "observation_space": 'that of the environment policy.about["environment"]',
    "action_space": 'that of the environment policy.about["environment"]',
    "policy": "policy.predict acts",
    "evaluate_policy": "policy.evaluate(episodes)",
}
"""What agents have, or policies there, and policies here have not."""

POLICIES = ("MlpPolicy", "CnnPolicy", "MultiInputPolicy")
"""What stands first in a constructor there."""


def hint(name: str, table: dict[str, str]) -> str:
    """Return what stands for a name of Stable-Baselines3, in words; "" for any other name."""
    if name not in table:
        return ""
    there, what = f"Stable-Baselines3's {name}", table[name]
    if what.startswith("leave it out"):
        return f"{there} has no counterpart here; {what}"
    if what.startswith("none: "):
        return f"{there} has no counterpart here: {what.removeprefix('none: ')}"
    return f"{there} is here: {what}"


def attribute(name: str, known: Collection[str]) -> str:
    """Return what stands for an attribute there, in words, or where an option is; "" for any other name.

    Args:
        name: that an agent has not.
        known: the names of its options.
    """
    return (
        f"its options are in agent.config, such as agent.config[{name!r}]" if name in known else hint(name, ATTRIBUTES)
    )


def refuse_foreign(arguments: Mapping[str, Any]) -> None:
    """Refuse what stands for something else in a constructor there.

    Args:
        arguments: of a constructor here, by name.

    Raises:
        ValueError: the environment is a kind of policy, or a number is a function; says what it is here.
    """
    env = arguments["env"]
    if isinstance(env, str) and env in POLICIES:
        raise ValueError(f"env is {env!r}; {hint('policy', ARGUMENTS)}")
    if isinstance(seed := arguments.get("seed"), str) and seed in POLICIES:
        raise ValueError(f"seed is {seed!r}; {hint('policy', ARGUMENTS)}")
    for name, what in SCHEDULES.items():
        if callable(arguments.get(name)):
            raise ValueError(f"{name} must be a number, got a function; {what}")


def table(name: str, entries: dict[str, str]) -> str:
    """Return a table of names as Markdown."""
    rows = [f"| `{there}` | {here} |" for there, here in entries.items()]
    return "\n".join([f"| {name} | here |", "|---|---|", *rows])
