"""Every option of any agent by name and type. Written by `python -m rewirl.learners.generate`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, TypedDict


class Options(TypedDict, total=False):
    """Options of a run, of its agent and of its topology; what each means says its agent's class."""

    env_kwargs: Mapping[str, Any]
    env_module: str | None
    wrapper: Sequence[str]
    n_envs: int
    env_processes: bool
    warm_up_policy: str | None
    total_timesteps: int
    eval_every: int
    eval_episodes: int
    checkpoint_every: int
    keep_checkpoints: int
    hidden_sizes: Sequence[int]
    learning_rate: float
    learning_rate_schedule: Literal["constant", "linear", "cosine"]
    learning_rate_end: float
    learning_rate_updates: int | None
    weight_decay: float
    bias_correction: Literal["network", "connection"]
    gamma: float
    redo_every: int
    redo_threshold: float
    cbp_replacement_rate: float
    cbp_maturity_threshold: int
    cbp_decay_rate: float
    cbp_utility: Literal["adaptable-contribution", "contribution"]
    normalise_observations: bool
    scale_rewards: bool
    batch_size: int
    n_steps: int
    n_steps_after: int
    tau: float
    updates_per_step: int
    learning_starts: int
    buffer_size: int
    buffer_distance: float | None
    buffer_empty_every: int
    buffer_minimum: int
    resample_noise_from: int | None
    hidden_layers: Literal["relu", "tanh", "layernorm-relu", "hadamard-relu", "hadamard-tanh"]
    policy_delay: int
    policy_noise: float
    noise_clip: float
    exploration_noise: float
    exploration: Literal["normal", "ornstein-uhlenbeck"]
    sparsity: float | None
    lambdas: Sequence[float] | None
    layer_sparsities: Sequence[float] | None
    actor_sparsity: float | None
    critic_sparsity: float | None
    initial_sparsity: float | None
    sparsity_start: int
    sparsity_end: int
    sparsity_schedule: Literal["cubic", "adaptive"]
    lowest_sparsity: float
    sparsity_step: float
    loss_tolerance: float
    distribution: Literal["erdos-renyi", "uniform", "global", "connectivity"]
    structure: str
    ablate_below: float
    initial_scale: Literal["dense", "sparse", "largest"]
    initial_topology: Literal["random", "predictive"]
    rule: str
    drop: Literal["paper", "halves", "code", "magnitude", "relative", "l2", "sensitivity", "random"]
    grow: Literal["paper", "random", "gradient"]
    regrow_dropped: bool
    adapt_every: int
    adapt_fraction: float
    anneal: Literal["constant", "cosine"]
    adapt_offset: int
    adapt_end: int | None
    adapt_actor: bool
    freeze_after: Sequence[int]
    target_update_interval: int
    temperature: float | Literal["auto"]
    target_entropy: float | None
    initialisation: Literal["xavier", "fan-in"]
    log_std_min: float
    log_std_max: float
    n_step_entropy: bool
    actor_hidden_sizes: Sequence[int]
    actor_learning_rate: float | None
    initial_temperature: float
    n_critics: int
    bins: int
    bound: float
    adam_epsilon: float
    update_every: int
    double_q: bool
    loss: Literal["huber", "squared"]
    epsilon_start: float
    epsilon_end: float
    epsilon_steps: int
    trace_decay: float
    kappa: float
    initial_zeros: float
    truncated_is_terminal: bool
    actor_kappa: float
    entropy: float
    rollout_steps: int
    epochs: int
    max_gradient_norm: float
    activation: Literal["tanh", "relu"]
    gae_lambda: float
    clip_range: float
    value_clip_range: float | None
    value_coefficient: float
    entropy_coefficient: float
    initial_deviation: float
    return_lambda: float
