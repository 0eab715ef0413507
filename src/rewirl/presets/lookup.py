"""The papers' settings by agent and environment: data, and the look-up."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from difflib import get_close_matches
from typing import Any

from rewirl.agents import AgentConfig, agent_entry
from rewirl.topology import TopologyConfig

VERSION = "v5"

# Sokar et al. 2022, appendix: lambda of the two hidden layers, by environment whatever its version (the paper's is v3).
TD3_LAMBDAS = {
    "HalfCheetah": (7.0, 64.0),
    "Hopper": (7.0, 64.0),
    "Walker2d": (7.0, 64.0),
    "Ant": (40.0, 64.0),
    "Humanoid": (61.0, 64.0),
}
SAC_LAMBDAS = {
    "HalfCheetah": (12.0, 80.0),
    "Hopper": (7.0, 20.0),
    "Walker2d": (12.0, 80.0),
    "Ant": (30.0, 64.0),
    "Humanoid": (61.0, 64.0),
}


_LAMBDAS = {"static-td3": TD3_LAMBDAS, "ds-td3": TD3_LAMBDAS, "static-sac": SAC_LAMBDAS, "ds-sac": SAC_LAMBDAS}

_AGENTS = ("td3", "static-td3", "ds-td3", "sac", "static-sac", "ds-sac")
"""The agents of Sokar et al."""

SOFT_TARGETS = {"tau": 0.005, "target_update_interval": 1}

# Tan et al. 2023 (RLx2), table 2: sparsity of actor and critics by environment.
RLX2_SPARSITIES = {
    "ds-td3": {"HalfCheetah": (0.90, 0.85), "Hopper": (0.98, 0.95), "Walker2d": (0.97, 0.95), "Ant": (0.96, 0.88)},
    "ds-sac": {"HalfCheetah": (0.90, 0.80), "Hopper": (0.98, 0.95), "Walker2d": (0.90, 0.90), "Ant": (0.90, 0.75)},
}


def _rlx2(agent: str, actor_sparsity: float, critic_sparsity: float) -> dict[str, Any]:
    return {
        "topology": TopologyConfig(
            sparsity=critic_sparsity,
            actor_sparsity=actor_sparsity,
            rule="rigl",
            initial_scale="largest",
            regrow_dropped=True,
            adapt_every=10_000,
            adapt_fraction=0.5,
            anneal="cosine",
            adapt_end=2_975_000,
        ),
        "learning_rate": 3e-4,
        "weight_decay": 0.0,
        "batch_size": 256,
        "learning_starts": 25_000,
        "n_steps": 3,
        "n_steps_after": 300_000,
        "buffer_distance": 0.2,
        **(
            {"buffer_size": 1_000_000, "buffer_minimum": 100_000}
            if agent == "ds-td3"
            else {
                "buffer_size": 3_000_000,
                "buffer_minimum": 200_000,
                "temperature": "auto",
                "n_step_entropy": True,
                **SOFT_TARGETS,
            }
        ),
    }


# Graesser et al. 2022: ERK at 90% over all layers, for the whole of 1M steps but what their schedules say.
_GRAESSER = {
    "static": TopologyConfig(sparsity=0.9, rule="static", initial_scale="sparse"),
    "prune": TopologyConfig(
        sparsity=0.9, rule="prune", initial_sparsity=0.0, sparsity_start=200_000, sparsity_end=800_000
    ),
    **{
        rule: TopologyConfig(
            sparsity=0.9,
            rule=rule,
            drop="magnitude",
            initial_scale="sparse",
            regrow_dropped=True,
            adapt_fraction=0.5,
            anneal="cosine",
            adapt_end=800_000,
        )
        for rule in ("set", "rigl")
    },
}


def _graesser(method: str) -> dict[str, Any]:
    decay = 1e-4 if method == "prune" else 1e-6
    return {
        "topology": _GRAESSER[method],
        "weight_decay": decay,
        "learning_starts": 1_000,
        "temperature": "auto",
        **SOFT_TARGETS,
    }


# Grooten et al. 2023 (ANF): only the input layer is sparse, and most inputs are noise.
_ANF = TopologyConfig(layer_sparsities=(0.8, 0.0, 0.0), rule="set", drop="magnitude", adapt_fraction=0.05)
ANF_TASKS = {"HalfCheetah": 17, "Hopper": 11, "Walker2d": 17, "Humanoid": 348}
"""The real features of their observations; the code draws the others anew in every pass."""
NOISE = 0.9


def _noisy(env: str) -> dict[str, Any]:
    return {"env_module": "rewirl.noisy", "env_kwargs": {"env": env, "fraction": NOISE}}


# Methods with no published code or settings for these tasks: the paper's own numbers where it has some, over 1M steps.
_COSINE: dict[str, Any] = {"anneal": "cosine", "adapt_end": 750_000, "regrow_dropped": True}
_SMALL_STEPS: dict[str, Any] = {"learning_rate": 3e-4, "weight_decay": 0.0, "batch_size": 256}
_SAC: dict[str, Any] = {"temperature": "auto", **SOFT_TARGETS}


def _snip(update: int) -> TopologyConfig:
    """Arnob et al. 2021: 5% of a dense network, after the first update of the actor."""
    return TopologyConfig(
        sparsity=0.95,
        distribution="global",
        rule="prune",
        drop="sensitivity",
        initial_sparsity=0.0,
        sparsity_end=update,
        adapt_every=update,
        adapt_end=update,
    )


# Jin et al. 2026 (TAR): a static topology, revived once by 1% of all places.
_TAR = TopologyConfig(
    sparsity=0.95,
    distribution="connectivity",
    rule="set",
    initial_sparsity=0.96,
    sparsity_end=100_000,
    adapt_every=100_000,
    adapt_fraction=0.0,
    adapt_end=100_000,
)

# By method and agent: the agent, and what differs in its settings.
_METHODS: dict[str, tuple[str, dict[str, Any]]] = {
    # Lasby et al. 2024 (SRigL): gamma 0.3, a share of 0.3 annealed until 75% of training; Erdos-Renyi
    "srigl/td3": (
        "ds-td3",
        {
            "topology": TopologyConfig(
                sparsity=0.9,
                structure="constant-fan-in",
                ablate_below=0.3,
                rule="rigl",
                initial_scale="sparse",
                adapt_fraction=0.3,
                **_COSINE,
            )
        },
    ),
    # Vrce et al. 2026 (RNM-TD3)
    **{
        f"rnm/{structure.replace(':', '-of-')}-td3": (
            "ds-td3",
            {"topology": TopologyConfig(structure=structure, rule="set", drop="magnitude")},
        )
        for structure in ("2:4", "1:4")
    },
    "snip/td3": ("ds-td3", {"topology": _snip(2)}),
    "snip/sac": ("ds-sac", {"topology": _snip(1), **_SAC}),
    "tar/td3": ("ds-td3", {"topology": _TAR}),
    "tar/sac": ("ds-sac", {"topology": _TAR, **_SAC}),
    # Liu et al. 2025 (neuroplastic expansion): from 20% to 75% of a dense network
    "ne/td3": (
        "ds-td3",
        {
            "topology": TopologyConfig(
                sparsity=0.25,
                rule="rigl",
                initial_sparsity=0.8,
                sparsity_end=750_000,
                initial_scale="largest",
                adapt_fraction=0.02,
                **_COSINE,
            ),
            **_SMALL_STEPS,
        },
    ),
    # Sokar et al. 2023 (ReDo): a dense network, units of at most a tenth of the mean activation
    "redo/sac": ("sac", {"redo_every": 1_000, "redo_threshold": 0.1, **_SAC}),
    # Obando-Ceron et al. 2024: networks of five times the width, pruned to 95% between 20% and 80% of training
    "obando-ceron/wide-prune-sac": (
        "ds-sac",
        {
            "hidden_sizes": (1280, 1280),
            "topology": TopologyConfig(
                sparsity=0.95, rule="prune", initial_sparsity=0.0, sparsity_start=200_000, sparsity_end=800_000
            ),
            **_SAC,
        },
    ),
}


@dataclass(frozen=True)
class Preset:
    """A paper's setting."""

    agent: str
    env: str
    config: AgentConfig
    """The agent's settings, topology included."""
    train: dict[str, Any] = field(default_factory=dict)
    """Settings of the run that differ from the defaults."""


