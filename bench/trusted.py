"""What a configuration that was read back from a file may do: build what lamscope itself builds, and no more.

A `_target_` names what is called, so a stored file that named any would run any code. Only the targets that our own
conf/ names are allowed, exactly (`lamscope.environment.subprocess.run` begins with lamscope too), and those below
packages that the user allows.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from functools import cache
from importlib import resources
from importlib.resources.abc import Traversable
from typing import Any

from .types import UserError

TARGET = re.compile(r"_target_:\s*([\w.]+)")
DEEPEST = 32


@cache
def ours() -> frozenset[str]:
    """Every target that the shipped conf/ names."""
    return frozenset(name for file in _files(resources.files("lamscope.conf")) for name in TARGET.findall(file))


def _files(folder: Traversable) -> Iterator[str]:
    for entry in folder.iterdir():
        if entry.is_dir():
            yield from _files(entry)
        elif entry.name.endswith(".yaml"):
            yield entry.read_text("utf-8")


def require_trusted(config: Any, source: str, allow: Iterable[str] = ()) -> None:
    """Raises UserError when a stored configuration names a target that is neither ours nor below an allowed package.

    allow: names of packages or targets; 'any' allows all. Interpolations (`${…}`), which could read the environment,
    are refused in any case.
    """
    allowed = [name.strip() for name in allow if name.strip()]
    for text, is_target in _texts(config):
        if "${" in text:
            raise UserError(f"{source} holds a setting with an interpolation, {text[:60]!r}: a stored one has none.")
        known = text in ours() or "any" in allowed or any(f"{text}.".startswith(f"{name}.") for name in allowed)
        if is_target and not known:
            package = text.partition(".")[0]
            raise UserError(
                f"{source} wants to call {text[:120]}, which is not of lamscope's own configuration: if you trust that "
                f"file and that code, say allow={package if package != 'lamscope' else text}."
            )


def _texts(node: Any, depth: int = 0, is_target: bool = False) -> Iterator[tuple[str, bool]]:
    """Every text in a nested configuration, keys too, and whether it is a target."""
    if depth > DEEPEST:
        raise UserError("A stored configuration is nested too deeply to be one.")
    if isinstance(node, dict):
        for key, value in node.items():
            yield str(key), False
            if key == "_target_" and not isinstance(value, str):
                yield repr(value), True
            yield from _texts(value, depth + 1, key == "_target_")
    elif isinstance(node, list):
        for value in node:
            yield from _texts(value, depth + 1)
    elif isinstance(node, str):
        yield node, is_target
