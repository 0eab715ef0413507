"""What the paper's tables measure (Sokar et al. 2022, section 5): return, learning-curve area, size and cost."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import fsum, isfinite

NETWORKS = ("actor", "critic1", "critic2")


def parameters(connections: Mapping[str, Sequence[int]]) -> int:
    """Return the size of an agent: the sum over actor and both critics of ||W_l||_0 over their layers l.

    Weights only, no biases, no target networks. Dense TD3 on HalfCheetah has 214,784.

    Args:
        connections: per network ("actor", "critic1", "critic2"; others are not counted) the connections of each layer,
            n_out * n_in for a dense one.

    Returns:
        Number of connections.

    Raises:
        ValueError: a network is missing.
    """
    return sum(_size(connections, network) for network in NETWORKS)


def training_flops(
    connections: Mapping[str, Sequence[int]], updates: int, batch_size: int = 100, policy_delay: int = 2
) -> int:
    """Return the floating-point operations of training, counted as by Evci et al. 2020.

    With W = ||W||_0 of a network, one sample costs 2 W forward (a multiplication and an addition per connection) and
    twice that backward, so 6 W. Both critics learn from every batch and the actor from every policy_delay-th:

        FLOPs = batch_size * (updates * 6 (W_critic1 + W_critic2) + floor(updates / policy_delay) * 6 W_actor)

    Nothing else is counted: not the passes through target networks, not the actor's gradient through critic 1, not
    biases, optimiser or acting. Dense TD3 on HalfCheetah needs 1.07e14 (10^6 updates of 100 samples).

    Args:
        connections: per network the connections of each layer, as for `parameters`.
        updates: gradient updates of the critics.
        batch_size: samples per update.
        policy_delay: critic updates per actor update, d in the paper.

    Returns:
        Number of operations.

    Raises:
        ValueError: a network is missing or a number out of range.
    """
    if updates < 0 or batch_size < 1 or policy_delay < 1:
        raise ValueError(
            "updates must be at least 0, batch_size and policy_delay at least 1; "
            f"got {updates}, {batch_size} and {policy_delay}"
        )
    actor, critic1, critic2 = (_size(connections, network) for network in NETWORKS)
    return 6 * batch_size * (updates * (critic1 + critic2) + updates // policy_delay * actor)


def learning_curve_area(returns: Sequence[float]) -> float:
    """Return the area under the learning curve, LCA = (1 / Delta) * sum over the evaluations t of R(t).

    Delta is the number of evaluations, so the LCA is their mean. The paper's tables show it divided by 5,000.

    Args:
        returns: R(t), the mean undiscounted return of every evaluation of one run, [evaluations].

    Returns:
        The area, in units of return.

    Raises:
        ValueError: there is no evaluation, or one is not finite.
    """
    _check_returns(returns)
    return fsum(returns) / len(returns)


def final_return(returns: Sequence[float], last: int = 10) -> float:
    """Return the final return of a run, (1 / last) * sum over its last evaluations of R(t).

    Args:
        returns: R(t), the mean undiscounted return of every evaluation of one run, in order, [evaluations].
        last: how many evaluations count; all, if there are fewer. The paper takes 10.

    Returns:
        Their mean.

    Raises:
        ValueError: there is no evaluation, one is not finite, or last is below 1.
    """
    if last < 1:
        raise ValueError(f"last must be at least 1 evaluation, got {last}")
    return learning_curve_area(returns[-last:])


def _size(connections: Mapping[str, Sequence[int]], network: str) -> int:
    if network not in connections:
        raise ValueError(
            f"the connections of {network} are missing; there are those of {', '.join(connections) or 'none'}"
        )
    return sum(connections[network])


def _check_returns(returns: Sequence[float]) -> None:
    if not len(returns):
        raise ValueError("there is no evaluation to summarise")
    bad = [number for number, value in enumerate(returns) if not isfinite(value)]
    if bad:
        raise ValueError(f"evaluation {bad[0]} has a return that is not finite, {returns[bad[0]]}")
