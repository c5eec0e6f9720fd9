"""curve.csv: how a training went, one row a checkpoint."""

from __future__ import annotations

import csv
import json
import math
import time
from pathlib import Path

from ..durable import replacing
from ..types import UserError

COLUMNS = ("iteration", "loss", "lr", "psnr_y", "seconds")


class Curve:
    """curve.csv, and beside it pending.json: what a run that paused between two rows had already gathered for the next.

    A run that was paused and continued so has the rows of one that was not; of a killed one, the row after its last
    checkpoint is the mean of the losses since then.
    """

    def __init__(self, file: Path, first: int) -> None:
        """Keeps the rows up to the update that the run continues after."""
        self.file, self.pending, self.losses, self.since = file, file.with_name("pending.json"), [], time.time()
        rows = []
        if file.exists():
            with file.open(newline="", encoding="utf-8") as stream:
                rows = [row for row in csv.reader(stream) if row[0].isdigit() and int(row[0]) <= first]
        with replacing(file) as partial, partial.open("w", newline="", encoding="utf-8") as stream:
            csv.writer(stream).writerows([COLUMNS, *rows])
        if self.pending.is_file():
            gathered = json.loads(self.pending.read_text(encoding="utf-8"))
            if gathered["iteration"] == first:
                self.losses, self.since = gathered["losses"], time.time() - gathered["seconds"]

    def add(self, iteration: int, lr: float, loss: float) -> None:
        """Raises UserError when the loss is no number any more, which a last row records: what follows would be wasted
        time."""
        self.losses.append(loss)
        if not math.isfinite(loss):
            self.losses = [loss]
            self.row(iteration, lr, None)
            raise UserError(
                f"The training of '{self.file.parent.name}' diverged at update {iteration} (its loss is {loss}): lower "
                "train.lr, or train with train.autocast=false."
            )

    def row(self, iteration: int, lr: float, psnr_y: float | None) -> None:
        """psnr_y: None where the run ends before it is known."""
        loss, seconds = sum(self.losses) / len(self.losses), time.time() - self.since
        score = "" if psnr_y is None else f"{psnr_y:.4f}"
        with self.file.open("a", newline="", encoding="utf-8") as stream:
            csv.writer(stream).writerow([iteration, f"{loss:.6f}", f"{lr:.3e}", score, f"{seconds:.1f}"])
        self.losses, self.since = [], time.time()

    def pause(self, iteration: int) -> None:
        """Keep what the next row is made of, for the run that continues after this update."""
        gathered = {"iteration": iteration, "losses": self.losses, "seconds": time.time() - self.since}
        with replacing(self.pending) as partial:
            partial.write_text(json.dumps(gathered), encoding="utf-8")


def read_curve(file: Path) -> list[dict[str, str]]:
    """Its whole rows, as text by column; none where there is no file."""
    if not file.is_file():
        return []
    with file.open(newline="", encoding="utf-8") as stream:
        return [row for row in csv.DictReader(stream) if row["iteration"].isdigit() and None not in row.values()]
