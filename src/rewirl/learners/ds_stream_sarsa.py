"""Stream SARSA, sparse and rewired while it learns. Written by `python -m rewirl.learners.generate`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, Never

from rewirl.learners.learner import Learner
from rewirl.learners.unset import UNSET

if TYPE_CHECKING:
    from rewirl.learners.learner import EnvironmentLike


class DSStreamSARSA(Learner):
    """Stream SARSA, sparse and rewired while it learns.

    Stream Q(lambda) and Stream SARSA(lambda), dense, static and rewired (Elsayed et al. 2024, Algorithms 8 and 9).
    """

    name = "ds-stream-sarsa"

    def __init__(
        self,
        env: EnvironmentLike,
        seed: int = 0,
        threads: int | None = None,
        *,
        env_kwargs: Mapping[str, Any] | None = None,
        env_module: str | None = None,
        wrapper: Sequence[str] = (),
        n_envs: int = 1,
        env_processes: bool = False,
        hidden_sizes: Sequence[int] = (32, 32),
        learning_rate: float = 1.0,
        learning_rate_schedule: Literal["constant", "linear", "cosine"] = "constant",
        learning_rate_end: float = 0.0,
        learning_rate_updates: int | None = None,
        gamma: float = 0.99,
        normalise_observations: bool = True,
        scale_rewards: bool = True,
        trace_decay: float = 0.8,
        kappa: float = 2.0,
        initial_zeros: float = 0.9,
        truncated_is_terminal: bool = True,
        epsilon_start: float = 1.0,
        epsilon_end: float = 0.01,
        epsilon_steps: int = 25_000,
        sparsity: float | None = UNSET,
        lambdas: Sequence[float] | None = None,
        layer_sparsities: Sequence[float] | None = None,
        critic_sparsity: float | None = None,
        initial_sparsity: float | None = None,
        sparsity_start: int = 0,
        sparsity_end: int = 800_000,
        sparsity_schedule: Literal["cubic", "adaptive"] = "cubic",
        lowest_sparsity: float = 0.2,
        sparsity_step: float = 1.1,
        loss_tolerance: float = 1.1,
        distribution: Literal["erdos-renyi", "uniform", "global", "connectivity"] = "erdos-renyi",
        structure: str = "unstructured",
        ablate_below: float = 0.0,
        initial_scale: Literal["dense", "sparse", "largest"] = "dense",
        initial_topology: Literal["random", "predictive"] = "random",
        rule: str = "set",
        drop: Literal["paper", "halves", "code", "magnitude", "relative", "l2", "sensitivity", "random"] = UNSET,
        grow: Literal["paper", "random", "gradient"] = "paper",
        regrow_dropped: bool = False,
        adapt_every: int = 1_000,
        adapt_fraction: float = 0.1,
        anneal: Literal["constant", "cosine"] = "constant",
        adapt_offset: int = 0,
        adapt_end: int | None = None,
        **unknown: Never,
    ) -> None:
        """Build the agent.

        Args:
            env: a Gymnasium id, an environment, or a function without arguments that makes one. A single environment
                that is not registered can be learnt in, but not evaluated in.
            seed: decides every random number.
            threads: 2 updates the networks of an agent side by side and, for an environment given by its id, evaluates
                in a process beside training, with the same result; None is 2 where there are two cores.
            env_kwargs: arguments for an environment given by its id.
            env_module: module imported first, which registers environments of your own.
            wrapper: wrappers around an environment given by its id, each as module:Class, from the inside.
            n_envs: environments to collect from; they take turns, and a step is still one transition. More than one
                need an id or a function.
            env_processes: whether each environment has a process of its own, with the same result; for an environment
                given by its id.
            hidden_sizes: Units of the hidden layers of every network. Typical: 128 128 to 256 256.
            learning_rate: Step size of ObGD before it is bounded, alpha. Typical: 0.3 to 1.
            learning_rate_schedule: How the step size of every network changes with the updates: constant, or from
                `learning_rate` to `learning_rate_end` over `learning_rate_updates` in a straight line or in half a
                cosine, and constant afterwards.
            learning_rate_end: Step size at the end of the schedule. Typical: 0 to a tenth of `learning_rate`.
            learning_rate_updates: Updates that the schedule takes; none only goes with a constant one. It never depends
                on the steps of the run. Typical: all updates of the run.
            gamma: Discount of future rewards per step. Typical: 0.98 to 0.995.
            normalise_observations: Whether the networks see each observation less the mean, divided by the standard
                deviation, of all observations met so far, itself included. Typical: true.
            scale_rewards: Whether rewards are divided by the standard deviation of the discounted return so far in an
                episode, over all steps so far. Typical: true.
            trace_decay: How much of an eligibility trace is left one step later, besides `gamma`: lambda. Typical: 0.8.
            kappa: How far a step of the value function is kept from overshooting its target; larger makes smaller
                steps. Typical: 2 to 3.
            initial_zeros: Share of the inputs of every unit whose weights begin at 0, rounded up; inputs without a
                connection are among them. Typical: 0.9.
            truncated_is_terminal: Whether an episode that is cut by a time limit has no future, as one that reaches a
                terminal state has none. Typical: true where the time is observed.
            epsilon_start: Probability of a random action at the first step. Typical: 1.
            epsilon_end: The same from `epsilon_steps` steps later on; in between it falls in a straight line. Typical:
                0.01 to 0.05.
            epsilon_steps: Steps in which the probability of a random action gets from `epsilon_start` to `epsilon_end`.
                Typical: a twentieth of the run.
            sparsity: Share of a network's weights that are absent, spread over its layers by `distribution`; 0 is
                dense. Set either this or `lambdas`. Typical: 0.5 to 0.95. Default: 0.8.
            lambdas: The paper's lambda_l per layer: a connection of layer l exists with probability lambda_l (n_l +
                n_{l-1}) / (n_l n_{l-1}). One for each hidden layer (the output layer is then dense), or one for every
                layer. Typical: 7 64.
            layer_sparsities: Sparsity of each layer of every network, inputs first, instead of `sparsity` or `lambdas`;
                0 is a dense layer. Typical: 0.8 0 0, where only the first layer is sparse, and none.
            critic_sparsity: Sparsity of the critics, instead of `sparsity` or `lambdas`; none is as those say. Typical:
                0.5 to 0.95.
            initial_sparsity: Sparsity of all networks at the start, if it changes. It moves from this value to the
                final one by events between updates `sparsity_start` and `sparsity_end`. 0 starts dense and prunes; none
                does not change. Typical: 0.
            sparsity_start: Update at which the sparsity begins to change, if there is an initial one. Typical: 20% of
                all updates.
            sparsity_end: Update from which on the sparsity is the final one. It changes as a cubic, fast at first.
                Typical: 80% of all updates.
            sparsity_schedule: How the sparsity changes, if there is an initial one: cubic, from it to the final one; or
                adaptive (PALS): every event between `sparsity_start` and `sparsity_end` shrinks or expands a network,
                or neither, by how the loss of the critics has changed, and the final sparsity is the highest.
            lowest_sparsity: Adaptive: below it every event shrinks, and none expands a network beyond it. Typical: 0.2.
            sparsity_step: Adaptive: a network that shrinks drops this many times `adapt_fraction` and grows that
                fraction; one that expands does the reverse. Typical: 1.05 to 1.2.
            loss_tolerance: Adaptive: how many times the least loss so far still lets a network shrink. Typical: 1.05 to
                1.2.
            distribution: How `sparsity` is spread over the layers: erdos-renyi (small layers are denser), uniform (the
                same in all), global (the drop scores of all layers of a network are ranked together; starts dense, as
                SNIP), or connectivity (starts as erdos-renyi; connections added later go to the layers that lack most
                to be connected, as topology-aware revival).
            structure: How connections are arranged: unstructured, constant-fan-in (all units of a layer have equally
                many inputs), N:M such as 2:4 (N of every M neighbouring inputs, which fixes the sparsity too), or
                blocks, 4x1 or 8x1 (4 or 8 neighbouring outputs have the same inputs, which computes faster).
            ablate_below: With constant fan-in: an event takes all inputs from a hidden unit that has fewer salient
                connections than this share of the fan-in, and gives them to the others (SRigL). A unit comes back when
                it has enough. Salient are the connections worth keeping or growing. 0 ablates none. Typical: 0 or 0.3.
            initial_scale: What the random weights at the start are scaled for: dense (the inputs a unit would have in a
                dense layer, as in the papers' codes), sparse (the inputs it has, which keeps the size of activations,
                Evci et al. 2020), or largest (as if the largest magnitudes of a dense layer were kept, as in RLx2; in
                blocks each connection for itself).
            initial_topology: Which connections networks start with: random, or predictive (the first layer is chosen at
                the first update, from the transitions of the warm-up: each unit gets features that predict the same
                feature one step later, and features that predict nothing get none). The number of connections is the
                same. Typical: random.
            rule: How connections are rewired: static (never), set (drop the weakest, grow at random), rigl (drop the
                weakest, grow where the gradient is largest), prune (only follow a changing sparsity: drop the smallest
                weights), wast (drop weak connections of unimportant inputs, grow at important ones), or
                package.module:Class, which is looked for in the working directory too; settings of its own follow as in
                Python, 'my_rules:Class(decay=0.9)'.
            drop: Which connections set, rigl and prune drop: paper (halves for set, magnitude for rigl and prune),
                halves (half of them the smallest positive, half the largest negative weights), code (the fraction of
                the positive and of the negative weights, and every exact zero), magnitude (smallest absolute value),
                relative (smallest compared with the root mean square of its unit's weights, of which the strongest
                stays unless fewer are to be left than there are units; for layers whose output does not depend on the
                scale of a unit, as before a batch norm), l2 (smallest square), sensitivity (smallest |weight *
                gradient|), random. In blocks the mean over the connections of a block decides: magnitude is its L1
                norm, l2 its L2 norm; a block has no sign, so paper is magnitude for set too. Default: magnitude.
            grow: Where set, rigl and prune grow connections: paper (random for set and prune, gradient for rigl),
                random, gradient (where that of the loss is largest; in blocks, where the sum of its absolute values
                is).
            regrow_dropped: Whether a connection dropped in an event may be grown again in the same event (the published
                code allows it).
            adapt_every: Updates between two rewiring events, e in the paper. Typical: 500 to 10000.
            adapt_fraction: Fraction of a layer's connections rewired in an event, eta in the paper. Typical: 0.05 to
                0.3.
            anneal: How that fraction changes: constant, or cosine from `adapt_fraction` at the start to 0 at
                `adapt_end`.
            adapt_offset: An event falls on update u when u % adapt_every == adapt_offset (the published code has 2).
            adapt_end: Last update on which an event may fall; none means until the end of training.

        Raises:
            UnsuitableEnvironmentError: the environment cannot be found, or has spaces that the agent does not take.
            ValueError: an option is unknown or impossible; names it.
        """
        self._start(locals())
