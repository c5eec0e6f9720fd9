from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import stats

from lamscope.nested import KINDS, components, correlate, correlation

few = st.integers(-3, 3).map(float)  # ties are likely
REFERENCE = {"pearson": stats.pearsonr, "spearman": stats.spearmanr, "kendall": stats.kendalltau}


@given(st.sampled_from(KINDS), st.integers(3, 8).flatmap(lambda n: arrays(float, (2, n), elements=few)))
def test_rows_agree_with_scipy(kind: str, pair: np.ndarray):
    x, y = pair
    found = correlation(x[None], y[None], kind)[0]
    if np.ptp(x) == 0 or np.ptp(y) == 0:
        assert np.isnan(found)
    else:
        assert found == pytest.approx(REFERENCE[kind](x, y).statistic, abs=1e-9)


def table(n_images: int, n: int, noise: float, seed: int = 0) -> np.ndarray:
    random = np.random.default_rng(seed)
    return np.linspace(1, 3, n) + noise * random.normal(size=(n_images, n))


@pytest.mark.parametrize("kind", KINDS)
def test_a_relation_without_noise_is_certain(kind: str):
    x = np.exp(table(5, 6, 0.0))
    found = correlate(x, table(5, 6, 0.0), kind, logarithm=True, n_resamples=200)
    assert found.value == pytest.approx(1) and found.n == 6
    for low, high in (found.networks, found.images, found.both):
        assert (low, high) == pytest.approx((1, 1))


def test_what_is_resampled_is_what_spreads():
    """Networks far apart and noisy images: images matter little, networks much, both at least as much."""
    x, y = table(12, 9, 0.3), table(12, 9, 0.3, seed=1) * np.sign(np.arange(9) - 1.5)
    found = correlate(x, y, "pearson", n_resamples=999)
    assert found.value == pytest.approx(stats.pearsonr(x.mean(0), y.mean(0)).statistic)
    length = {name: np.ptp(getattr(found, name)) for name in ("networks", "images", "both")}
    assert 0 < length["images"] < length["networks"] and length["both"] > 0.9 * length["networks"]
    assert all(low <= found.value <= high for low, high in (found.networks, found.images, found.both))
    assert correlate(x, y, "pearson", n_resamples=999) == found  # the same seed, the same numbers


def test_what_has_no_correlation_says_so():
    two = correlate(table(4, 2, 0.1), table(4, 2, 0.1), "pearson", n_resamples=20)
    assert np.isnan([two.value, *two.networks, *two.both]).all() and two.n == 2
    four = correlate(table(4, 4, 0.1), table(4, 4, 0.1), "pearson", n_resamples=20)
    assert four.value > 0.9 and np.isnan([*four.networks, *four.both]).all() and np.isfinite(four.images).all()
    single = correlate(table(1, 5, 0.0), table(1, 5, 0.0), "kendall", n_resamples=20)
    assert single.value == 1 and np.isnan([*single.images, *single.both]).all()
    with pytest.raises(ValueError, match="finite"):
        correlate(np.full((2, 3), np.nan), np.ones((2, 3)), "pearson")
    with pytest.raises(ValueError, match="not tau"):
        correlate(np.ones((2, 3)), np.ones((2, 3)), "tau")


def test_components_of_equal_groups_are_the_textbooks():
    """Balanced: σ²s = MSs, σ²a = (MSa − MSs) / k, and F is scipy's."""
    values = np.array([[1.0, 1.2, 1.1], [2.0, 2.3, 2.1], [0.5, 0.4, 0.7]])
    found = components(values.ravel(), np.repeat(["a", "b", "c"], 3))
    within, between = values.var(1, ddof=1).mean(), 3 * values.mean(1).var(ddof=1)
    assert found.over_seeds == pytest.approx(np.sqrt(within))
    assert found.over_architectures == pytest.approx(np.sqrt((between - within) / 3))
    f = stats.f_oneway(*values).statistic
    assert found.icc == pytest.approx((f - 1) / (f + 2))
    assert 0 < found.low < found.icc < found.high < 1
    assert (found.n_architectures, found.n_repeated, found.n_runs) == (3, 3, 9)


def test_the_interval_of_the_share_covers_it():
    """Unequal groups, truth 0.8: about 95 of 100 intervals hold it."""
    random, groups, held = np.random.default_rng(0), np.repeat(np.arange(12), [3] * 4 + [1] * 8), 0
    for _ in range(400):
        values = 2 * random.normal(size=12)[groups] + random.normal(size=len(groups))
        found = components(values, groups)
        held += found.low <= 0.8 <= found.high
    assert 0.91 < held / 400 < 0.99


def test_without_repetition_there_are_no_components():
    assert np.isnan(components(np.arange(3.0), np.arange(3)).icc)
    same = components(np.ones(4), np.array([0, 0, 1, 1]))
    assert same.over_seeds == 0 and np.isnan(same.icc)
    assert components(np.array([1.0, 1, 2, 2]), np.array([0, 0, 1, 1])).icc == 1
