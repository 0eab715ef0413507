"""What is worth a line at the start of a run: settings that it never meets, memory it may not have."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from rewirl.agents.agent import Agent
from rewirl.agents.config import AgentConfig, ReplayConfig, setting
from rewirl.agents.registry import AGENTS, Entry
from rewirl.presets import lookup
from rewirl.printing import option
from rewirl.replay import Replay
from rewirl.replay.forgetting import CHECK_EVERY
from rewirl.topology import LayerState, TopologyConfig
from rewirl.topology.blocks import Blocks
from rewirl.topology.fan_in import FanIn
from rewirl.topology.rounding import rounds_to_nothing
from rewirl.topology.rules.by_criteria import ByCriteria
from rewirl.topology.rules.registry import rule_class
from rewirl.training.room import memory
from rewirl.training.schedules import asked_for, of_schedules, of_the_end

_MOST_OF_MEMORY = 0.8
_OF_EVENTS = (
    *("adapt_every", "adapt_fraction", "anneal", "adapt_offset", "adapt_end", "adapt_actor"),
    *("drop", "grow", "regrow_dropped"),
)
"""Options of what a rewiring event does."""
_AMOUNTS = ("sparsity", "lambdas", "layer_sparsities", "actor_sparsity", "critic_sparsity", "distribution")
"""Options of how many connections there are."""
_PLURAL = ("lambdas", "layer_sparsities")
_BELONG = {
    "redo_threshold": ("redo_every",),
    **dict.fromkeys(("cbp_maturity_threshold", "cbp_decay_rate", "cbp_utility"), ("cbp_replacement_rate",)),
    "n_steps_after": ("n_steps",),
    "buffer_minimum": ("buffer_distance", "buffer_empty_every"),
    **dict.fromkeys(("sparsity_start", "sparsity_end"), ("initial_sparsity",)),
}
"""Options that do nothing where none of others is given."""


def refuse_impossible(agent: Agent, total: int) -> None:
    """Refuse a run that ends before its first update, a network that no gradient can reach, and a schedule by which
    nothing is ever rewired.

    Args:
        agent: before it learns.
        total: steps of the whole run.

    Raises:
        ValueError: there is no update, or no event falls on one of any network, however long the run; or two layers of
            a network have weights of 0 alone.
    """
    config = agent.config
    starts = config.learning_starts
    if total <= starts or not config.updates_after(total - starts):
        raise ValueError(f"nothing would be learnt: {_too_short(config, total, starts)}")
    if still := _of_still_networks(agent):
        raise ValueError(still)
    if config.topology.rule != "static" and not any(map(config.topology.first_event, _delays(agent).values())):
        raise ValueError(
            f"nothing is ever rewired: no update of a network has adapt_every {config.topology.adapt_every:,} and "
            f"adapt_offset {config.topology.adapt_offset:,} before adapt_end {config.topology.adapt_end}; give another "
            "offset or end, or the rule static"
        )


def _of_still_networks(agent: Agent) -> str:
    """Say which network can never learn, as no gradient reaches several layers whose weights are all 0."""
    for name, network in agent.networks().items():
        still = [layer for layer in network.layers if not layer.values.any()]
        if len(still) > 1:
            layers = ", ".join(f"{layer.name} ({layer.shape[1]} inputs)" for layer in still)
            return (
                f"{name} would never learn: all weights of {layers} begin at 0, and no gradient reaches several such "
                "layers; take wider layers, or a smaller initial_zeros (--initial-zeros)"
            )
    return ""


def at_start(
    agent: Agent, replay: Replay | None, total: int, learning_starts: int, env: str = "", begins: bool = True
) -> Iterator[str]:
    """Yield what a run is to say of its settings, a line each.

    Args:
        agent: before it learns.
        replay: its replay memory; None if it has none.
        total: steps of the run.
        learning_starts: steps before the first update.
        env: the environment, which may have options of its own that nobody has asked for.
        begins: whether the run is new; False if it goes on to another number of steps.
    """
    config = agent.config
    if not isinstance(config, AgentConfig):  # an agent of another kind has no such settings
        return
    updates = config.updates_after(max(total - learning_starts, 0))
    if not begins:
        yield from of_the_end(config, updates)
        return
    if still := _of_still_networks(agent):
        yield f"warning: {still}"
    yield from _of_name(agent)
    yield from _of_rule(agent)
    yield from _of_amounts(agent, env)
    yield from _of_ages(agent)
    yield from _of_companions(agent)
    if not updates:
        yield f"warning: nothing is learnt yet: {_too_short(config, total, learning_starts)}"
        return
    yield from _of_topology(agent, updates)
    periods = ["redo_every", "buffer_empty_every", "target_update_interval", "policy_delay"]
    for name in periods:
        period = setting(config, name, 0)
        if period > updates:
            yield f"warning: {name} is {period:,}, and the run has {updates:,} updates: it never happens"
    yield from _of_units(agent, updates)
    yield from of_schedules(config, updates, total - learning_starts)
    if late := [update for update in config.topology.freeze_after if update >= updates]:
        yield f"warning: freeze_after is {late[0]:,}, and the run has {updates:,} updates: no task begins then"
    if isinstance(config, ReplayConfig) and replay is not None:
        yield from _of_memory(config, replay, total, updates)


def _of_memory(config: ReplayConfig, replay: Replay, total: int, updates: int) -> Iterator[str]:
    """Say what is odd about a replay memory and what is drawn from it."""
    if config.n_steps > 1 and config.n_steps_after >= updates:
        yield (
            f"warning: n_steps_after is {config.n_steps_after:,}, and the run has {updates:,} updates: targets have "
            f"one step, never {config.n_steps}"
        )
    forgetting = [name for name in _BELONG["buffer_minimum"] if asked_for(config, name)]
    if forgetting and config.buffer_minimum >= config.buffer_size:
        forget = "forgets" if len(forgetting) == 1 else "forget"
        yield f"warning: buffer_minimum is no less than buffer_size: {' and '.join(forgetting)} {forget} nothing"
    if config.buffer_distance is not None and updates < CHECK_EVERY:
        yield (
            f"warning: buffer_distance forgets nothing: it looks at every {CHECK_EVERY:,}th update, and the run has "
            f"{updates:,} updates"
        )
    size, there = min(replay.capacity, total) * replay.transitions.itemsize * replay.transitions.shape[1], memory()
    if there is not None and size > _MOST_OF_MEMORY * there:
        yield (
            f"warning: the replay memory will take {size / 2**30:,.1f} GiB, and there are {there / 2**30:,.1f} GiB of "
            "memory; choose a smaller buffer_size"
        )


def _of_name(agent: Agent) -> Iterator[str]:
    """Say what an agent is that has been given a sparsity, or a rule, for which another one has the name."""
    entry, topology = AGENTS.get(agent.name), agent.config.topology
    if entry is None or topology.initial_sparsity is not None:
        return
    rewired = topology.rule != "static"
    same = (other for other in AGENTS.values() if other.agent is entry.agent and not other.dense)
    other = next((other for other in same if (other.topology.rule != "static") == rewired), None)
    if other is None:
        return
    but = _of_other(other, topology) if rewired else ""
    if entry.dense and topology.sparsity != 0:
        how = "rewired as it learns" if rewired else "never rewired"
        yield f"{agent.name} with a sparsity is what {other.name} is: sparse from the first step, {how}{but}."
    elif not entry.dense and rewired and entry.topology.rule == "static":
        yield f"{agent.name} with the rule {topology.rule} is what {other.name} is: rewired as it learns{but}."


def _of_other(other: Entry, topology: TopologyConfig) -> str:
    """Return what a rewired agent has of its own where nobody has asked for anything; nothing if that is the same."""
    names = [name for name in _OF_EVENTS if not asked_for(topology, name) and asked_for(other.topology, name)]
    magnitude = other.topology.drop == "magnitude" and (topology.rule != "set" or isinstance(topology.spread, Blocks))
    if topology.rule == "wast" or magnitude:  # which has criteria of its own; what drop paper is there
        names = [name for name in names if name not in ("drop", "grow")]
    values = {name: getattr(other.topology, name) for name in names}
    own = [f"{name} {value:,}" if isinstance(value, int) else f"{name} {value}" for name, value in values.items()]
    return f"; but {other.name} has {_listed(own)}" if own else ""


def _of_rule(agent: Agent) -> Iterator[str]:
    """Say which options of rewiring do nothing, as nothing is ever rewired."""
    entry, topology = AGENTS.get(agent.name), agent.config.topology
    if entry is None:
        return
    same = (other.name for other in AGENTS.values() if other.agent is entry.agent and other.topology.rule != "static")
    rewired = None if entry.topology.rule != "static" else next(same, None)
    train = "" if rewired is None else f"; {rewired} is rewired"
    if topology.rule == "static":
        idle = [name for name in _OF_EVENTS if getattr(topology, name) != getattr(entry.topology, name)]
        if idle:
            without = f"; leave {option('rule')} static out" if entry.topology.rule != "static" else train
            yield _does_nothing(idle, f"{agent.name} is never rewired, by the rule static{without}")
    elif _has_all(entry, topology):
        yield (
            f"the rule {topology.rule} does nothing here: {agent.name} has every connection, none can grow; "
            f"give a sparsity, such as 0.5{train}"
        )
    elif topology.rule == "prune" and not topology.adaptive and _sparsity_stays(topology):
        yield f"the rule prune does nothing here: initial_sparsity and sparsity are both {topology.sparsity:g}"
    elif topology.rule == "prune" and not topology.adaptive:
        idle = [name for name in _of_no_use_to_pruning(entry, topology) if asked_for(topology, name)]
        if idle:
            yield _does_nothing(idle, "the rule prune follows a changing sparsity, and rewires nothing besides")
    elif not topology.adapt_fraction and (topology.initial_sparsity is None or topology.adaptive):
        yield (
            f"nothing is ever rewired: adapt_fraction is 0; give more than that, or {option('rule')} static, which "
            "says so"
        )
    if ":" in topology.rule:
        yield from _of_own_rule(entry, topology)


def _of_own_rule(entry: Entry, topology: TopologyConfig) -> Iterator[str]:
    """Say which criteria of rules that come with Rewirl the user's own rule has no use for."""
    kind, idle = rule_class(topology.rule), []
    for criterion, method in (("drop", "drop_score"), ("grow", "grow")):
        given = asked_for(topology, criterion) and getattr(topology, criterion) != getattr(entry.topology, criterion)
        if given and getattr(kind, method) is not getattr(ByCriteria, method, None):
            idle.append(criterion)
    if idle:
        methods = _listed([{"drop": "drop_score", "grow": "grow"}[criterion] for criterion in idle])
        yield _does_nothing(idle, f"the rule {topology.rule} decides by its own {methods}, unless it reads config")


