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
DEEPEST = 32
NAMES = ("name", "file")  # what becomes a part of a path
_PLAIN = (str, int, float, bool, type(None))


def require_trusted(config: Any, source: str | Path, allow: Iterable[str] = ()) -> None:
    """Raises UserError, naming `source`, where a configuration (nested dicts and lists) could do more than conf/ does.

    allow: further names whose targets the user accepts: 'my_package' (and all below), 'my_package.MyNet', 'any'.
    Refused: other targets, Hydra's other keywords (`_partial_`, `_args_`, …), interpolations (`${…}`) in keys or
    values, names with a folder in them, a `task` that is no plain name, what JSON does not have, absurd sizes.
    """
    allowed = tuple(name.strip() for name in allow if name.strip())
    for place, key, value in _walk(config, source):
        text = value if isinstance(value, str) else ""
        if "${" in text or "${" in (key or ""):
            raise UserError(
                f"{source} holds a setting with an interpolation (${{…}}){_at(place)}: a stored one has none."
            )
        if key == "_target_":
            _require_target(value, source, place, allowed)
        elif (key or "").startswith("_"):
            raise UserError(f"{source} holds the keyword {key!r}{_at(place)}, which no stored configuration has.")
        elif key in NAMES and (set(text) & set("/\\\0") or text in (".", "..")):
            raise UserError(f"{source} holds a {key} that is a path, {text[:80]!r}{_at(place)}.")
        elif key == "task" and not place and not re.fullmatch(r"[a-z]\w*", text):
            raise UserError(f"{source} holds a task that is no plain name.")


@cache
def ours() -> frozenset[str]:
    """Every target that conf/ names."""
    files = Path(str(resources.files("lamscope.conf"))).rglob("*.yaml")
    found = (re.findall(r"^[ -]*_target_: (\S+)$", file.read_text("utf-8"), re.MULTILINE) for file in files)
    return frozenset(name for names in found for name in names)


def _require_target(value: Any, source: str | Path, place: str, allowed: tuple[str, ...]) -> None:
    named = value[:120] if isinstance(value, str) else f"a {type(value).__name__}"
    known = isinstance(value, str) and (value in ours() or any(f"{value}.".startswith(f"{name}.") for name in allowed))
    if not known and not (isinstance(value, str) and "any" in allowed):
        package = named.partition(".")[0]
        raise UserError(
            f"{source} wants to call {named}{_at(place)}, which is not of lamscope's own configuration: if you trust "
            f"that file and that code, say allow={package if package != 'lamscope' else named}."
        )


def _at(place: str) -> str:
    return f" at {place[:80]}" if place else ""


def _walk(config: Any, source: str | Path) -> Iterator[tuple[str, str | None, Any]]:
    """(dotted place of the node, key or None, value) of everything in nested dicts and lists, without recursion."""
    waiting: list[tuple[str, int, Any]] = [("", 0, config)]
    seen = 0
    while waiting:
        place, depth, node = waiting.pop()
        items = node.items() if isinstance(node, dict) else ((None, value) for value in node)
        for key, value in items:
            seen += 1
            if seen > MAX_NODES or depth > DEEPEST:
                raise UserError(f"{source} holds a configuration that is too large or nested too deeply to be one.")
            if not isinstance(key, str | None) or not isinstance(value, (*_PLAIN, dict, list, tuple)):
                raise UserError(f"{source} holds a configuration with values that JSON does not have.")
            yield place, key, value
            if isinstance(value, dict | list | tuple):
                waiting.append((".".join(filter(None, (place, key))), depth + 1, value))
