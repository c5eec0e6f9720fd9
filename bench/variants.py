"""One network in several settings: each variant gets a name of its own, so that a sweep can be ranked like a zoo."""

from __future__ import annotations

import json
from typing import Any

import pandas as pd

from .cellfile import NO_IMAGES
from .store import read_provenance
from .table import PLACE

LOOKED_AT = ("model.net", "model.wrappers", "model.weights", "attribution", "dataset.downsampling", "machine.precision")


def name_variants(records: pd.DataFrame) -> pd.DataFrame:
    """Tell several runs of one network over the same images apart: edsr → edsr[width=64], edsr[width=128].

    records: one comparable part (see `table.comparable`). The name says what differs between the stored configurations:
    keywords of the network by their own name, other settings in full (attribution.n_steps=63); runs that differ in none
    of them (other weights in one file, another seed) by their digest. New columns: `base`, the network's name, and
    `setting`, what differs as JSON ("" for a network with one run). Everything else is as it was.
    """
    records = records.assign(base=records["model"], setting="")
    good = records[~records["status"].isin(NO_IMAGES)]
    twice = good.loc[good.duplicated(["model", *PLACE], keep=False), "model"]
    for model in sorted(twice.unique()):
        files = good[good["model"] == model].drop_duplicates("digest").set_index("digest")["file"]
        settings = {digest: _settings(file) for digest, file in files.items()}
        keys = sorted({key for one in settings.values() for key in one})
        varied = [key for key in keys if len({json.dumps(one.get(key)) for one in settings.values()}) > 1]
        differ = {digest: {key.removeprefix("model.net."): one.get(key) for key in varied} for digest, one in
                  settings.items()}  # fmt: skip
        texts = {digest: ",".join(f"{key}={value}" for key, value in one.items()) for digest, one in differ.items()}
        for digest in files.index:
            unique = list(texts.values()).count(texts[digest]) == 1
            here = (records["model"] == model) & (records["digest"] == digest)
            records.loc[here, "setting"] = json.dumps(differ[digest], sort_keys=True)
            records.loc[here, "model"] = f"{model}[{texts[digest] if unique else digest}]"
    return records


def _settings(file: Any) -> dict[str, Any]:
    """Dotted settings of the stored configuration that decide a network's numbers."""
    found: dict[str, Any] = {}

    def walk(node: Any, prefix: str) -> None:
        if isinstance(node, dict):
            for key, value in node.items():
                walk(value, f"{prefix}.{key}" if prefix else key)
        elif prefix.startswith(LOOKED_AT) and not prefix.endswith("._target_"):
            found[prefix] = node

    walk(read_provenance(file).get("config", {}), "")
    return found
