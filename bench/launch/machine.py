"""hydra/launcher=joblib: the cores and GPUs of one machine. joblib hands out the jobs, each in a process of its own."""

from __future__ import annotations

import os
import queue
from collections.abc import Iterator, Sequence
from typing import Any

from .apart import Children
from .needed import needed
from .work import Outcome, Work

VISIBLE = "CUDA_VISIBLE_DEVICES"
ANY_GPU = {"auto", "cuda"}  # machine.device of a job that may go to any GPU


def run(works: Sequence[Work], workers: int | None = None, threads: int | None = None) -> Iterator[tuple[int, Outcome]]:
    """Outcomes as they come, each with the number of its job.

    workers: jobs at once; None: one a GPU where jobs may use any GPU, one on a GPU that machine.device names, and on a
    CPU one a core, no more than there are jobs. threads: of a job on a CPU; None: the cores divided among the workers.
    """
    joblib = needed("joblib", "joblib")
    devices = {work.config.machine.device for work in works}
    gpus = visible_gpus() if devices & ANY_GPU else []
    named = {device for device in devices if device.startswith("cuda:")}
    n = min(workers or len(gpus or named) or cores(), len(works))
    children = Children()
    places: queue.SimpleQueue[dict[str, str]] = queue.SimpleQueue()
    for place in places_of(n, gpus):
        places.put(place)

    def one(number: int, work: Work) -> tuple[int, Outcome]:
        place = places.get()
        try:
            return number, children.run(work, place if work.config.machine.device in ANY_GPU else {})
        finally:
            places.put(place)

    share = threads or max(1, cores() // n)
    jobs = (joblib.delayed(one)(i, work.with_threads(share)) for i, work in enumerate(works))
    try:
        yield from joblib.Parallel(n, backend="threading", return_as="generator_unordered", batch_size=1)(jobs)
    finally:
        children.stop()


def places_of(n: int, gpus: Sequence[str]) -> list[dict[str, str]]:
    """What each of n jobs that run at once finds in its environment: a GPU of its own, in turns where n is more."""
    return [{VISIBLE: gpus[i % len(gpus)]} if gpus else {} for i in range(n)]


def visible_gpus() -> list[str]:
    """The GPUs that this command may use, as CUDA_VISIBLE_DEVICES names them."""
    import torch

    n = torch.cuda.device_count()
    named = [name.strip() for name in os.environ.get(VISIBLE, "").split(",") if name.strip()]
    return named[:n] if named else [str(i) for i in range(n)]


def cores() -> int:
    """CPU cores that this process may use."""
    allowed: Any = getattr(os, "sched_getaffinity", None)  # Linux
    return len(allowed(0)) if allowed else os.cpu_count() or 1
