"""What training an agent costs (Sokar et al. 2022, section 5): parameters and floating-point operations."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any


@dataclass(frozen=True)
class Cost:
    """What counts towards the size and the training of an agent."""

    networks: tuple[str, ...]
    """The networks that learn; targets are not counted."""

    delays: Mapping[str, str] = field(default_factory=dict)
    """By network, the setting that says how many updates of the agent there are per update of that network. A network
    that is not among them, or whose setting an agent does not have, learns with every update."""

    batches: Mapping[str, int] = field(default_factory=dict)
    """By network, how many batches it learns from at a time, where that is not one: two of a critic that sees the next
    states beside the states."""

    numbers: Mapping[str, tuple[str, int]] = field(default_factory=dict)
    """By network the setting that says how many such networks there are, and the least of it with which this one is
    there; any other is always there."""

    def of(self, settings: Mapping[str, Any]) -> Cost:
        """Return what counts of an agent with these settings: without the networks that they leave out."""

        def there(network: str) -> bool:
            setting, least = self.numbers.get(network, ("", 0))
            return bool(settings.get(setting, least) >= least)

        return replace(self, networks=tuple(filter(there, self.networks)))

    def delay(self, network: str, settings: Mapping[str, Any]) -> int:
        """Return how many updates of an agent with these settings there are per update of one of its networks."""
        delay: int = settings.get(self.delays.get(network, ""), 1)
        return delay

    def parameters(self, connections: Mapping[str, Sequence[int]]) -> int:
        """Return the size of an agent: the sum over its networks of ||W_l||_0 over their layers l.

        Weights only, no biases, no target networks. Dense TD3 on HalfCheetah has 214,784.

        Args:
            connections: per network the connections of each layer, n_out * n_in for a dense one; networks that do not
                count may be among them.

        Returns:
            Number of connections.

        Raises:
            ValueError: a network is missing.
        """
        return sum(self._size(connections, network) for network in self.networks)

    def training_flops(
        self, connections: Mapping[str, Sequence[int]], updates: int, settings: Mapping[str, Any]
    ) -> int:
        """Return the floating-point operations of training, counted as by Evci et al. 2020.

        With W = ||W||_0 of a network, one sample costs 2 W forward (a multiplication and an addition per connection)
        and twice that backward, so 6 W. A network learns from every delay-th batch:

            FLOPs = batch_size * sum over networks of floor(updates / delay) * batches * 6 W

        Nothing else is counted: not the passes through target networks, not the actor's gradient through a critic, not
        biases, optimiser or acting. Dense TD3 on HalfCheetah needs 1.07e14 (10^6 updates of 100 samples).

        Args:
            connections: per network the connections of each layer, as for `parameters`.
            updates: gradient updates of the agent.
            settings: of the agent, by name; `batch_size` is the samples per update, 1 where there is none.

        Returns:
            Number of operations.

        Raises:
            ValueError: a network is missing or a number out of range.
        """
        batch_size: int = settings.get("batch_size", 1)
        delays = {network: self.delay(network, settings) for network in self.networks}
        if updates < 0 or batch_size < 1 or min(delays.values()) < 1:
            names = ", ".join(dict.fromkeys(["batch_size", *self.delays.values()]))
            raise ValueError(
                f"updates must be at least 0, {names} at least 1; got {updates}, {batch_size} and {delays}"
            )
        return (
            6
            * batch_size
            * sum(
                updates // delays[name] * self.batches.get(name, 1) * self._size(connections, name)
                for name in self.networks
            )
        )

    def _size(self, connections: Mapping[str, Sequence[int]], network: str) -> int:
        if network not in connections:
            raise ValueError(
                f"the connections of {network} are missing; there are those of {', '.join(connections) or 'none'}"
            )
        return sum(connections[network])
