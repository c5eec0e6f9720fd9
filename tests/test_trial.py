"""The trial: its measures have closed forms, its planted truths are true, and it goes on where it was stopped."""

import numpy as np
import pandas as pd
import pytest
import torch

from lamscope.attribution.detectors import GradientMagnitude
from lamscope.config import compose
from lamscope.metrics import faithfulness as f
from lamscope.trial import measure
from lamscope.trial.criteria import shuffled
from lamscope.trial.planted import planted_networks
from lamscope.trial.verdict import judge, overview
from lamscope.types import UserError, Window


def test_average_precision_by_hand():
    truth = np.array([True, False, True, False])
    assert f.average_precision(np.array([4.0, 3, 2, 1]), truth) == pytest.approx((1 + 2 / 3) / 2)
    assert f.average_precision(np.array([4.0, 1, 3, 0]), truth) == 1
    assert f.average_precision(np.zeros(4), truth) == 0.5  # nothing told apart: the share of true pixels


def test_measures_of_agreement_by_hand():
    claimed = np.array([1.0, 2, 3])
    assert f.sensitivity(claimed, 5 * claimed + 1) == pytest.approx(1)
    assert f.infidelity(claimed, -2 * claimed) == pytest.approx(0)
    assert f.infidelity(np.array([1.0, 0]), np.array([0.0, 1])) == 1
    assert f.distribution_distance(np.array([1.0, 0]), np.array([0.0, 5])) == 1
    one = np.random.default_rng(0).normal(size=(3, 5, 5))
    assert f.cosine_distance(one, -3 * one) == pytest.approx(0, abs=1e-12)
    assert f.rank_correlation(one, 2 * one) == pytest.approx(1)
    assert np.isnan(f.cosine_distance(one, 0 * one)) and np.isnan(f.sensitivity(claimed, np.ones(3)))


@pytest.mark.parametrize("name", ["box", "periodic", "saturated"])
def test_planted_truth_is_where_a_change_changes_the_score(name):
    net, window, size = planted_networks()[name], Window(40, 52, 8), (28, 30)
    truth = net.truth(size, window)
    lr = torch.rand(1, 3, *size, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    score = lambda image: float(GradientMagnitude("rgb", "safe")(net(image), window)[0])  # noqa: E731
    for y, x in np.random.default_rng(0).permutation(np.argwhere(np.ones(size)))[:60]:
        other = lr.clone()
        other[..., y, x] += 0.3
        assert (score(other) != score(lr)) == truth[y, x]


def test_shuffled_weights_keep_their_distribution_and_leave_the_network(tiny_net):
    before = {k: v.clone() for k, v in tiny_net.state_dict().items()}
    all_of_it, last = (shuffled(tiny_net, part, 0).state_dict() for part in (1.0, 0.1))
    for key, value in before.items():
        assert torch.equal(tiny_net.state_dict()[key], value)
        assert torch.equal(all_of_it[key].flatten().sort().values, value.flatten().sort().values)
    changed = [k for k in before if not torch.equal(last[k], before[k])]  # three biases may fall on their own places
    assert "inner.tail.1.weight" in changed and all(k.startswith("inner.tail.1.") for k in changed)


def small(tmp_path, *more):
    settings = ["trial.methods=[gradient,lam]", "~trial.overrides.perturbation", "~trial.overrides.patch_swap"]
    settings += ["trial.n_subsets=4", "trial.shuffled=[1.0]"]
    criteria = "trial.criteria=[completeness,deletion,sensitivity,randomisation]"
    return compose(["experiment=methods", "dataset.limit=2", f"results={tmp_path}", criteria, *settings, *more])


@pytest.mark.slow
def test_a_trial_goes_on_where_it_was_stopped_and_judges(tmp_path):
    files = measure(small(tmp_path))
    stamps = {file: file.stat().st_mtime_ns for file in files}
    content = files[3].read_text()
    files[3].unlink()
    assert measure(small(tmp_path)) == files
    assert files[3].read_text() == content
    assert all(file.stat().st_mtime_ns == stamp for file, stamp in stamps.items() if file != files[3])
    details = judge(pd.concat(map(pd.read_csv, files)))
    assert set(details.loc[details["criterion"] == "completeness", "method"]) == {"lam"}
    assert (details.loc[details["method"] == "lam", "minus_lam"] == 0).all()
    assert {"gradient", "lam", "control: nearness", "control: random"} == set(overview(details)["method"])


def test_unknown_criteria_are_refused_before_anything_runs(tmp_path):
    with pytest.raises(UserError, match="no criterion 'beauty'"):
        measure(small(tmp_path, "trial.criteria=[beauty]"))
    assert not any(tmp_path.iterdir())
