"""Attention within windows, and the networks of it that the zoo's common tests do not know well enough."""

from __future__ import annotations

import sys

import pytest
import torch

from lamscope.models.hat import wide_index
from lamscope.models.swin import BLOCKED, attend, from_windows, position_index, shift_mask, to_windows
from lamscope.types import UserError
from lamscope.weights import load_into
from lamscope.zoo import build, load_model
from oracle import build_core, model_config, runnable

CPU = torch.device("cpu")


def test_windows_are_tiles_and_come_back():
    x = torch.arange(2 * 4 * 6).view(2, 4, 6, 1)
    windows = to_windows(x, (2, 3))
    assert windows.shape == (2 * 4, 6, 1)
    assert windows[1].flatten().tolist() == [3, 4, 5, 9, 10, 11]
    assert torch.equal(from_windows(windows, (2, 3), (4, 6)), x)


def test_attention_is_the_textbook_formula_and_so_is_its_gradient():
    q, k, v = torch.randn(3, 2, 5, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(0)).unbind(0)
    bias = torch.randn(1, 2, 5, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    heads = [slice(0, 3), slice(3, 6)]

    def textbook(q, k, v):
        parts = [(q[..., h] @ k[..., h].mT / 3**0.5 + bias[:, i]).softmax(-1) @ v[..., h] for i, h in enumerate(heads)]
        return torch.cat(parts, -1)

    results = []
    for formula in (lambda q, k, v: attend(q, k, v, 2, bias), textbook):
        inputs = [x.clone().requires_grad_() for x in (q, k, v)]
        y = formula(*inputs)
        results.append([y, *torch.autograd.grad(y.square().sum(), inputs)])
    for ours, expected in zip(*results, strict=True):
        torch.testing.assert_close(ours, expected, rtol=1e-12, atol=1e-12)


def test_each_difference_of_position_has_one_row_of_the_table():
    index = position_index((2, 3), CPU)
    positions = [(y, x) for y in range(2) for x in range(3)]
    rows = {}
    for i, (y, x) in enumerate(positions):
        for j, (v, u) in enumerate(positions):
            rows.setdefault((y - v, x - u), set()).add(int(index[i, j]))
    assert len(rows) == 15
    assert {row for found in rows.values() for row in found} == set(range(15))
    assert all(len(found) == 1 for found in rows.values())


def test_wide_windows_use_every_row_counted_from_either_end():
    index = wide_index(4, 6, CPU)
    assert index.shape == (16, 36)
    assert int(index.min()) < 0
    assert set((index % 81).flatten().tolist()) == set(range(81))


def test_shift_mask_blocks_what_the_shift_brought_together():
    """An image of 4 × 4 in windows of 4, shifted by 2: four quarters that do not see each other."""
    mask = shift_mask((4, 4), (4, 4), (2, 2), torch.zeros(1, dtype=torch.float64))
    quarter = torch.tensor([2 * (i // 8) + (i % 4) // 2 for i in range(16)])
    assert mask.dtype == torch.float64
    assert torch.equal(mask[0], BLOCKED * (quarter[:, None] != quarter).double())


@pytest.mark.parametrize("name", runnable(["hat", "swinir", "swinir_light"]))
def test_one_pixel_less_than_the_smallest_image_is_one_clear_line(name):
    small = {"net.width": 12, "net.n_heads": 2, "net.n_groups": 1, "net.n_blocks": 1, "net.squeeze": 2}
    if name != "hat":
        small = {"net.width": 12, "net.n_heads": [2], "net.depths": [1]}
    config = model_config(name, **small)
    net = build(config).core  # without the wrapper, which would refuse it first
    with torch.no_grad():
        assert net(torch.rand(1, 3, config.min_size, 16)).shape[-2] == 4 * config.min_size
        with pytest.raises(ValueError, match=rf"needs at least {config.min_size}×{config.min_size}\.\Z"):
            net(torch.rand(1, 3, config.min_size - 1, 16))


@pytest.mark.parametrize("name", runnable(["swinir", "swinir_light"]))
def test_swinir_is_basicsrs_own_and_takes_its_files(name):
    """Parameter names, the tables that an official file also holds, and the numbers."""
    from lamscope.models.basicsr import build_network

    config = model_config(name, **{"net.width": 12, "net.n_heads": [2, 2], "net.depths": [2, 2], "net.train_size": 16})
    official = build_network(
        name="SwinIR",
        upscale=4,
        img_size=16,
        embed_dim=12,
        depths=[2, 2],
        num_heads=[2, 2],
        window_size=8,
        mlp_ratio=2,
        upsampler=config.net["upsampler"],
    ).eval()
    ours = build_core(config).eval()
    assert any(key.endswith("attn_mask") for key in official.state_dict())
    load_into(ours, official.state_dict(), "an official file", name)
    assert [key for key, _ in ours.named_parameters()] == [key for key, _ in official.named_parameters()]
    lr = torch.rand(2, 3, 24, 16)
    with torch.no_grad():
        torch.testing.assert_close(ours(lr), official(lr))


def test_without_basicsr_there_is_one_line_with_the_command(monkeypatch):
    class Absent:
        def find_spec(self, name, path=None, target=None):
            if name == "basicsr":
                raise ModuleNotFoundError("No module named 'basicsr'", name="basicsr")

    for name in [n for n in sys.modules if n.partition(".")[0] == "basicsr"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setattr(sys, "meta_path", [Absent(), *sys.meta_path])
    with pytest.raises(UserError, match="pip install --no-build-isolation basicsr") as caught:
        load_model("swinir", weights=None)
    assert "\n" not in str(caught.value)