def _all() -> dict[str, tuple[str, str, dict[str, Any], dict[str, Any]]]:
    """Return agent, environment and what differs in the settings of agent and run, by the name of the preset."""
    found: dict[str, tuple[str, str, dict[str, Any], dict[str, Any]]] = {}
    tasks = [f"{base}-{VERSION}" for base in TD3_LAMBDAS]
    for agent in _AGENTS:
        found |= {f"ds-drl/{agent}/{env}": (agent, env, {}, {}) for env in tasks}
    # the dense baseline of the main text; the appendix has hard targets
    found |= {f"ds-drl/sac-soft/{env}": ("sac", env, SOFT_TARGETS, {}) for env in tasks}
    for agent, sparsities in RLX2_SPARSITIES.items():
        for base, of_both in sparsities.items():
            name, env = f"rlx2/{agent.removeprefix('ds-')}/{base}-{VERSION}", f"{base}-{VERSION}"
            found[name] = (agent, env, _rlx2(agent, *of_both), {"total_timesteps": 3_000_000})
    for method in _GRAESSER:
        agent = "static-sac" if method == "static" else "ds-sac"
        found |= {f"graesser/{method}-sac/{env}": (agent, env, _graesser(method), {}) for env in tasks}
    for method, (agent, settings) in _METHODS.items():
        found |= {f"{method}/{env}": (agent, env, settings, {}) for env in tasks}
    for base, real in ANF_TASKS.items():
        env, common = f"{base}-{VERSION}", {"learning_starts": 25_000, "resample_noise_from": real}
        for kind, settings in (("td3", {}), ("sac", SOFT_TARGETS)):
            run = ("rewirl/Noisy-v0", {"topology": _ANF, **common, **settings}, _noisy(env))
            found[f"anf/{kind}/{env}"] = (f"ds-{kind}", *run)
            dense = ("rewirl/Noisy-v0", {**common, **settings}, _noisy(env))
            found[f"anf/dense-{kind}/{env}"] = (kind, *dense)
    return found


