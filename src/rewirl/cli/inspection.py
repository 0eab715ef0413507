"""The command `inspect`: what an agent consists of, its layers, connections, cost of training and memory."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from rewirl.agents.agent import Agent
from rewirl.agents.changing_cost import ChangingCost, updates_of
from rewirl.agents.config import ReplayConfig
from rewirl.agents.importance import input_importance
from rewirl.agents.plasticity import measures_in
from rewirl.cli.errors import usage_errors
from rewirl.cli.inputs import lines_of_inputs
from rewirl.cli.inspected_plasticity import plasticity_lines
from rewirl.cli.parse import parse, parse_run
from rewirl.environments.identity import MODULE_HELP, import_named
from rewirl.nn import Network
from rewirl.options.train import TrainConfig
from rewirl.printing import number, result, say
from rewirl.storage.run_directory import RunDirectory
from rewirl.topology import TopologyConfig
from rewirl.training.progress import Silent
from rewirl.training.resume import at_latest_checkpoint
from rewirl.training.run import Run

_COUNTED = {"rewired": "connections", "recycled": "units"}
"""What a run counts from its start, and of what."""


def inspect(arguments: list[str]) -> int:
    """Run `rewirl inspect` and return its exit code."""
    as_json = (bool, False, "Print one JSON object instead of a table.")
    if _names_a_directory(arguments):
        options = parse(
            "inspect",
            arguments,
            run=(Path, dataclasses.MISSING, "Directory of the run."),
            json=as_json,
            env_module=(str | None, None, MODULE_HELP),
        )
        with usage_errors():
            import_named(options.env_module)
        with usage_errors(), RunDirectory.open(options.run, lock=False) as directory:
            saved = at_latest_checkpoint(directory, Silent())
        with saved:
            if saved.stripped:
                say(f"warning: {options.run} has no checkpoints any more: these are its networks as they began")
            inputs = input_importance(saved.agent, saved.transitions)
            _print(saved.env, saved.agent, saved.total, options.json, saved.diagnostics, inputs)
        return 0
    options = parse_run("inspect", arguments, json=as_json)
    print_description(lambda: Run(without_evaluation(options.run), options.agent, Silent()), options.json)
    return 0


def _names_a_directory(arguments: Sequence[str]) -> bool:
    """Tell whether the first argument is a directory, but for the options that may go before it."""
    words = iter(arguments)
    for each in words:
        if each == "--env-module":
            next(words, None)
        elif each != "--json" and not each.startswith("--env-module="):
            return not each.startswith("-")
    return False


def print_description(make: Callable[[], Run], as_json: bool = False) -> None:
    """Print what the agent of a run consists of.

    Args:
        make: returns the run, which is closed here.
        as_json: whether to print one JSON object instead of a table.

    Raises:
        UsageError: the run cannot be made.
    """
    with usage_errors():
        run = make()
    with run:
        _print(run.source.name, run.agent, run.total, as_json)
        if not as_json:
            for remark in run.remarks():
                say(remark)


def _print(
    env: str,
    agent: Agent,
    total: int,
    as_json: bool,
    diagnostics: Mapping[str, float] | None = None,
    inputs: Mapping[str, Any] | None = None,
) -> None:
    diagnostics = diagnostics or {}
    measures = measures_in(diagnostics)
    counts = {name: round(diagnostics[name]) for name in _COUNTED if name in diagnostics}
    description = {"env": env, **describe(agent, total), **counts, **({"plasticity": measures} if measures else {})}
    lines = [*plasticity_lines(measures)]
    if inputs is not None:
        description |= {"observation_size": agent.observation_size, "inputs": inputs}
        lines += lines_of_inputs(inputs, agent.observation_size)
    result(json.dumps(description) if as_json else "\n".join([table(description), *lines]))


def without_evaluation(config: TrainConfig) -> TrainConfig:
    """Return the settings of a run that is only looked at: one environment is made, and none to evaluate in."""
    return dataclasses.replace(config, eval_every=0, n_envs=1, env_processes=False)


def describe(agent: Agent, total_timesteps: int) -> dict[str, Any]:
    """Return an agent's sizes as JSON values.

    Args:
        agent: any agent.
        total_timesteps: of the run whose updates the training FLOPs count.

    Returns:
        `agent`; `params`, the connections of the networks that learn; `flops` to train; `sparsity`, the share of absent
        connections in them; `memory_bytes` of the networks with optimiser, and of the full replay memory, 0 where
        there is none;
        `networks`, for each network and layer `shape` (outputs, inputs), `connections`, `density`, `format` and
        `structure`, dense for a dense layer; of a network that is no multilayer perceptron also `operations`;
        `tasks`, how many have ended and after which updates they do, where connections are frozen;
        `adaptive`, the bounds of a sparsity that follows the loss, where flops are those of the connections now;
        `normalisation`, the running statistics, where observations are normalised or rewards scaled.
    """
    networks = agent.networks()
    layers: dict[str, list[dict[str, Any]]] = {
        name: [
            {
                "shape": list(layer.shape),
                "connections": layer.connections,
                "density": layer.connections / math.prod(layer.shape),
                "format": layer.format,
                "structure": "dense" if layer.dense else agent.config.topology.structure_in(layer.shape),
            }
            for layer in network.layers
        ]
        for name, network in networks.items()
    }
    connections = {name: [layer["connections"] for layer in of_network] for name, of_network in layers.items()}
    config, normalisation = agent.config, agent.normalisation.description()
    settings = dataclasses.asdict(config)
    cost = agent.COST.of(settings)
    params = cost.parameters(connections)
    places = sum(math.prod(layer["shape"]) for name in cost.networks for layer in layers[name])
    updates = updates_of(config, total_timesteps)
    changing = changing_sparsity(agent, updates)
    after = config.topology.freeze_after
    row = 4 * (2 * agent.observation_size + agent.action_size + 2)  # float32 each, reward and end among them
    return {
        "agent": agent.name,
        "params": params,
        "flops": cost.training_flops(connections, updates, settings) if changing is None else changing.pop("flops"),
        "sparsity": 1 - params / places,
        "memory_bytes": {
            "agent": sum(array.nbytes for array in agent.state()[0].values()),
            "replay": row * config.buffer_size if isinstance(config, ReplayConfig) else 0,
        },
        "networks": {name: {"layers": layers[name], **_operations(network)} for name, network in networks.items()},
        **({} if changing is None else {"changing": changing}),
        **({"tasks": {"ended": agent.tasks, "freeze_after": list(after)}} if agent.tasks or after else {}),
        **({"adaptive": _bounds(config.topology)} if config.topology.adaptive else {}),
        **({"normalisation": normalisation} if normalisation else {}),
    }


def _bounds(topology: TopologyConfig) -> dict[str, Any]:
    names = ("lowest_sparsity", "sparsity", "actor_sparsity", "critic_sparsity", "sparsity_start", "sparsity_end")
    return {name: getattr(topology, name) for name in names}


def _operations(network: Network) -> dict[str, list[str]]:
    return {"operations": network.made_of} if network.made_of else {}


def changing_sparsity(agent: Agent, updates: int) -> dict[str, Any] | None:
    """Return what becomes of an agent whose sparsity changes by a schedule; None for any other.

    Args:
        agent: any agent.
        updates: of the whole run, as the training FLOPs count them.

    Returns:
        `flops` of the run, each stretch between two events at what it costs; `from_update` and `to_update` between
        which the sparsity changes; and at the end of the run `params`, `sparsity` and by network `connections`.
    """
    topology, settings = agent.config.topology, dataclasses.asdict(agent.config)
    if topology.initial_sparsity is None or topology.adaptive:
        return None
    cost = agent.COST.of(settings)
    shapes = {name: [layer.shape for layer in agent.networks()[name].layers] for name in cost.networks}
    changing = ChangingCost(cost, topology, settings, shapes, updates)
    at_end = changing.connections(updates)
    params, places = sum(at_end.values()), sum(math.prod(shape) for of in shapes.values() for shape in of)
    return {
        "flops": changing.training_flops([updates])[0],
        "from_update": topology.sparsity_start,
        "to_update": topology.sparsity_end,
        "params": params,
        "sparsity": 1 - params / places,
        "connections": at_end,
    }


def table(description: Mapping[str, Any]) -> str:
    """Return a description as text for people."""
    lines = [f"{'network':<16} {'layer':>5} {'shape':>13} {'connections':>12} {'density':>8}  structure"]
    for name, network in description["networks"].items():
        for index, layer in enumerate(network["layers"], start=1):
            shape = " x ".join(str(size) for size in layer["shape"])
            numbers = f"{layer['connections']:>12,} {layer['density']:>8.3f}"
            lines.append(f"{name:<16} {index:>5} {shape:>13} {numbers}  {layer['structure']}")
            name = ""
        if "operations" in network:
            lines.append(f"{'':<16} made of {', '.join(network['operations'])}")
    memory = description["memory_bytes"]
    lines += [
        "",
        f"agent      {description['agent']}",
        f"params     {description['params']:,} connections of the networks that learn, without targets and biases",
        f"sparsity   {description['sparsity']:.3f}",
    ]
    lines += [f"{what:<10} {description[what]:,} {of} so far" for what, of in _COUNTED.items() if what in description]
    if "changing" in description:
        end = description["changing"]
        each = ", ".join(f"{name} {count:,}" for name, count in end["connections"].items())
        lines += [
            f"changing   from update {end['from_update']:,} to {end['to_update']:,}; at the end of the run "
            f"sparsity {end['sparsity']:.3f}, {end['params']:,} connections ({each})",
        ]
    if "tasks" in description:
        tasks = description["tasks"]
        after = ", ".join(f"{each:,}" for each in tasks["freeze_after"])
        lines.append(
            f"tasks      {tasks['ended']} ended{after and f', one after each of the updates {after}'}; flops are those "
            "of the connections now"
        )
    if "adaptive" in description:
        bounds = description["adaptive"]
        own = [f"{bounds[name]:g}" for name in ("sparsity", "actor_sparsity", "critic_sparsity") if bounds[name]]
        lines.append(
            f"adaptive   from update {bounds['sparsity_start']:,} to {bounds['sparsity_end']:,}, between sparsity "
            f"{bounds['lowest_sparsity']:g} and {' or '.join(own)}, by the loss; flops are those of the sparsity now"
        )
    normalisation = description.get("normalisation", {})
    for what, unit, of in (("observations", "observations", ""), ("returns", "rewards", ", of the discounted return")):
        if what in normalisation:
            count, each = normalisation[what]["count"], normalisation[what]["std"]
            spread = number(each) if what == "returns" else f"{number(min(each))} to {number(max(each))}"
            seen = f"{count:,} {unit}{of}: standard deviation {spread}" if count else f"no {unit} so far"
            lines.append(f"normalised {seen}")
    lines += [
        f"flops      {description['flops']:.3g} to train (Evci et al. 2020)",
        f"memory     {memory['agent'] / 1e6:,.1f} MB networks and optimiser, "
        + (f"{memory['replay'] / 1e6:,.1f} MB replay memory when full" if memory["replay"] else "no replay memory"),
    ]
    return "\n".join(lines)
