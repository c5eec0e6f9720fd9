"""What the experiment asks of the trainings."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class EqualBudget:
    """runs: a folder of runs of `lamscope train` (results/train), for seeds and networks whose weights do not ship.
    recipe: the name of the one recipe that all of them were trained by."""

    recipe: str
    runs: str | None = None
