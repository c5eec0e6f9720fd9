"""What a trial asks, and how much of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from ..attribution.references import References
from ..types import UserError


@dataclass(frozen=True)
class Trial:
    """methods: names of conf/attribution. overrides: method → what its own budget is changed to, in Hydra's syntax.

    criteria: names of `criteria.CRITERIA`, and 'planted'. fractions: of the pixels, for deletion and insertion.
    n_subsets: for sensitivity and infidelity. brighter: added to the LR image. shuffled: parts of the layers.
    path_steps: for saturation. references: other images. seed: of everything that the criteria draw.
    """

    methods: Sequence[str]
    criteria: Sequence[str]
    references: References
    fractions: Sequence[float]
    n_subsets: int
    brighter: float
    shuffled: Sequence[float]
    path_steps: int
    seed: int
    overrides: dict[str, list[str]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        unknown = set(self.overrides) - set(self.methods)
        if unknown:
            raise UserError(f"trial.overrides names '{sorted(unknown)[0]}', which is not among trial.methods.")
