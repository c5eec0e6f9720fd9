"""Weights: find the file, check its sha256, and put what `checkpoints` reads into a network, or say what misfits."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from importlib import resources
from pathlib import Path

from torch import Tensor, nn

from .checkpoints import first_line
from .checkpoints import metadata as metadata
from .checkpoints import read as read
from .config import ModelConfig
from .fetch import cached
from .printable import printable
from .types import NotTrained, UserError, WeightsMissing


def sha256_of(path: Path) -> str:
    """Hex digest of a file."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def find(model: ModelConfig, folders: Iterable[str | Path] = ()) -> Path | None:
    """The file that model.weights stands for; None for random initialisation.

    'auto' is the file named in the model's YAML, shipped with the package or in one of `folders`; its sha256 must be
    the one stated there. Anything else is a path, taken as it is. Raises UserError with the way out.
    """
    if model.weights is None:
        return None
    if model.weights != "auto":
        path = Path(model.weights).expanduser()
        if not path.is_file():
            raise UserError(f"There is no weights file '{path}'.")
        return path
    checkpoint = model.checkpoint
    if checkpoint.file is None:
        raise NotTrained(
            f"There are no weights of '{model.name}' yet: give a file with model.weights=FILE, or make one with "
            f"`lamscope train model={model.name} …`."
        )
    path = next((c for c in candidates(model, folders) if c.is_file()), None)
    if path is None:
        source = checkpoint.url or checkpoint.page or model.code or "its authors' page"
        raise WeightsMissing(
            f"The weights of '{model.name}' are not here: get {checkpoint.file} from {source} "
            f"and name its folder with machine.weights=FOLDER{_or_fetch(model)}."
        )
    found = sha256_of(path)
    if checkpoint.sha256 and not found.startswith(checkpoint.sha256):
        raise UserError(
            f"{path} is not the published file of '{model.name}': its sha256 is {found[:16]}…, "
            f"expected {checkpoint.sha256[:16]}…. Fetch it again, or use it all the same with model.weights={path}."
        )
    return path


def _or_fetch(model: ModelConfig) -> str:
    fetchable = model.checkpoint.url and model.checkpoint.sha256
    return f", or run `lamscope weights fetch {model.name}`" if fetchable else ""


def candidates(model: ModelConfig, folders: Iterable[str | Path] = ()) -> list[Path]:
    """Where the file that weights=auto stands for may lie: the package, the user's folders, the cache."""
    checkpoint = model.checkpoint
    if checkpoint.file is None:
        return []
    found = [shipped_folder() / checkpoint.file] if checkpoint.shipped else []
    found += [Path(folder).expanduser() / checkpoint.file for folder in folders]
    place = cached(model)
    return [*found, place] if place is not None else found


def shipped_folder() -> Path:
    """The folder of weights that come with the package."""
    return Path(str(resources.files("lamscope.models"))) / "weights"


def load_into(core: nn.Module, state: dict[str, Tensor], source: str, name: str) -> None:
    """Load a state dict under the official names. Raises UserError that names what does not fit."""
    translate = getattr(type(core), "from_official", None)
    try:
        state = state if translate is None else translate(state)
    except (
        KeyError,
        ValueError,
        IndexError,
        RuntimeError,
    ) as error:  # of names and shapes that only the right file has
        raise UserError(f"{source} does not fit '{name}': {printable(first_line(error))}") from error
    try:
        result = core.load_state_dict(state, strict=False)
    except RuntimeError as error:
        lines = [line.strip() for line in str(error).splitlines()[1:] if line.strip()]
        raise UserError(f"{source} does not fit '{name}': {_some(lines)}.") from error
    problems = [f"missing {k}" for k in result.missing_keys] + [f"unexpected {k}" for k in result.unexpected_keys]
    if problems:
        raise UserError(f"{source} does not fit '{name}': {_some(problems)}. Is it a checkpoint of another network?")


def _some(items: list[str], n: int = 3) -> str:
    more = f" and {len(items) - n} more" if len(items) > n else ""
    return "; ".join(printable(item.rstrip(".")) for item in items[:n]) + more
