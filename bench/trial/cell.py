"""One method on one image: what it was asked and what came out, stored answer by answer."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from ..durable import replacing
from ..types import Attribution, NotApplicable
from .criteria import ANSWERS, Row

COLUMNS = ("model", "method", "image", "asked", "criterion", "x", "value", "status", "reason")


def read(file: Path) -> pd.DataFrame:
    """The rows of a cell. x: place on a curve, NaN for a single number. status: ok, nan or not applicable, which has a
    reason and no value."""
    text = dict.fromkeys(("model", "method", "image", "asked", "criterion", "status", "reason"), str)
    return pd.read_csv(file, dtype=text).fillna({"reason": ""})


class Cell:
    """stem.csv: rows, COLUMNS. stem.npz: the map. Both are written whole or not at all; what is there is not asked
    again."""

    def __init__(self, stem: Path, model: str, method: str, image: str) -> None:
        self.file, self.map_file = stem.with_suffix(".csv"), stem.with_suffix(".npz")
        self.labels = {"model": model, "method": method, "image": image}
        self.rows = read(self.file) if self.file.exists() else pd.DataFrame(columns=list(COLUMNS))

    def missing(self, questions: Iterable[str]) -> list[str]:
        """What was not asked yet, in order."""
        return [asked for asked in questions if not (self.rows["asked"] == asked).any()]

    def store(self, asked: str, answer: Callable[[], Iterable[Row]]) -> None:
        """Ask, and write what is known then. NotApplicable becomes a row for every number that is missing so."""
        try:
            found = [(*row, "ok" if np.isfinite(row[2]) else "nan", "") for row in answer()]
        except NotApplicable as error:
            found = [(name, np.nan, np.nan, "not applicable", str(error)) for name in ANSWERS[asked]]
        if unanswered := set(ANSWERS[asked]) - {name for name, x, *_ in found if np.isnan(x)}:
            raise RuntimeError(f"the criterion {asked} has no answer for {', '.join(sorted(unanswered))}")
        fresh = pd.DataFrame(found, columns=list(COLUMNS[4:])).assign(asked=asked, **self.labels)[list(COLUMNS)]
        self.rows = pd.concat([self.rows, fresh], ignore_index=True) if len(self.rows) else fresh
        self.file.parent.mkdir(parents=True, exist_ok=True)
        with replacing(self.file) as part:
            self.rows.to_csv(part, index=False)

    def keep(self, found: Attribution, seconds: float) -> None:
        numbers = (found.score, found.baseline_score, found.gap, found.n_steps, found.n_flat, seconds)
        self.map_file.parent.mkdir(parents=True, exist_ok=True)
        with replacing(self.map_file) as part, part.open("wb") as file:
            values = [np.nan if v is None else v for v in numbers]
            np.savez(file, map=found.map.double().cpu().numpy(), numbers=np.array(values))

    def kept(self) -> tuple[Attribution, float]:
        """The map and how long it took."""
        with np.load(self.map_file, allow_pickle=False) as stored:
            values, (score, baseline, gap, n_steps, n_flat, seconds) = stored["map"], stored["numbers"]
        ends = (None, None) if np.isnan(gap) else (float(baseline), float(gap))
        one = Attribution(torch.from_numpy(values), float(score), *ends, None, int(n_steps), int(n_flat))
        return one, float(seconds)
