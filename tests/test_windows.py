"""Windows: where they lie, that they fit, and that a wrong choice is one sentence."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lamscope.types import UserError, Window
from lamscope.windows import WindowChoice, hardest

sides = st.integers(9, 60)


def black(height: int, width: int, scale: int = 1) -> np.ndarray:
    return np.zeros((height // scale, width // scale, 3), np.uint8)


def test_centre_is_the_paper_s_window() -> None:
    windows = WindowChoice("centre", 16).choose(black(256, 256), black(256, 256, 4), 4)
    assert windows == (Window(120, 120, 16),)


def test_list_is_taken_as_it_is() -> None:
    choice = WindowChoice("list", 16, [[150, 110], [0, 239]])
    choice.check("a", 256, 256)
    assert choice.choose(black(256, 256), black(256, 256, 4), 4) == (Window(150, 110, 16), Window(0, 239, 16))


@settings(deadline=None, max_examples=40)
@given(height=sides, width=sides, size=st.integers(1, 8))
def test_every_centre_leaves_a_pixel_for_the_detector(height: int, width: int, size: int) -> None:
    choice = WindowChoice("centre", size)
    choice.check("a", height, width)
    (window,) = choice.choose(black(height, width), black(height, width), 1)
    assert 0 <= window.y <= height - 1 - size
    assert 0 <= window.x <= width - 1 - size


@settings(deadline=None, max_examples=40)
@given(height=sides, width=sides, size=st.integers(1, 8), seed=st.integers(0, 99))
def test_hardest_are_ordered_disjoint_and_inside(height: int, width: int, size: int, seed: int) -> None:
    error = np.random.default_rng(seed).integers(0, 5, (height, width))
    room = ((height - 1) // size) * ((width - 1) // size)
    windows = hardest(error, size, room)
    assert len(windows) == room
    sums = [error[w.y : w.y + size, w.x : w.x + size].sum() for w in windows]
    assert sums == sorted(sums, reverse=True)
    cover = np.zeros_like(error)
    for w in windows:
        assert w.y + size <= height - 1
        assert w.x + size <= width - 1
        cover[w.y : w.y + size, w.x : w.x + size] += 1
    assert cover.sum() == room * size**2
    assert cover.max() == 1


def test_ties_go_to_the_upper_left() -> None:
    assert hardest(np.ones((34, 34), np.int64), 16, 4) == (
        Window(1, 1, 16),
        Window(1, 17, 16),
        Window(17, 1, 16),
        Window(17, 17, 16),
    )


def test_hardest_finds_the_detail() -> None:
    hr = black(64, 64)
    hr[36:44:2, 20:28] = 255
    windows = WindowChoice("hardest", 8, count=2).choose(hr, black(64, 64, 4), 4)
    assert windows[0] == Window(36, 20, 8)
    assert len(windows) == 2


@pytest.mark.parametrize(
    ("choice", "sentence"),
    [
        ({"mode": "center"}, "Unknown window mode 'center'"),
        ({"size": 0}, "positive number of SR pixels"),
        ({"size": 16.5}, "positive number of SR pixels"),
        ({"mode": "hardest", "count": 0}, "1 or more"),
        ({"mode": "centre", "count": 2}, "mode=hardest, not mode=centre"),
        ({"mode": "list"}, "need mode=list and positions"),
        ({"mode": "centre", "positions": [[1, 2]]}, "need mode=list and positions"),
        ({"mode": "list", "positions": [[1, 2, 3]]}, "is \\[y,x\\]"),
        ({"mode": "list", "positions": [[-1, 2]]}, "is \\[y,x\\]"),
        ({"mode": "list", "positions": [1, 2]}, "is \\[y,x\\]"),
        ({"mode": "list", "positions": [[1, 2], [1, 2]]}, "listed twice"),
    ],
)
def test_wrong_choices(choice: dict, sentence: str) -> None:
    with pytest.raises(UserError, match=sentence):
        WindowChoice(**choice)


@pytest.mark.parametrize(
    ("choice", "size", "sentence"),
    [
        (WindowChoice("centre", 16), (16, 40), "Image 'a' is 40×16 in SR pixels, too small for a window of 16"),
        (WindowChoice("list", 16, [[0, 240]]), (256, 256), "y=0, x=240 does not fit into image 'a'.*x 239"),
        (WindowChoice("hardest", 16, count=5), (34, 34), "Image 'a' has room for 4 windows of 16 pixels, not 5"),
    ],
)
def test_windows_that_do_not_fit(choice: WindowChoice, size: tuple[int, int], sentence: str) -> None:
    with pytest.raises(UserError, match=sentence):
        choice.check("a", *size)
