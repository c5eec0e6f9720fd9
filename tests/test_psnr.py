"""Weights reach what they are known to reach: mean PSNR on Set5, MATLAB's downsampling, scale pixels shaved."""

import numpy as np
import pandas as pd
import pytest
import torch
from conftest import REPOSITORY

from lamscope.config import options, read_model
from lamscope.data import FolderDataset
from lamscope.metrics.fidelity import luminance, psnr, to_image
from lamscope.zoo import load_model

KNOWN = {"carn_m": 31.88, "imdn": 32.21, "pan": 32.14, "rfdn": 32.16}
SHIPPED = [name for name in options("model") if read_model(name).checkpoint.shipped]
BICUBIC = 28.43
LEAST = {  # dB above it
    "fsrcnn": 1.7, "pan_lite": 2.7, "srresnet_lite": 2.62, "edsr_lite": 2.3, "rfdn_lite": 2.17, "rcan_lite": 2.14,
    "san_lite": 2.06, "rdn_lite": 2.04, "imdn_lite": 1.91, "swinir_lite": 1.64, "msrn_lite": 1.53, "carn_lite": 1.47,
    "srcnn_lite": 1.18, "espcn_lite": 0.75, "fsrcnn_lite": 0.34,
}  # fmt: skip

pytestmark = [pytest.mark.shared, pytest.mark.slow]


def mean_psnr(net, folder, scale=4):
    scores = []
    for sample in FolderDataset(path=folder / "data" / "set5" / "hr").samples(scale):
        lr = torch.from_numpy(sample.lr).permute(2, 0, 1)[None].float() / 255
        with torch.no_grad():
            scores.append(psnr(to_image(net(lr)[0]), sample.hr, shave=scale))
    return np.mean(scores)


@pytest.mark.parametrize("name", KNOWN)
def test_official_weights(shared, name):
    net = load_model(name, folders=[shared / "weights"], device="cpu")
    assert mean_psnr(net, shared) == pytest.approx(KNOWN[name], abs=0.01)


@pytest.mark.parametrize("name", SHIPPED)
def test_shipped_weights(shared, name):
    """What results/equal_budget/quality.csv says of them; a few must be good, others may be bad, but as bad as said."""
    reached = mean_psnr(load_model(name, device="cpu"), shared)
    assert reached >= BICUBIC + LEAST.get(name, -BICUBIC)
    said = pd.read_csv(REPOSITORY / "results/equal_budget/quality.csv").set_index(["network", "seed"])["set5_psnr_y"]
    if name.endswith("_lite"):
        assert reached == pytest.approx(said[name, 0], abs=0.01)


def test_luminance_weights_on_luminance(shared):
    """The file was measured on Y itself; through RGB, rounded to 8 bits, it gains 0.01 dB."""
    net = load_model("fsrcnn_y", folders=[shared / "weights"], device="cpu")
    scores = []
    for sample in FolderDataset(path=shared / "data" / "set5" / "hr").samples(4):
        y = torch.from_numpy(luminance(sample.lr)).float()[None, None] / 255
        with torch.no_grad():
            sr = 255 * net.core(y)[0, 0].clamp(0, 1).double().numpy()
        error = (sr - luminance(sample.hr))[4:-4, 4:-4]
        scores.append(10 * np.log10(255**2 / np.mean(error**2)))
    assert np.mean(scores) == pytest.approx(30.51, abs=0.01)
