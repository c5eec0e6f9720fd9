"""What BasicSR's pipeline is given: our networks, our patches, and the few things it lacks, in its own registries.

BasicSR is imported by `lamscope.models.basicsr`, and only when a training starts.
"""

from __future__ import annotations

import os
import shutil
import zipfile
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
from torch.utils.data import Dataset, Sampler

from lamscope.models import basicsr

from .. import zoo
from ..config import ModelConfig
from ..types import UserError
from .patches import Patches, to_tensor


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
    """Keys of iterations first + 1 … last, batch by batch: a resumed run asks for what the dead one would have."""

    def __init__(self, first: int, last: int, batch: int) -> None:
        self.first, self.last, self.batch = first, last, batch

    def __len__(self) -> int:
        return (self.last - self.first) * self.batch

    def __iter__(self) -> Iterator[tuple[int, int]]:
        return ((i, k) for i in range(self.first + 1, self.last + 1) for k in range(self.batch))


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
    registries.MODEL_REGISTRY.register(_model_class(basicsr.load("basicsr.models.sr_model").SRModel))
    return SimpleNamespace(
        data=basicsr.load("basicsr.data"), models=models, utils=basicsr.load("basicsr.utils"),
        losses=registries.LOSS_REGISTRY, logger=basicsr.load("basicsr.utils.logger"),
    )  # fmt: skip


def _model_class(base: type) -> type:
    """SRModel with autocast, channels-last tensors, learning rates per part and checkpoints that cannot be torn."""

    class LamscopeModel(base):
        def model_to_device(self, net: Any) -> Any:
            return super().model_to_device(self._laid_out(net))

        def feed_data(self, data: dict[str, Any]) -> None:
            super().feed_data(data)
            self.lq = self._laid_out(self.lq)

        def _laid_out(self, item: Any) -> Any:
            return item.to(memory_format=torch.channels_last) if self.opt["channels_last"] else item

        def setup_optimizers(self) -> None:
            optim = self.opt["train"]["optim_g"]
            kind, lr, factors = optim.pop("type"), optim.pop("lr"), self.opt["lr_factors"]
            groups: dict[float, list[torch.nn.Parameter]] = {}
            for name, parameter in self.get_bare_model(self.net_g).core.named_parameters():
                factor = next((f for prefix, f in factors.items() if name.startswith(prefix)), 1.0)
                groups.setdefault(factor, []).append(parameter)
            parts = [{"params": parameters, "lr": lr * factor} for factor, parameters in sorted(groups.items())]
            self.optimizer_g = self.get_optimizer(kind, parts, lr, **optim)
            self.optimizers.append(self.optimizer_g)

        def optimize_parameters(self, current_iter: int) -> None:
            with torch.autocast(self.device.type, torch.bfloat16, enabled=self.opt["autocast"]):
                super().optimize_parameters(current_iter)

        def save(self, epoch: int, current_iter: int) -> None:
            """As SRModel, but a file has its name only when it is whole; the state comes last and vouches for both."""
            path = self.opt["path"]
            final = {key: Path(path[key]) for key in ("models", "training_states")}
            for key, folder in final.items():
                path[key] = str(folder / "partial")
                shutil.rmtree(path[key], ignore_errors=True)  # of a process that died while it saved
                os.makedirs(path[key])
            try:
                super().save(epoch, current_iter)
            finally:
                path.update({key: str(folder) for key, folder in final.items()})
            written = [file for folder in final.values() for file in (folder / "partial").iterdir()]
            if len(written) < 2 or not all(zipfile.is_zipfile(file) for file in written):  # BasicSR only warns
                raise UserError(f"The checkpoint of update {current_iter} cannot be written to '{path['models']}'.")
            for folder in final.values():
                for file in (folder / "partial").iterdir():
                    os.replace(file, folder / file.name)
                (folder / "partial").rmdir()

    return LamscopeModel
