"""What width and depth do to one network: PSNR against DI along a sweep of one setting (after Fig. 7c)."""

from __future__ import annotations

import json
from itertools import groupby
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from ..table import ranking
from ..types import UserError
from . import style


def draw(
    records: pd.DataFrame,
    ax: Axes | None = None,
    *,
    width: float = style.SINGLE,
    height: float = 2.7,
    value: str = "psnr_y",
    value_label: str = "PSNR-Y (dB)",
) -> Axes:
    """One path a sweep: variants of a network that differ in one number only, joined in its order and labelled by it.

    records: one setting, with the columns `base` and `setting` of `variants.name_variants`. Bars: 95 % intervals over
    images. Points are means over the images that all networks of the records have. Raises UserError where no network
    was run with two values or more of one setting, and as `ranking` does.
    """
    table = ranking(records).set_index("model")
    sweeps = _sweeps(records)
    if not sweeps:
        raise UserError("No network was run in several settings: sweep one, as in model.net.width=32,64,128.")
    families = records.groupby("base")["family"].first()
    looks = style.looks([(f"{base}, {key}", families[base]) for base, key, _ in sweeps])
    ax = style.new_axes(width, height + 0.125 * len(sweeps)) if ax is None else ax
    lines = ["-", "--", ":", "-."]
    with style.paper():
        for number, (base, key, points) in enumerate(sweeps):
            look, rows = looks[f"{base}, {key}"], table.loc[[model for _, model in points]]
            x, y = rows["di"].to_numpy(), rows[value].to_numpy()
            spread = np.abs(np.array([rows["di_low"] - x, rows["di_high"] - x]))
            ax.errorbar(x, y, xerr=np.nan_to_num(spread), fmt="none", ecolor=look.colour, elinewidth=0.5, alpha=0.5)
            ax.plot(
                x, y, look.marker, ls=lines[number % len(lines)], color=look.colour, ms=4 * look.size, lw=0.9,
                mec="white", mew=0.4, label=f"{style.label(base)}, {key}",
            )  # fmt: skip
            for (setting, _), at in zip(points, zip(x, y, strict=True), strict=True):
                ax.annotate(f"{setting:g}", at, (3, 3), "data", "offset points", fontsize=style.SMALL, color=look.ink)
        ax.set_xscale("log")
        ax.xaxis.set_major_formatter("{x:g}")
        ax.xaxis.set_minor_formatter(lambda v, _: f"{v:g}" if f"{v:e}"[0] in "25" else "")
        ax.margins(0.12)
        ax.set_xlabel("DI (%), mean over images")
        ax.set_ylabel(value_label)
        ax.grid(which="both")
        ax.legend(loc="lower left", bbox_to_anchor=(0, 1.01), borderaxespad=0, handlelength=2.2)
    return ax


def _sweeps(records: pd.DataFrame) -> list[tuple[str, str, list[tuple[float, str]]]]:
    """(network, setting, [(its value, variant)] in the order of values), where all other settings are equal."""
    variants = records.loc[records["setting"] != "", ["base", "model", "setting"]].drop_duplicates()
    found = []
    for base, rows in variants.groupby("base", sort=True):
        settings = {model: json.loads(text) for model, text in zip(rows["model"], rows["setting"], strict=True)}
        keys = sorted({key for one in settings.values() for key in one})
        for key in keys:
            numbers = {m: one for m, one in settings.items() if _is_number(one.get(key))}

            def others(model: str, key: str = key, numbers: dict[str, Any] = numbers) -> str:
                return json.dumps({k: v for k, v in numbers[model].items() if k != key}, sort_keys=True)

            for rest, models in groupby(sorted(numbers, key=others), key=others):
                points = sorted((float(numbers[model][key]), model) for model in models)
                if len({at for at, _ in points}) == len(points) > 1:
                    beside = ", ".join(f"{k}={v}" for k, v in json.loads(rest).items())
                    found.append((str(base), f"{key} ({beside})" if beside else key, points))
    return found


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
