"""What all networks together say about a test set: which images look wide, whether networks agree, what goes along.

Everything here uses the images and windows that all networks have (`table.common`), averages windows within an image,
and puts into `attrs["notes"]` what is missing.
"""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pandas as pd

from .statistics import (
    RESAMPLES,
    Concordance,
    Correlation,
    bootstrap_mean,
    holm,
    kendall_w,
    pearson,
    rank_test,
    sign_flip,
    spearman,
    within,
)
from .table import by_image, common
from .types import UserError

LEAST = 3  # points from which on a correlation is given


def image_ranking(records: pd.DataFrame, by: str = "max") -> pd.DataFrame:
    """Images by diffusion index over networks, the smallest first (the supplement's rule: by the maximum).

    by: max or mean. Columns: rank (1: the smallest), index, image, di_max, di_mean, widest, narrowest (networks).
    """
    if by not in ("max", "mean"):
        raise UserError(f"Images are ranked by max or mean, not '{by}'.")
    shared, notes = common(records)
    di = by_image(shared, ["di"])["di"]
    names = shared.groupby("index")["image"].first()
    table = pd.DataFrame(
        {
            "index": di.index,
            "image": names.loc[di.index].to_numpy(),
            "di_max": di.max(axis=1).to_numpy(),
            "di_mean": di.mean(axis=1).to_numpy(),
            "widest": di.idxmax(axis=1).to_numpy(),
            "narrowest": di.idxmin(axis=1).to_numpy(),
        }
    ).sort_values(f"di_{by}", kind="stable", ignore_index=True)
    table.insert(0, "rank", np.arange(1, len(table) + 1))
    table.attrs["notes"] = notes
    return table


def agreement_on_images(records: pd.DataFrame) -> Concordance:
    """Kendall's W: do networks order the images by diffusion index alike?"""
    return kendall_w(by_image(common(records)[0], ["di"])["di"].to_numpy())


def pairwise(records: pd.DataFrame, level: float = 0.95, n_resamples: int = RESAMPLES, seed: int = 0) -> pd.DataFrame:
    """Every two networks on the same images: a, b, the mean of DI(a) − DI(b) in percentage points with its interval
    (difference, low, high; BCa, images resampled), the difference of mean ranks, and whether it exceeds Nemenyi's
    critical difference. a is the wider one of the two."""
    shared, notes = common(records)
    di = by_image(shared, ["di"])["di"]
    di = di[di.mean().sort_values(ascending=False, kind="stable").index]
    test = rank_test(di.to_numpy())
    pairs = list(combinations(range(di.shape[1]), 2))
    first, second = np.array(pairs, int).reshape(-1, 2).T
    differences = di.to_numpy()[:, first] - di.to_numpy()[:, second]
    low, high = bootstrap_mean(differences, level, n_resamples, seed)
    ranks = test.mean_rank[second] - test.mean_rank[first]
    table = pd.DataFrame(
        {
            "a": di.columns[first],
            "b": di.columns[second],
            "difference": differences.mean(0),
            "low": low,
            "high": high,
            "rank_difference": ranks,
            "differs": np.abs(ranks) > test.critical_difference,
        }
    )
    table.attrs |= {"notes": notes, "test": test}
    return table


