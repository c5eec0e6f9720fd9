"""Several processes that train one network together: what torchrun says, through BasicSR's launcher.

`torchrun --nproc_per_node=4 -m lamscope train model=rcan train=paper …` starts four; without torchrun there is one.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import distributed


@dataclass(frozen=True)
class Team:
    """rank: of this process, 0 is the one that writes. size: how many there are."""

    rank: int = 0
    size: int = 1

    @property
    def leads(self) -> bool:
        return self.rank == 0

    def wait(self) -> None:
        """Until all are here."""
        if self.size > 1:
            distributed.barrier()

    def agreed(self, said: bool, device: torch.device) -> bool:
        """What the first process says."""
        if self.size == 1:
            return said
        word = torch.tensor([said], dtype=torch.uint8, device=device)
        distributed.broadcast(word, 0)
        return bool(word.item())

    @contextmanager
    def leader_first(self) -> Iterator[None]:
        """The first process does it alone, then the others find it done."""
        if not self.leads:
            self.wait()
        yield
        if self.leads:
            self.wait()


@contextmanager
def gathered(device: torch.device, launcher: Any) -> Iterator[Team]:
    """The team that torchrun started (RANK, WORLD_SIZE), or one process alone. launcher: basicsr.utils.dist_util.

    On GPUs BasicSR's launcher connects them by NCCL and gives each its own; it knows no CPUs, which are connected by
    gloo here.
    """
    size = int(os.environ.get("WORLD_SIZE", "1"))
    if size == 1:
        yield Team()
        return
    if device.type == "cuda":
        launcher.init_dist("pytorch")
    else:
        distributed.init_process_group("gloo")
    try:
        yield Team(distributed.get_rank(), size)
    finally:
        distributed.destroy_process_group()
