"""Training as the equal-budget zoo and train=paper need it: in slices, carried about, together, in half precision."""

from __future__ import annotations

import csv
import importlib.util
import io
import json
import os
import subprocess
import sys
import tarfile
from fnmatch import fnmatchcase
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from killed import train_and_kill
from PIL import Image

from lamscope import cli, weights, zoo
from lamscope.config import compose, instantiate, options, read_model
from lamscope.training import bundle, curve, errands, patches, settings, ship, train
from lamscope.training.checkpoint import newest
from lamscope.training.team import Team, gathered
from lamscope.types import UserError

pytestmark = pytest.mark.skipif(importlib.util.find_spec("basicsr") is None, reason="BasicSR is not installed")

LITE = [name for name in options("model") if name.endswith("_lite")]
TINY = ["model=fsrcnn_lite", "model.net.width=4", "model.net.shrunk=2", "model.net.depth=1", "model.name=tiny"]
SHORT = ["train.updates=6", "train.save_every=4", "train.batch=2", "train.patch=6", "train.n_validation=1"]
HERE = ["machine.device=cpu", "machine.threads=1"]


def overrides(photos: Path, results: Path, *more: str, model: tuple[str, ...] = tuple(TINY)) -> list[str]:
    return [*model, "train=lite", *SHORT, *HERE, f"train.images={photos}", f"results={results}", *more]


def rows(run: Path) -> list[list[str]]:
    """The curve without its seconds."""
    with (run / "curve.csv").open(newline="") as stream:
        return [row[:4] for row in csv.reader(stream)]


def same_weights(one: Path, two: Path) -> bool:
    a, b = weights.read(one), weights.read(two)
    return a.keys() == b.keys() and all(torch.equal(a[key], b[key]) for key in a)


@pytest.mark.parametrize("name", LITE)
def test_a_lite_network_is_as_large_as_the_others_or_its_original(name: str):
    """200 K parameters ± 25 %, those that the official code never uses not counted."""
    model = read_model(name)
    with torch.device("meta"):
        core: torch.nn.Module = zoo.build(model).core  # type: ignore[assignment]
    named = dict(core.named_parameters())
    used = sum(p.numel() for k, p in named.items() if not any(fnmatchcase(k, q) for q in model.unused_parameters))
    assert (model.scale, model.channels) == (4, "rgb")
    originals = {"fsrcnn_lite": "fsrcnn", "espcn_lite": "espcn", "srcnn_lite": "srcnn"}
    if name in originals:
        assert used <= (read_model(originals[name]).n_parameters or 0)
    else:
        assert 150_000 <= used <= 250_000


def test_every_architecture_has_a_lite_network():
    """By class; SRResNet stands for its two forms, and BasicSR's registry is no architecture."""

    def kinds(names: list[str]) -> set[str]:
        return {read_model(name).net["_target_"].rpartition(".")[2] for name in names}

    assert kinds(options("model")) - kinds(LITE) == {"SRResNet", "build_network"}


@pytest.mark.slow
@pytest.mark.parametrize("name", LITE)
def test_every_lite_network_trains_and_continues(name: str, photos: Path, tmp_path: Path):
    """A pause after the first update and a continuation give the weights of a training without."""
    size = {"nlrn_lite": "train.patch=4", "rfdn_lite": "train.patch=16"}.get(name, "train.patch=8")
    small = ("train.updates=2", "train.save_every=2", "train.warmup=-1", size)
    places = [photos, tmp_path / "photos"]
    if name == "nlrn_lite":  # attends over all pixels at SR size, those of the validation image too
        places[1] = tmp_path / "smaller"
        places[1].mkdir()
        for file in photos.iterdir():
            Image.open(file).resize((24, 20)).save(places[1] / file.name)
    arguments = overrides(places[1], tmp_path / "a", *small, model=(f"model={name}",))
    run = train(compose([*arguments, "train.minutes=1e-9"]))
    assert newest(run) == 1 and not (run / f"{name}.safetensors").exists()
    assert train(compose(arguments)) == run
    whole = train(compose(overrides(places[1], tmp_path / "b", *small, model=(f"model={name}",))))
    assert rows(run) == rows(whole) and float(rows(run)[-1][3]) > 0
    assert same_weights(run / f"{name}.safetensors", whole / f"{name}.safetensors")


