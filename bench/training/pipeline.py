"""What BasicSR's pipeline is given: our networks, our patches, and the few things it lacks, in its own registries.

BasicSR is imported by `lamscope.models.basicsr`, and only when a training starts.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from types import SimpleNamespace
from typing import Any

import torch
from torch.utils.data import Dataset, Sampler

from lamscope.models import basicsr

from .. import zoo
from ..config import ModelConfig
from .model import model_class
from .patches import Patches, to_tensor
from .team import Team


class PatchDataset(Dataset):
    """BasicSR's paired data: {lq, gt} float32 RGB in [0, 1]. Keys are (iteration, index in batch)."""

    def __init__(self, opt: dict[str, Any]) -> None:
        self.opt = opt
        self.patches: Patches = opt["patches"]

    def __len__(self) -> int:
        return len(self.patches.train_images)

    def __getitem__(self, key: tuple[int, int]) -> dict[str, Any]:
        lr, hr = self.patches.patch(self.opt["seed"], *key)
        return {"lq": to_tensor(lr), "gt": to_tensor(hr)}


class WholeImageDataset(Dataset):
    """The images kept out of training, whole, as BasicSR's validation wants them."""

    def __init__(self, opt: dict[str, Any]) -> None:
        self.opt = opt
        self.patches: Patches = opt["patches"]

    def __len__(self) -> int:
        return len(self.patches.validation_images)

    def __getitem__(self, n: int) -> dict[str, Any]:
        image = self.patches.validation_images[n]
        lr, hr = self.patches.whole(image)
        name = self.patches.description.names[image]
        return {"lq": to_tensor(lr), "gt": to_tensor(hr), "lq_path": name, "gt_path": name}


class IterationSampler(Sampler):
    """Keys of iterations first + 1 … last, batch by batch: a resumed run asks for what the dead one would have.

    Of several processes, each takes its part of every batch, so that together they see what one would.
    """

    def __init__(self, first: int, last: int, batch: int, team: Team) -> None:
        share = batch // team.size
        self.first, self.last, self.part = first, last, range(team.rank * share, (team.rank + 1) * share)

    def __len__(self) -> int:
        return (self.last - self.first) * len(self.part)

    def __iter__(self) -> Iterator[tuple[int, int]]:
        return ((i, k) for i in range(self.first + 1, self.last + 1) for k in self.part)


def LamscopeNetwork(*, model: ModelConfig) -> torch.nn.Module:
    """Any network of conf/model inside its wrappers, RGB [0, 1] in and out, in BasicSR's ARCH_REGISTRY."""
    return zoo.build(model)


@cache
def load() -> SimpleNamespace:
    """BasicSR's parts that a training run uses, with ours registered beside them."""
    registries = basicsr.load("basicsr.utils.registry")
    models = basicsr.load("basicsr.models")
    registries.ARCH_REGISTRY.register(LamscopeNetwork)
    registries.DATASET_REGISTRY.register(PatchDataset)
    registries.DATASET_REGISTRY.register(WholeImageDataset)
    registries.MODEL_REGISTRY.register(model_class(basicsr.load("basicsr.models.sr_model").SRModel))
    return SimpleNamespace(
        data=basicsr.load("basicsr.data"), models=models, utils=basicsr.load("basicsr.utils"),
        losses=registries.LOSS_REGISTRY, logger=basicsr.load("basicsr.utils.logger"),
        dist=basicsr.load("basicsr.utils.dist_util"),
    )  # fmt: skip
