"""Gini, DI, effective pixels and the area of contribution, against their definitions and the reference's numbers."""

from __future__ import annotations

import csv
import doctest
import math
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.stats import gaussian_kde

from lamscope.metrics import concentration
from lamscope.metrics.concentration import (
    area_of_contribution,
    areas_of_contribution,
    diffusion_index,
    effective_pixels,
    gini,
    gini_paper,
)

maps = arrays(np.float64, (5, 7), elements=st.floats(-1e3, 1e3)).filter(lambda a: np.abs(a).max() > 1e-3)


def test_docstrings() -> None:
    assert doctest.testmod(concentration).failed == 0


@settings(deadline=None, max_examples=40)
@given(maps)
def test_gini_is_its_definition(values: np.ndarray) -> None:
    g = np.abs(values).ravel()
    expected = np.abs(g[:, None] - g[None]).sum() / (2 * g.size**2 * g.mean())
    assert gini(values) == pytest.approx(expected, abs=1e-12)
    assert 0 <= gini(values) <= 1 - 1 / g.size + 1e-12


@settings(deadline=None, max_examples=40)
@given(maps, st.floats(1e-6, 1e6), st.randoms())
def test_scale_sign_and_order_do_not_matter(values: np.ndarray, factor: float, random) -> None:
    order = list(range(values.size))
    random.shuffle(order)
    shuffled = values.ravel()[order].reshape(values.shape)
    for measure in (gini, gini_paper, effective_pixels):
        assert measure(-factor * shuffled) == pytest.approx(measure(values), rel=1e-9, abs=1e-12)


@pytest.mark.parametrize("n", [2, 64, 4096])
def test_uniform_and_one_hot(n: int) -> None:
    one_hot = np.zeros((3, n, 1))
    one_hot[1, n // 2] = -7
    assert gini(np.full((n, 1), 0.1)) == 0
    assert effective_pixels(np.full((n, 1), 0.1)) == pytest.approx(n)
    assert diffusion_index(np.full((n, 1), 0.1)) == 100
    assert gini(one_hot) == pytest.approx(1 - 1 / n, abs=1e-15)
    assert gini_paper(one_hot) == pytest.approx((1 - 1 / n) / (1 + n * 1e-7), abs=1e-12)
    assert effective_pixels(one_hot) == 1


def test_channels_are_summed_before_the_absolute_value() -> None:
    cancelling = np.zeros((3, 2, 2))
    cancelling[0], cancelling[1] = [[1, 5], [0, 0]], [[0, -5], [0, 0]]
    assert gini(cancelling) == 0.75
    assert gini(cancelling.sum(0)) == gini(cancelling.sum(0, keepdims=True)) == 0.75


@pytest.mark.parametrize("bad", [np.zeros((3, 4, 4)), np.full((4, 4), np.nan), np.array([[1.0, np.inf]])])
def test_no_number_for_a_map_without_one(bad: np.ndarray) -> None:
    for measure in (gini, gini_paper, diffusion_index, effective_pixels):
        assert math.isnan(measure(bad))
    assert np.isnan(area_of_contribution(bad)).all()


def test_wrong_shapes() -> None:
    for bad in (np.ones((1, 3, 4, 4)), np.ones((3, 0, 4)), 1.0):
        with pytest.raises(ValueError, match="has the shape"):
            gini(bad)


def test_tensors_are_taken_and_left_alone() -> None:
    values = torch.randn(3, 4, 5, generator=torch.Generator().manual_seed(0))
    before = values.clone()
    for kind in (values, values.clone().requires_grad_(), values.double()):
        assert diffusion_index(kind) == diffusion_index(values.numpy())
    assert math.isfinite(gini(values.bfloat16()))
    assert torch.equal(values, before)


@settings(deadline=None, max_examples=40)
@given(maps, st.integers(0, 9), st.integers(0, 9))
def test_effective_pixels_do_not_see_the_frame(values: np.ndarray, top: int, left: int) -> None:
    padded = np.pad(values, ((top, 3), (left, 0)))
    assert effective_pixels(padded) == pytest.approx(effective_pixels(values), rel=1e-12)
    assert effective_pixels(padded) == pytest.approx(padded.size * (1 - gini(padded)), rel=1e-9)


@pytest.mark.shared
def test_di_of_the_reference_s_maps(shared: Path) -> None:
    folder = shared / "oracle" / "lam_real"
    with (folder / "index.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) >= 32
    for row in rows:
        golden = np.load(folder / f"{row['net']}_{row['img']}_{row['h']}_{row['w']}.npz")["map"]
        assert diffusion_index(golden) == pytest.approx(float(row["DI"]), abs=1e-4)
        assert gini_paper(golden) == pytest.approx(float(row["gini"]), abs=1e-6)


@pytest.mark.parametrize("shape", [(24, 24), (17, 30), (31, 8)])
def test_area_is_scipy_s_density(shape: tuple[int, int]) -> None:
    rng = np.random.default_rng(0)
    y, x = np.mgrid[: shape[0], : shape[1]]
    values = rng.random(shape) * np.exp(-((y - 9) ** 2 + 0.5 * (y - 9) * (x - 5) + (x - 5) ** 2) / 20)
    density = gaussian_kde(np.stack([y.ravel(), x.ravel()]), weights=values.ravel())
    expected = density(np.stack([y.ravel(), x.ravel()])).reshape(shape)
    np.testing.assert_allclose(area_of_contribution(values), expected / expected.max(), rtol=0, atol=1e-10)


def test_areas_of_many_maps_are_those_of_each() -> None:
    rng = np.random.default_rng(0)
    many = [*rng.standard_normal((3, 3, 17, 12)), np.zeros((3, 17, 12)), np.full((3, 17, 12), np.nan)]
    together = areas_of_contribution(many)
    assert together.shape == (5, 17, 12) and np.isnan(together[3:]).all()
    for area, one in zip(together, many, strict=True):
        np.testing.assert_allclose(area, area_of_contribution(one), rtol=0, atol=1e-14)


def test_a_line_has_no_area() -> None:
    diagonal = np.eye(9)
    assert np.isnan(area_of_contribution(diagonal)).all()
    assert np.isnan(area_of_contribution(diagonal * np.eye(9)[4])).all()
    diagonal[0, 1] = 0.1
    assert area_of_contribution(diagonal).max() == 1


def test_importing_it_does_not_import_torch() -> None:
    code = (
        "import sys; import lamscope.metrics.concentration, lamscope.metrics.fidelity, lamscope.metrics.cost; "
        "print('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "False\n"