def test_a_slice_of_time_ends_at_a_checkpoint_and_changes_nothing(photos: Path, tmp_path: Path, capsys):
    whole = train(compose(overrides(photos, tmp_path / "whole")))
    arguments = overrides(photos, tmp_path / "slices")
    run = tmp_path / "slices/train/tiny-lite-seed0"
    for done in (1, 2, 3):
        assert train(compose([*arguments, "train.minutes=1e-9"])) == run
        assert newest(run) == done and not (run / "tiny.safetensors").exists()
        assert f"tiny-lite-seed0: {done} of 6 updates; the same command continues." in capsys.readouterr().out
    train(compose(arguments))
    assert rows(run) == rows(whole) and [row[0] for row in rows(run)] == ["iteration", "4", "6"]
    assert same_weights(run / "tiny.safetensors", whole / "tiny.safetensors")
    with pytest.raises(UserError, match="train.minutes is 0"):
        train(compose([*arguments, "train.minutes=0"]))


def test_a_loss_that_is_no_number_is_in_the_curve(photos: Path, tmp_path: Path):
    arguments = overrides(photos, tmp_path, "train.lr=1e30", "train.warmup=-1")
    with pytest.raises(UserError, match=r"'tiny-lite-seed0' diverged at update \d \(its loss is (nan|inf)\)"):
        train(compose(arguments))
    run = tmp_path / "train/tiny-lite-seed0"
    last = rows(run)[-1]
    assert last[1] in ("nan", "inf") and last[3] == ""
    assert curve.read_curve(run / "curve.csv")[-1]["psnr_y"] == "" and not (run / "tiny.safetensors").exists()


def test_a_sweep_goes_on_after_a_job_that_fails(photos: Path, tmp_path: Path, capsys):
    """One seed holds a run with other settings; the other is trained, and the exit code tells."""
    arguments = [a for a in overrides(photos, tmp_path) if not a.startswith("model=")]
    arguments = ["-m", "model=fsrcnn_lite", "seed=0,1", *arguments[4:], "train.updates=1"]
    train(compose(overrides(photos, tmp_path, "train.updates=2", model=("model=fsrcnn_lite",))))
    capsys.readouterr()
    assert cli.main(["train", *arguments]) == 2
    assert "fsrcnn_lite-lite-seed0' holds a run with other settings (train.updates)" in capsys.readouterr().err
    made = {p.parent.name for p in (tmp_path / "train").glob("*/*.safetensors")}
    assert made == {"fsrcnn_lite-lite-seed0", "fsrcnn_lite-lite-seed1"}