def names() -> list[str]:
    """Return the names of all presets, paper/agent/environment, such as ds-drl/ds-td3/HalfCheetah-v5."""
    return list(_all())


def preset(name: str) -> Preset:
    """Return what a preset stands for.

    Args:
        name: one of `names`.

    Raises:
        ValueError: there is no such preset; the message says what is near.
    """
    known = _all()
    if name not in known:
        near = get_close_matches(name, known, n=1)
        hint = f"did you mean {near[0]}? " if near else ""
        raise ValueError(f"no preset {name!r}; {hint}`rewirl presets` lists them all")
    agent, env_id, settings, train = known[name]
    return Preset(agent, env_id, agent_config(agent, env_id, **settings), train)


def agent_config(agent: str, env_id: str, **settings: Any) -> AgentConfig:
    """Return the settings with which an agent trains on an environment unless told otherwise.

    Args:
        agent: one of `rewirl.agents.AGENTS`.
        env_id: the environment, such as "HalfCheetah-v5"; see `topology` for what depends on it.
        **settings: fields of the agent's settings that are to differ.

    Raises:
        ValueError: there is no such agent, or a setting is impossible.
    """
    return agent_entry(agent).config(**{"topology": topology(agent, env_id), **settings})


def topology(agent: str, env_id: str) -> TopologyConfig:
    """Return the topology with which an agent trains on an environment unless told otherwise.

    Args:
        agent: one of `rewirl.agents.AGENTS`.
        env_id: the environment, such as "HalfCheetah-v5". For a sparse agent of Sokar et al. in an environment of
            theirs it gives their lambdas whatever its version; else the topology is that of the agent's entry.

    Raises:
        ValueError: there is no such agent; the nearest one is named.
    """
    usual = agent_entry(agent).topology
    lambdas = _LAMBDAS.get(agent, {}).get(env_id.rpartition("-v")[0])
    return usual if lambdas is None else replace(usual, sparsity=None, lambdas=lambdas)
