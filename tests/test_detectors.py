import pytest
import torch

from lamscope.attribution.detectors import LUMA, GradientMagnitude
from lamscope.types import UserError, Window

WINDOW = Window(y=2, x=3, size=4)


def naive(sr, window):
    total = 0.0
    for c in range(sr.shape[0]):
        for y in range(window.y, window.y + window.size):
            for x in range(window.x, window.x + window.size):
                total += ((sr[c, y, x] - sr[c, y + 1, x]) ** 2 + (sr[c, y, x] - sr[c, y, x + 1]) ** 2) ** 0.5
    return total


@pytest.mark.parametrize("root", ["safe", "reference"])
def test_score_is_the_sum_of_gradient_magnitudes(root):
    sr = torch.rand(2, 3, 9, 10, dtype=torch.float64)
    scores, flat = GradientMagnitude("rgb", root)(sr, WINDOW)
    assert torch.allclose(scores, torch.stack([naive(s, WINDOW) for s in sr]), rtol=1e-12)
    assert flat.tolist() == [0, 0]


def test_luminance_detector_sees_luma_only():
    sr = torch.rand(1, 3, 9, 10, dtype=torch.float64)
    luma = sum(w * sr[:, i : i + 1] for i, w in enumerate(LUMA))
    scores, _ = GradientMagnitude("y", "safe")(sr, WINDOW)
    assert torch.allclose(scores[0], naive(luma[0], WINDOW), rtol=1e-12)


@pytest.mark.parametrize("channels", ["rgb", "y"])
def test_gradient_is_right(channels):
    sr = torch.rand(1, 3, 8, 8, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda s: GradientMagnitude(channels, "safe")(s, WINDOW)[0], sr)


def test_flat_pixels_are_counted_and_have_no_gradient():
    sr = torch.zeros(1, 3, 9, 9, requires_grad=True)
    score, flat = GradientMagnitude("rgb", "safe")(sr, WINDOW)
    (gradient,) = torch.autograd.grad(score.sum(), sr)
    assert flat.item() == 3 * 16 and score.item() == 0 and gradient.abs().max() == 0


def test_reference_root_turns_one_flat_pixel_outside_the_window_into_nan():
    sr = torch.rand(1, 3, 12, 12, generator=torch.Generator().manual_seed(1))
    sr[:, :, 9:, 9:] = 0.5
    sr.requires_grad_(True)
    (gradient,) = torch.autograd.grad(GradientMagnitude("rgb", "reference")(sr, WINDOW)[0].sum(), sr)
    assert gradient.isnan().any()


def test_unknown_settings_are_refused():
    with pytest.raises(UserError):
        GradientMagnitude("hsv", "safe")
