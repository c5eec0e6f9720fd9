"""Damaged files of every kind: read or refused in one line, never a crash, a hang, a traceback or a flood of memory."""

from __future__ import annotations

import pytest
from fuzz import FAMILIES, watch

N = 3400  # of each family


@pytest.mark.slow
@pytest.mark.parametrize("family", FAMILIES)
def test_thousands_of_damaged_files(family, capsys):
    counts, wrong = watch(family, 0, N)
    with capsys.disabled():
        print(f"\n{family}: {sum(counts.values())} damaged files, {counts}")
    assert not wrong, wrong
    assert sum(counts.values()) == N
    assert counts["read"] > N / 50 and counts["refused"] > N / 4  # neither all harmless nor all garbage


@pytest.mark.parametrize("seed", [723, 1842])
def test_what_ends_or_hangs_hdf5_is_refused(seed):
    # a division by zero, a loop without an end
    counts, wrong = watch("stores", seed, seed + 1)
    assert not wrong and sum(counts.values()) == 1
