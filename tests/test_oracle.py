"""Every network equals its authors' code, in float64, with the same deterministic weights."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

from oracle import (
    COLUMNS,
    GOLDEN,
    ORACLES,
    ROWS,
    SLOW,
    deterministic_net,
    reference_condition,
    reference_input,
    reference_size,
    relative_error,
    runnable,
)

TOLERANCE = 1e-10  # a wrong bias in a network of range 0..255 shows at about 1e-7; rounding gives 1e-14
CONSTANT = "keep"  # the official state dict stores MeanShift, ours does not


@pytest.mark.parametrize("name", runnable(ORACLES, SLOW))
def test_equals_official_numbers(name):
    with np.load(GOLDEN) as golden:
        official = torch.from_numpy(golden[name])
    with torch.no_grad():
        sr = deterministic_net(name)(reference_input(name), **reference_condition(name))
    assert sr.shape[-2:] == tuple(4 * side for side in reference_size(name))
    assert relative_error(sr[0, :, ROWS, COLUMNS], official) < TOLERANCE


@pytest.mark.shared
@pytest.mark.parametrize("name", runnable(ORACLES, SLOW))
def test_equals_official_code(name, shared):
    folder = shared / "oracle" / "open"
    official = json.loads((folder / f"{name}.json").read_text())
    net = deterministic_net(name)
    rules = official["fill_rule"]
    theirs = {key: shape for key, shape, _ in official["state_dict"] if rules[key] != CONSTANT}
    mine = {key: list(value.shape) for key, value in net.state_dict().items() if value.is_floating_point()}
    assert list(mine.items()) == list(translate(net, theirs).items())
    assert sum(p.numel() for p in net.parameters()) == official["n_trainable"]

    values = official.get("frozen_or_constant_values", {})
    constants = {
        key: torch.tensor(values[key], dtype=torch.float64).view(shape) if key in values else torch.zeros(shape)
        for key, shape, _ in official["state_dict"]
        if rules[key] == CONSTANT  # a table without values is too large to be listed; ours reads over it
    }
    # strict: the official file's constants are known and right
    net.load_state_dict(net.state_dict() | translate(net, constants))

    with np.load(folder / f"{name}.npz") as arrays, torch.no_grad():
        lr = torch.from_numpy(arrays["input"])
        assert torch.equal(lr, reference_input(name))
        condition = reference_condition(name)
        for theirs in (arrays[key] for key in ("kernel_code", "segprob") if key in arrays):
            assert torch.equal(torch.from_numpy(theirs), condition["condition"])
        # we never clamp, and every skip around a network is part of it
        output = next(arrays[key] for key in ("output_unclamped", "output_with_skip", "output") if key in arrays)
        assert relative_error(net(lr, **condition), torch.from_numpy(output)) < TOLERANCE


@pytest.mark.shared
@pytest.mark.parametrize("name", runnable(["swinir", "swinir_light", "dat_light"], SLOW))
def test_pads_as_the_official_code(name, shared):
    with np.load(shared / "oracle" / "open" / f"{name}.npz") as arrays, torch.no_grad():
        sr = deterministic_net(name)(torch.from_numpy(arrays["input_nonmultiple"]))
        assert relative_error(sr, torch.from_numpy(arrays["output_nonmultiple"])) < TOLERANCE


def translate(net, state):
    """A dictionary under official names, as the network takes it."""
    return type(net).from_official(state) if hasattr(type(net), "from_official") else state
