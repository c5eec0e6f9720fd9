"""Intervals and correlations against SciPy and against what mathematics says."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import stats

from lamscope.statistics import (
    alike,
    bootstrap_mean,
    holm,
    kendall_w,
    pearson,
    rank_test,
    resampled_means,
    sign_flip,
    sign_flip_family,
    spearman,
    within,
)

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


# ── ranks and agreement ──


def test_a_resample_is_the_mean_of_drawn_rows():
    values = np.random.default_rng(0).normal(size=(7, 2))
    rows = np.random.default_rng(5).integers(0, 7, (40, 7))
    np.testing.assert_allclose(resampled_means(values, 40, 5), values[rows].mean(axis=1), atol=1e-12)


@pytest.mark.parametrize(("k", "q"), [(2, 1.960), (3, 2.343), (4, 2.569), (5, 2.728), (10, 3.164)])
def test_critical_differences_are_demsars(k, q):
    """q of table 5 (a) of Demšar (JMLR 2006); his example has four classifiers on fourteen data sets: 1.25."""
    found = rank_test(np.random.default_rng(0).normal(size=(14, k)))
    assert found.critical_difference == pytest.approx(q * np.sqrt(k * (k + 1) / (6 * 14)), abs=1e-3)
    if k == 4:
        assert round(found.critical_difference, 2) == 1.25
        assert round(rank_test(np.arange(56.0).reshape(14, 4), alpha=0.1).critical_difference, 2) == 1.12


def test_friedman_by_its_definition():
    values = np.random.default_rng(0).normal(size=(14, 4)) + np.array([0, 0.3, 0.6, 2])
    found = rank_test(values)
    n, k = values.shape
    by_hand = 12 * n / (k * (k + 1)) * ((found.mean_rank**2).sum() - k * (k + 1) ** 2 / 4)
    assert found.statistic == pytest.approx(by_hand) and found.p == pytest.approx(stats.chi2.sf(by_hand, k - 1))
    assert found.mean_rank.argmin() == 3 and found.mean_rank.sum() == pytest.approx(k * (k + 1) / 2)
    assert np.isnan(rank_test(values[:, :2]).p)  # two networks have no Friedman test, but mean ranks
    assert rank_test(np.array([[3.0, 3, 1]])).mean_rank.tolist() == [1.5, 1.5, 3]


def test_networks_that_do_not_differ_are_joined_in_the_longest_runs():
    assert alike(np.array([1.0, 1.4, 2.1, 2.2, 5.0]), 1.0) == [(0, 1), (1, 3)]
    assert alike(np.array([1.0, 2.0, 3.0]), 5.0) == [(0, 2)]
    assert alike(np.array([1.0, 3.0, 5.0]), 1.0) == []


@settings(max_examples=30, deadline=None)
@given(
    values=arrays(np.float64, st.tuples(st.integers(3, 12), st.integers(2, 6)), elements=st.integers(0, 6).map(float))
)
def test_concordance_by_its_definition(values):
    found = kendall_w(values)
    n, m = values.shape
    ranks = stats.rankdata(values, axis=0)
    spread = ((ranks.sum(1) - m * (n + 1) / 2) ** 2).sum()
    ties = sum((c**3 - c).sum() for c in (np.unique(column, return_counts=True)[1] for column in values.T))
    largest = (m**2 * (n**3 - n) - m * ties) / 12
    if largest == 0:
        assert np.isnan(found.w)
    else:
        assert found.w == pytest.approx(spread / largest, abs=1e-9)


def test_concordance_and_mean_rank_correlation_say_the_same():
    values = np.random.default_rng(0).normal(size=(20, 5)) + np.linspace(0, 2, 20)[:, None]  # no ties
    correlation = stats.spearmanr(values).statistic[np.triu_indices(5, 1)].mean()
    assert kendall_w(values).w == pytest.approx((4 * correlation + 1) / 5)
    same = np.column_stack([np.arange(9.0)] * 4)
    assert kendall_w(same).w == pytest.approx(1) and np.isnan(kendall_w(same[:2]).w)


def test_correlation_within_images_is_the_mean_of_scipys_and_sees_no_difference_between_them():
    random = np.random.default_rng(0)
    x, y = random.normal(size=(2, 30, 6))
    for ranks, theirs in ((False, stats.pearsonr), (True, stats.spearmanr)):
        each = [theirs(a, b).statistic for a, b in zip(x, y, strict=True)]
        found = within(x, y, ranks=ranks, n_resamples=500)
        assert found.value == pytest.approx(np.mean(each)) and found.n == 30
        assert found.low < found.value < found.high
    image = 10 * np.arange(30.0)[:, None]
    assert within(x + image, y + image).value == pytest.approx(within(x, y).value)
    assert within(np.ones((4, 3)), y[:4, :3]).n == 0


@pytest.mark.parametrize("ask", [rank_test, kendall_w, lambda v: within(v, v)])
@pytest.mark.parametrize("bad", [np.zeros(3), np.empty((0, 2)), np.array([[1.0, np.nan]])])
def test_a_table_with_gaps_is_refused(ask, bad):
    with pytest.raises(ValueError, match="finite"):
        ask(bad)


@given(arrays(np.float64, st.tuples(st.integers(2, 7), st.integers(1, 6)), elements=st.floats(-9, 9, width=16)))
@settings(max_examples=60, deadline=None)
def test_family_of_sign_flips_by_its_definition(differences):
    """One by one from the largest, against the largest of those that are left (Westfall & Young 1993)."""
    n, k = differences.shape
    size = np.sqrt((differences**2).sum(0))
    share = np.divide(differences, size, out=np.zeros_like(differences), where=size > 0)
    flips = np.array(list(itertools.product((1, -1), repeat=n)))
    found, left, worst = np.empty(k), list(range(k)), 0.0
    while left:
        top = max(left, key=lambda j: abs(share[:, j].sum()))
        chances = [max(abs(flip @ share[:, j]) for j in left) >= abs(share[:, top].sum()) - 1e-12 for flip in flips]
        found[top] = worst = max(worst, float(np.mean(chances)))
        left.remove(top)
    np.testing.assert_allclose(sign_flip_family(differences), found, rtol=1e-12)


def test_a_family_of_one_is_a_single_test():
    for n in (6, 30):  # all flips, and some
        values = np.random.default_rng(n).normal(0.2, 1, (n, 1))
        np.testing.assert_allclose(sign_flip_family(values), sign_flip(values))


def test_a_family_errs_as_rarely_as_it_says_where_single_tests_do_not():
    random, single, family = np.random.default_rng(1), 0, 0
    for _ in range(300):
        values = random.normal(size=(8, 10)) + random.normal(size=(8, 1))
        single, family = single + (sign_flip(values) <= 0.05).any(), family + (sign_flip_family(values) <= 0.05).any()
    assert single > 0.12 * 300 and family < 0.08 * 300  # binomial: 0.05 ± 0.03 at 2.4 deviations


def test_a_family_keeps_what_holms_rule_cannot_find_in_few_images():
    values = np.linspace(1, 1.2, 6)[:, None] * np.linspace(0.5, 3, 17)
    assert (sign_flip_family(values) == 2 / 64).all() and (holm(sign_flip(values)) > 0.5).all()
