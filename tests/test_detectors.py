import pytest
import torch

from lamscope.attribution.detectors import LUMA, Gabor, GradientMagnitude, Intensity, SquaredError
from lamscope.config import compose, instantiate
from lamscope.explain import explain
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


@pytest.mark.parametrize("root", ["safe", "reference"])
@pytest.mark.parametrize("channels", ["rgb", "y"])
def test_gradient_is_right(channels, root):
    sr = torch.rand(1, 3, 8, 8, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda s: GradientMagnitude(channels, root)(s, WINDOW)[0], sr)


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


HR = torch.rand(3, 12, 12, dtype=torch.float64, generator=torch.Generator().manual_seed(7))
WIDE = Window(y=2, x=3, size=8)
OTHERS = [Gabor(c, 4.0, 2.0, 5, 3) for c in ("rgb", "y", "g")]
OTHERS += [Intensity(c) for c in ("rgb", "y", "b")] + [SquaredError(c).given(HR) for c in ("rgb", "y", "r")]
OTHERS += [GradientMagnitude(c, "safe") for c in ("r", "g", "b")]


@pytest.mark.parametrize("detector", OTHERS, ids=str)
def test_every_other_detector_has_the_right_gradient_and_looks_at_the_window_only(detector):
    sr = torch.rand(2, 3, 12, 12, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda s: detector(s, WIDE)[0], sr)
    scores, flat = detector(sr, WIDE)
    assert scores.shape == flat.shape == (2,) and scores.dtype == torch.float64
    (gradient,) = torch.autograd.grad(scores.sum(), sr)
    size = WIDE.size + detector.margin
    gradient[..., WIDE.y : WIDE.y + size, WIDE.x : WIDE.x + size] = 0
    assert gradient.abs().max() == 0


def test_channels_of_a_detector_add_up():
    sr = torch.rand(2, 3, 12, 12, dtype=torch.float64)
    for make in (Intensity, lambda c: GradientMagnitude(c, "safe"), lambda c: SquaredError(c).given(HR)):
        parts = sum(make(c)(sr, WIDE)[0] for c in "rgb")
        torch.testing.assert_close(parts, make("rgb")(sr, WIDE)[0])


def test_gabor_answers_to_its_wavelength_and_not_to_a_constant():
    x = torch.arange(24, dtype=torch.float64)
    gabor, window = Gabor("y", 4.0, 2.0, 7, 4), Window(2, 2, 16)
    score = {w: float(gabor((x * 2 * torch.pi / w).cos().expand(1, 3, 24, 24), window)[0]) for w in (2, 4, 12)}
    assert score[4] > 2 * score[2] and score[4] > 2 * score[12]
    assert float(gabor(torch.full((1, 3, 24, 24), 0.7, dtype=torch.float64), window)[0]) < 1e-10
    with pytest.raises(UserError, match="do not fit"):
        gabor(torch.rand(1, 3, 24, 24), Window(2, 2, 6))


def test_the_error_detector_is_the_squared_error_and_asks_for_hr():
    sr = torch.rand(1, 3, 12, 12, dtype=torch.float64)
    assert float(SquaredError("rgb").given(sr[0])(sr, WIDE)[0]) == 0
    assert float(SquaredError("rgb").given(sr[0] + 0.5)(sr, WIDE)[0]) == pytest.approx(0.25 * 3 * 64)
    with pytest.raises(UserError, match="HR image"):
        SquaredError("rgb")(sr, WIDE)
    with pytest.raises(UserError, match="HR is"):
        SquaredError("rgb").given(sr[0, :, :-1])(sr, WIDE)


def test_runs_hand_every_image_its_own_hr(tiny_net):
    method = instantiate(
        compose(["attribution=lam", "attribution/detector=error", "attribution.n_steps=3"]).attribution
    )
    samples = list(instantiate(compose(["dataset.limit=2"]).dataset).samples(4))
    found = list(explain(tiny_net, samples, method, None, torch.device("cpu"), torch.float32))
    for sample, one in zip(samples, found, strict=True):
        w, hr = sample.windows[0], torch.from_numpy(sample.hr).permute(2, 0, 1) / 255
        patch = (slice(None), slice(w.y, w.y + w.size), slice(w.x, w.x + w.size))
        assert one.sample is sample
        assert one.found[0].score == pytest.approx(float((one.sr[patch] - hr[patch]).square().sum()), rel=1e-4)
