"""The computation behind the live view: one at a time, in a thread, with progress, and cancelled within a layer."""

from __future__ import annotations

import base64
import io
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import nn

from ..config import Config, instantiate
from ..explain import lr_tensor
from ..metrics import fidelity
from ..metrics.concentration import area_of_contribution, diffusion_index, magnitude
from ..types import Sample, UserError, Window
from ..zoo import load, weight_folders
from .pictures import Shown


class Cancelled(Exception):
    """Raised inside a network's forward pass when the person has changed their mind."""


@dataclass
class Task:
    """What is asked for, and how far it is. results: one dict a network, ready to be sent as JSON."""

    number: int
    image: Shown
    window: Window
    models: list[str]
    results: list[dict[str, Any]] = field(default_factory=list)
    share: float = 0.0
    doing: str = ""
    status: str = "running"  # running, done, cancelled, failed
    message: str = ""
    cancel: threading.Event = field(default_factory=threading.Event)

    def state(self, known: int = 0) -> dict[str, Any]:
        """known: so many results the asker has already."""
        done = self.status
        about = {"number": self.number, "status": done, "message": self.message, "doing": self.doing}
        return {**about, "share": round(self.share, 3), "results": self.results[known:]}


class Worker:
    """Runs tasks with the settings of a configuration. Loaded networks are kept, the last `keep` of them."""

    def __init__(self, config: Config, device: torch.device, dtype: torch.dtype, keep: int = 4) -> None:
        self.config, self.device, self.dtype, self.keep = config, device, dtype, keep
        self.method = instantiate(config.attribution)
        self.task: Task | None = None
        self._lock = threading.Lock()
        self._nets: dict[str, nn.Module] = {}
        self._thread: threading.Thread | None = None

    def start(self, image: Shown, window: Window, models: list[str]) -> Task:
        """Raises UserError while another computation runs."""
        with self._lock:
            if self._thread is not None and self._thread.is_alive():
                raise UserError("One computation at a time: cancel the other one, or wait for it.")
            number = 1 if self.task is None else self.task.number + 1
            self.task = Task(number, image, window, models)
            self._thread = threading.Thread(target=self._run, args=(self.task,), daemon=True)
            self._thread.start()
            return self.task

    def cancel(self) -> None:
        """Ask the running computation to stop, and wait until it has."""
        with self._lock:
            task, thread = self.task, self._thread
        if task is not None and thread is not None:
            task.cancel.set()
            thread.join(30)

    def _run(self, task: Task) -> None:
        try:
            for done, name in enumerate(task.models):
                task.doing, task.share = name, done / len(task.models)
                net = self._net(name)
                with _watched(net, task, done, self._points()):
                    task.results.append(self._look(name, net, task))
            task.status, task.share = "done", 1.0
        except Cancelled:
            task.status = "cancelled"
        except UserError as error:
            task.status, task.message = "failed", str(error)
        except Exception as error:  # the person sees it; the server lives on
            task.status, task.message = "failed", f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"

    def _net(self, name: str) -> nn.Module:
        if name not in self._nets:
            from ..config import compose

            model = compose([f"model={name}"]).model
            net, _ = load(model, weight_folders(self.config.machine.weights), self.device, self.dtype)
            self._nets[name] = net
            while len(self._nets) > self.keep:
                del self._nets[next(iter(self._nets))]
        return self._nets[name]

    def _points(self) -> int:
        steps = getattr(self.method, "n_steps", 50)
        return (steps if isinstance(steps, int) else 63) + 3  # the SR image and both ends of the path

    def _look(self, name: str, net: nn.Module, task: Task) -> dict[str, Any]:
        shown, window = task.image, task.window
        hr = shown.hr if shown.hr is not None else np.zeros((0, 0, 3), np.uint8)
        begin = time.perf_counter()
        lr = lr_tensor(Sample(0, shown.name, hr, shown.lr, shown.scale, (window,)), self.device, self.dtype)
        with torch.no_grad():
            reconstructed = net(lr[None])[0]
        if not bool(reconstructed.isfinite().all()):
            raise UserError(f"'{name}' gives an SR image that is not finite.")
        sr = fidelity.to_image(reconstructed)
        found = self.method(net, lr, window, chunk=None)
        values = found.map.float().cpu().numpy()
        scores: dict[str, float] = {}
        if shown.hr is not None:
            scores = fidelity.fidelity(sr, shown.hr, shave=shown.scale)
            scores["window_psnr_y"] = fidelity.window_psnr(sr, shown.hr, window)
        return {
            "model": name,
            "sr": _png(sr),
            "map": _png(_grey(magnitude(values))),
            "area": _png(_grey(area_of_contribution(values))),
            "di": _number(diffusion_index(values)),
            **{key: _number(score) for key, score in scores.items()},
            "error": _number(found.error),
            "n_steps": found.n_steps,
            "n_flat": found.n_flat,
            "seconds": round(time.perf_counter() - begin, 2),
        }


@contextmanager
def _watched(net: nn.Module, task: Task, done: int, points: int) -> Iterator[None]:
    """Every layer asks whether to stop; the first one with parameters counts the images that pass it."""
    first = next((m for m in net.modules() if next(m.parameters(recurse=False), None) is not None), None)
    seen = 0

    def ask(module: nn.Module, inputs: tuple[Any, ...]) -> None:
        nonlocal seen
        if task.cancel.is_set():
            raise Cancelled
        if module is first and inputs and isinstance(inputs[0], torch.Tensor):
            seen += len(inputs[0])
            task.share = (done + min(seen / points, 0.98)) / len(task.models)

    handles = [module.register_forward_pre_hook(ask) for module in net.modules()]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _grey(field: np.ndarray) -> np.ndarray:
    return np.rint(255 * np.nan_to_num(field)).astype(np.uint8)


def _png(picture: np.ndarray) -> str:
    buffer = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(picture)).save(buffer, "PNG")
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")


def _number(value: float | None) -> float | None:
    return None if value is None or not np.isfinite(value) else float(value)