def _of_no_use_to_pruning(entry: Entry, topology: TopologyConfig) -> Iterator[str]:
    """Yield the options of events that pruning has no use for: it only drops, or only grows."""
    yield "regrow_dropped"  # adapt_fraction and anneal stand in presets that share them with other rules
    first, final = topology.initial_sparsity or 0.0, [topology.of(name).sparsity for name in entry.networks]
    if all(each >= first for each in final if each is not None) and (first == 0 or None not in final):
        yield "grow"
    elif all(each is not None and each <= first for each in final):
        yield "drop"


def _of_amounts(agent: Agent, env: str) -> Iterator[str]:
    """Say which options of how many connections there are, and where, do nothing, as others decide."""
    entry, topology = AGENTS.get(agent.name), agent.config.topology
    if entry is None:
        return
    own = [name for name in ("actor_sparsity", "critic_sparsity") if getattr(topology, name) is not None]
    each = [topology.of(name) for name in entry.networks]
    names: tuple[str, ...] = ()
    if isinstance(topology.spread, FanIn) and topology.spread.count is not None:
        names, why = _AMOUNTS, f"structure {topology.structure} says how many connections there are"
    elif _has_all(entry, topology):
        names = ("structure", "distribution", "initial_scale")
        why = f"{agent.name} has every connection; give a sparsity, such as 0.5"
    elif all(one is not topology for one in each):
        say = "says" if len(own) == 1 else "say"
        names, why = ("sparsity", "lambdas"), f"{' and '.join(own)} {say} how many connections there are"
    elif topology.initial_sparsity is None and all((one.lambdas, one.layer_sparsities) != (None, None) for one in each):
        way = "lambdas" if topology.layer_sparsities is None else "layer_sparsities"
        names, why = ("distribution",), f"{way} say how many connections each layer has"
    elif topology.initial_sparsity == 0 and topology.initial_scale != "dense":
        begins_anew = agent.config.redo_every or agent.config.cbp_replacement_rate
        names, why = () if begins_anew else ("initial_scale",), "networks begin with every connection"
    usual = lookup.defaults(agent.name, env)
    idle = [
        name for name in names if getattr(topology, name) not in (None, getattr(entry.topology, name), usual.get(name))
    ]
    if idle:
        yield _does_nothing(idle, why)


