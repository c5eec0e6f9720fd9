"""What a device can do at most: the rate of its largest matrix product."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import lru_cache
from typing import Any

import torch
from torch.nn.functional import conv2d

SIDE = 2048
REPEATS = 5


@lru_cache(maxsize=4)
def matrix_flops(device: torch.device, dtype: torch.dtype) -> float:
    """FLOP/s of a product of two SIDE × SIDE matrices: the faster of `matmul` and the same as a 1×1 convolution.

    Two libraries compute these, and on some processors that of `matmul` is the slower one by far.
    """
    a, b = (torch.rand(SIDE, SIDE, device=device, dtype=dtype) for _ in range(2))
    image = a.view(1, SIDE, 1, SIDE).permute(0, 3, 1, 2)  # SIDE pixels of SIDE channels, channels last
    kernel = b[..., None, None]

    def convolve() -> Any:
        return conv2d(image, kernel)

    with torch.no_grad():
        return 2 * SIDE**3 / min(least_seconds(call, device) for call in (lambda: a @ b, convolve))


def least_seconds(call: Callable[[], Any], device: torch.device) -> float:
    """The least of a few, since whatever else the machine does only adds."""
    call()
    return min(seconds(call, device) for _ in range(REPEATS))


def seconds(call: Callable[[], Any], device: torch.device) -> float:
    """Time of one call, its work on the device included.

    On a CPU with one thread (machine.threads=1) it is the process's CPU time, which does not see what else the machine
    is busy with; everywhere else it is wall time.
    """
    clock = time.process_time if device.type == "cpu" and torch.get_num_threads() == 1 else time.perf_counter
    wait(device)
    begin = clock()
    call()
    wait(device)
    return clock() - begin


def wait(device: torch.device) -> None:
    """Until the device has done all its work."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