def test_trainings_travel_in_one_file(photos: Path, tmp_path: Path, capsys):
    arguments = overrides(photos, tmp_path / "here")
    paused = train(compose([*arguments, "train.minutes=1e-9"]))
    done = train(compose([*arguments, "seed=1"]))
    file, there = tmp_path / "state.tar.gz", tmp_path / "there"
    assert cli.main(["train", "pack", str(file), f"results={tmp_path / 'here'}"]) == 0
    assert cli.main(["train", "unpack", str(file), f"results={there}"]) == 0
    out = capsys.readouterr().out
    assert "tiny-lite-seed0: update 1" in out and "tiny-lite-seed1: update 6" in out
    with tarfile.open(file) as tar:
        names = tar.getnames()
    assert not any("seed1/training_states" in n for n in names) and any("seed0/tensorboard" in n for n in names)

    moved = overrides(photos, there)
    before = (there / "train/tiny-lite-seed1/models/net_g_6.pth").read_bytes()
    assert train(compose([*moved, "seed=1"])) == there / "train/tiny-lite-seed1"  # finished: nothing is trained again
    assert (there / "train/tiny-lite-seed1/models/net_g_6.pth").read_bytes() == before
    assert same_weights(there / "train/tiny-lite-seed1/tiny.safetensors", done / "tiny.safetensors")
    train(compose(moved))
    train(compose(arguments))
    assert same_weights(there / "train/tiny-lite-seed0/tiny.safetensors", paused / "tiny.safetensors")
    assert bundle.unpack(file, there / "train")[0] == "tiny-lite-seed0: is here at update 6 already, 1 in the file"
    with pytest.raises(UserError, match="more than 0: let some finish first"):
        bundle.pack(there / "train", tmp_path / "none.tar", limit=10)
    assert not (tmp_path / "none.tar").exists()
    with pytest.raises(UserError, match="no trainings with a checkpoint"):
        bundle.pack(tmp_path, tmp_path / "none.tar")


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("../run/settings.json", {}),
        ("run/../../settings.json", {}),
        ("/run/settings.json", {}),
        ("..", {}),
        ("run/evil.py", {}),
        ("run/models/net_g_1.pth", {"type": tarfile.SYMTYPE, "linkname": "/etc/passwd"}),
    ],
)
def test_a_file_of_trainings_that_holds_anything_else_is_refused(name: str, change: dict, tmp_path: Path):
    file = tmp_path / "state.tar"
    with tarfile.open(file, "w") as tar:
        for path, extra in (("run/curve.csv", {}), (name, change)):
            info = tarfile.TarInfo(path)
            for key, value in extra.items():
                setattr(info, key, value)
            tar.addfile(info, io.BytesIO())
    with pytest.raises(UserError, match="is refused: .* is no file of a training"):
        bundle.unpack(file, tmp_path / "root")
    assert not (tmp_path / "root").exists()
    file.write_bytes(b"no tar")
    with pytest.raises(UserError, match="no readable|not a readable"):
        bundle.unpack(file, tmp_path / "root")


@pytest.mark.slow
def test_half_precision_scales_its_loss_and_continues_the_same(photos: Path, tmp_path: Path):
    fp16 = ("train.autocast=fp16", "train.ema=0.5")
    run = train(compose([*overrides(photos, tmp_path / "a", *fp16), "train.minutes=1e-9"]))
    state = torch.load(run / "training_states/1.state", weights_only=True)
    assert state["scaler"]["scale"] > 1
    train(compose(overrides(photos, tmp_path / "a", *fp16)))
    whole = train(compose(overrides(photos, tmp_path / "b", *fp16)))
    assert rows(run) == rows(whole) and same_weights(run / "tiny.safetensors", whole / "tiny.safetensors")
    single = train(compose(overrides(photos, tmp_path / "c", "train.autocast=false", "train.ema=0.5")))
    a, b = weights.read(run / "tiny.safetensors"), weights.read(single / "tiny.safetensors")
    assert all((a[key] - b[key]).abs().max() < 2e-2 for key in a) and not same_weights(
        run / "tiny.safetensors", single / "tiny.safetensors"
    )
    with pytest.raises(UserError, match="train.autocast is true"):
        train(compose(overrides(photos, tmp_path, "train.autocast=fp8")))


def test_photographs_are_prepared_once_for_all(photos: Path, tmp_path: Path, capsys):
    file = tmp_path / "patches.h5"
    assert cli.main(["train", "prepare", str(photos), f"out={file}"]) == 0
    out = capsys.readouterr().out
    assert "3 images ×4" in out and patches.describe(file).sha256[:16] in out
    arguments = [a for a in overrides(photos, tmp_path, "train.updates=1") if not a.startswith("train.images")]
    run = train(compose([*arguments, f"train.patches={file}"]))
    assert json.loads((run / "settings.json").read_text())["dataset"]["sha256"] == patches.describe(file).sha256
    with pytest.raises(UserError, match="takes one file or folder"):
        errands.main(["prepare"])


PAPER = [
    *("train=paper", "train.batch=4", "train.patch=6", "train.updates=6", "train.save_every=2", "train.milestones=[3]"),
    *("train.workers=0", "train.n_validation=1", *HERE),
]


