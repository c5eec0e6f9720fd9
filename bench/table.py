"""From stored cells to a tidy frame, and from the frame to a ranking that compares like with like."""

from __future__ import annotations

import warnings
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pandas as pd

from .cellfile import COLUMNS, NO_IMAGES
from .scores import SCORES, read_score, score_file
from .shards import missing
from .statistics import RESAMPLES, bootstrap_mean, rank_test
from .store import cells, read_columns
from .types import UserError

Source = str | Path | Iterable[str | Path]

ONE_OF = {  # what must agree before diffusion indices may be averaged or compared
    "dataset": "test sets",
    "attribution": "attribution methods",
    "detector": "detector channels",
    "scale": "scales",
    "lr_h": "LR sizes",
    "lr_w": "LR sizes",
    "window_size": "window sizes",
}
PLACE = ["index", "image", "window_y", "window_x"]
MEANS = ["di", "psnr_y", "psnr_rgb", "ssim_y"]  # and what of SCORES there is


def read_records(source: Source = "results/runs", partial: bool = False) -> pd.DataFrame:
    """One row per image × window × model × method of stored runs; columns as in cellfile.COLUMNS, and those of
    scores.SCORES that any of the runs was given.

    source: a folder (with everything below it), one .h5 file, or several of either. A cell without images is one row
    with status "failed" or "not applicable" and a `message`. partial: also the images that unfinished cells have. What
    a row lacks is NaN, or "" in columns of text. Shards of a cell are read as one, with a warning where some are
    missing. Raises UserError for a missing source and for a file that is damaged or not ours.
    """
    frames = []
    for path in _paths(source):
        columns = read_columns(path, partial)
        frame = pd.DataFrame(columns).assign(file=str(path), **_scores(path, columns))
        if len(frame):
            frames.append(frame)
    for note in missing_shards(frames):
        warnings.warn(note, stacklevel=2)
    records = pd.concat(frames, ignore_index=True) if frames else pd.DataFrame()
    for name, (kind, _, _) in COLUMNS.items():  # a failed cell has few of them
        if kind is str:
            records[name] = records[name].fillna("") if name in records else pd.Series("", records.index, dtype=object)
        elif name not in records:
            records[name] = np.nan
    return records[[*COLUMNS, *(name for name in records if name not in COLUMNS)]]


def missing_shards(frames: Iterable[pd.DataFrame]) -> list[str]:
    """A sentence for each cell that is stored in shards of which some are not there. frames: one a file."""
    here: dict[tuple[str, str], set[str]] = defaultdict(set)
    for frame in frames:
        if "shard" in frame:
            here[frame["model"].iloc[0], frame["digest"].iloc[0]] |= set(
                frame.loc[~frame["status"].isin(NO_IMAGES), "shard"]
            )
    return [
        f"{model}-{digest} is not whole: shards {named} are missing, -m shard={named} computes them."
        for (model, digest), shards in sorted(here.items())
        if (named := ",".join(missing(shards)))
    ]


def _scores(cell: Path, columns: dict[str, np.ndarray]) -> dict[str, list[float]]:
    """The scores that were added to a cell after its run, one value a row. Raises UserError for another cell's."""
    found = {}
    for name in SCORES:
        if "index" in columns and (stored := read_score(cell, name)) is not None:
            about, values = stored
            if not str(about["digest"]).startswith(str(columns["digest"][0])):
                raise UserError(f"{score_file(cell, name)} belongs to another computation; remove it.")
            found[name] = [values.get(int(index), np.nan) for index in columns["index"]]
    return found


def _paths(source: Source) -> list[Path]:
    sources = [source] if isinstance(source, str | Path) else list(source)
    found: dict[Path, None] = {}
    for path in map(Path, sources):
        if path.is_dir():
            found |= dict.fromkeys(cells(path))
        elif path.suffix == ".h5" or path.exists():
            found[path] = None
        else:
            raise UserError(f"There are no results in {path}: no such folder.")
    return list(found)


