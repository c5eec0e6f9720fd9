"""hydra/launcher=ray: jobs on a Ray cluster, or on a Ray that is started here."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from ..types import UserError
from .needed import needed
from .work import Outcome, Work


def run(
    works: Sequence[Work],
    init: dict[str, Any] | None = None,
    num_cpus: float = 1,
    num_gpus: float | None = None,
    max_retries: int = 3,
    resources: dict[str, float] | None = None,
) -> Iterator[tuple[int, Outcome]]:
    """Outcomes as they come, each with the number of its job.

    init: arguments of ray.init. num_cpus, num_gpus, resources: what Ray sets aside for a job; num_gpus None: one where
    jobs may use a GPU and the cluster has any. max_retries: how often a job goes elsewhere when its node is lost.
    """
    ray = needed("ray", "ray")
    started = not ray.is_initialized()
    try:
        ray.init(ignore_reinit_error=True, **(init or {}))
    except (ConnectionError, ValueError, TypeError) as error:
        raise UserError(f"Ray cannot be reached: {' '.join(str(error).split())[:300]}") from error
    if num_gpus is None:
        wanted = any(work.config.machine.device != "cpu" for work in works)
        num_gpus = 1 if wanted and ray.cluster_resources().get("GPU") else 0
    # max_calls: a fresh process a job, which leaves its GPU empty
    aside = {"num_cpus": num_cpus, "num_gpus": num_gpus, "resources": resources or {}}
    remote = ray.remote(max_calls=1, max_retries=max_retries, **aside)(_perform)
    try:
        running = {remote.remote(work.with_threads(max(1, int(num_cpus)))): i for i, work in enumerate(works)}
        while running:
            (ready, *_), _ = ray.wait(list(running))
            yield running.pop(ready), _outcome(ray, ready)
    finally:
        if started:
            ray.shutdown()


def _perform(work: Work) -> Outcome:
    return work()


def _outcome(ray: Any, ready: Any) -> Outcome:
    try:
        return ray.get(ready)
    except Exception as error:  # Ray's own: a worker, a node or memory was lost
        lines = [line.strip() for line in str(error).splitlines() if line.strip()] or [""]
        return Outcome(failure=f"Ray lost this job ({type(error).__name__}: {lines[0]})", trace=f"{error}\n")