@pytest.mark.slow
def test_the_papers_recipe_killed_and_continued_gives_the_same_weights(photos: Path, tmp_path: Path):
    errands.main(["prepare", str(photos), f"out={tmp_path / 'div2k.h5'}"])
    arguments = [*TINY, *PAPER, f"train.patches={tmp_path / 'div2k.h5'}"]
    killed = [*arguments, f"results={tmp_path / 'killed'}"]
    run = tmp_path / "killed/train/tiny-paper-seed0"
    train_and_kill(killed, run)
    assert newest(run) == 2
    train(compose(killed))
    whole = train(compose([*arguments, f"results={tmp_path / 'whole'}"]))
    assert same_weights(run / "tiny.safetensors", whole / "tiny.safetensors") and rows(run) == rows(whole)
    assert [row[2] for row in rows(run)[1:]] == ["1.000e-04", "5.000e-05", "5.000e-05"]  # decays at its milestone
    assert list((run / "tensorboard").glob("events.*"))


@pytest.mark.slow
def test_two_processes_together_train_as_one(photos: Path, tmp_path: Path):
    """torchrun, gloo: each takes half of every batch; the gradients' mean is the whole batch's, up to rounding."""
    arguments = [*TINY, *PAPER, "train.ema=0.5", f"train.images={photos}"]
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2", "-m"]
    command += ["lamscope", "train", *arguments, f"results={tmp_path / 'two'}"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    for slice_of_time in (["train.minutes=1e-9"], []):
        done = subprocess.run([*command, *slice_of_time], env=environment, capture_output=True, text=True, timeout=400)
        assert done.returncode == 0, done.stderr[-3000:]
    two = tmp_path / "two/train/tiny-paper-seed0"
    one = train(compose([*arguments, f"results={tmp_path / 'one'}"]))
    a, b = weights.read(one / "tiny.safetensors"), weights.read(two / "tiny.safetensors")
    for key in a:
        torch.testing.assert_close(a[key], b[key], rtol=0, atol=2e-5)
    assert [row[0] for row in rows(two)] == [row[0] for row in rows(one)]
    for first, second in zip(rows(one)[1:], rows(two)[1:], strict=True):
        assert float(first[1]) == pytest.approx(float(second[1]), abs=1e-4)
        assert float(first[3]) == pytest.approx(float(second[3]), abs=1e-2)
    odd = subprocess.run(
        [*command, "train.batch=3", "train.name=odd"], env=environment, capture_output=True, text=True, timeout=400
    )
    assert odd.returncode != 0 and "cannot be shared evenly by 2 processes" in odd.stderr


@pytest.mark.slow
def test_many_train_side_by_side_in_slices_and_move(photos: Path, tmp_path: Path):
    """What train=lite says of one GPU, on a CPU: processes on one patches file, stopped, carried, continued."""
    file = tmp_path / "patches.h5"
    errands.main(["prepare", str(photos), f"out={file}"])
    few = [*SHORT, "train.updates=2", f"train.patches={file}", *HERE]
    state = tmp_path / "state.tar.gz"

    def side_by_side(root: Path, *more: str) -> None:
        start = [sys.executable, "-m", "lamscope", "train", "train=lite", *few, f"results={root}", *more]
        running = [subprocess.Popen([*start, f"model={name}"]) for name in ("espcn_lite", "srcnn_lite", "fsrcnn_lite")]
        assert [process.wait(timeout=400) for process in running] == [0, 0, 0]

    side_by_side(tmp_path / "here", "train.minutes=1e-9")
    assert len(bundle.pack(tmp_path / "here/train", state)) == 3
    assert len(bundle.unpack(state, tmp_path / "there/train")) == 3
    side_by_side(tmp_path / "there")
    side_by_side(tmp_path / "whole")
    made = sorted(path.relative_to(tmp_path / "there") for path in (tmp_path / "there").glob("train/*/*.safetensors"))
    assert len(made) == 3 and all(same_weights(tmp_path / "there" / p, tmp_path / "whole" / p) for p in made)


def test_a_gpu_is_the_current_one_and_several_are_the_launchers(tmp_path: Path, monkeypatch):
    """What BasicSR is told on machines with GPUs, of which there need be none here."""
    config = compose([*TINY, "train=lite", *SHORT])
    recipe, chosen = instantiate(config.train), []
    monkeypatch.setattr(torch.cuda, "_lazy_init", lambda: None)
    monkeypatch.setattr(torch._C, "_cuda_setDevice", chosen.append, raising=False)

    def told(device: str, size: int = 1) -> dict:
        return settings.options(config, recipe, tmp_path, torch.device(device), Team(0, size))

    assert (told("cuda")["num_gpu"], told("cpu")["num_gpu"], chosen) == (1, 0, [])
    assert told("cuda:1")["num_gpu"] == 1 and chosen == [1]
    assert told("cuda", 2)["dist"] and chosen == [1]
    with pytest.raises(UserError, match="machine.device=cuda:1 is one GPU for 2 processes"):
        told("cuda:1", 2)

    launched = []

    def init_dist(kind: str) -> None:
        launched.append(kind)
        torch.distributed.init_process_group("gloo", store=torch.distributed.HashStore(), rank=0, world_size=1)

    monkeypatch.setenv("WORLD_SIZE", "2")
    with gathered(torch.device("cuda"), SimpleNamespace(init_dist=init_dist)) as team:
        assert (team.rank, team.size, launched) == (0, 2, ["pytorch"])
    assert not torch.distributed.is_initialized()


@pytest.fixture
def package(tmp_path: Path, monkeypatch) -> tuple[Path, Path]:
    """Folders of weights and of conf that `ship` may write to."""
    shipped, conf = tmp_path / "weights", tmp_path / "conf"
    shipped.mkdir()
    conf.mkdir()
    text = ship.conf_file("espcn_lite").read_text()
    (conf / "espcn_lite.yaml").write_text(text.split("checkpoint:")[0])
    monkeypatch.setattr(ship.weight_files, "shipped_folder", lambda: shipped)
    monkeypatch.setattr(ship, "conf_file", lambda name: conf / f"{name}.yaml")
    return shipped, conf


def test_a_finished_training_ships_with_its_origin(photos: Path, tmp_path: Path, package):
    shipped, conf = package
    manifest = tmp_path / "manifest.csv"
    manifest.write_text("crop,source,terms\n0.png,Somebody's photos,CC0\n1.png,Somebody's photos,CC0\n")
    arguments = overrides(
        photos, tmp_path, f"train.manifest={manifest}", "train.updates=2", model=("model=espcn_lite",)
    )
    run = train(compose([*arguments, "train.minutes=1e-9"]))
    with pytest.raises(UserError, match="is at update 1 of 2: the same training command continues it"):
        ship.ship([run])
    assert not list(shipped.iterdir())
    train(compose(arguments))
    for _ in range(2):  # again: the same bytes
        (file,) = ship.ship([run])
        said = weights.metadata(file)
        assert (said["updates"], said["seed"], said["model"]) == ("2", "0", "espcn_lite") and float(
            said["seconds"]
        ) >= 0
        sha256 = weights.sha256_of(file)
        text = (conf / "espcn_lite.yaml").read_text()
        assert text.count("checkpoint:") == 1 and f"  sha256: {sha256}\n" in text and "training_set: photos\n" in text
    assert {t.dtype for t in weights.read(file).values()} == {torch.float16}
    assert "| Somebody's photos | CC0 | 2 |" in (shipped / "CREDITS.md").read_text()
    with pytest.raises(UserError, match="Two of these runs"):
        ship.ship([run, run])
    other = train(compose([*arguments, "train.name=other", "model.net.width=8"]))
    with pytest.raises(UserError, match="which is no network of conf/model"):
        ship.ship([other])
    with pytest.raises(UserError, match="no training run"):
        ship.ship([tmp_path])


def test_no_more_ships_than_may(photos: Path, tmp_path: Path, package, monkeypatch):
    run = train(compose(overrides(photos, tmp_path, "train.updates=1", model=("model=espcn_lite",))))
    monkeypatch.setattr(ship, "LIMIT", 1000)
    with pytest.raises(UserError, match="may ship"):
        ship.ship([run])
    assert not list(package[0].iterdir())