def against(
    records: pd.DataFrame, newcomer: str, level: float = 0.95, n_resamples: int = RESAMPLES, seed: int = 0
) -> pd.DataFrame:
    """One network against every other on the same images, the one with the largest DI first.

    Columns: model (the other one), n_images, and for di, psnr_y and psnr_rgb the mean over images of newcomer − other,
    its interval (_low, _high; BCa, the same resamples of images for all), the p-value of a two-sided sign-flip
    permutation test of that mean (_p), and Holm's p-value over the others (_holm). NaN where an image is not finite.
    """
    shared, notes = common(records)
    values = ["di", "psnr_y", "psnr_rgb"]
    tables = by_image(shared, values)
    if newcomer not in tables["di"]:
        raise UserError(f"{newcomer} has no finite result to compare.")
    order = tables["di"].mean().sort_values(ascending=False, kind="stable").index
    others = [str(name) for name in order if name != newcomer]
    if not others:
        raise UserError(f"There is no network to compare {newcomer} with.")
    found: dict[str, object] = {"model": others, "n_images": len(tables["di"])}
    for value in values:
        table = tables[value].astype(float)
        differences = table[newcomer].to_numpy()[:, None] - table[others].to_numpy()
        finite = np.isfinite(differences).all(axis=0)
        mean, low, high, p, adjusted = np.full((5, len(others)), np.nan)
        if finite.any():
            kept = differences[:, finite]
            mean[finite] = kept.mean(0)
            low[finite], high[finite] = bootstrap_mean(kept, level, n_resamples, seed)
            p[finite] = sign_flip(kept, n_resamples, seed)
            adjusted[finite] = holm(p[finite])
        names = (value, f"{value}_low", f"{value}_high", f"{value}_p", f"{value}_holm")
        found |= dict(zip(names, (mean, low, high, p, adjusted), strict=True))
    frame = pd.DataFrame(found)
    frame.attrs["notes"] = notes
    return frame


def correlations(
    records: pd.DataFrame,
    value: str = "psnr_y",
    level: float = 0.95,
    n_resamples: int = RESAMPLES,
    seed: int = 0,
) -> pd.DataFrame:
    """Does a wider look go with a better score? Correlation of `value` (psnr_y, psnr_rgb, ssim_y) with ln DI.

    One row per scope and kind (pearson, spearman), with value, low, high and n:
    - over networks (means over images), "all" or one family: the interval is a bootstrap over networks;
    - "within images": the mean over images of the correlation across networks, which no difference between images can
      feign; the interval is a bootstrap over images.
    Below three networks a correlation says nothing and is NaN. An image whose score or DI has no finite logarithm (an
    exact reconstruction, a DI of 0) is left out for every network, and a note says so.
    """
    shared, notes = common(records)
    tables = by_image(shared, ["di", value])
    with np.errstate(divide="ignore"):
        finite = (np.isfinite(np.log(tables["di"])) & np.isfinite(tables[value])).all(axis=1)
    if not finite.all():
        notes = [*notes, f"{(~finite).sum()} images without a finite {value} or ln DI are left out."]
    di, score = tables["di"][finite], tables[value][finite]
    if di.empty:
        raise UserError(f"No image has a finite {value} and ln DI for every network.")
    family = shared.groupby("model")["family"].first().loc[di.columns]
    x, y = np.log(di.mean().to_numpy()), score.mean().to_numpy()
    how = {"level": level, "n_resamples": n_resamples, "seed": seed}
    scopes = {"all": np.full(len(x), True)}
    if family.nunique() > 1:
        scopes |= {name: (family == name).to_numpy() for name in sorted(family.unique())}
    rows = []
    for scope, chosen in scopes.items():
        for kind, statistic in (("pearson", pearson), ("spearman", spearman)):
            enough = chosen.sum() >= LEAST
            found = statistic(x[chosen], y[chosen], **how) if enough else _nothing(int(chosen.sum()))
            rows.append(_row(scope, kind, "networks", found))
    for kind in ("pearson", "spearman"):
        enough = di.shape[1] >= LEAST
        pair = np.log(di.to_numpy()), score.to_numpy()
        found = within(*pair, ranks=kind == "spearman", **how) if enough else _nothing(len(di))
        rows.append(_row("within images", kind, "images", found))
    table = pd.DataFrame(rows)
    table.attrs["notes"] = notes
    return table


def _nothing(n: int) -> Correlation:
    return Correlation(np.nan, np.nan, np.nan, n)


def _row(scope: str, kind: str, over: str, found: Correlation) -> dict[str, object]:
    return {
        "scope": scope,
        "kind": kind,
        "value": found.value,
        "low": found.low,
        "high": found.high,
        "n": found.n,
        "over": over,
    }
