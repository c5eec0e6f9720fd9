"""Same settings, same numbers: to the bit with a fixed chunk, within what is stated otherwise."""

import pytest
from test_cli import save_image

from lamscope.agreement import differences
from lamscope.cli import main

RUN = ["dataset=folder", "dataset.path=images", "attribution.n_steps=6", "figures=[]"]
# relative L2 of a map, at most: measured on these networks (results/tables/precision.md), with room for other images
TOLERANCES = {"chunk=1": 1e-5, "machine.precision=fp64": 1e-3, "machine.precision=bf16": 0.1}


@pytest.mark.slow
def test_the_shipped_networks_give_their_numbers_again(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    for i in range(4):
        save_image(tmp_path / "images" / f"{i}.png", (64 + 8 * (i % 2), 64), seed=i)
    sweep = ["-m", "model=fsrcnn,edsr_lite", *RUN]
    for again in ("a", "b"):
        assert main([*sweep, "chunk=4", f"results={again}"]) == 0
    assert main([*sweep, "results=auto"]) == 0
    runs = {name: sorted((tmp_path / name / "runs").rglob("*.h5")) for name in ("a", "b", "auto")}
    assert len(runs["a"]) == 2
    for one, other in zip(runs["a"], runs["b"], strict=True):
        assert differences(one, other) == []
    for one, other in zip(runs["a"], runs["auto"], strict=True):
        assert set(differences(one, other, 1e-5)) <= {"provenance differs"}  # which holds the chunk
    for file in runs["auto"]:
        for setting, rtol in TOLERANCES.items():
            assert main(["rerun", str(file), setting, f"rtol={rtol}"]) == 0, capsys.readouterr().out
