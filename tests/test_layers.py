"""Blocks shared by networks: the frozen mean shift and the checkpoint values it verifies."""

from __future__ import annotations

import pytest
import torch

from lamscope.models.layers import DIV2K_MEAN, MeanShift, rename, require_scale


def official_shift(sign, peak, prefix=""):
    """What the official module, a frozen 1×1 convolution, leaves in a checkpoint."""
    bias = sign * peak * torch.tensor(DIV2K_MEAN)
    return {f"{prefix}weight": torch.eye(3).view(3, 3, 1, 1), f"{prefix}bias": bias}


def test_mean_shift_is_exact_in_the_dtype_of_the_image():
    image = torch.zeros(1, 3, 2, 2, dtype=torch.float64)
    shifted = MeanShift(-1, 255.0)(image)
    assert shifted.dtype == torch.float64
    assert shifted[0, :, 1, 1].tolist() == [-255 * m for m in DIV2K_MEAN]
    assert not image.any()


def test_mean_shift_cancels():
    image = torch.rand(2, 3, 4, 5, dtype=torch.float64)
    torch.testing.assert_close(MeanShift(+1, 255.0)(MeanShift(-1, 255.0)(image)), image, rtol=0, atol=1e-12)


@pytest.mark.parametrize("prefix", ["", "shifter."])
def test_official_mean_shift_loads(prefix):
    shift = MeanShift(-1, 255.0)
    assert not shift.state_dict()
    shift.load_state_dict(official_shift(-1, 255.0, prefix))
    shift.load_state_dict({})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("bias", torch.tensor(DIV2K_MEAN)),  # sign
        ("bias", -torch.tensor(DIV2K_MEAN)),  # peak 1 instead of 255
        ("weight", 2 * torch.eye(3).view(3, 3, 1, 1)),  # a standard deviation of one half
        ("bias", torch.zeros(1)),
    ],
)
def test_wrong_mean_shift_is_reported(name, value):
    state = official_shift(-1, 255.0) | {name: value}
    with pytest.raises(RuntimeError, match=f"{name} is "):
        MeanShift(-1, 255.0).load_state_dict(state)


def test_unknown_entry_of_mean_shift_is_reported():
    with pytest.raises(RuntimeError, match="scale is "):
        MeanShift(-1, 255.0).load_state_dict(official_shift(-1, 255.0) | {"scale": torch.ones(3)})


def test_rename_applies_the_first_rule_that_matches_the_beginning():
    rules = [(r"body\.(\d)\.", lambda m: f"trunk.{int(m[1]) + 1}."), (r"body", "head"), (r"trunk", "never")]
    state = {"body.0.weight": 1, "body.bias": 2, "my.body.0.weight": 3}
    assert rename(state, rules) == {"trunk.1.weight": 1, "head.bias": 2, "my.body.0.weight": 3}
    assert list(state) == ["body.0.weight", "body.bias", "my.body.0.weight"]


def test_undefined_scale_is_named_with_the_choices():
    require_scale(4, [2, 3, 4], "Net")
    with pytest.raises(ValueError, match="^Scale 5 is not defined for Net; choose 2, 3 or 4.$"):
        require_scale(5, [2, 3, 4], "Net")
