"""One cell: model × data set × attribution × seed, or a shard of its images. Samples in, tensors and records out."""

from __future__ import annotations

import hashlib
import json
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

from . import shards, store
from .background import Behind, ahead
from .config import Config, instantiate
from .environment import describe
from .explain import Explained, explain, tensors_and_rows
from .metrics.cost import n_parameters
from .printable import as_file_name
from .progress import track
from .types import NotApplicable, UserError
from .zoo import Origin, condition_of, load, network_identity, precision, prepare, weight_folders

# settings of a data set that the hash of its images makes superfluous
PLACES = ("path", "lr_path", "match", "root", "roots", "crops", "limit", "known", "strict", "conditions")


def run_cell(config: Config) -> Path:
    """Compute what is missing of one cell, or of one shard of it, and return its finished HDF5 file.

    Where the method is not defined for the network, the cell is one row that says why, and no file is made.
    Rerunning is resuming: images already stored are skipped (on_existing=skip), computed again (redo) or an error
    (fail). Raises UserError for anything the user can mend, before the first image where that is possible.
    """
    device, dtype = prepare(config)
    dataset = instantiate(config.dataset)
    method = instantiate(config.attribution)
    chunk = _chunk(config)
    shard = shards.parse(config.shard, len(dataset))
    dataset.check(config.model.scale, config.model.min_size)
    net, origin = load(config.model, weight_folders(config.machine.weights), device, dtype)
    dataset.check_conditions(config.model.name, config.model.scale, condition_of(net))
    identity = _identity(config, dataset.manifest()["sha256"], origin)
    digest = hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()
    whole = cell_path(config, dataset.name, digest)
    path, shard = shards.place(whole, shard, _redo(config.on_existing))
    if config.on_existing == "fail" and store.exists(path):
        raise UserError(f"{path} exists already (on_existing=fail).")
    mine = shard.indices(len(dataset))
    about = {
        "digest": digest,
        "identity": identity,
        "config": asdict(config),
        "n_images": len(dataset),
        "shard": shard.name,
        "weights_file": origin.file,
        "environment": describe(device, config.machine.precision),
    }
    labels = _labels(config, dataset.name, digest, n_parameters(net)) | ({"shard": shard.name} if shard.name else {})
    with store.CellWriter(path, about, mine, labels) as writer:
        try:
            done = writer.done()
            if len(done) < len(mine):
                skip = {*range(len(dataset))} - {*mine} | done
                samples = ahead(dataset.samples(config.model.scale, skip=sorted(skip)))
                label = " ".join([config.model.name, "on", dataset.name, *filter(None, [shard.name])])
                with precision(config.machine.precision, device), Behind() as behind:
                    found = explain(net, samples, method, chunk, device, dtype)
                    for explained in track(found, len(mine), len(done), label, config.machine.progress):
                        behind.do(_write, writer, explained)
            writer.finish()
        except NotApplicable as error:  # a result too, and the other networks of a sweep go on
            writer.fail(error)
        except Exception as error:
            if not isinstance(error.__cause__, OSError):  # a disk that refuses is no failure of this cell
                with suppress(UserError):  # the error itself says more than that it could not be recorded
                    writer.fail(error)
            raise
    return path


def _write(writer: store.CellWriter, explained: Explained) -> None:
    sample = explained.sample
    writer.write(sample.index, sample.name, *tensors_and_rows(explained))


def cell_path(config: Config, dataset: str, digest: str) -> Path:
    """<results>/runs/<dataset>/<attribution>/<model>-<digest>.h5: the same for the same computation, everywhere."""
    folder = Path(config.results, "runs", *map(as_file_name, (dataset, config.attribution["name"])))
    return folder / f"{as_file_name(config.model.name)}-{digest[:10]}.h5"


def _labels(config: Config, dataset: str, digest: str, counted: int) -> dict[str, Any]:
    model = config.model
    return {
        "model": model.name,
        "family": model.family,
        "net": json.dumps(model.net),
        "n_parameters": counted,
        "channels": model.channels,
        "dataset": dataset,
        "attribution": config.attribution["name"],
        "detector": _detector(config.attribution.get("detector", {})),
        "seed": config.seed,
        "digest": digest[:10],
    }


def _detector(node: dict[str, Any]) -> str:
    """The label of a detector: its channels, behind its class where that is not the paper's gradient detector."""
    channels = str(node.get("channels", "rgb"))
    kind = str(node.get("_target_", "GradientMagnitude")).rpartition(".")[2]
    return channels if kind == "GradientMagnitude" else f"{kind} {channels}"


def _identity(config: Config, images: str, origin: Origin) -> dict[str, Any]:
    """Everything that decides the numbers; not the device, the chunk or the launcher."""
    return {
        "schema": store.SCHEMA_VERSION,
        **network_identity(config.model, origin),
        "images": images,
        "dataset": {k: v for k, v in config.dataset.items() if k not in PLACES},
        "attribution": config.attribution,
        "precision": config.machine.precision,
        "seed": config.seed,
    }


def _chunk(config: Config) -> int | None:
    if config.chunk == "auto":
        return None
    if not isinstance(config.chunk, int) or config.chunk < 1:
        raise UserError(f"chunk is a positive whole number or auto, not '{config.chunk}'.")
    return config.chunk


def _redo(policy: str) -> bool:
    if policy not in ("skip", "redo", "fail"):
        raise UserError(f"on_existing is skip, redo or fail, not '{policy}'.")
    return policy == "redo"
