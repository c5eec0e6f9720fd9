"""What each kind of figure is drawn from: `data` in conf/figure names one of these, records being the default.

Each yields (suffix of the file name, data for `draw`). Options that say what to gather are taken out of `how`; what is
left goes to `draw`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

from .. import maps
from ..config import suggest
from ..scores import SCORES
from ..types import UserError

Pieces = Iterator[tuple[str, Any]]


@dataclass(frozen=True)
class Part:
    """A comparable part of the records with its ranking. survey: read when the first figure asks for it."""

    records: pd.DataFrame
    table: pd.DataFrame

    @cached_property
    def survey(self) -> maps.Survey:
        return maps.survey(self.records)

    @property
    def models(self) -> list[str]:
        """From the narrowest to the widest."""
        return self.table.sort_values("di", kind="stable")["model"].tolist()


def gather(part: Part, how: dict[str, Any]) -> Pieces:
    """The pieces that a figure's options ask for. Raises UserError for an unknown kind of data."""
    kind = how.pop("data", "records")
    if kind not in GATHERERS:
        raise UserError(f"A figure is drawn from {', '.join(GATHERERS)}, not '{kind}'.{suggest(kind, [*GATHERERS])}")
    return GATHERERS[kind](part, how)


def _records(part: Part, how: dict[str, Any]) -> Pieces:
    yield "", part.records


def _lpips(part: Part, how: dict[str, Any]) -> Pieces:
    """One piece for each LPIPS that was asked for, with the networks that have it on every image."""
    for name, label in SCORES.items():
        if name in part.table:
            whole = part.records.groupby("model")[name].transform(lambda values: values.notna().all())
            how |= {"value": name, "value_label": f"{label}, lower is better"}
            if whole.any():
                yield f"-{name.removeprefix('lpips_')}", part.records[whole]


def _grids(part: Part, how: dict[str, Any]) -> Pieces:
    for place in maps.choose(part.records, part.models, how.pop("images")):
        yield f"-{place.slug}", maps.entries(place)


def _pairs(part: Part, how: dict[str, Any]) -> Pieces:
    named = [how.pop("first") or part.models[-1], how.pop("second") or part.models[0]]
    for name in named:
        if name not in part.models:
            raise UserError(f"There is no network '{name}' among the results.{suggest(name, part.models)}")
    if named[0] == named[1]:
        raise UserError("A difference needs two networks.")
    n_images = how.pop("images")
    for place in maps.choose(part.records, part.models, n_images):
        rows = place.rows.set_index("model").loc[named].reset_index()
        yield f"-{place.slug}", maps.entries(maps.Place(place.image, rows))


def _distances(part: Part, how: dict[str, Any]) -> Pieces:
    survey = part.survey
    yield "", survey.distance.merge(survey.reach, on="model").merge(part.table[["model", "family"]], on="model")


def _sweeps(part: Part, how: dict[str, Any]) -> Pieces:
    if (part.records["setting"] != "").any():  # most results are no sweep, and that is no mistake
        yield "", part.records


def _areas(part: Part, how: dict[str, Any]) -> Pieces:
    groups, per_group, pooled = how.pop("groups"), how.pop("per_group"), how.pop("pooled")
    if len(part.models) < 2:
        raise UserError("an area of interest needs at least two networks.")
    found = maps.places(part.records, part.models)
    chosen = _ranks(len(found), list(groups), per_group)
    k = max(1, len(part.models) // pooled)
    yield "", [_area(found[i], group, i + 1, len(found), k) for group, i in chosen]


def _ranks(n: int, groups: list[str], per_group: int) -> list[tuple[str, int]]:
    """(group, position) of the images shown: the groups evenly from the first to the last rank, none twice; of few
    images, alike many in each."""
    taken: set[int] = set()
    per_group = min(per_group, -(-n // len(groups)))
    chosen = []
    for number, group in enumerate(groups):
        start = round(number * max(n - per_group, 0) / max(len(groups) - 1, 1))
        here = [i for i in range(start, min(start + per_group, n)) if i not in taken]
        taken.update(here)
        chosen += [(group, i) for i in here]
    return chosen


def _area(place: maps.Place, group: str, rank: int, n_ranks: int, k: int) -> dict[str, Any]:
    order = place.rows.sort_values("di", kind="stable")["model"].tolist()
    used = place.rows.set_index("model").loc[[*order[:k], *order[-k:]]].reset_index()
    found = maps.entries(maps.Place(place.image, used))
    first = found[0]
    return {
        "group": group,
        "rank": rank,
        "n_ranks": n_ranks,
        "n_networks": len(order),
        "di": float(np.max(place.rows["di"])),
        **{key: first[key] for key in ("image", "hr", "lr", "window")},
        "narrow": [entry["map"] for entry in found[:k]],
        "wide": [entry["map"] for entry in found[k:]],
    }


GATHERERS: dict[str, Callable[[Part, dict[str, Any]], Pieces]] = {
    "records": _records,
    "lpips": _lpips,
    "grids": _grids,
    "pairs": _pairs,
    "distances": _distances,
    "sweeps": _sweeps,
    "areas": _areas,
}
