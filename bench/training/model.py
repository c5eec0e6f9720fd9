"""BasicSR's SRModel, thinly extended by what it lacks: mixed precision, CPUs side by side, checkpoints never torn."""

from __future__ import annotations

import os
import shutil
import zipfile
from pathlib import Path
from typing import Any

import torch
from torch.nn.parallel import DistributedDataParallel

from ..types import UserError


def model_class(base: type) -> type:
    """The class in BasicSR's MODEL_REGISTRY. base: SRModel."""

    class LamscopeModel(base):
        """opt beyond SRModel's: autocast (bfloat16, float16 or None), channels_last, lr_factors (prefix of a parameter
        in the official network → factor on the learning rate)."""

        def init_training_settings(self) -> None:
            dtype = self.opt["autocast"]
            self.dtype = getattr(torch, dtype or "float32")
            # half's smallest number is 6e-8: gradients are made large before, and small again, or a step is left out
            self.scaler = torch.amp.GradScaler(self.device.type, enabled=dtype == "float16")
            super().init_training_settings()

        def model_to_device(self, net: Any) -> Any:
            net = self._laid_out(net)
            if self.opt["dist"] and self.device.type == "cpu":  # SRModel wraps for GPUs only
                return DistributedDataParallel(net, find_unused_parameters=self.opt["find_unused_parameters"])
            return super().model_to_device(net)

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
            with torch.autocast(self.device.type, self.dtype, enabled=self.opt["autocast"] is not None):
                if not self.scaler.is_enabled():
                    super().optimize_parameters(current_iter)
                    return
                self.optimizer_g.zero_grad()
                self.output = self.net_g(self.lq)
                loss = self.cri_pix(self.output, self.gt)
            self.scaler.scale(loss).backward()
            self.scaler.step(self.optimizer_g)
            self.scaler.update()
            self.log_dict = self.reduce_loss_dict({"l_pix": loss})
            if self.ema_decay > 0:
                self.model_ema(decay=self.ema_decay)

        def test(self) -> None:
            """One process validates, so without the wrapper, whose forward pass waits for all."""
            wrapped, self.net_g = self.net_g, self.get_bare_model(self.net_g)
            try:
                super().test()
            finally:
                self.net_g = wrapped

        def save_training_state(self, epoch: int, current_iter: int) -> None:
            super().save_training_state(epoch, current_iter)
            if self.scaler.is_enabled():
                file = Path(self.opt["path"]["training_states"]) / f"{current_iter}.state"
                state = torch.load(file, weights_only=True) | {"scaler": self.scaler.state_dict()}
                torch.save(state, file)

        def resume_training(self, resume_state: dict[str, Any]) -> None:
            super().resume_training(resume_state)
            if self.scaler.is_enabled():
                self.scaler.load_state_dict(resume_state["scaler"])

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
