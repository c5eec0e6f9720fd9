"""Same settings, same numbers: to the bit with a fixed chunk, within what is stated otherwise."""

import pytest
import torch
from test_cli import save_image

from lamscope.agreement import differences
from lamscope.cli import main

RUN = ["dataset=folder", "dataset.path=images", "attribution.n_steps=6", "figures=[]"]
# relative L2 of a map, at most: measured on these networks (results/tables/precision.md), with room for other images
TOLERANCES = {"chunk=1": 1e-5, "machine.precision=fp64": 1e-3, "machine.precision=bf16": 0.1}
# the same of a GPU's map against this processor's: sums in another order, as fp64 is another rounding; not yet measured
GPU = {"machine.precision=fp32": 1e-3, "machine.precision=fp64": 1e-3, "machine.precision=tf32": 0.1}
RUN_HERE = ["model=fsrcnn,edsr_lite", *RUN, "machine.device=cpu", "results=here"]


@pytest.mark.slow
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_gpu_gives_the_numbers_of_a_processor(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    save_image(tmp_path / "images" / "0.png", (72, 64), seed=0)
    assert main(["-m", *RUN_HERE]) == 0
    for file in (tmp_path / "here").rglob("*.h5"):
        for setting, rtol in GPU.items():
            again = ["rerun", str(file), "machine.device=cuda", setting, f"rtol={rtol}"]
            assert main(again) == 0, capsys.readouterr().out


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
