"""The one bicubic: a matrix with known properties, equal to MATLAB's as BasicSR implements it, differentiable."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lamscope.models.resize import _kept_matrix, bicubic, bicubic_matrix

scales = st.sampled_from([1 / 4, 1 / 3, 1 / 2, 2, 3, 4, 8])


def image(*shape: int) -> torch.Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


@settings(deadline=None, max_examples=40)
@given(n=st.integers(1, 12), scale=scales)
def test_rows_sum_to_one_and_mirror(n: int, scale: float) -> None:
    n_in = n if scale > 1 else round(n / scale)
    matrix = bicubic_matrix(n_in, round(n_in * scale), scale)
    torch.testing.assert_close(matrix.sum(1), torch.ones(len(matrix), dtype=torch.float64))
    torch.testing.assert_close(matrix, matrix.flip(0, 1), atol=1e-12, rtol=0)


@settings(deadline=None, max_examples=40)
@given(scale=scales)
def test_straight_lines_stay_straight(scale: float) -> None:
    """Keys' kernel reproduces straight lines away from the border (antialiased too)."""
    n_in = 48
    line = torch.arange(n_in, dtype=torch.float64)
    matrix = bicubic_matrix(n_in, round(n_in * scale), scale)
    centre = (torch.arange(len(matrix), dtype=torch.float64) + 0.5) / scale - 0.5
    inner = (centre > 9) & (centre < n_in - 10)
    torch.testing.assert_close((matrix @ line)[inner], centre[inner], atol=1e-10, rtol=0)


@pytest.mark.parametrize("scale", [1 / 4, 1 / 3, 1 / 2, 2, 3, 4])
@pytest.mark.parametrize("size", [(36, 48), (24, 12)])
def test_equal_to_basicsr_s_matlab(scale: float, size: tuple[int, int]) -> None:
    from lamscope.models import basicsr

    try:
        matlab = basicsr.load("basicsr.utils.matlab_functions")
    except ImportError as error:
        pytest.skip(str(error))
    lr = image(3, *size).float()
    torch.testing.assert_close(bicubic(lr, scale), matlab.imresize(lr, scale), atol=1e-5, rtol=0)


def test_upsampling_equals_torch_s_away_from_the_border() -> None:
    """torch's bicubic has a = −0.75, so only its shape and centres are the same: an even ramp comes out alike."""
    ramp = torch.arange(12, dtype=torch.float64).expand(1, 1, 12, 12)
    expected = torch.nn.functional.interpolate(ramp, scale_factor=4, mode="bilinear", align_corners=False)
    torch.testing.assert_close(bicubic(ramp, 4)[..., 12:-12], expected[..., 12:-12])


def test_dtype_batch_and_gradient() -> None:
    lr = image(2, 3, 5, 6).requires_grad_()
    assert bicubic(lr.float(), 4).dtype == torch.float32
    assert bicubic(lr, 4).shape == (2, 3, 20, 24)
    assert torch.autograd.gradcheck(lambda x: bicubic(x, 2), (lr,))


def test_the_mode_of_the_first_user_does_not_stick():
    """What is kept between calls is an ordinary tensor, though its first user may infer or trace."""
    image = torch.rand(1, 1, 13, 11, dtype=torch.float64)
    _kept_matrix.cache_clear()
    with torch.inference_mode():
        expected = bicubic(image, 2)
    x = image.clone().requires_grad_()
    bicubic(x, 2).sum().backward()
    _kept_matrix.cache_clear()
    with torch.device("meta"):
        bicubic_matrix(13, 26, 2)
    assert torch.equal(bicubic(image, 2), expected)
    assert x.grad is not None and torch.allclose(x.grad.sum(), torch.tensor(13 * 11 * 4.0).double())
