"""The most memory that tensors take at a time, found without taking it: the same ops on tensors without data."""

from __future__ import annotations

import copy
import weakref
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import nn


def peak_memory(net: nn.Module, lr_size: tuple[int, int], *, gradient: bool) -> int:
    """Bytes of parameters, image and everything else that is alive at the worst moment of one pass.

    One LR image of lr_size (height, width), forward only, or with the gradient with respect to it. Counted on a copy on
    torch's meta device, in the network's dtype: what kernels allocate inside one operation, and what an allocator keeps
    beside, come on top. It is what `torch.cuda.max_memory_allocated` would see, but for rounding and such workspace.
    """
    import torch
    from torch.utils._python_dispatch import TorchDispatchMode
    from torch.utils._pytree import tree_leaves

    class Watch(TorchDispatchMode):
        """Adds up storages when they appear, and takes them off when nothing refers to them any more."""

        def __init__(self) -> None:
            super().__init__()
            self.seen: dict[int, int] = {}
            self.now = self.peak = 0

        def add(self, value: Any) -> None:
            if not isinstance(value, torch.Tensor):
                return
            storage = value.untyped_storage()
            key = storage._cdata
            if key not in self.seen:
                self.seen[key] = storage.nbytes()
                self.now += storage.nbytes()
                self.peak = max(self.peak, self.now)
                weakref.finalize(storage, self.remove, key)

        def remove(self, key: int) -> None:
            self.now -= self.seen.pop(key)

        def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            out = func(*args, **(kwargs or {}))
            for leaf in tree_leaves(out):
                self.add(leaf)
            return out

    ghost = copy.deepcopy(net).to("meta").eval().requires_grad_(False)
    dtype = next((p.dtype for p in ghost.parameters()), torch.float32)
    watch = Watch()
    for tensor in (*ghost.parameters(), *ghost.buffers()):
        watch.add(tensor)
    with watch, torch.set_grad_enabled(gradient):
        x = torch.empty(1, 3, *lr_size, device="meta", dtype=dtype).requires_grad_(gradient)
        sr = ghost(x)
        if gradient:
            torch.autograd.grad(sr.sum(), x)
    return watch.peak
