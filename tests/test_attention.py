"""Attention in slices is the attention."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lamscope.models.attention import attend, flatten_positions
from lamscope.models.csnln import CSNLN
from lamscope.models.nlrn import NLRN
from lamscope.models.rnan import RNAN
from lamscope.models.san import SAN
from lamscope.types import Window
from lamscope.zoo import attribute


def triple(i, j, n=2, c=3, d=4):
    generator = torch.Generator().manual_seed(0)
    shapes = (n, i, c), (n, j, c), (n, j, d)
    return [torch.randn(shape, generator=generator, dtype=torch.float64).requires_grad_() for shape in shapes]


def with_gradients(inputs, slice_size, over):
    output = attend(*inputs, slice_size, over)
    return [output, *torch.autograd.grad(output.square().sum(), inputs)]


@given(
    i=st.integers(1, 12), j=st.integers(1, 12), slice_size=st.integers(1, 13), over=st.sampled_from(["keys", "queries"])
)
@settings(max_examples=8)
def test_sliced_equals_unsliced(i, j, slice_size, over):
    inputs = triple(i, j)
    for mine, whole in zip(with_gradients(inputs, slice_size, over), with_gradients(inputs, None, over), strict=True):
        torch.testing.assert_close(mine, whole, rtol=1e-12, atol=1e-12)


def test_softmax_runs_over_the_named_axis():
    query, key, _ = triple(5, 7)
    ones = torch.ones(2, 7, 1, dtype=torch.float64)
    torch.testing.assert_close(
        attend(query, key, ones, 2), torch.ones_like(query[..., :1])
    )  # each query's weights sum to 1
    per_key = attend(query, key, torch.eye(7, dtype=torch.float64).expand(2, 7, 7), 2, over="queries")
    torch.testing.assert_close(per_key.sum(1), torch.ones(2, 7, dtype=torch.float64))


def test_slices_keep_no_scores_for_the_backward_pass():
    """The largest tensor saved is as large as one slice of scores at most, not as all of them."""
    inputs = triple(64, 64, n=1)
    sizes = []
    with torch.autograd.graph.saved_tensors_hooks(lambda t: sizes.append(t.numel()) or t, lambda t: t):
        attend(*inputs, 8)
    assert max(sizes) <= 64 * 8
    sizes.clear()
    with torch.autograd.graph.saved_tensors_hooks(lambda t: sizes.append(t.numel()) or t, lambda t: t):
        attend(*inputs, None)
    assert max(sizes) == 64 * 64


def test_positions_are_flattened_row_by_row():
    x = torch.arange(24.0).view(1, 2, 3, 4)
    flat = flatten_positions(x)
    assert flat.shape == (1, 12, 2)
    assert torch.equal(flat.mT.unflatten(2, (3, 4)), x)


NETWORKS = {
    "csnln": lambda s: CSNLN(scale=4, depth=2, width=8, attention_slice=s),
    "nlrn": lambda s: NLRN(channels=3, depth=3, width=8, propagate=True, attention_slice=s),
    "rnan": lambda s: RNAN(scale=4, n_groups=3, width=8, peak=1.0, attention_slice=s),
    "san": lambda s: SAN(
        scale=4, n_groups=1, n_blocks=1, width=8, reduction=2, region_reduction=2, peak=1.0, attention_slice=s
    ),
}


@pytest.mark.parametrize("name", NETWORKS)
def test_networks_do_not_depend_on_the_slice(name):
    results = []
    for attention_slice in (None, 5):
        torch.manual_seed(0)
        net = NETWORKS[name](attention_slice).double().eval().requires_grad_(False)
        lr = torch.rand(2, 3, 6, 8, generator=torch.Generator().manual_seed(1), dtype=torch.float64).requires_grad_()
        sr = net(lr)
        (gradient,) = torch.autograd.grad(sr.square().sum(), lr)
        results.append((sr, gradient))
    for mine, whole in zip(*results, strict=True):
        torch.testing.assert_close(mine, whole, rtol=1e-11, atol=1e-11)


def csnln(attention_slice):
    torch.manual_seed(0)
    return NETWORKS["csnln"](attention_slice).eval().requires_grad_(False)


def test_csnln_is_attributed_in_slices_as_without():
    """In float32, as it is run: to rounding."""
    lr = torch.rand(3, 12, 10, generator=torch.Generator().manual_seed(1))
    window, overrides = Window(y=20, x=12, size=8), ["attribution.n_steps=3"]
    whole, sliced = (attribute(csnln(s), lr, window=window, overrides=overrides, chunk=1).map for s in (None, 32))
    assert (sliced - whole).norm() < 1e-5 * whole.norm()


def test_csnln_keeps_a_slice_of_scores_at_most():
    """At SR/2 each of 24·20 positions attends to all: that square is what made the memory run out."""
    lr = torch.rand(1, 3, 12, 10, generator=torch.Generator().manual_seed(1)).requires_grad_()
    largest = {}
    for attention_slice in (None, 32):
        sizes = []
        with torch.autograd.graph.saved_tensors_hooks(lambda t, sizes=sizes: sizes.append(t.numel()) or t, lambda t: t):
            csnln(attention_slice)(lr)
        largest[attention_slice] = max(sizes)
    assert largest[None] == 480 * 480
    assert largest[32] < largest[None] / 4
