"""The schema of conf/, and the only two ways in: `compose` for Python, Hydra's command line for the shell.

A configuration becomes dataclasses once (`to_config`); below that no DictConfig travels. `instantiate` is the one place
where a `_target_` becomes an object.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator
from copy import deepcopy
from dataclasses import asdict, dataclass, field
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

from .types import UserError

FAMILIES = (
    "plain",
    "residual",
    "dense",
    "channel attention",
    "pixel attention",
    "non-local",
    "transformer",
    "conditional",
)

WITH_LPIPS = ("study", "psnr")  # tasks that measure what `metric` asks for


@dataclass
class CheckpointConfig:
    """The file that weights=auto loads. sha256: 64 hex digits, or the prefix that the authors publish. note: how it
    differs from what the published scores were measured with."""

    file: str | None = None
    sha256: str | None = None
    shipped: bool = False
    url: str | None = None
    page: str | None = None
    licence: str | None = None
    training_set: str | None = None
    note: str | None = None


@dataclass
class ModelConfig:
    """One network: how to build it and what is known about it. net and wrappers are `_target_` nodes."""

    name: str = "???"
    title: str = ""
    authors: str = ""
    venue: str = ""
    year: int | None = None
    paper: str | None = None
    code: str | None = None
    family: str = "plain"
    scale: int = 4
    channels: str = "rgb"
    min_size: int = 1
    n_parameters: int | None = None
    unused_parameters: list[str] = field(default_factory=list)
    net: dict[str, Any] = field(default_factory=dict)
    wrappers: list[dict[str, Any]] = field(default_factory=list)
    weights: str | None = "auto"
    checkpoint: CheckpointConfig = field(default_factory=CheckpointConfig)
    published: dict[str, Any] = field(default_factory=dict)


@dataclass
class MachineConfig:
    """Where things are and what computes.

    device: auto | cpu | cuda[:n]. weights: a folder, or a list of folders, with official files. data: the same for
    folders in which published test sets lie.
    """

    device: str = "auto"
    precision: str = "fp32"
    threads: int | None = None
    weights: Any = None
    data: Any = None
    progress: str = "auto"


@dataclass
class MetricConfig:
    """What is measured beside PSNR and SSIM. lpips_weights: AlexNet or VGG16 as torchvision publishes it, a file; null:
    no LPIPS. lpips_linear: its linear layers, a file; null: those of the installed lpips package."""

    lpips_weights: str | None = None
    lpips_linear: str | None = None


@dataclass
class Config:
    """The root of conf/. dataset, attribution, train, trial and figure are `_target_` nodes of their modules."""

    model: ModelConfig = field(default_factory=ModelConfig)
    dataset: dict[str, Any] = field(default_factory=dict)
    attribution: dict[str, Any] = field(default_factory=dict)
    machine: MachineConfig = field(default_factory=MachineConfig)
    metric: MetricConfig = field(default_factory=MetricConfig)
    train: dict[str, Any] = field(default_factory=dict)
    figures: list[str] = field(default_factory=list)
    trial: dict[str, Any] = field(default_factory=dict)
    task: str = "lam"
    seed: int = 0
    results: str = "results"
    on_existing: str = "skip"
    chunk: Any = "auto"
    shard: str | None = None


def options(group: str) -> list[str]:
    """Names that can be chosen in a group of conf/, sorted: options("model") → ["carn", …]. Imports no torch."""
    folder = resources.files("lamscope.conf") / group
    if not folder.is_dir():
        groups = sorted(p.name for p in resources.files("lamscope.conf").iterdir() if p.is_dir())
        raise UserError(f"Unknown group '{group}'. Choose one of {', '.join(groups)}.")
    return sorted(Path(p.name).stem for p in folder.iterdir() if p.name.endswith(".yaml"))


def suggest(word: str, choices: list[str]) -> str:
    """' Did you mean …?' when a choice is close, else an empty string."""
    close = difflib.get_close_matches(word, choices, n=1)
    return f" Did you mean '{close[0]}'?" if close else ""


def read_model(name: str) -> ModelConfig:
    """conf/model/<name>.yaml alone, checked against the schema: quicker than `compose` where many are needed."""
    return deepcopy(_read_model(name))


@cache
def _read_model(name: str) -> ModelConfig:
    from omegaconf import OmegaConf

    file = resources.files("lamscope.conf") / "model" / f"{name}.yaml"
    if not file.is_file():
        raise UserError(f"Unknown model '{name}'.{suggest(name, options('model'))} See conf/model/.")
    node = OmegaConf.merge(OmegaConf.structured(ModelConfig), OmegaConf.create(file.read_text("utf-8")))
    model = OmegaConf.to_object(OmegaConf.create({"model": node}).model)
    assert isinstance(model, ModelConfig)
    return model


def register_schema() -> None:
    """Tell Hydra the schema, so that a typo in a YAML names its file and key."""
    from hydra.core.config_store import ConfigStore

    ConfigStore.instance().store(name="schema", node=Config, provider="lamscope")


def compose(overrides: list[str] | None = None, own: Path | None = None) -> Config:
    """conf/ with overrides in Hydra's syntax, as dataclasses: compose(["model=imdn", "machine.device=cpu"]).

    own: a folder of the user's beside conf/, what --config-dir names. Raises UserError for an unknown name or key.
    """
    from hydra.errors import HydraException
    from omegaconf.errors import OmegaConfBaseException

    path = str(own.resolve()).replace("'", "\\'") if own else None
    try:
        return _compose([*(overrides or []), *([f"hydra.searchpath=['file://{path}']"] if path else [])])
    except (HydraException, OmegaConfBaseException) as error:
        raise UserError(explain(error)) from error


def _compose(overrides: list[str]) -> Config:
    from hydra import compose as hydra_compose
    from hydra import initialize_config_module
    from hydra.core.global_hydra import GlobalHydra

    register_schema()
    outer = GlobalHydra.instance()
    running, outer.hydra = outer.hydra, None  # the caller may be a Hydra application itself, ours or another
    try:
        with initialize_config_module("lamscope.conf", version_base="1.3"):
            return to_config(hydra_compose("config", overrides=overrides))
    finally:
        GlobalHydra.instance().hydra = running


def to_config(node: Any) -> Config:
    """A resolved DictConfig → dataclasses, once."""
    from omegaconf import OmegaConf

    OmegaConf.resolve(node)
    config = OmegaConf.to_object(node)
    assert isinstance(config, Config)
    if config.model.family not in FAMILIES:
        raise UserError(f"Family '{config.model.family}' of '{config.model.name}' is none of {', '.join(FAMILIES)}.")
    if config.task not in WITH_LPIPS:
        refuse_lpips(config, f"The task '{config.task}'")
    config.model.name += variant(config.model)
    return config


def refuse_lpips(config: Config, what: str) -> None:
    """For what measures no LPIPS: a setting is never ignored. Raises UserError where it is asked for."""
    if config.metric.lpips_weights or config.metric.lpips_linear:
        raise UserError(
            f"{what} measures no LPIPS: leave out metric.lpips_weights and metric.lpips_linear. A plain run and "
            "experiment=psnr measure it, for runs that are finished too."
        )


def restore(stored: dict[str, Any], overrides: list[str]) -> Config:
    """The configuration that a result carries, with dotted overrides (`machine.device=cpu`).

    It must have been checked (`trusted.require_trusted`). Raises UserError for one of another version of the schema.
    """
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException

    try:
        node = OmegaConf.merge(OmegaConf.structured(Config), stored, OmegaConf.from_dotlist(overrides))
        config = OmegaConf.to_object(node)
    except (OmegaConfBaseException, ValueError, TypeError) as error:
        raise UserError(f"The stored settings are not those of this version of lamscope: {explain(error)}") from error
    assert isinstance(config, Config)
    return config


def variant(model: ModelConfig) -> str:
    """What tells a network from the one that it is named after: '+shrunk=16+depth=2' where the hyper-parameters are not
    those of conf/model, else ''. So the members of a family keep apart in files, tables and figures."""
    if model.name not in options("model"):
        return ""
    own = read_model(model.name).net
    changed = {key: value for key, value in model.net.items() if key != "scale" and own.get(key) != value}
    return "".join(f"+{key}={str(value).replace(' ', '')}" for key, value in changed.items())


def instantiate(node: dict[str, Any], **arguments: Any) -> Any:
    """The object that a `_target_` node describes. Keys `name` are labels of conf/ and passed on like any other."""
    from hydra.errors import HydraException
    from hydra.utils import instantiate as hydra_instantiate

    try:
        return hydra_instantiate(node, **arguments, _convert_="all")
    except HydraException as error:
        cause = error.__cause__
        if isinstance(cause, UserError):
            raise cause from None
        if isinstance(cause, ValueError | TypeError | ImportError | AttributeError):
            raise UserError(f"{node.get('_target_', 'A node')} cannot be built: {cause}".splitlines()[0]) from error
        if cause is None:
            raise UserError(" ".join(str(error).split())[:300]) from error
        raise


def mistake_of(error: Exception) -> str | None:
    """The one sentence of a mistake that the user can mend; None for any other error."""
    from omegaconf.errors import OmegaConfBaseException

    if isinstance(error, UserError):
        return str(error)
    return explain(error) if isinstance(error, OmegaConfBaseException) else None


def explain(error: Exception) -> str:
    """Hydra's and OmegaConf's messages as one line, with the nearest existing name."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    unknown = re.search(r"Could not find '([\w/-]+)/([^'/]+)'", str(error))
    if unknown:
        group, name = unknown.groups()
        return f"Unknown {group} '{name}'.{suggest(name, options(group))} See conf/{group}/."
    key = re.search(r"Could not override '([^']+)'", str(error)) or re.search(r"full_key: (\S+)", str(error))
    if key and re.search(r"not in |not override", str(error)):
        file = re.search(r"In '([^']+)'", str(error))
        place = f" ({file.group(1)}.yaml)" if file else ""
        return f"There is no setting '{key.group(1)}'{place}.{suggest(key.group(1), _settings())}"
    kept = [line for line in lines if not line.startswith(("full_key:", "object_type=", "reference_type="))]
    if error.__cause__ is not None:
        kept += str(error.__cause__).strip().splitlines()[:1]
    return " ".join(kept)[:400] if kept else type(error).__name__


def _settings() -> list[str]:
    """Dotted names of every setting of the default configuration; none where that itself is broken."""

    def walk(node: Any, prefix: str) -> Iterator[str]:
        for name, value in node.items():
            yield f"{prefix}{name}"
            if isinstance(value, dict):
                yield from walk(value, f"{prefix}{name}.")

    try:
        return list(walk(asdict(_compose([])), ""))
    except Exception:  # `explain` asks while it explains another error, which matters more
        return []
