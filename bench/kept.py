"""A job's answer as one JSON file, written as soon as it is known: the same command again goes on where it stopped."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from .durable import replacing, reporting
from .types import UserError

POLICIES = ("skip", "redo", "fail")


def place(folder: Path, name: str, identity: Any) -> Path:
    """<folder>/<name>-<digest>.json, the digest over everything that decides the answer."""
    digest = hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()
    return folder / f"{name}-{digest[:10]}.json"


def kept(file: Path, policy: str, compute: Callable[[], Any]) -> Any:
    """What `file` holds, else compute(), which it then holds. JSON values; NaN is one here.

    policy: conf's on_existing. skip: what is there is taken; redo: computed all the same; fail: a UserError. A file
    that is no JSON is a UserError too, and left alone.
    """
    if policy not in POLICIES:
        raise UserError(f"on_existing is {', '.join(POLICIES[:-1])} or {POLICIES[-1]}, not '{policy}'.")
    if file.exists() and policy == "fail":
        raise UserError(f"{file} exists already (on_existing=fail).")
    if file.exists() and policy == "skip":
        try:
            return json.loads(file.read_text("utf-8"))
        except ValueError as error:
            raise UserError(f"{file} is damaged; remove it, and the same command computes it again.") from error
    found = compute()
    with reporting(file):
        file.parent.mkdir(parents=True, exist_ok=True)
    with replacing(file) as part:
        part.write_text(json.dumps(found), encoding="utf-8")
    return found
