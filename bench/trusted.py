"""A configuration read back from a stored file is data: it may only build what conf/ itself builds.

A config directory that the user names is the user's own and is not looked at here. A stranger's file could name any
function (`os.system`, but also ours that write, fetch or remove files), read the environment through an interpolation,
or reach another library through one of our modules. None of that can be asked for: targets are compared with those in
conf/, as text, and never looked up.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

from .types import UserError

MAX_NODES = 100_000
_PLAIN = (str, int, float, bool, type(None))


def require_known(config: Any, source: str | Path, allowed: Iterable[str] = ()) -> None:
    """Raises UserError, naming `source`, where a configuration (nested dicts and lists) could do more than conf/ does.

    allowed: further dotted names whose targets the user accepts: 'my_package' (and all below), 'my_package.MyNet'.
    Refused: other targets, Hydra's other keywords (`_partial_`, `_args_`, …), interpolations (`${…}`) in keys or
    values, a `task` that is no plain name, values that JSON does not have, absurd sizes.
    """
    known, accepted = targets(), tuple(allowed)
    for place, key, value in _walk(config, source):
        if key == "_target_":
            if not isinstance(value, str) or not (value in known or any(_below(value, name) for name in accepted)):
                named = repr(value[:80]) if isinstance(value, str) else f"a {type(value).__name__}"
                raise UserError(
                    f"{source} is refused: its configuration wants to build {named}{_at(place)}, which conf/ does not "
                    "name; allow it only if you know that code and trust it."
                )
        elif isinstance(key, str) and key.startswith("_"):
            raise UserError(f"{source} is refused: its configuration has the keyword {key[:80]!r}{_at(place)}.")
        if any(isinstance(text, str) and "${" in text for text in (key, value)):
            raise UserError(f"{source} is refused: its configuration has an interpolation (${{…}}){_at(place)}.")
        if place == "" and key == "task" and not (isinstance(value, str) and re.fullmatch(r"[a-z]\w*", value)):
            raise UserError(f"{source} is refused: its configuration has a task that is no plain name.")


@cache
def targets() -> frozenset[str]:
    """Every `_target_` in conf/."""
    found: set[str] = set()
    for file in Path(str(resources.files("lamscope.conf"))).rglob("*.yaml"):
        found |= set(re.findall(r"^[ -]*_target_: (\S+)$", file.read_text("utf-8"), re.MULTILINE))
    return frozenset(found)


def _below(target: str, name: str) -> bool:
    return bool(name) and (target == name or target.startswith(f"{name}."))


def _at(place: str) -> str:
    return f" at {place[:80]}" if place else ""


def _walk(config: Any, source: str | Path) -> Iterator[tuple[str, Any, Any]]:
    """(dotted place of the node, key or None, value) of everything in nested dicts and lists, without recursion."""
    waiting: list[tuple[str, Any]] = [("", config)]
    seen = 0
    while waiting:
        place, node = waiting.pop()
        items = node.items() if isinstance(node, dict) else ((None, value) for value in node)
        for key, value in items:
            seen += 1
            if seen > MAX_NODES or len(place) > 1000:
                raise UserError(f"{source} is refused: its configuration is absurdly large.")
            if not isinstance(key, str | None) or not isinstance(value, (*_PLAIN, dict, list, tuple)):
                raise UserError(f"{source} is refused: its configuration holds values that JSON does not have.")
            yield place, key, value
            if isinstance(value, dict | list | tuple):
                waiting.append((f"{place}.{key}" if place and key else key or place, value))
