"""What one network costs on this device: memory, seconds and gradient support, each kind in a fresh process.

Memory is told twice: what tensors take, the same everywhere (`metrics.memory`), and what a process really took. That is
only honest where nothing ran before: `gauge` starts `python -m lamscope.gauge` for every kind, one at a time. On a CPU
it is the growth of the process's resident memory since torch was loaded (weights, activations, and what kernels and
allocator take beside them), on a GPU torch's `max_memory_allocated`. Weights are random: cost does not depend on them.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from .config import CheckpointConfig, Config, MachineConfig, ModelConfig, compose, instantiate
from .types import UserError, Window

LR = (64, 64)  # the size of the paper's test images
WINDOW = 16  # SR pixels, in the centre
LAM_TIMED = 4.0  # seconds of one gradient up to which LAM is run; beyond, n_steps times the gradient is stated
SLOW = 30.0  # seconds from which a call is made once
BUDGET = 6.0  # seconds after which no call is repeated
REPEATS = 4
FRAMES = (64, 128, 256, 512, 1024)  # columns of the strips on which the support is looked for
PATIENCE = 240.0  # seconds after which no longer strip is tried
ROOM = 8 * 2**30  # bytes that tensors may take on a strip
SEEDS = 2
KINDS = {
    "memory": ("forward_mib", "gradient_mib"),
    "passes": ("forward_s", "forward_peak_mib", "gradient_s", "gradient_peak_mib"),
    "lam": ("lam_s", "lam_how", "lam_peak_mib"),
    "support": ("support", "support_frame"),
}


def gauge(kind: str, model: ModelConfig, machine: MachineConfig, found: dict[str, Any]) -> dict[str, Any]:
    """Measure one kind of cost of one network: the columns that KINDS names. found: what the kinds before it gave.

    support: in columns; 'global' where it covers the longest frame, '≥512' where it covers one after which a longer
    would take too much time or memory. Raises UserError when the process dies, as the system kills one that takes more
    memory than there is.
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
    kind = {"memory": _memory, "passes": _passes, "lam": _lam, "support": _support}[task["kind"]]
    print(json.dumps(kind(model, MachineConfig(**task["machine"]), task["found"])))


def _memory(model: ModelConfig, machine: MachineConfig, _: dict[str, Any]) -> dict[str, Any]:
    """The most memory that tensors take, of the whole image, without taking it: for networks of any size."""
    import torch

    from .metrics.memory import peak_memory
    from .zoo import PRECISIONS, build

    with torch.device("meta"):
        net = build(model).to(PRECISIONS[machine.precision])
    names = {"forward_mib": False, "gradient_mib": True}
    return {name: peak_memory(net, LR, gradient=gradient) / 2**20 for name, gradient in names.items()}


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
    seconds = _seconds(lambda: method(net, lr, window), lr.device)
    return {"lam_s": seconds, "lam_how": "timed", "lam_peak_mib": peak()}


def _support(model: ModelConfig, machine: MachineConfig, _: dict[str, Any]) -> dict[str, Any]:
    """The support along a row, on longer and longer strips until it is shorter than the strip.

    It is the same on every device, so it is found on the CPU, whose float64 convolutions leave zeros alone.
    """
    import torch

    from .metrics.memory import peak_memory
    from .metrics.support import extent, gradient_support
    from .zoo import build, prepare

    prepare(Config(machine=replace(machine, device="cpu")))
    with torch.device("meta"):
        ghost = build(model).double()
    rows = max(8, model.min_size)
    found: dict[str, Any] = {}
    for columns in FRAMES:
        begin = time.perf_counter()
        if found and peak_memory(ghost, (rows, columns), gradient=True) > ROOM:
            break
        mask = torch.zeros(rows, columns, dtype=torch.bool)
        for seed in range(SEEDS):
            torch.manual_seed(seed)
            net = build(model).double().eval().requires_grad_(False)
            mask |= gradient_support(net, torch.rand(3, rows, columns, dtype=torch.float64), model.scale)
            if extent(mask) == columns:
                break
        side = extent(mask)
        covered = "global" if columns == FRAMES[-1] else f"≥{columns}"
        found = {"support": covered if side == columns else side, "support_frame": f"{rows}×{columns}"}
        if side < columns or time.perf_counter() - begin > PATIENCE:
            break
    return found


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
    """The least of a few, since whatever else the machine does only adds; the first warms up, and a slow one is all."""
    from .ceiling import seconds

    first = seconds(call, device)
    if first > SLOW:
        return first
    times = [seconds(call, device)]
    while len(times) < REPEATS and sum(times) < BUDGET:
        times.append(seconds(call, device))
    return min(times)


if __name__ == "__main__":
    _main()
