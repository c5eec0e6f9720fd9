"""What a finished cell holds, as the watched process reads it; `store` gives it out."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from .cellfile import opened, text_of
from .hdf5 import member, values
from .rows import checked_columns, checked_provenance, checked_tensors
from .types import UserError
from .watched import watched


@watched
def columns(path: str | Path) -> dict[str, np.ndarray]:
    """As `store.read_columns` gives them of a finished cell."""
    with opened(Path(path)) as file:
        records = member(file, "records")
        return checked_columns({name: text_of(values(records, name)) for name in records})


@watched
def tensors(path: str | Path, index: int, names: list[str] | None) -> dict[str, np.ndarray]:
    """As `store.read_tensors` gives them; names: None stands for all."""
    with opened(Path(path)) as file:
        stacks = member(file, "tensors")
        for group in (member(stacks, size) for size in stacks):
            rows = np.flatnonzero(values(group, "index") == index)
            if rows.size:
                wanted = [name for name in group if name not in ("index", "provenance")] if names is None else names
                return checked_tensors({name: values(group, name, int(rows[0])) for name in wanted})
    raise UserError(f"{path} has no image {index}.")


@watched
def provenances(path: str | Path) -> list[str]:
    """JSON that was looked at; as text it travels however deep it is."""
    with opened(Path(path)) as file:
        texts = list(text_of(values(file, "provenance")))
        for text in texts:
            checked_provenance(json.loads(text))
        if not texts:
            raise ValueError("it has no provenance")
        return texts