def _has_all(entry: Entry, topology: TopologyConfig) -> bool:
    """Tell whether every network has every connection, at any time."""
    if topology.initial_sparsity is not None or (isinstance(topology.spread, FanIn) and topology.spread.count):
        return False
    if topology.layer_sparsities is not None:
        return not any(topology.layer_sparsities)
    return all((one.sparsity, one.lambdas) == (0, None) for one in map(topology.of, entry.networks))


def _of_ages(agent: Agent) -> Iterator[str]:
    """Say that all connections are as old as their network, where none is new and no unit begins anew."""
    config, entry = agent.config, AGENTS.get(agent.name)
    if entry is None or config.bias_correction != "connection":
        return
    if config.redo_every or config.cbp_replacement_rate:
        return
    if _has_all(entry, config.topology):
        yield _does_nothing(["bias_correction"], f"{agent.name} has every connection, so all are of one age")
    elif config.topology.rule == "static" and not config.topology.freeze_after:
        yield _does_nothing(["bias_correction"], "no connection is grown and no unit replaced, so all are of one age")


def _of_units(agent: Agent, updates: int) -> Iterator[str]:
    """Say of which networks the run ends before any unit is replaced, as they learn in every few updates only."""
    config, delays = agent.config, _delays(agent)
    redo, mature = config.redo_every, config.cbp_maturity_threshold
    if redo:
        first = {name: math.lcm(redo, delay) for name, delay in delays.items()}
        for name in (name for name, update in first.items() if redo <= updates < update):
            yield (
                f"warning: no unit of {name} is ever recycled: update {first[name]:,} is the first on which it learns "
                f"and redo_every ({redo:,}) falls, and the run has {updates:,} updates"
            )
    if config.cbp_replacement_rate and mature >= updates:
        yield (
            f"warning: cbp_maturity_threshold is {mature:,}, and the run has {updates:,} updates: no unit is ever old "
            "enough to be replaced"
        )
    elif config.cbp_replacement_rate:
        for name in (name for name, delay in delays.items() if mature >= updates // delay):
            yield (
                f"warning: no unit of {name} is ever old enough to be replaced: cbp_maturity_threshold is {mature:,}, "
                f"and it takes {updates // delays[name]:,} steps in the run's {updates:,} updates"
            )


def _does_nothing(names: Sequence[str], why: str) -> str:
    """Return the line about options that do nothing."""
    one = len(names) == 1 and names[0] not in _PLURAL
    return f"{_listed(names)} {'does' if one else 'do'} nothing here: {why}"


def _listed(names: Sequence[str]) -> str:
    return " and ".join(name for name in (", ".join(names[:-1]), names[-1]) if name)


def _of_companions(agent: Agent) -> Iterator[str]:
    """Say which options do nothing without others."""
    config = agent.config
    for name, others in _BELONG.items():
        settings = config if hasattr(config, name) else config.topology
        if asked_for(settings, name) and not any(asked_for(settings, other) for other in others):
            yield _does_nothing([name], f"it belongs to {' or '.join(others)}")
    if getattr(agent, "actions", "Box") == "Discrete" and asked_for(config, "initial_deviation"):
        yield _does_nothing(["initial_deviation"], "it is of a Box of actions, and these are numbered")


def _too_short(config: AgentConfig, total: int, learning_starts: int) -> str:
    name, steps = "learning_starts", learning_starts
    if not isinstance(config, ReplayConfig):
        name = "rollout_steps"
        steps = getattr(config, name, 0)
    remedy = "give more total_timesteps" + (f" or a smaller {name}" if steps > 1 else "")
    return (
        f"there is no update in the first {steps:,} steps ({name}), and the run has {total:,} (total_timesteps); "
        f"{remedy}"
    )


def _of_topology(agent: Agent, updates: int) -> Iterator[str]:
    topology, run = agent.config.topology, f"the run has {updates:,} updates"
    if topology.rule == "static":
        return
    delays = {name: delay for name, delay in _delays(agent).items() if topology.rewires(name)}
    events = {name: topology.first_event(delay) for name, delay in delays.items()}
    never = [name for name, first in events.items() if first is None or first > updates]
    if never:
        first = min((first for name, first in events.items() if name in never and first is not None), default=None)
        why = f"the first event is on update {first:,}, and {run}" if first else "no event falls on its updates"
        offset = f"adapt_every {topology.adapt_every:,}, adapt_offset {topology.adapt_offset:,}"
        keeps = "" if topology.initial_sparsity is None else f", so the sparsity stays {topology.initial_sparsity:g}"
        remedy = "; take a smaller adapt_every (--adapt-every) or a longer run" if first else ""
        yield f"warning: {_listed(never)} will not be rewired ({offset}: {why}){keeps}{remedy}"
    if topology.initial_sparsity is not None and not _sparsity_stays(topology):
        yield from _of_sparsity(topology, {name: delay for name, delay in delays.items() if name not in never}, updates)
    layers = [layer for name in events if name not in never for layer in agent.networks()[name].layers]
    states = [LayerState(layer.shape, layer.places(), layer.values) for layer in layers if not layer.dense]
    if nothing := rounds_to_nothing(topology, [(state, topology.spread) for state in states]):
        yield f"warning: {nothing}"
    if topology.adapt_end is not None and topology.anneal == "cosine" and topology.adapt_end > updates:
        yield f"warning: adapt_end is {topology.adapt_end:,}, and {run}: the fraction does not get to 0"


def _sparsity_stays(topology: TopologyConfig) -> bool:
    """Tell whether a sparsity that may change is the same from the start to the end, in all networks."""
    own = (topology.actor_sparsity, topology.critic_sparsity, topology.lambdas, topology.layer_sparsities)
    return topology.sparsity == topology.initial_sparsity and all(each is None for each in own)


def _of_sparsity(topology: TopologyConfig, delays: dict[str, int], updates: int) -> Iterator[str]:
    """Say of which networks the last event comes before the sparsity is what it is to be in the end."""
    until = min(updates, updates if topology.adapt_end is None else topology.adapt_end)
    lasts: dict[int, list[str]] = {}
    for name, delay in delays.items():
        last = until - (until - topology.adapt_offset) % topology.adapt_every
        while last % delay:  # there is a first one on which the network learns
            last -= topology.adapt_every
        lasts.setdefault(last, []).append(name)
    for last, names in lasts.items():
        whose = "the sparsity" if len(lasts) == 1 else f"the sparsity of {_listed(names)}"
        if last <= topology.sparsity_start:
            yield (
                f"warning: {whose} stays {topology.initial_sparsity:g}: it changes from update "
                f"{topology.sparsity_start:,} on, and the last event is on update {last:,}"
            )
        elif last < topology.sparsity_end and not topology.adaptive:
            yield (
                f"warning: {whose} does not get to its end: sparsity_end is {topology.sparsity_end:,}, and the "
                f"last event is on update {last:,}"
            )


def _delays(agent: Agent) -> dict[str, int]:
    settings = vars(agent.config)
    cost = agent.COST.of(settings)
    return {name: cost.delay(name, settings) for name in cost.networks}
