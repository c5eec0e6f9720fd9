"""A new network among stored ones: its place is right, and what is not comparable is refused."""

import hashlib
import json

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from scipy import stats

from lamscope.cli import main
from lamscope.compare import reference_of
from lamscope.comparison import against
from lamscope.config import compose
from lamscope.figures import newcomer as figure
from lamscope.hardset import read_manifest
from lamscope.pairs import HDF5Dataset
from lamscope.reference import KEPT, protocol, read, require_protocol, require_same_images, shipped, store
from lamscope.report.newcomer import difference_lines, markdown, verdict
from lamscope.statistics import holm, sign_flip
from lamscope.table import ranking, read_records
from lamscope.types import UserError

MINE = """\
name: {name}
family: residual
net: {{_target_: lamscope.models.edsr.EDSR, scale: 4, n_blocks: {blocks}, width: 4, res_scale: 1.0, peak: 1.0}}
weights: null
"""
QUICK = (
    "attribution.n_steps=3",
    "dataset=folder",
    "dataset.path=images",
    "machine.device=cpu",
    "machine.progress=none",
)


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with two images, a configuration folder with three networks, and a reference of two of them."""
    folder = tmp_path_factory.mktemp("place")
    (folder / "images").mkdir()
    (folder / "my" / "model").mkdir(parents=True)
    for seed in range(2):
        pixels = np.random.default_rng(seed).integers(0, 256, (96, 96, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / "images" / f"{seed}.png")
    for name, blocks in (("old_a", 1), ("old_b", 3), ("mine", 2)):
        (folder / "my" / "model" / f"{name}.yaml").write_text(MINE.format(name=name, blocks=blocks))
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        assert main(["run", "-m", "--config-dir", "my", "model=old_a,old_b", "figures=[]", *QUICK]) == 0
        assert main(["compare", "store", "results/runs", "reference=stored.csv"]) == 0
    return folder


@pytest.fixture
def lamscope(place, monkeypatch, capsys):
    """Runs `lamscope compare` there; returns (exit code, stdout, stderr)."""
    monkeypatch.chdir(place)

    def run(*arguments):
        code = main(["compare", *arguments])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return run


def test_a_new_network_lands_among_stored_ones(place, lamscope):
    code, out, err = lamscope("--config-dir", "my", "model=mine", "reference=stored.csv", *QUICK)
    assert code == 0, err
    fresh = read_records(place / "results" / "runs")
    di = fresh.groupby("model")["di"].mean()
    rank = int(di.rank(ascending=False)["mine"])
    assert f"mine: rank {rank} of 3 by DI ({di['mine']:.2f} %)" in out and "sign-flip" in out
    folder = place / "results" / "compare" / "mine" / "stored"
    assert {path.name for path in folder.iterdir()} == {
        "ranking.csv", "differences.csv", "compare.md", "ranking.png", "ranking.pdf",
    }  # fmt: skip
    differences = pd.read_csv(folder / "differences.csv").set_index("model")
    assert set(differences.index) == {"old_a", "old_b"}
    np.testing.assert_allclose(differences["di"], di["mine"] - di[differences.index], rtol=1e-9)
    assert differences["di_p"].isin([0.5, 1.0]).all()  # what two images allow
    assert "mine: rank" in (folder / "compare.md").read_text()


REFUSED = [
    (["attribution.n_steps=5"], "attribution.n_steps is 5 in this run and 3 in stored.csv"),
    pytest.param(["attribution.detector.channels=y"], "attribution.detector.channels", marks=pytest.mark.slow),
    (["dataset.window.size=8"], "dataset.window.size is 8"),
    pytest.param(["dataset.downsampling=pil"], "dataset.downsampling", marks=pytest.mark.slow),
    pytest.param(["machine.precision=bf16"], "precision is bf16", marks=pytest.mark.slow),
    (["dataset.limit=1"], "1 images, stored.csv has 2"),
    (["model.name=old_a"], "holds a old_a already"),
    (["model.channels=y"], "mine computes y, the networks of stored.csv rgb"),
    (["model.scale=2", "model.net.scale=2"], "mine is ×2"),
    (["reference=nowhere.csv"], "nowhere.csv"),
    (["reference=my/model/mine.yaml"], "is no reference"),
    (["metric.lpips_weights=alexnet.pth"], "lamscope compare measures no LPIPS: leave out metric.lpips_weights"),
    (["reference="], "The test set is images in this run and shipped in shipped_lam.csv"),
]


@pytest.mark.parametrize(("changed", "fragment"), REFUSED, ids=lambda value: str(value)[:40])
def test_another_protocol_is_refused_before_the_run(place, lamscope, changed, fragment):
    reference = [] if changed[0].startswith("reference") else ["reference=stored.csv"]
    given = [word for word in changed if word != "reference="]
    arguments = ["--config-dir", "my", "model=mine", *QUICK, f"results={place / 'refused'}", *reference, *given]
    if changed == ["reference="]:
        arguments = [word if word != QUICK[0] else "attribution.n_steps=21" for word in arguments]
    code, out, err = lamscope(*arguments)
    assert code == 2 and fragment in err and err.count("\n") == 1 and out == ""
    assert not (place / "refused").exists()


@pytest.mark.parametrize(
    ("column", "value", "fragment"),
    [
        ("image", "other", "lacks 1 images"),
        ("lr_digest", "00000000", "LR image of 0"),
        ("window_size", 8, "window sizes: 8, 16 here, 16 there"),
        ("window_x", 3, "Windows are not those"),
        ("lr_h", 12, "LR sizes"),
        ("detector", "y", "detector channels"),
    ],
)
def test_records_of_other_images_are_refused(place, column, value, fragment):
    reference = read(place / "stored.csv")
    fresh = reference.records[reference.records["model"] == "old_a"].assign(model="mine")
    require_same_images(reference, fresh)
    fresh.loc[fresh["image"] == "0", column] = value
    with pytest.raises(UserError, match=fragment):
        require_same_images(reference, fresh)


def test_a_reference_of_two_protocols_is_not_made(place, tmp_path, monkeypatch):
    monkeypatch.chdir(place)
    assert main(["run", "--config-dir", "my", "model=mine", "figures=[]", f"results={tmp_path}", *QUICK[1:]]) == 0
    runs = [place / "results/runs/images/lam", tmp_path / "runs"]
    kept = [path for path in runs[0].iterdir() if path.name.startswith("old_")]
    with pytest.raises(UserError, match="differ in attribution.n_steps"):
        store([*kept, runs[1]], tmp_path / "mixed.csv")
    assert not (tmp_path / "mixed.csv").exists()


def test_what_ships_is_the_default_protocol():
    reference = read(shipped())
    config = compose(["dataset=shipped", "attribution=lam"])
    require_protocol(reference, protocol(config.attribution, config.dataset, config.machine.precision))
    assert len(reference.models) >= 7 and list(reference.records) == KEPT
    names = [f"{file.rpartition('.')[0]}_{y}_{x}" for file, y, x in config.dataset["crops"]]
    assert list(reference.records[reference.records["model"] == "imdn"]["image"]) == names
    table = ranking(reference.records)
    assert not table.attrs["notes"] and (table["n_images"] == 12).all()
    assert json.loads(json.dumps(reference.protocol)) == reference.protocol


def test_references_that_ship_have_names(place, lamscope):
    assert reference_of(None).file == shipped() and reference_of("shipped").file == shipped()
    code, _, err = lamscope("--config-dir", "my", "model=mine", "reference=urban100", *QUICK)
    assert code == 2 and "There is no reference 'urban100': lamscope brings shipped, urban256;" in err


def test_urban256_is_the_default_protocol_on_crops_that_its_manifest_rebuilds(tmp_path):
    reference = reference_of("urban256")
    config = compose(["dataset=hdf5", "dataset.path=urban256.h5", "attribution=lam"])
    require_protocol(reference, protocol(config.attribution, config.dataset, config.machine.precision))
    manifest = read_manifest(reference.file.with_name("urban256.json"))
    table = ranking(reference.records)
    assert not table.attrs["notes"] and (table["n_images"] == 60).all() and len(table) >= 7
    one = reference.records[reference.records["model"] == "imdn"].sort_values("index")
    assert one["image"].tolist() == [row["name"] for row in manifest["crops"]]
    assert set(reference.records["dataset"]) == {"urban256"}  # what a file urban256.h5 is called too


@pytest.mark.shared
@pytest.mark.slow
def test_urban256_is_rebuilt_from_images_that_hold_its_crops(tmp_path, monkeypatch, shared):
    """Images of Urban100 that hold nothing but the crop, at its place."""
    manifest = read_manifest(reference_of("urban256").file.with_name("urban256.json"))
    (tmp_path / "Urban100").mkdir()
    for row in manifest["crops"]:
        with Image.open(shared / "data" / "urban256" / row["file"]) as crop:
            whole = Image.new("RGB", (row["x"] + 300, row["y"] + 270))
            whole.paste(crop.convert("RGB"), (row["x"], row["y"]))
            whole.save(tmp_path / "Urban100" / row["file"], compress_level=1)
    monkeypatch.chdir(tmp_path)
    reference = reference_of("urban256")
    assert main(["data", "rebuild", str(reference.file.with_name("urban256.json")), "Urban100", "out=urban256.h5"]) == 0
    digests = reference.records.drop_duplicates("image").set_index("image")["lr_digest"]
    for sample in HDF5Dataset(path="urban256.h5").samples(4):
        assert hashlib.sha256(sample.lr.tobytes()).hexdigest()[:8] == digests[sample.name]


def test_sign_flips_agree_with_scipy():
    values = np.random.default_rng(0).normal(0.4, 1, (9, 3))
    wanted = stats.permutation_test(
        (values,), lambda x, axis: x.mean(axis), permutation_type="samples", vectorized=True, n_resamples=np.inf
    )
    np.testing.assert_allclose(sign_flip(values), wanted.pvalue, rtol=1e-12)
    many = np.random.default_rng(1).normal(0.2, 1, (40, 2))
    wanted = stats.permutation_test(
        (many,), lambda x, axis: x.mean(axis), permutation_type="samples", vectorized=True, n_resamples=9999, rng=0
    )
    np.testing.assert_allclose(sign_flip(many), wanted.pvalue, atol=0.02)
    assert sign_flip(np.zeros((5, 1))) == 1


def test_holm_by_hand():
    np.testing.assert_allclose(holm(np.array([0.01, 0.04, 0.03, 0.5])), [0.04, 0.09, 0.09, 0.5])
    np.testing.assert_allclose(holm(np.array([0.6, 0.7])), [1, 1])


def test_the_tables_fit_a_terminal_and_say_what_they_come_to():
    records = read(shipped()).records
    found = against(records, "pan")
    for value in ("di", "psnr_y"):
        assert max(map(len, difference_lines(found, value))) <= 80
    sure = found["di_holm"] < 0.05
    above = int((sure & (found["di"] > 0)).sum())
    below = int((sure & (found["di"] < 0)).sum())
    assert above + below > 0
    said = verdict(found, "di", "pan")
    assert said.startswith(f"pan is above {above} network") and f"below {below}, not told apart from" in said
    document = markdown(ranking(records), found, "pan", "T")
    assert said in document and document.count("| against") == 2 and "PSNR-Y (dB): pan is" in document


def test_differences_are_paired_and_ordered():
    records = read(shipped()).records
    found = against(records, "pan").set_index("model")
    assert list(found.index) == [name for name in ranking(records)["model"] if name != "pan"]
    wide = records.pivot(index="image", columns="model", values="di")
    np.testing.assert_allclose(found.loc["imdn", "di"], (wide["pan"] - wide["imdn"]).mean(), rtol=1e-12)
    assert (found["di_low"] < found["di"]).all() and (found["di"] < found["di_high"]).all()
    assert (found["di_holm"] >= found["di_p"]).all()
    with pytest.raises(UserError, match="mine has no finite result"):
        against(records, "mine")


def test_the_figure_marks_the_newcomer():
    records = read(shipped()).records
    rank = ranking(records).set_index("model").loc["pan", "rank"]
    labels = figure.draw(records, newcomer="pan").get_yticklabels()
    assert [label.get_text() for label in labels if label.get_fontweight() == "bold"] == [f"PAN  {rank}"]
    with pytest.raises(UserError, match="mine"):
        figure.draw(records, newcomer="mine")
