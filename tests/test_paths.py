import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.ndimage import correlate

from lamscope.attribution.paths import GaussianBlur, kernels
from lamscope.attribution.quadrature import edges, midpoint, right
from lamscope.types import UserError

BLURS = [GaussianBlur(1.2, 9, "sigma", "double"), GaussianBlur(1.2, 9, "arc_length", "double")]


@pytest.fixture
def image():
    return torch.rand(3, 17, 12, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


@pytest.mark.parametrize("blur", BLURS)
def test_path_ends_at_the_image_and_starts_blurred(blur, image):
    start, end = blur.points(image, np.array([0.0, 1.0]))
    kernel = kernels(np.array([1.2]), 9)[0]
    blurred = np.stack([correlate(plane.numpy(), kernel, mode="mirror") for plane in image])
    np.testing.assert_allclose(end, image, atol=1e-12)
    np.testing.assert_allclose(start, blurred, atol=1e-12)


@pytest.mark.parametrize("blur", BLURS)
def test_increments_telescope_and_are_differences_of_points(blur, image):
    positions = np.linspace(0, 1, 6)
    points, increments = blur.points(image, positions), blur.increments(image, positions)
    np.testing.assert_allclose(increments, points.diff(dim=0), atol=1e-14)
    np.testing.assert_allclose(increments.sum(0), points[-1] - points[0], atol=1e-14)


def test_arc_length_moves_the_kernel_equally_far_each_step():
    blur = GaussianBlur(1.2, 9, "arc_length", "double")
    steps = np.linalg.norm(np.diff(kernels(blur.sigmas(np.linspace(0, 1, 401)), 9), axis=0), axis=(1, 2))
    assert steps.max() / steps.min() < 1.02
    plain = GaussianBlur(1.2, 9, "sigma", "double")
    steps = np.linalg.norm(np.diff(kernels(plain.sigmas(np.linspace(0, 1, 401)), 9), axis=0), axis=(1, 2))
    assert steps.max() > 100 * steps.min()


def test_path_leaves_the_image_alone_and_refuses_one_that_is_too_small(image):
    before = image.clone()
    BLURS[0].points(image, np.array([0.5]))
    assert torch.equal(image, before)
    with pytest.raises(UserError, match="more than 4 pixels"):
        BLURS[0].points(torch.rand(3, 4, 12), np.array([0.5]))


@pytest.mark.parametrize("settings", [(0, 9, "sigma", "double"), (1.2, 8, "sigma", "double"), (1.2, 9, "x", "double")])
def test_impossible_blurs_are_refused(settings):
    with pytest.raises(UserError):
        GaussianBlur(*settings)


@given(st.integers(1, 60))
def test_nodes_lie_in_their_steps_and_midpoints_nest_under_tripling(n):
    for rule in (midpoint, right):
        assert np.all(rule(n) > edges(n)[:-1]) and np.all(rule(n) <= edges(n)[1:])
    np.testing.assert_allclose(midpoint(3 * n)[1::3], midpoint(n), atol=1e-15)
