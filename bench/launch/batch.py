"""hydra/launcher=submitit_slurm and submitit_local: jobs through submitit, on a SLURM cluster or tried out here."""

from __future__ import annotations

import logging
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from ..types import UserError
from .machine import visible_gpus
from .needed import needed
from .work import Outcome, Work

SHARED = ("name", "timeout_min", "mem_gb", "nodes", "cpus_per_task", "gpus_per_node", "tasks_per_node")
POLL = 1.0  # seconds between two looks for results
LOOK = 20.0  # seconds between two questions to SLURM
TAIL = 20  # lines of a lost job's log that are shown
# states of a job of which more is to come
ALIVE = ("PENDING", "RUNNING", "SUSPENDED", "COMPLETING", "CONFIGURING", "REQUEUED", "REQUEUE_HOLD", "REQUEUE_FED")
ALIVE += ("SPECIAL_EXIT", "RESIZING", "SIGNALING", "STAGE_OUT", "STOPPED", "RESV_DEL_HOLD")


def run(
    works: Sequence[Work], cluster: str, folder: str, workers: int | None = None, **settings: Any
) -> Iterator[tuple[int, Outcome]]:
    """Outcomes as they come, each with the number of its job.

    cluster: slurm (one array job of all) or local. folder: for batch scripts, logs, jobs and their results; on a
    cluster all nodes must see it. workers: jobs at once, for local. settings: submitit's, None where it shall decide.
    """
    submitit = needed("submitit", "slurm")
    logging.getLogger("submitit").setLevel(logging.ERROR)  # what fails is told at the end
    given = {key: value for key, value in settings.items() if value is not None}
    retries = {f"{cluster}_max_num_timeout": given.pop("max_num_timeout", 0)}
    if cluster == "local" and (gpus := [int(gpu) for gpu in visible_gpus() if gpu.isdecimal()]):
        given |= {"gpus_per_node": len(gpus), "visible_gpus": gpus}  # submitit would hide them
    try:
        executor = submitit.AutoExecutor(folder=Path(folder).absolute(), cluster=cluster, **retries)
        named = {key if key in SHARED else f"{cluster}_{key}": value for key, value in given.items()}
        executor.update_parameters(**named)
    except (RuntimeError, ValueError, TypeError, NameError) as error:
        raise UserError(f"submitit refuses: {' '.join(str(error).split())[:300]}") from error
    todo = [(i, work.with_threads(given.get("cpus_per_task"))) for i, work in enumerate(works)]
    running: dict[int, Any] = {}
    watch = _Watch() if cluster == "slurm" else None
    width = len(todo) if watch else workers or 1
    while todo or running:
        if starting := todo[: width - len(running)]:
            todo = todo[len(starting) :]
            running |= zip([i for i, _ in starting], _submit(executor, [work for _, work in starting]), strict=True)
            if watch:
                _tell(len(starting), running[starting[0][0]], folder)
        gone = watch.gone(list(running.values())) if watch else {}
        for number, job in list(running.items()):
            if job.job_id in gone or (_answered(job) if watch else job.done()):
                yield number, _outcome(running.pop(number), gone.get(job.job_id))
        time.sleep(POLL)


class _Watch:
    """Which jobs SLURM knows as ended, or knows no more. submitit asks sacct, which not every cluster has."""

    def __init__(self) -> None:
        self._next = time.monotonic() + LOOK
        self._suspects: set[str] = set()

    def gone(self, jobs: list[Any]) -> dict[str, str]:
        """Jobs that ended and left no result, with their last state. A shared file system has a look's time to show
        a result, and where SLURM does not answer nothing is gone."""
        if not jobs or time.monotonic() < self._next:
            return {}
        self._next = time.monotonic() + LOOK
        arrays = ",".join(sorted({job.job_id.partition("_")[0] for job in jobs}))
        command = ["squeue", "--noheader", "--array", "--states=all", f"--jobs={arrays}", "--format=%i|%T"]
        asked = subprocess.run(command, capture_output=True, text=True)
        if asked.returncode and "Invalid job id" not in asked.stderr:  # so it says of what it has forgotten
            return {}
        states = dict(line.split("|", 1) for line in asked.stdout.split() if "|" in line)
        ended = {job.job_id: states.get(job.job_id, "unknown to SLURM") for job in jobs}
        ended = {name: state for name, state in ended.items() if state not in ALIVE}
        gone = {name: state for name, state in ended.items() if name in self._suspects}
        self._suspects = set(ended) - set(gone)
        return {job.job_id: gone[job.job_id] for job in jobs if job.job_id in gone and not _answered(job)}


def _answered(job: Any) -> bool:
    with suppress(OSError):  # makes a network file system look again
        job.paths.folder.chmod(job.paths.folder.stat().st_mode)
    return job.paths.result_pickle.exists()


def _submit(executor: Any, works: list[Work]) -> list[Any]:
    """The jobs; several on SLURM are one array."""
    try:
        with executor.batch():
            jobs = [executor.submit(work) for work in works]
    except RuntimeError as error:  # submitit's errors are; the message is sbatch's
        raise UserError(f"The jobs were not submitted: {' '.join(str(error).split())[:300]}") from error
    return jobs


def _tell(n: int, job: Any, folder: str) -> None:
    name = job.job_id.partition("_")[0]
    line = f"submitted {n} jobs to SLURM as {name}; logs in {folder}; squeue -j {name}, scancel {name}"
    print(f"lamscope: {line}", file=sys.stderr, flush=True)


def _outcome(job: Any, state: str | None) -> Outcome:
    """What a job left: an outcome, or, where its process was lost, how SLURM saw it end, and where its log is."""
    if state is None:
        try:
            return job.result()
        except Exception as error:  # submitit's own, and whatever unpickling meets
            state = f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"
    log = job.paths.stderr
    trace = "".join(log.read_text(errors="replace").splitlines(keepends=True)[-TAIL:]) if log.exists() else ""
    return Outcome(failure=f"job {job.job_id} was lost ({state}); its log is {log}", trace=trace)
