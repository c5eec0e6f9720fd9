"""Reading ahead and writing behind: the disk works while the device computes."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, TypeVar

T = TypeVar("T")
WAITING = 4  # finished images at most that wait to be written: a bound for memory, and for what a kill loses


def ahead(items: Iterator[T]) -> Iterator[T]:
    """The same items in the same order, each made while the one before it is used. Errors come where they belong."""
    end = object()
    with ThreadPoolExecutor(1) as pool:
        following = pool.submit(next, items, end)
        while (item := following.result()) is not end:
            following = pool.submit(next, items, end)
            yield item  # type: ignore[misc] (it is not the end)


class Behind:
    """Does work in order in a thread of its own; as a context manager it ends when all is done.

    An error in the work is raised by the next call of `do`, or at the end. Leaving with an error of one's own still
    finishes the work that was handed over.
    """

    def __enter__(self) -> Behind:
        self._pool = ThreadPoolExecutor(1)
        self._jobs: deque[Future[Any]] = deque()
        return self

    def do(self, work: Callable[..., Any], *arguments: Any) -> None:
        """work(*arguments), soon. Waits while too much is waiting already."""
        while len(self._jobs) >= WAITING or (self._jobs and self._jobs[0].done()):
            self._jobs.popleft().result()
        self._jobs.append(self._pool.submit(work, *arguments))

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._pool.shutdown(wait=True)
        if kind is None:
            while self._jobs:
                self._jobs.popleft().result()
