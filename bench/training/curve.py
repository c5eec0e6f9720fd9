"""curve.csv: how a training went, one row a checkpoint."""

from __future__ import annotations

import csv
import math
import time
from pathlib import Path

from ..durable import replacing
from ..types import UserError

COLUMNS = ("iteration", "loss", "lr", "psnr_y", "seconds")


class Curve:
    """curve.csv: one row a checkpoint."""

    def __init__(self, file: Path, first: int) -> None:
        """Keeps the rows up to the update that the run continues after."""
        self.file, self.losses, self.since = file, [], time.time()
        rows = []
        if file.exists():
            with file.open(newline="", encoding="utf-8") as stream:
                rows = [row for row in csv.reader(stream) if row[0].isdigit() and int(row[0]) <= first]
        with replacing(file) as partial, partial.open("w", newline="", encoding="utf-8") as stream:
            csv.writer(stream).writerows([COLUMNS, *rows])

    def add(self, loss: float, run: Path) -> None:
        """Raises UserError when the loss is no number any more: what follows would be wasted time."""
        if not math.isfinite(loss):
            raise UserError(
                f"The training of '{run.name}' diverged; lower train.lr or train with train.autocast=false."
            )
        self.losses.append(loss)

    def row(self, iteration: int, lr: float, psnr_y: float) -> None:
        loss, seconds = sum(self.losses) / len(self.losses), time.time() - self.since
        with self.file.open("a", newline="", encoding="utf-8") as stream:
            csv.writer(stream).writerow([iteration, f"{loss:.6f}", f"{lr:.3e}", f"{psnr_y:.4f}", f"{seconds:.1f}"])
        self.losses, self.since = [], time.time()


def read_curve(file: Path) -> list[dict[str, str]]:
    """Its whole rows, as text by column; none where there is no file."""
    if not file.is_file():
        return []
    with file.open(newline="", encoding="utf-8") as stream:
        return [row for row in csv.DictReader(stream) if row["iteration"].isdigit() and None not in row.values()]