def comparable(records: pd.DataFrame) -> list[pd.DataFrame]:
    """Split records into parts that `ranking` accepts: one test set, method, detector, scale, LR and window size each.

    Networks on luminance are a part of their own where the detector looks at RGB. Failed cells, which have no images,
    go with the parts whose labels they share.
    """
    absent = records["status"].isin(NO_IMAGES)
    failed, rows = records[absent], records[~absent]
    apart = (rows["channels"] == "y") & (rows["detector"] == "rgb")
    parts = []
    for _, part in rows.groupby([*ONE_OF, apart], dropna=False, sort=True):
        shared = ["dataset", "attribution", "detector"]
        here = ((failed[shared] == "") | (failed[shared] == part[shared].iloc[0])).all(axis=1)
        parts.append(pd.concat([part, failed[here]]) if here.any() else part)
    return parts


def common(records: pd.DataFrame) -> tuple[pd.DataFrame, list[str]]:
    """Finished rows at the images and windows that all networks have, and a sentence for each thing that is missing.

    Raises UserError when the records must not be compared (see ONE_OF) or share no image.
    """
    records = records.reset_index(drop=True)  # rows are found by it, and a frame of several may repeat its own
    good = records[(records["status"] == "ok") & np.isfinite(records["di"].astype(float))]
    if good.empty:
        raise UserError("There are no finished results to rank.")
    _refuse_mixtures(good)
    shared, notes = _common(records[records["index"].notna()], good)
    return shared, notes + failures(records)


def by_image(shared: pd.DataFrame, columns: Iterable[str] | None = None) -> dict[str, pd.DataFrame]:
    """For each column a table, images (by index) × networks (sorted), averaged over windows. shared: from `common`.

    columns: None: MEANS, and what of SCORES there is.
    """
    images = shared.groupby(["model", "index"], sort=True)
    added = [name for name in SCORES if name in shared and shared[name].notna().any()]
    chosen = [*MEANS, *added] if columns is None else columns
    return {name: images[name].mean().unstack("model") for name in chosen}


def ranking(records: pd.DataFrame, level: float = 0.95, n_resamples: int = RESAMPLES, seed: int = 0) -> pd.DataFrame:
    """Networks by mean diffusion index, on the images and windows that all of them have.

    Windows are averaged within an image, and images are what the bootstrap resamples (the same ones for every network
    and column). Columns: rank, model, family, n_parameters (−1: unknown), n_images, n_windows, mean_rank (of DI over
    images, 1: the largest), then for di, psnr_y, psnr_rgb, ssim_y and added scores the mean over images, its interval
    (_low, _high; BCa) and the median (_median); DI in percent, PSNR in dB. What is not finite for one image is NaN.
    `attrs["notes"]`: one sentence for each thing that is missing, empty when nothing is; `attrs["test"]`: the RankTest
    behind mean_rank.
    Raises UserError as `common` does.
    """
    shared, notes = common(records)
    means = by_image(shared)
    test = rank_test(means["di"].to_numpy())
    first = shared.groupby("model", sort=True)[["family", "n_parameters"]].first()
    table = pd.DataFrame(
        {
            "family": first["family"],
            "n_parameters": first["n_parameters"].fillna(-1).astype(int),
            "n_images": len(means["di"]),
            "n_windows": shared.groupby("model").size(),
            "mean_rank": pd.Series(test.mean_rank, means["di"].columns),
            **_summaries(means, level, n_resamples, seed),
        }
    )
    table = table.rename_axis("model").reset_index()
    table = table.sort_values("di", ascending=False, kind="stable", ignore_index=True)
    table.insert(0, "rank", table["di"].rank(ascending=False, method="min").astype(int))
    table.attrs |= {"notes": notes, "test": test}
    return table


