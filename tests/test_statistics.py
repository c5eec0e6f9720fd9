"""Intervals and correlations against SciPy and against what mathematics says."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import stats

from lamscope.statistics import bootstrap_mean, pearson, spearman

pairs = st.integers(3, 30).flatmap(
    lambda n: st.tuples(*[arrays(np.float64, n, elements=st.integers(-50, 50).map(float)) for _ in range(2)])
)


@pytest.mark.parametrize("method", ["BCa", "percentile"])
def test_interval_of_the_mean_is_scipys(method):
    values = np.random.default_rng(0).lognormal(size=(20, 3))
    low, high = bootstrap_mean(values, n_resamples=500, seed=7, method=method)
    for column in range(3):
        expected = stats.bootstrap(
            (values[:, column],), np.mean, n_resamples=500, method=method, rng=np.random.default_rng(7)
        ).confidence_interval
        np.testing.assert_allclose([low[column], high[column]], expected, rtol=1e-12)


@settings(max_examples=25, deadline=None)
@given(
    values=arrays(np.float64, st.tuples(st.integers(2, 25), st.integers(2, 4)), elements=st.floats(0, 40)),
    shift=st.floats(-5, 5),
    seed=st.integers(0, 100),
)
def test_networks_are_paired(values, shift, seed):
    """Same resamples for every column: a column's interval does not depend on its neighbours, and a shifted copy's is
    shifted by just that."""
    together = np.column_stack([values, values[:, 0] + shift])
    low, high = bootstrap_mean(together, n_resamples=200, seed=seed, method="percentile")
    alone_low, alone_high = bootstrap_mean(values[:, :1], n_resamples=200, seed=seed, method="percentile")
    np.testing.assert_allclose([low[0], high[0]], [alone_low[0], alone_high[0]], atol=1e-9)
    np.testing.assert_allclose([low[-1] - low[0], high[-1] - high[0]], shift, atol=1e-9)
    assert (low <= high + 1e-12).all()
    assert (low >= together.min(0) - 1e-9).all() and (high <= together.max(0) + 1e-9).all()


def test_interval_covers_the_truth_about_as_often_as_it_says():
    random = np.random.default_rng(1)
    samples = random.gamma(4, size=(30, 400))  # 400 networks with 30 images each, mean 4
    low, high = bootstrap_mean(samples, level=0.9, n_resamples=1000)
    assert 0.84 < np.mean((low < 4) & (high > 4)) < 0.94


def test_seed_decides_the_interval():
    values = np.random.default_rng(0).normal(size=(10, 2))
    np.testing.assert_array_equal(bootstrap_mean(values, seed=3), bootstrap_mean(values, seed=3))
    assert (np.array(bootstrap_mean(values, seed=3)) != np.array(bootstrap_mean(values, seed=4))).all()


@pytest.mark.filterwarnings("error")
def test_degenerate_samples():
    low, high = bootstrap_mean(np.array([[2.0, 5.0]]))
    assert np.isnan(low).all() and np.isnan(high).all()
    low, high = bootstrap_mean(np.column_stack([np.full(6, 0.1), np.arange(6.0)]), n_resamples=200)
    assert low[0] == high[0] == pytest.approx(0.1) and low[1] < 2.5 < high[1]
    for bad in (np.empty((0, 2)), np.array([[1.0], [np.nan]])):
        with pytest.raises(ValueError, match="finite"):
            bootstrap_mean(bad)


@settings(max_examples=40, deadline=None)
@given(xy=pairs)
def test_correlations_are_scipys(xy):
    x, y = xy
    for ours, theirs in ((pearson, stats.pearsonr), (spearman, stats.spearmanr)):
        found = ours(x, y, n_resamples=20)
        assert found.n == len(x)
        if np.ptp(x) == 0 or np.ptp(y) == 0:
            assert np.isnan([found.value, found.low, found.high]).all()
        else:
            assert found.value == pytest.approx(theirs(x, y).statistic, abs=1e-9)
            assert np.isnan(found.low) or -1 <= found.low <= found.high <= 1


def test_correlation_interval_is_near_the_analytic_one():
    random = np.random.default_rng(0)
    x = random.normal(size=200)
    y = 0.8 * x + 0.6 * random.normal(size=200)
    found = pearson(x, y, n_resamples=2000)
    expected = stats.pearsonr(x, y).confidence_interval(0.95)  # Fisher's z
    assert [found.low, found.high] == pytest.approx(expected, abs=0.02)
    assert found.low < spearman(x, y, n_resamples=50).value < found.high


@pytest.mark.filterwarnings("error")
def test_few_pairs():
    assert pearson([1, 2, 3, 4], [2, 4, 6, 8.5]).low > 0.9  # resamples of a single pair are left out
    assert pearson([1, 2], [1, 3]).value == pytest.approx(1) and np.isnan(pearson([1, 2], [1, 3]).low)
    for x, y in (([1, 2, np.inf], [1, 2, 3]), ([1, 2], [1, 2, 3])):
        with pytest.raises(ValueError, match="finite"):
            pearson(x, y)
