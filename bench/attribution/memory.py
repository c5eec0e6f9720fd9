"""How many path points fit into one pass, and what happens where that was wrong."""

from __future__ import annotations

import gc
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

import torch

from ..types import UserError

T = TypeVar("T")
R = TypeVar("R")
CACHED_PIXELS = (
    3 * 64 * 64
)  # LR pixels a pass on a CPU: more do not fit its caches, and help two to eight cores nothing
MOST_POINTS = 256  # a pass; by then any device is full
SPARE = 0.7  # the part of the free memory that is planned for: allocators need room to move
FULL = re.compile(r"not enough memory|can't allocate memory|out of memory", re.IGNORECASE)


class Chunking:
    """The number of path points a pass. fixed: always so many, for results that are equal to the bit; None: measured.

    Measured means: the first point of a kind runs alone, its memory is measured, and as many follow as fit, on a CPU
    no more than its caches like. A measured pass that runs out of memory all the same is done again in halves.
    """

    def __init__(self, device: torch.device, fixed: int | None = None) -> None:
        self.device = device
        self.fixed = fixed
        self.bytes_per_pixel: float | None = None
        self.limit = MOST_POINTS  # what running out of memory has taught

    def size(self, pixels: int) -> int:
        """Points a pass, for points of so many LR pixels; 1 as long as nothing has been measured."""
        if self.fixed is not None:
            return min(self.fixed, self.limit)
        if self.bytes_per_pixel is None:
            return 1
        n = int(SPARE * free_bytes(self.device) / max(self.bytes_per_pixel * pixels, 1))
        if self.device.type == "cpu":
            n = min(n, max(round(CACHED_PIXELS / pixels), 1))
        return max(1, min(n, self.limit))

    def run(self, work: Callable[[Sequence[T]], R], points: Sequence[T], pixels: int) -> list[R]:
        """work(part) for consecutive parts of points that fit. Raises UserError when not even one does."""
        results: list[R] = []
        todo = list(points)
        while todo:
            n = min(self.size(pixels), len(todo))
            if self.fixed is None:
                n = -(-len(todo) // -(-len(todo) // n))  # equal parts: 21 of at most 16 are 11 and 10
            try:
                results.append(self._measured(work, todo[:n], pixels))
            except (torch.OutOfMemoryError, RuntimeError, MemoryError) as error:
                if not _is_full(error):
                    raise
                failure = str(error).splitlines()[0] if str(error) else "out of memory"
            else:
                todo = todo[n:]
                continue
            # outside the except block, whose traceback holds the tensors
            if n == 1:
                raise UserError(f"One path point alone does not fit into the memory of {self.device}: {failure}")
            if self.fixed is not None:  # other parts would round otherwise, where the same bits are promised
                raise UserError(
                    f"{n} path points do not fit into the memory of {self.device} together: {failure}. Set a smaller "
                    "chunk, or chunk=auto."
                )
            self.limit = n // 2
            gc.collect()
            if self.device.type == "cuda":
                torch.cuda.empty_cache()
        return results

    def _measured(self, work: Callable[[Sequence[T]], R], points: Sequence[T], pixels: int) -> R:
        if self.fixed is not None or self.bytes_per_pixel is not None:
            return work(points)
        with Watch(self.device) as watch:
            result = work(points)
        self.bytes_per_pixel = watch.bytes / (len(points) * pixels)
        return result


class Watch:
    """Memory that the block takes at its peak beyond what was taken before: `bytes`.

    On a GPU the allocator's own count. On a CPU, which keeps none, the tensors saved for the backward pass, each once.
    """

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.bytes = 0

    def __enter__(self) -> Watch:
        if self.device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(self.device)
            self._before = torch.cuda.memory_allocated(self.device)
            return self
        self._seen: set[int] = set()
        self._hooks = torch.autograd.graph.saved_tensors_hooks(self._count, lambda x: x)
        self._hooks.__enter__()
        return self

    def _count(self, x: torch.Tensor) -> torch.Tensor:
        storage = x.untyped_storage()
        if storage.data_ptr() not in self._seen:
            self._seen.add(storage.data_ptr())
            self.bytes += storage.nbytes()
        return x

    def __exit__(self, *error: object) -> None:
        if self.device.type == "cuda":
            self.bytes = torch.cuda.max_memory_allocated(self.device) - self._before
        else:
            self._hooks.__exit__(None, None, None)


def free_bytes(device: torch.device) -> int:
    """Memory that a computation on this device may still take."""
    if device.type == "cuda":
        free, _ = torch.cuda.mem_get_info(device)
        return free + torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    return available_bytes()


def available_bytes(meminfo: Path = Path("/proc/meminfo")) -> int:
    """The computer's available memory; 4 GiB where the system does not say."""
    try:
        found = re.search(r"MemAvailable:\s+(\d+) kB", meminfo.read_text("ascii"))
    except OSError:
        found = None
    return 1024 * int(found[1]) if found else 4 << 30


def _is_full(error: BaseException) -> bool:
    return isinstance(error, torch.OutOfMemoryError | MemoryError) or FULL.search(str(error)) is not None
