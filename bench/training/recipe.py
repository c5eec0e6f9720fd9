"""How a network is trained: what conf/train/*.yaml says, checked."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from ..types import UserError

AUTOCAST = {False: None, True: "bfloat16", "fp16": "float16"}
SCHEDULES = {"multistep": "MultiStepRestartLR", "cosine": "CosineAnnealingRestartLR"}


@dataclass(frozen=True)
class Recipe:
    """One training run.

    images: folder, tar (then `patches` is built from it) or None; patches: the HDF5 file, by default beside the runs;
    manifest: CSV of sources for the provenance. start: weights to begin with. carry_image: begin FSRCNN as an
    interpolation (see `carry`). patch: side of an LR patch; batch: patches an update; updates: how many. loss: a class
    of BasicSR's LOSS_REGISTRY with mean reduction. lr: Adam's initial learning rate; lr_factors: prefix of a parameter
    name in the official network → factor on lr. schedule: multistep (milestones, factor) or cosine (to lr_min at the
    last update). warmup: updates of linear rise. ema: decay of the averaged weights, which are then the ones validated
    and exported; 0 for none. autocast: True runs the network in bfloat16, 'fp16' in float16 with a loss scaler.
    n_validation: images kept out of training. save_every: updates between checkpoints, each one validated and a row of
    curve.csv; print_every: updates between lines of the log. minutes: stop at a checkpoint after so long, for the same
    command to continue; None: at the last update.
    """

    name: str
    patch: int
    batch: int
    updates: int
    lr: float
    schedule: str
    images: str | None = None
    patches: str | None = None
    manifest: str | None = None
    start: str | None = None
    carry_image: bool = False
    loss: str = "L1Loss"
    betas: tuple[float, float] = (0.9, 0.999)
    milestones: tuple[int, ...] = ()
    factor: float = 0.5
    lr_min: float = 1e-7
    lr_factors: dict[str, float] = field(default_factory=dict)
    warmup: int = -1
    ema: float = 0.0
    autocast: bool | str = False
    channels_last: bool = False
    workers: int = 0
    n_validation: int = 8
    save_every: int = 1000
    print_every: int = 100
    minutes: float | None = None

    def __post_init__(self) -> None:
        positive = ("patch", "batch", "updates", "lr", "save_every", "print_every")
        for name in positive:
            if getattr(self, name) <= 0:
                raise UserError(f"train.{name} is {getattr(self, name)}; it must be positive.")
        if self.n_validation < 1:
            raise UserError(f"train.n_validation is {self.n_validation}; at least one image is needed to validate.")
        if self.schedule not in SCHEDULES:
            raise UserError(f"train.schedule is '{self.schedule}'; choose one of {', '.join(SCHEDULES)}.")
        if self.autocast not in AUTOCAST:
            raise UserError(f"train.autocast is true (bfloat16), fp16 or false, not '{self.autocast}'.")
        if self.minutes is not None and self.minutes <= 0:
            raise UserError(f"train.minutes is {self.minutes}; it must be positive, or null.")
        if not 0 <= self.ema < 1:
            raise UserError(f"train.ema is {self.ema}; it must be in [0, 1).")

    def scheduler(self) -> dict[str, Any]:
        """BasicSR's options of the learning-rate schedule."""
        if self.schedule == "cosine":
            # one step more than there are updates: the schedule has no value beyond its last period
            return {"type": SCHEDULES["cosine"], "periods": [self.updates + 1], "eta_min": self.lr_min}
        return {"type": SCHEDULES["multistep"], "milestones": list(self.milestones), "gamma": self.factor}
