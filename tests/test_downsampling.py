"""LR images as they are distributed, and as the reference implementation of LAM makes them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from lamscope.downsampling import bicubic_sr, crop_to_multiple, matlab, pil, squared_error
from lamscope.images import list_images, read_rgb


@pytest.mark.shared
def test_matlab_is_bit_exact_on_set5(shared: Path) -> None:
    pairs = zip(list_images(shared / "data/set5/hr"), list_images(shared / "data/set5/lr_x4"), strict=True)
    for hr, lr in pairs:
        np.testing.assert_array_equal(matlab(crop_to_multiple(read_rgb(hr), 4), 4), read_rgb(lr), str(hr))


@pytest.mark.shared
def test_matlab_is_bit_exact_within_set14(shared: Path) -> None:
    """Its distributed LR images come from an older MATLAB, which repeated the border: it reaches 3 pixels at most."""
    pairs = zip(list_images(shared / "data/set14/hr"), list_images(shared / "data/set14/lr_x4"), strict=True)
    for hr, lr in pairs:
        got = matlab(crop_to_multiple(read_rgb(hr), 4), 4)
        np.testing.assert_array_equal(got[3:-3, 3:-3], read_rgb(lr)[3:-3, 3:-3], str(hr))


@pytest.mark.shared
@pytest.mark.parametrize("image", [1, 2, 4, 7])
def test_pil_is_the_reference_protocol(shared: Path, image: int) -> None:
    golden = np.load(shared / f"oracle/lam_real/imdn_{image}_120_120.npz")["lr_uint8"]
    np.testing.assert_array_equal(pil(read_rgb(shared / f"data/lam_demo/{image}.png"), 4), golden)


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_shapes_and_constants(scale: int) -> None:
    hr = np.full((7 * scale + 1, 5 * scale + scale - 1, 3), (0, 77, 255), np.uint8)
    hr = crop_to_multiple(hr, scale)
    assert hr.shape == (7 * scale, 5 * scale, 3)
    for protocol in (matlab, pil):
        lr = protocol(hr, scale)
        assert lr.shape == (7, 5, 3)
        assert (lr == (0, 77, 255)).all()
    assert not squared_error(hr, lr, scale).any()


def test_halves_round_up_after_each_pass() -> None:
    """×2 of 192 by hand: Keys' cubic is 0.8671875 at 0.25 and 0.2265625 at 0.75, which makes 166.5 and 43.5."""
    lr = np.zeros((9, 9, 3), np.uint8)
    lr[4] = 192
    rows = bicubic_sr(lr, 2)[:, 0, 0]
    np.testing.assert_array_equal(rows[6:12], [0, 44, 167, 167, 44, 0])
    lr[:, :4] = lr[:, 5:] = 0
    assert bicubic_sr(lr, 2).max() == round(167 * 0.8671875) == 145  # rounded once, at the end, it would be 144


def test_error_is_summed_over_colours() -> None:
    hr = np.zeros((8, 8, 3), np.uint8)
    hr[2, 3] = (1, 2, 3)
    assert squared_error(hr, np.zeros((4, 4, 3), np.uint8), 2)[2, 3] == 1 + 4 + 9
