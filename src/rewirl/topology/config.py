"""What the user says about topology: which connections exist at the start, and how that changes."""

from __future__ import annotations

from dataclasses import dataclass

from rewirl.topology.blocks import Blocks
from rewirl.topology.distribution import DistributionConfig
from rewirl.topology.fan_in import FanIn
from rewirl.topology.initial import InitialConfig
from rewirl.topology.rules.criteria import BY_SIGN, CriteriaConfig
from rewirl.topology.schedule import ScheduleConfig
from rewirl.topology.structure import StructureConfig

_WITHOUT_SIGN = "magnitude, relative, l2, sensitivity or random"
"""What drops without a look at signs."""


# A dataclass has the fields of its last parent first: DistributionConfig's are the first in files and in --help.
@dataclass(frozen=True)
class TopologyConfig(ScheduleConfig, CriteriaConfig, InitialConfig, StructureConfig, DistributionConfig):
    """Which connections exist and how they are rewired (Sokar et al. 2022, section 4).

    Raises:
        ValueError: a field is out of its range; the message names the field. What depends on the sizes of a network,
            such as the number of lambdas, is checked by `rewirl.topology.densities`.
    """

    def __post_init__(self) -> None:
        """Check each part, then what only all of them together can tell."""
        DistributionConfig.__post_init__(self)
        StructureConfig.__post_init__(self)
        InitialConfig.__post_init__(self)
        CriteriaConfig.__post_init__(self)
        ScheduleConfig.__post_init__(self)
        if self.initial_sparsity is not None and isinstance(self.spread, FanIn):
            raise ValueError(
                f"a sparsity that changes cannot have structure {self.structure}; leave initial_sparsity or structure "
                "out, or take blocks such as 4x1"
            )
        in_blocks = isinstance(self.spread, Blocks)
        if in_blocks and self.drop in BY_SIGN:
            raise ValueError(
                f"drop {self.drop} ranks weights by sign, which a block of structure {self.structure} has not; give "
                f"drop {_WITHOUT_SIGN}"
            )
        if self.initial_sparsity is not None and self.rule == "static":
            raise ValueError("initial_sparsity needs a rule by which it changes: prune, set, rigl or one of your own")
        if self.initial_sparsity is not None and not self.adapt_actor:
            raise ValueError(
                "an actor that is not rewired never gets its sparsity; leave initial_sparsity or adapt_actor out"
            )
        if self.rule == "prune" and self.initial_sparsity is None:
            raise ValueError("the rule prune needs an initial_sparsity to start from; 0 is dense")
        if self.rule == "wast":
            self._check_wast()
        if self.initial_topology == "predictive" and isinstance(self.spread, FanIn) and self.spread.group is not None:
            raise ValueError(
                f"initial_topology predictive chooses among all inputs of a unit, and structure {self.structure} among "
                "neighbouring ones; leave one of them out"
            )
        if self.ablate_below and self.rule == "static":
            raise ValueError("ablate_below needs a rule that rewires, not static")
        if self.distribution == "global" and (
            self.drop in BY_SIGN or ((self.drop, self.rule) == ("paper", "set") and not in_blocks)
        ):
            raise ValueError(
                "distribution global compares the scores of different layers, which are ranks within a layer for drop "
                f"halves and code; give drop {_WITHOUT_SIGN}"
            )

    def _check_wast(self) -> None:
        """Refuse what the rule wast has of its own."""
        if (self.drop, self.grow) != ("paper", "paper"):
            raise ValueError("the rule wast drops and grows by the importance of inputs; leave drop and grow out")
        if self.distribution == "global":
            raise ValueError(
                "distribution global compares the scores of different layers, and those of the rule wast are in other "
                "units in every layer; give another rule"
            )

    def summary(self) -> str:
        """Return how many connections there are and how they are rewired, in a few words."""
        own = (("actor", self.actor_sparsity), ("critics", self.critic_sparsity), ("at first", self.initial_sparsity))
        counted = isinstance(self.spread, FanIn) and self.spread.count is not None
        if self.sparsity == 0 and not counted and all(value is None for _, value in own):
            return "dense"  # whatever structure and distribution would be
        words = [self._amount()]
        if self.distribution in ("global", "connectivity"):
            words.append(self.distribution)
        if self.spread is not None:
            # N:M says how many connections there are, whatever else does
            words = [self.structure] if counted else [*words, self.structure]
        words += [f"{name} {value:g}" for name, value in own if value is not None]
        words += [f"adaptive from {self.lowest_sparsity:g}"] if self.adaptive else []
        return ", ".join([word for word in words if word] + [self.rule])

    def _amount(self) -> str:
        """Return what says how many connections there are: a sparsity, lambdas or the sparsities of the layers."""
        if self.layer_sparsities is not None:
            return "layers " + " ".join(f"{value:g}" for value in self.layer_sparsities)
        if self.lambdas is not None:
            return "lambdas " + " ".join(f"{value:g}" for value in self.lambdas)
        return "" if self.sparsity is None else f"sparsity {self.sparsity:g}"
