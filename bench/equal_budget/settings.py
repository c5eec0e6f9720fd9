"""What the experiment asks of the trainings."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class EqualBudget:
    """recipe: the name of the one recipe that all networks were trained by. seeds: of the trainings, the first one is
    the one that is asked of every network. runs: a folder of runs of `lamscope train` (results/train), for seeds and
    networks whose weights do not ship."""

    recipe: str
    seeds: Sequence[int]
    runs: str | None = None
