"""The trial: its measures have closed forms, its planted truths are true, and it goes on where it was stopped."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch

from lamscope.attribution.detectors import GradientMagnitude
from lamscope.config import compose, instantiate
from lamscope.metrics import faithfulness as f
from lamscope.trial import measure
from lamscope.trial.cell import read
from lamscope.trial.controls import CONTROLS
from lamscope.trial.criteria import (
    ANSWERS,
    Scene,
    brightness,
    completeness,
    deletion,
    repeatability,
    saturation,
    shuffled,
)
from lamscope.trial.planted import planted_networks
from lamscope.trial.verdict import QUESTIONS, by_network, judge, legend, overview
from lamscope.types import Attribution, NotApplicable, UserError, Window


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


def scene(net, method, found=None, **settings):
    """A criterion's question about a method's map, or about a map that is given."""
    lr, window = (
        torch.rand(3, 30, 32, generator=torch.Generator().manual_seed(3), dtype=torch.float64),
        Window(52, 48, 8),
    )
    config = compose(["experiment=methods", f"attribution={method}"])
    method, references = instantiate(config.attribution), instantiate(config.trial["references"])
    map_ = method(net, lr, window) if found is None else Attribution(found, 1.0, None, None, None, 1, 0)
    return Scene(net, lr, window, method, map_, 0, SimpleNamespace(seed=0, **settings), references, {})


def answers(criterion, *given, **settings):
    return {(name, x): value for name, x, value in criterion(scene(*given, **settings))}


@pytest.mark.parametrize("name", ["box", "periodic", "saturated"])
def test_planted_dependence_is_recovered_by_what_should_and_not_by_nearness(name):
    net = planted_networks()[name]
    found = {m: scene(net, m) for m in ("gradient", "lam")}
    truth = net.truth((30, 32), found["lam"].window)
    precision = {m: f.average_precision(f.strength(s.found.map), truth) for m, s in found.items()}
    near = CONTROLS["control: nearness"](net, found["lam"].lr, found["lam"].window)
    assert min(precision.values()) > 0.99
    assert f.average_precision(f.strength(near.map), truth) < (1 if name == "box" else 0.5)


def test_deletion_and_insertion_by_what_was_planted():
    """Replaced to the last pixel of the truth the window is as if all were; the other pixels change nothing."""
    net = planted_networks()["periodic"]
    truth = net.truth((30, 32), Window(52, 48, 8))
    share = truth.mean()
    best, worst = (torch.from_numpy(m).expand(3, 30, 32) * 1.0 for m in (truth, ~truth))
    for fill in ("blur", "swap"):
        found = answers(deletion, net, "gradient", best, fractions=[share / 2, share])
        assert found[f"deletion {fill}", share] == pytest.approx(1) == found[f"insertion {fill}", share]
        assert found[f"deletion {fill}", share / 2] > 0
        found = answers(deletion, net, "gradient", worst, fractions=[1 - share])
        assert found[f"deletion {fill}", 1 - share] == pytest.approx(0, abs=1e-12)
        assert found[f"insertion {fill}", 1 - share] == pytest.approx(0, abs=1e-12)


def test_brightness_turns_what_holds_intensity():
    net, at = planted_networks()["box"], {"brighter": 0.1}
    (gradient,), (product,) = (list(answers(brightness, net, m, **at).values()) for m in ("gradient", "gradient_input"))
    assert gradient < 1e-12 and product > 1e-4


def test_saturation_and_completeness_know_which_methods_have_a_path():
    net = planted_networks()["box"]
    (gap,), (distance,) = (answers(c, net, "lam", path_steps=6).values() for c in (completeness, saturation))
    assert 0 <= gap < 0.1 and 0 <= distance < 1
    for criterion in (completeness, saturation, repeatability):
        with pytest.raises(NotApplicable):
            answers(criterion, net, "gradient")


def small(tmp_path, *more):
    settings = ["trial.methods=[gradient,lam]", "~trial.overrides.perturbation", "~trial.overrides.patch_swap"]
    settings += ["trial.n_subsets=4", "trial.shuffled=[1.0]"]
    criteria = "trial.criteria=[completeness,deletion,sensitivity,randomisation]"
    return compose(["experiment=methods", "dataset.limit=2", f"results={tmp_path}", criteria, *settings, *more])


@pytest.mark.slow
def test_a_trial_goes_on_where_it_was_stopped_and_judges(tmp_path):
    files = measure(small(tmp_path))
    assert len(files) == 2 * 4  # images × methods and controls
    stamps = {file: file.stat().st_mtime_ns for file in files}
    rows = read(files[3])
    rows[rows["asked"].isin(["cost", "completeness"])].to_csv(files[3], index=False)  # stopped in the middle
    assert measure(small(tmp_path)) == files
    pd.testing.assert_frame_equal(read(files[3]), rows)
    assert all(file.stat().st_mtime_ns == stamp for file, stamp in stamps.items() if file != files[3])
    assert measure(small(tmp_path, "dataset.limit=1")) == files[:4]  # a smaller trial is a part of the larger one
    details = judge(pd.concat(map(read, files)))
    complete = details[details["criterion"] == "completeness"].set_index("method")
    assert complete.loc["lam", "status"] == "ok" and complete.loc["lam", "minus_lam"] == 0
    assert complete.loc["gradient", "status"] == "not applicable" and "baseline" in complete.loc["gradient", "reason"]
    table = overview(details).set_index("method")
    assert set(table.index) == {"gradient", "lam", "control: nearness", "control: random"}
    assert table.loc["gradient", "completeness"] == "n/a" and table.loc["lam", "completeness"] not in ("n/a", "?", "–")


def rows(values, **more):
    """One network, one criterion: method → one value per image; None: not applicable."""
    return pd.DataFrame(
        {"model": "net", "method": m, "image": f"i{k}", "asked": "brightness", "criterion": "brightness", "x": np.nan,
         "value": np.nan if v is None else v, "status": "not applicable" if v is None else "ok",
         "reason": "why" if v is None else ""} | more
        for m, column in values.items() for k, v in enumerate(column)
    )  # fmt: skip


def test_verdicts_are_paired_over_images_and_take_six():
    lam = np.linspace(1, 9, 6)
    methods = {"lam": lam, "near": lam - 0.1 - 0.01 * lam, "mixed": lam + 0.1 * np.array([1, -1, 2, -1, 3, -4])}
    judged = judge(rows(methods)).set_index("method")
    assert judged["verdict"].to_dict() == {"lam": "–", "mixed": "open", "near": "better"}  # smaller is better here
    assert judged.loc["near", ["p", "p_family"]].tolist() == pytest.approx([2 / 64, 2 / 64])
    few = judge(rows({m: v[:5] for m, v in methods.items()})).set_index("method")
    assert few.loc["near", "verdict"] == "open" and few.loc["near", "minus_lam_high"] < 0
    assert "no p is below 0.062, so there are none" in legend(5) and legend(6).count("none") == 0


def test_a_difference_that_others_have_by_chance_is_marked_as_uncorrected():
    lam, chance = np.ones(6), 0.1 * np.array([1, 1.1, 0.9, -1, 1.05, -0.95])
    judged = judge(rows({"lam": lam, "uneven": [1.1, 1.2, 4, 1.1, 1.2, 1.1], "even": lam + chance}))
    judged = judged.set_index("method")
    assert judged["verdict"].to_dict() == {"lam": "–", "even": "open", "uneven": "worse (uncorrected)"}
    assert judged.loc["uneven", "p"] == 2 / 64 and judged.loc["uneven", "p_family"] == 16 / 64
    table = overview(judged.reset_index()).set_index("method")["brightness"]
    assert table["uneven"].endswith(" ▽") and table["even"] == "1.03"


def test_rounding_is_no_difference():
    lam = np.full(6, 0.9)
    judged = judge(rows({"lam": lam, "same": np.nextafter(lam, 1)})).set_index("method")
    assert judged.loc["same", "verdict"] == "open" and judged.loc["same", "p"] == 1


def test_what_is_missing_has_a_row_with_a_reason():
    both = pd.concat([rows({"lam": [1, 2], "no": [None, None], "part": [1, None], "once": [1, 2]}),
                      rows({"lam": [1, 2], "no": [None, None], "part": [1, 2]}, model="other")])  # fmt: skip
    judged = judge(both).set_index("method")
    status = {"lam": "ok", "no": "not applicable", "once": "incomplete", "part": "incomplete"}
    assert judged["status"].to_dict() == status
    assert judged.loc["no", "reason"] == "why" and judged.loc["once", "reason"] == "Not measured on other."
    assert by_network(both).set_index(["method", "model"])["n_images"].to_dict() == {
        ("lam", "net"): 2, ("lam", "other"): 2, ("once", "net"): 2, ("part", "net"): 1, ("part", "other"): 2,
    }  # fmt: skip


def test_every_question_ends_in_numbers_that_are_judged():
    assert {name for names in ANSWERS.values() for name in names} == set(QUESTIONS)


def test_unknown_criteria_are_refused_before_anything_runs(tmp_path):
    with pytest.raises(UserError, match="no criterion 'beauty'"):
        measure(small(tmp_path, "trial.criteria=[beauty]"))
    assert not any(tmp_path.iterdir())
