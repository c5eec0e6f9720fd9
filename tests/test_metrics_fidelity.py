"""PSNR and SSIM: published numbers, BasicSR's numbers, and what must raise."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch

from lamscope.data import FolderDataset
from lamscope.downsampling import bicubic_sr
from lamscope.metrics.fidelity import fidelity, luminance, psnr, ssim, to_image, window_psnr
from lamscope.types import Window

RNG = np.random.default_rng(0)
HR = np.clip(np.cumsum(RNG.normal(0, 4, (40, 36, 3)), 1) + 128, 0, 255).astype(np.uint8)
SR = np.clip(HR + RNG.normal(0, 6, HR.shape), 0, 255).astype(np.uint8)


@pytest.mark.shared
@pytest.mark.parametrize(("scale", "facts", "published"), [(2, 33.68, 33.66), (3, 30.40, 30.39), (4, 28.43, 28.42)])
def test_bicubic_on_set5_as_published(shared: Path, scale: int, facts: float, published: float) -> None:
    pairs = [(bicubic_sr(s.lr, scale), s.hr) for s in FolderDataset(path=shared / "data/set5/hr").samples(scale)]
    assert np.mean([psnr(sr, hr, shave=scale) for sr, hr in pairs]) == pytest.approx(facts, abs=0.01)
    matlab = np.mean([psnr(sr, hr, shave=scale, rounded=True) for sr, hr in pairs])
    assert matlab == pytest.approx(published, abs=0.025)


@pytest.mark.parametrize("shave", [0, 4])
def test_equal_to_basicsr(shave: int) -> None:
    from lamscope.models import basicsr

    try:
        metrics = basicsr.load("basicsr.metrics.psnr_ssim")
    except ImportError as error:
        pytest.skip(str(error))
    bgr = [image[..., ::-1] for image in (SR, HR)]
    for channels in ("y", "rgb"):
        options = {"crop_border": shave, "test_y_channel": channels == "y"}
        assert psnr(SR, HR, shave=shave, channels=channels) == pytest.approx(
            metrics.calculate_psnr(*bgr, **options), abs=1e-4
        )
        assert ssim(SR, HR, shave=shave, channels=channels) == pytest.approx(
            metrics.calculate_ssim(*bgr, **options), abs=1e-6
        )


def test_luminance_is_bt601() -> None:
    colours = np.array([[[0, 0, 0], [255, 255, 255], [255, 0, 0], [0, 255, 0], [0, 0, 255]]], np.uint8)
    np.testing.assert_allclose(luminance(colours), [[16, 235, 81.481, 144.553, 40.966]])
    np.testing.assert_array_equal(luminance(colours, rounded=True), [[16, 235, 81, 145, 41]])


def test_closed_forms() -> None:
    flat = np.full((20, 20, 3), 100, np.uint8)
    off = flat + np.uint8(5)
    assert psnr(flat, flat, shave=0) == math.inf
    assert ssim(flat, flat, shave=4) == pytest.approx(1)
    assert psnr(off, flat, shave=0, channels="rgb") == pytest.approx(20 * math.log10(255 / 5))
    assert psnr(off, flat, shave=0) == pytest.approx(20 * math.log10(255 / (5 * 219 / 255)))
    c1 = (0.01 * 255) ** 2  # of constants only the luminance term is left
    assert ssim(off, flat, shave=0, channels="rgb") == pytest.approx((2 * 105 * 100 + c1) / (105**2 + 100**2 + c1))


def test_shaved_pixels_do_not_count() -> None:
    spoilt = HR.copy()
    spoilt[:4], spoilt[-4:], spoilt[:, :4], spoilt[:, -4:] = 0, 0, 0, 0
    assert psnr(spoilt, HR, shave=4) == math.inf
    assert psnr(spoilt, HR, shave=3) < 60


def test_window_psnr_looks_at_the_window_only() -> None:
    spoilt = HR.copy()
    spoilt[10:18, 20:28] ^= 255
    assert window_psnr(spoilt, HR, Window(18, 20, 8)) == math.inf
    assert window_psnr(spoilt, HR, Window(10, 20, 8)) == psnr(spoilt[10:18, 20:28], HR[10:18, 20:28], shave=0)


def test_columns_of_a_record() -> None:
    assert fidelity(SR, HR, shave=4) == {
        "psnr_y": psnr(SR, HR, shave=4),
        "psnr_rgb": psnr(SR, HR, shave=4, channels="rgb"),
        "ssim_y": ssim(SR, HR, shave=4),
    }
    assert math.isnan(fidelity(SR[:18], HR[:18], shave=4)["ssim_y"])


def test_to_image_clips_and_rounds_half_up() -> None:
    sr = torch.tensor([-0.2, 0.0, 0.5, 1.0, 1.7, 1 / 255]).view(1, 2, 3).expand(3, 2, 3)
    np.testing.assert_array_equal(to_image(sr)[..., 0], [[0, 0, 128], [255, 255, 1]])
    assert to_image(sr.numpy()).shape == (2, 3, 3)
    every = np.broadcast_to(np.arange(256) / 255, (3, 1, 256)).astype(np.float32)
    np.testing.assert_array_equal(to_image(every)[0, :, 2], np.arange(256))
    with pytest.raises(ValueError, match="NaN"):
        to_image(np.full((3, 2, 2), np.nan))
    with pytest.raises(ValueError, match="shape"):
        to_image(np.zeros((1, 3, 4, 4)))


def test_wrong_images_raise() -> None:
    for sr, options, sentence in (
        (SR[:-1], {}, "36×39, the HR image 36×40"),
        (SR / 255, {}, "uint8"),
        (SR, {"shave": 18}, "Nothing is left"),
        (SR, {"channels": "Y"}, "'y' or 'rgb'"),
    ):
        with pytest.raises(ValueError, match=sentence):
            psnr(sr, HR, **({"shave": 0} | options))
    with pytest.raises(ValueError, match="11×11"):
        ssim(SR[:10], HR[:10], shave=0)