def _summaries(means: dict[str, pd.DataFrame], level: float, n_resamples: int, seed: int) -> dict[str, pd.Series]:
    """Mean, interval and median of every column over images, with one set of resamples for all."""
    wide = pd.concat(means, axis=1)
    finite = np.isfinite(wide.to_numpy(float)).all(axis=0)
    low, high = np.full((2, wide.shape[1]), np.nan)
    low[finite], high[finite] = bootstrap_mean(wide.to_numpy(float)[:, finite], level, n_resamples, seed)
    bounds = pd.DataFrame({"low": low, "high": high}, wide.columns)
    found = {}
    for name, frame in means.items():
        whole = np.isfinite(frame.astype(float)).all()
        found[name] = frame.mean().where(whole)
        found[f"{name}_low"], found[f"{name}_high"] = bounds.loc[name, "low"], bounds.loc[name, "high"]
        found[f"{name}_median"] = frame.median().where(whole)
    return found


def _refuse_mixtures(good: pd.DataFrame) -> None:
    for column, what in ONE_OF.items():
        if len(values := good[column].unique()) > 1:
            shown = ", ".join(str(value) for value in sorted(values)[:4])
            raise UserError(
                f"Results with different {what} ({column} {shown}) are not comparable; rank the parts that "
                "lamscope.table.comparable(records) gives, or choose one."
            )
    mixed = good[(good["channels"] == "y") & (good["detector"] == "rgb")]["model"].unique()
    if 0 < len(mixed) < good["model"].nunique():
        raise UserError(
            f"{', '.join(sorted(mixed))} computes luminance only, where an RGB detector also sees the bicubic colour; "
            "rank it beside RGB networks with the Y detector."
        )
    if (other := good.groupby(["index", "image"])["lr_digest"].nunique()).max() > 1:
        image = other.index[other > 1][0][1]
        raise UserError(f"The LR image of {image} is not the same in all runs: other files or another downsampling.")
    twice = good[good.duplicated(["model", *PLACE], keep=False)]
    if len(twice):
        model = twice["model"].iloc[0]
        digests = ", ".join(sorted(twice[twice["model"] == model]["digest"].unique()))
        raise UserError(f"Several runs of {model} cover the same images (digests {digests}); choose one of them.")


def _common(present: pd.DataFrame, good: pd.DataFrame) -> tuple[pd.DataFrame, list[str]]:
    """Good rows at the places that every network has, and what each network lacks. present: good rows and NaN ones."""
    place = present.groupby(PLACE, sort=False, dropna=False).ngroup()
    images = present["image"].groupby(place).first().to_numpy()
    network, names = pd.factorize(good["model"], sort=True)
    models = [str(name) for name in names]
    have = np.zeros((len(models), len(images)), bool)
    have[network, place.loc[good.index].to_numpy()] = True
    notes = []
    for model, here in zip(models, have, strict=True):
        if len(lacking := images[~here]):
            named = list(dict.fromkeys(lacking))
            shown = ", ".join(named[:3]) + (", …" if len(named) > 3 else "")
            notes.append(f"{model} lacks {len(lacking)} of {len(images)} windows ({shown}).")
    shared = np.asarray(have.all(axis=0))
    absent = sorted(set(present["model"].unique()) - set(models))
    notes += [f"{model} has no finite result and is left out." for model in absent]
    if not shared.any():
        raise UserError(f"The networks have no image in common: {' '.join(notes)}")
    if notes:
        notes.append(f"The ranking uses the {shared.sum()} windows that all {len(models)} networks have.")
    return good[shared[place.loc[good.index].to_numpy()]], notes


def failures(records: pd.DataFrame) -> list[str]:
    """A sentence for each cell without images: which network, and why."""
    absent = records[records["status"].isin(NO_IMAGES)]
    verb = {"failed": "failed", "not applicable": "is left out, not applicable"}
    return [f"{row['model']} {verb[row['status']]}: {row['message'].rstrip('.')}." for row in absent.to_dict("records")]
