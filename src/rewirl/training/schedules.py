"""What is worth a line of numbers that change as a run goes on, the step size and epsilon: do they fit its length?"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from rewirl.agents.config import AgentConfig, setting


def of_schedules(config: AgentConfig, updates: int, steps: int) -> Iterator[str]:
    """Yield what a new run is to say of them, a line each.

    Args:
        config: of the agent.
        updates: of the run.
        steps: of the run after the warm-up.
    """
    stays = setting(config, "epsilon_start", 0) == setting(config, "epsilon_end", 1)
    for name, has, unit, end in (
        ("learning_rate_updates", updates, "updates", "the step size does not get to learning_rate_end"),
        ("epsilon_steps", steps, "steps after the warm-up", "it does not get to epsilon_end"),
    ):
        asked = setting(config, name) if asked_for(config, name) else None
        if asked is not None and name == "epsilon_steps" and stays:
            yield f"{name} does nothing here: epsilon_start and epsilon_end are the same"
        elif asked is not None and asked > has:
            yield f"warning: {name} is {asked:,}, and the run has {has:,} {unit}: {end}"
    start, end_rate = config.learning_rate, config.learning_rate_end
    if config.learning_rate_schedule != "constant" and not asked_for(config, "learning_rate_end") and end_rate > start:
        yield (
            f"warning: the step size rises from {start:g} to {end_rate:g}, the default of learning_rate_end; give that "
            "too, or learning_rate_schedule constant"
        )
    first, last = (setting(config, name, 0.0) for name in ("epsilon_start", "epsilon_end"))
    if last > first and not asked_for(config, "epsilon_end"):
        yield f"warning: epsilon rises from {first:g} to {last:g}, the default of epsilon_end; give that too"
    yield from of_the_end(config, updates)


def of_the_end(config: AgentConfig, updates: int) -> Iterator[str]:
    """Say of a run, a new one or one that is to go on for longer, that its step size is 0 before it ends.

    Args:
        config: of the agent.
        updates: of the run.
    """
    horizon = config.learning_rate_updates
    if horizon is not None and horizon < updates and config.learning_rate_end == 0:
        yield (
            f"warning: the step size is 0 after {horizon:,} updates (learning_rate_updates), and the run has "
            f"{updates:,}: nothing is learnt after them; a run of this length needs another learning_rate_updates, or "
            "a learning_rate_end"
        )


def asked_for(settings: Any, name: str) -> bool:
    """Tell whether an option is there and not what it is by default, which nobody has asked for."""
    default = getattr(type(settings), name, None)
    return bool(setting(settings, name, default) != default)
