"""What the trained networks say together: who looks how wide and scores how well, whether the one goes with the other,
and how much of either is the seed. Needs no torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from ..maps import survey
from ..nested import KINDS, LEAST, components, correlate
from ..statistics import within
from ..table import by_image, common, ranking
from ..types import UserError

BUDGET = (150_000, 250_000)  # parameters of a network that is as large as the others
SAME_SIZE = f"{BUDGET[0] // 1000}–{BUDGET[1] // 1000} K parameters"
QUANTITIES = {
    "ln_di": "ln DI",
    "psnr_y": "PSNR-Y, dB",
    "window_psnr_y": "PSNR-Y in the window, dB",
    "r90": "r90, LR pixels",
}
PAIRS = (("ln_di", "psnr_y"), ("ln_di", "window_psnr_y"), ("r90", "psnr_y"))
COLUMNS = [
    *("x", "y", "scope", "kind", "value", "n"),
    *(f"{over}_{end}" for over in ("networks", "images", "both") for end in ("low", "high")),
]


@dataclass(frozen=True)
class Runs:
    """Every trained run on one test set. table: one row a run (run, network, family, seed, n_parameters, means), the
    widest first. by_image: di, psnr_y, window_psnr_y, r90 as images × runs, in the table's order. Runs have names of
    their own: edsr_lite, edsr_lite#1, …"""

    records: pd.DataFrame
    table: pd.DataFrame
    by_image: dict[str, np.ndarray]
    notes: list[str]


def gather(records: pd.DataFrame) -> Runs:
    """Means over the images that all runs have finite. Raises UserError as `common` does, and when none is left."""
    lowest = records.groupby("model")["seed"].transform("min")
    names = records["model"].where(records["seed"] == lowest, records["model"] + "#" + records["seed"].astype(str))
    records = records.assign(network=records["model"], run=names)
    named = records.assign(model=names)
    shared, notes = common(named)
    means = by_image(shared, ["di", "psnr_y", "window_psnr_y"])
    finite = np.all([np.isfinite(values).all(axis=1) for values in means.values()], axis=0)
    finite &= (means["di"] > 0).all(axis=1).to_numpy()
    if not finite.any():
        raise UserError("No image has a finite PSNR and a positive DI for every run.")
    if not finite.all():
        notes = [*notes, f"{(~finite).sum()} images without a finite PSNR or ln DI for every run are left out."]
        kept = means["di"].index[finite]
        named, means = named[named["index"].isin(kept)], {name: table.loc[kept] for name, table in means.items()}
    surveyed, ranked = survey(named), ranking(named).set_index("model")
    about = named.groupby("model")[["network", "family", "seed", "n_parameters"]].first()
    table = about.loc[means["di"].columns].rename_axis("run").reset_index()
    table = table.astype({"seed": int, "n_parameters": int})
    for column in ("di", "di_low", "di_high", "psnr_y", "psnr_y_low", "psnr_y_high"):
        table[column] = ranked.loc[table["run"], column].to_numpy()
    table["window_psnr_y"] = means["window_psnr_y"].mean().loc[table["run"]].to_numpy()
    table[["r50", "r90"]] = surveyed.reach.set_index("model").loc[table["run"], ["r50", "r90"]].to_numpy()
    images = {name: values.loc[:, table["run"]].to_numpy(float) for name, values in means.items()}
    images["r90"] = surveyed.far.loc[means["di"].index, table["run"]].to_numpy(float)
    order = table.sort_values(["di", "run"], ascending=[False, True], kind="stable").index.to_numpy()
    images = {name: values[:, order] for name, values in images.items()}
    return Runs(records, table.loc[order].reset_index(drop=True), images, notes)


def one_each(table: pd.DataFrame) -> np.ndarray:
    """Which rows are their network's lowest seed: one run a network."""
    return (table["seed"] == table.groupby("network")["seed"].transform("min")).to_numpy()


def correlations(runs: Runs, n_resamples: int = 4999) -> pd.DataFrame:
    """Of ln DI and of r90 with PSNR: over networks (`nested.correlate`) and within images (`statistics.within`).

    Scopes: all networks, one run each; those of BUDGET; each family of three or more within BUDGET; all with the seeds
    averaged; within images. Columns: COLUMNS; an interval that does not apply is NaN.
    """
    cases = _scopes(runs)
    rows: list[dict[str, Any]] = []
    for x, y in PAIRS:
        for scope, columns in cases.items():
            a, b = columns["di" if x == "ln_di" else x], columns[y]
            for kind in KINDS:
                found = correlate(a, b, kind, x == "ln_di", n_resamples=n_resamples)
                row = {"x": x, "y": y, "scope": scope, "kind": kind, "value": found.value, "n": found.n}
                for over in ("networks", "images", "both"):
                    row[f"{over}_low"], row[f"{over}_high"] = getattr(found, over)
                rows.append(row)
        for scope in ("all", SAME_SIZE):
            if scope in cases:
                a, b = cases[scope]["di" if x == "ln_di" else x], cases[scope][y]
                for kind in KINDS[:2]:
                    inside = within(np.log(a) if x == "ln_di" else a, b, ranks=kind == "spearman")
                    row = {"x": x, "y": y, "scope": f"within images, {scope}", "kind": kind, "value": inside.value}
                    rows.append(row | {"images_low": inside.low, "images_high": inside.high, "n": a.shape[1]})
    return pd.DataFrame(rows).reindex(columns=COLUMNS)


def _scopes(runs: Runs) -> dict[str, dict[str, np.ndarray]]:
    """Scope → the tables of its networks, those of three or more networks."""
    table, one = runs.table, one_each(runs.table)
    size = table["n_parameters"].between(*BUDGET).to_numpy()
    chosen = {"all": one, SAME_SIZE: one & size}
    chosen |= {f: one & size & (table["family"] == f).to_numpy() for f in sorted(table["family"].unique())}
    cases = {
        scope: {name: values[:, here] for name, values in runs.by_image.items()}
        for scope, here in chosen.items()
        if here.sum() >= LEAST
    }
    networks = table["network"].unique()
    if not one.all() and len(networks) >= LEAST:
        of = [(table["network"] == network).to_numpy() for network in networks]
        cases["all, seeds averaged"] = {
            name: np.stack([values[:, here].mean(1) for here in of], 1) for name, values in runs.by_image.items()
        }
    return cases


def variation(runs: Runs) -> pd.DataFrame:
    """Seeds against architectures, quantity by quantity: `nested.components`, and pairs_beyond_seeds: what share of
    pairs of architectures is further apart than 95 % of pairs of runs of one: 1.96 · √2 · over_seeds."""
    table = runs.table.assign(ln_di=np.log(runs.table["di"]))
    size = table["n_parameters"].between(*BUDGET).to_numpy()
    rows = []
    for scope, chosen in (("all", np.full(len(table), True)), (SAME_SIZE, size)):
        for name in QUANTITIES:
            part = table[chosen]
            found = components(part[name].to_numpy(), part["network"].to_numpy())
            means = part.groupby("network")[name].mean().to_numpy()
            apart = np.abs(np.subtract.outer(means, means))[np.triu_indices(len(means), 1)]
            known = len(apart) > 0 and np.isfinite(found.over_seeds)
            beyond = float((apart > 1.96 * np.sqrt(2) * found.over_seeds).mean()) if known else np.nan
            rows.append({"quantity": name, "scope": scope, **vars(found), "pairs_beyond_seeds": beyond})
    return pd.DataFrame(rows)
