"""What one network costs on this device: seconds, peak memory and gradient support, each kind in a fresh process.

Peak memory is only honest where nothing ran before: `gauge` starts `python -m lamscope.gauge` for every kind, one at a
time. On a CPU it is the growth of the process's resident memory since torch was loaded (weights, activations and what
kernels and allocator take beside them), on a GPU torch's `max_memory_allocated`. Weights are random: cost does not
depend on them.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from .config import CheckpointConfig, Config, MachineConfig, ModelConfig, compose, instantiate
from .types import UserError, Window

LR = (64, 64)  # the size of the paper's test images
WINDOW = 16  # SR pixels, in the centre
LAM_TIMED = 20.0  # seconds of one gradient up to which LAM is run; beyond, n_steps times the gradient is stated
CHUNKED = 2048.0  # MiB of one gradient from which LAM takes one image a pass
QUICK = 2.0  # seconds up to which a call is repeated, after a warm-up
REPEATS = 5
FRAMES = (64, 128, 256, 512, 1024)  # columns of the strips on which the support is looked for
PATIENCE = 60.0  # seconds after which no longer strip is tried
SEEDS = 3
KINDS = {
    "passes": ("forward_s", "forward_peak_mib", "gradient_s", "gradient_peak_mib"),
    "lam": ("lam_s", "lam_how", "lam_peak_mib"),
    "support": ("support", "support_frame"),
}


def gauge(kind: str, model: ModelConfig, machine: MachineConfig, found: dict[str, Any]) -> dict[str, Any]:
    """Measure one kind of cost of one network: the columns that KINDS names. found: what the kinds before it gave.

    support: in columns, or 'global' where it covers the longest frame tried. Raises UserError when the process dies, as
    the system kills one that takes too much memory.
    """
    task = {"kind": kind, "model": asdict(model), "machine": asdict(machine), "found": found}
    done = subprocess.run(
        [sys.executable, "-m", f"{__package__}.gauge"], input=json.dumps(task), stdout=subprocess.PIPE, text=True
    )
    if done.returncode:
        why = f"signal {-done.returncode}" if done.returncode < 0 else f"exit code {done.returncode}"
        raise UserError(f"Measuring {kind} of '{model.name}' ended with {why}.")
    return json.loads(done.stdout.splitlines()[-1])


def _main() -> None:
    task = json.load(sys.stdin)
    about = task["model"]
    model = ModelConfig(**(about | {"checkpoint": CheckpointConfig(**about["checkpoint"])}))
    kind = {"passes": _passes, "lam": _lam, "support": _support}[task["kind"]]
    print(json.dumps(kind(model, MachineConfig(**task["machine"]), task["found"])))


def _passes(model: ModelConfig, machine: MachineConfig, _: dict[str, Any]) -> dict[str, Any]:
    """One forward pass, then one with the input's gradient, of the whole image: the latter never takes less memory."""
    import torch

    net, lr, peak = _prepared(model, machine)

    def forward() -> None:
        with torch.no_grad():
            net(lr[None])

    def gradient() -> None:
        x = lr[None].clone().requires_grad_()
        torch.autograd.grad(net(x).abs().sum(), x)

    found: dict[str, Any] = {}
    for name, call in (("forward", forward), ("gradient", gradient)):
        found[f"{name}_s"] = _seconds(call, lr.device)
        found[f"{name}_peak_mib"] = peak()
    return found


def _lam(model: ModelConfig, machine: MachineConfig, found: dict[str, Any]) -> dict[str, Any]:
    """attribution=lam on a window of the centre; from timed gradients where it would take too long."""
    method = instantiate(compose(["attribution=lam"]).attribution)
    if found["gradient_s"] > LAM_TIMED:
        seconds = method.n_steps * found["gradient_s"] + 2 * found["forward_s"]
        return {"lam_s": seconds, "lam_how": f"{method.n_steps} × gradient + 2 × forward", "lam_peak_mib": None}
    net, lr, peak = _prepared(model, machine)
    side = model.scale * LR[0]
    window = Window(y=(side - WINDOW) // 2, x=(side - WINDOW) // 2, size=WINDOW)
    chunk = 1 if found["gradient_peak_mib"] > CHUNKED else None
    seconds = _seconds(lambda: method(net, lr, window, chunk=chunk), lr.device)
    return {"lam_s": seconds, "lam_how": "timed", "lam_peak_mib": peak()}


def _support(model: ModelConfig, machine: MachineConfig, _: dict[str, Any]) -> dict[str, Any]:
    """The support along a row, on longer and longer strips until it is shorter than the strip."""
    import torch

    from .metrics.support import extent, gradient_support
    from .zoo import build, prepare

    device, _dtype = prepare(Config(machine=machine))
    rows = max(8, model.min_size)
    side = columns = 0
    for columns in FRAMES:
        begin = time.perf_counter()
        mask = torch.zeros(rows, columns, dtype=torch.bool)
        for seed in range(SEEDS):
            torch.manual_seed(seed)
            net = build(model).to(device, torch.float64).eval().requires_grad_(False)
            image = torch.rand(3, rows, columns, dtype=torch.float64).to(device)
            mask |= gradient_support(net, image, model.scale).cpu()
            if extent(mask) == columns:
                break
        side = extent(mask)
        if side < columns or time.perf_counter() - begin > PATIENCE:
            break
    return {"support": "global" if side == columns else side, "support_frame": f"{rows}×{columns}"}


def _prepared(model: ModelConfig, machine: MachineConfig) -> tuple[Any, Any, Callable[[], float]]:
    """The network, an LR image, and a function that tells the peak in MiB since before the network was built."""
    import torch

    from .zoo import build, prepare

    device, dtype = prepare(Config(machine=machine))
    before = _resident("VmRSS")
    net = build(model).to(device, dtype).eval().requires_grad_(False)
    lr = torch.rand(3, *LR, generator=torch.Generator().manual_seed(0)).to(device, dtype)

    def peak() -> float:
        if device.type == "cuda":
            return torch.cuda.max_memory_allocated(device) / 2**20
        return _resident("VmHWM") - before

    return net, lr, peak


def _resident(entry: str) -> float:
    """MiB of resident memory: VmRSS, now, or VmHWM, the most there ever was; without /proc always the latter."""
    try:
        lines = Path("/proc/self/status").read_text("utf-8").splitlines()
    except OSError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10)
    return next(int(line.split()[1]) for line in lines if line.startswith(f"{entry}:")) / 1024


def _seconds(call: Callable[[], Any], device: Any) -> float:
    """The least of a few, since whatever else the machine does only adds; a slow call is made once."""
    best = _once(call, device)
    if best <= QUICK:
        best = min(_once(call, device) for _ in range(REPEATS))
    return best


def _once(call: Callable[[], Any], device: Any) -> float:
    import torch

    begin = time.perf_counter()
    call()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter() - begin


if __name__ == "__main__":
    _main()
