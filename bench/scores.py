"""Scores that were asked for after a run, of the SR images it stored: one small JSON file a score, beside the cell.

<cell>.<score>.json: {digest of the cell, about: what computed it, values: {image index: value}}.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from .durable import replacing
from .types import UserError

SCORES = {"lpips_alex": "LPIPS (AlexNet)", "lpips_vgg": "LPIPS (VGG16)"}  # lower is better; no unit


def score_file(cell: Path, score: str) -> Path:
    """Where a score of a cell lies."""
    return cell.with_name(f"{cell.stem}.{score}.json")


def write_score(cell: Path, score: str, digest: str, about: dict[str, Any], values: dict[int, float]) -> None:
    """Store one score of every image of a cell."""
    content = {"digest": digest, "about": about, "values": values}
    with replacing(score_file(cell, score)) as part:
        part.write_text(json.dumps(content) + "\n", encoding="utf-8")


def read_score(cell: Path, score: str) -> tuple[dict[str, Any], dict[int, float]] | None:
    """(about with the cell's digest under `digest`, value of each image index); None where it was never asked for.

    Raises UserError for a damaged file.
    """
    file = score_file(cell, score)
    if not file.exists():
        return None
    try:
        content = json.loads(file.read_text("utf-8"))
        values = {int(index): float(value) for index, value in content["values"].items()}
        return {**content["about"], "digest": content["digest"]}, values
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise UserError(f"{file} is damaged; remove it, and the same command computes it again.") from error
