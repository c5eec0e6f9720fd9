"""What every test may ask for: a small network, a small image, and the shared data where they are."""

from __future__ import annotations

import gc
import os
import signal
from functools import cache
from pathlib import Path

# before anything imports torch, and for the commands that tests start: the workers of a run share the cores
os.environ.setdefault("OMP_NUM_THREADS", "1")

import pytest
from hypothesis import settings

# a job in the background, or under nohup, ignores these, and so would the commands that tests start and interrupt
for number, usual in ((signal.SIGINT, signal.default_int_handler), (signal.SIGHUP, signal.SIG_DFL)):
    if signal.getsignal(number) is signal.SIG_IGN:
        signal.signal(number, usual)

REPOSITORY = Path(__file__).resolve().parents[1]

# no deadline: a shared machine is slow now and then. In CI the same examples each time
settings.register_profile("here", deadline=None)
settings.register_profile("ci", deadline=None, derandomize=True, print_blob=True)
settings.load_profile("ci" if os.environ.get("CI") else "here")


def shared_folder() -> Path | None:
    """The folder of real weights, images and reference numbers, or None."""
    named = os.environ.get("LAMSCOPE_SHARED")
    folder = Path(named) if named else REPOSITORY.parent / "shared"
    if folder.is_dir():
        return folder
    if named:
        raise pytest.UsageError(f"LAMSCOPE_SHARED names {named}, which is not a folder.")
    return None


@cache
def is_large(name: object) -> bool:
    """Whether a test's parameter names a network of more than 300,000 parameters: such tests are slow ones."""
    from lamscope.config import options, read_model

    return isinstance(name, str) and name in options("model") and (read_model(name).n_parameters or 0) > 300_000


def pytest_collection_modifyitems(items):
    for item in items:
        parameters = getattr(getattr(item, "callspec", None), "params", {})
        if any(is_large(value) for value in parameters.values() if isinstance(value, str)):
            item.add_marker(pytest.mark.slow)
    if shared_folder() is not None:
        return
    absent = pytest.mark.skip(reason="no shared data: neither LAMSCOPE_SHARED nor ../shared beside the repository")
    for item in items:
        if item.get_closest_marker("shared") or "shared" in getattr(item, "fixturenames", ()):
            item.add_marker(absent)


def pytest_collection_finish():
    """Every job ends with a full garbage collection, which need not look again at torch, pandas and the tests."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session")
def shared() -> Path:
    """Real weights, images and reference numbers; tests that use it are skipped where they are absent."""
    folder = shared_folder()
    assert folder is not None
    return folder


@pytest.fixture
def tiny_net():
    """A network as the house hands it on, ×4: RGB in [0, 1] in and out, 8 channels, random but always the same."""
    import torch

    from lamscope.models.edsr import EDSR
    from lamscope.models.wrappers import Range

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        core = EDSR(scale=4, n_blocks=2, width=8, res_scale=1.0, peak=255.0)
    return Range(core, peak=255.0).eval()


@pytest.fixture
def tiny_image():
    """(3, 24, 20) float32 RGB in [0, 1]: a smooth ramp under noise, so that nothing is flat."""
    import torch

    noise = torch.rand(3, 24, 20, generator=torch.Generator().manual_seed(0))
    ramp = torch.linspace(0.2, 0.6, 24)[:, None] + torch.linspace(0.0, 0.2, 20)
    return ramp + 0.2 * noise


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """A folder of three small images of smooth noise, to train on."""
    import numpy as np
    from PIL import Image

    folder = tmp_path / "photos"
    folder.mkdir()
    for n in range(3):
        noise = np.random.default_rng(n).integers(0, 255, (12, 14, 3), np.uint8)
        Image.fromarray(noise).resize((112, 96), Image.Resampling.BICUBIC).save(folder / f"{n}.png")
    return folder
