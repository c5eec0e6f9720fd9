"""Damage done on purpose, and whether the doctor names it, says what to do, and leaves with the right code."""

import json
import re
import shutil
import subprocess
import sys

import h5py
import numpy as np
import pytest
from test_cli import save_image
from tiers import tiered

from lamscope.cli import main
from lamscope.durable import is_held, locked

SETTINGS = ["dataset=folder", "dataset.path=images", "attribution.n_steps=3", "figures=[]", "chunk=1"]


@pytest.fixture(scope="module")
def stored(tmp_path_factory):
    """A folder with the results of two small networks on three images, made by the real command."""
    folder = tmp_path_factory.mktemp("stored")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        for i in range(3):
            save_image(folder / "images" / f"{i}.png", seed=i)
        assert main(["-m", "model=fsrcnn,espcn", "model.weights=null", *SETTINGS]) == 0
    return folder


@pytest.fixture
def run(stored, tmp_path, monkeypatch):
    """A copy to be damaged; the working folder lies above it."""
    shutil.copytree(stored, tmp_path / "here")
    monkeypatch.chdir(tmp_path / "here")
    return tmp_path / "here" / "results" / "runs" / "images" / "lam"


def fsrcnn(run):
    (file,) = run.glob("fsrcnn-*.h5")
    return file


def doctor(capsys, *arguments):
    code = main(["doctor", *map(str, arguments)])
    captured = capsys.readouterr()
    assert captured.err == ""
    return code, captured.out


def test_a_healthy_run(run, capsys):
    code, out = doctor(capsys, run)
    assert code == 0 and "2 cells, 6 images" in out and out.endswith("nothing is wrong\n") and "WRONG" not in out
    assert doctor(capsys, fsrcnn(run))[0] == 0


def changed(path, change):
    with h5py.File(path, "a") as file:
        change(file)


def flip(path, name, row=0):
    """One bit of one stored chunk."""
    with h5py.File(path) as file:
        place = file[name].id.get_chunk_info(row)
        offset = place.byte_offset + place.size // 2
    data = bytearray(path.read_bytes())
    data[offset] ^= 4
    path.write_bytes(data)


def edit_provenance(file, edit, rows=1):
    (first,) = (json.loads(text) for text in file["provenance"][:])
    texts = [json.dumps(edit(json.loads(json.dumps(first)), row), sort_keys=True) for row in range(rows)]
    about = dict(file["provenance"].attrs)
    del file["provenance"]
    dataset = file.create_dataset("provenance", data=np.array([text.encode() for text in texts]), fletcher32=True,
                                  chunks=(rows,))  # fmt: skip
    dataset.attrs.update(about)


def other_seed(provenance, _):
    provenance["identity"]["seed"] = 7
    return provenance


def other_torch(provenance, row):
    provenance["environment"]["packages"]["torch"] = f"2.{row}"
    return provenance


def nan_map(file):
    file["tensors/16x16/map"][1, 0, 0, 3, 3] = np.nan


def shorter_column(file):
    values = file["records/di"][:2]
    del file["records/di"]
    file["records/di"] = values


def one_image_less(file):
    """Consistent in itself: only the number of images that the cell should have tells."""
    for group in (file["records"], file["tensors/16x16"]):
        for name in list(group):
            values = group[name][:2]
            del group[name]
            group[name] = values


DAMAGES = {
    "bits of a map": (lambda p: flip(p, "tensors/16x16/map", 1), "tensors/16x16/map of image 1: its bytes are damaged"),
    "bits of a record": (lambda p: flip(p, "records/di"), "records/di: its bytes are damaged"),
    "bits of the provenance": (lambda p: flip(p, "provenance"), "provenance: its bytes are damaged"),
    "truncated": (lambda p: p.write_bytes(p.read_bytes()[:-5000]), "is damaged or not a lamscope result"),
    "empty": (lambda p: p.write_bytes(b""), "is damaged or not a lamscope result"),
    "no map": (
        lambda p: changed(p, lambda f: f.pop("tensors/16x16/map")),
        "tensors/16x16/map: map is missing or a link",
    ),
    "no column": (
        lambda p: changed(p, lambda f: f.pop("records/status")),
        "records/status: status is missing or a link",
    ),
    "NaN": (lambda p: changed(p, nan_map), "image 1: the map of window 0 has NaN though its status is ok"),
    "another map": (
        lambda p: changed(p, lambda f: f["tensors/16x16/map"].__setitem__((2, 0, 0, 3, 3), 9.0)),
        "image 2: the diffusion index",
    ),
    "another image": (
        lambda p: changed(p, lambda f: f["tensors/16x16/lr"].__setitem__((0, 0), 255)),
        "image 0: its LR image is not the one that the records name",
    ),
    "rows": (lambda p: changed(p, shorter_column), "records: columns of 3 and 2 rows"),
    "count": (lambda p: changed(p, one_image_less), "2 images where 3 belong: image 2"),
    "older": (lambda p: changed(p, lambda f: f.attrs.update(schema=0)), "written by an older lamscope (schema 0"),
    "newer": (lambda p: changed(p, lambda f: f.attrs.update(schema=99)), "written by a newer lamscope (schema 99"),
    "foreign": (lambda p: changed(p, lambda f: f.attrs.update(format="mine")), "is not a lamscope result"),
    "altered settings": (
        lambda p: changed(p, lambda f: edit_provenance(f, other_seed)),
        "its settings do not give its digest",
    ),
    "renamed": (lambda p: p.rename(p.with_name("fsrcnn-0123456789.h5")), "not the one in the file's name"),
}

SLOW = ["bits of a record", "bits of the provenance", "empty", "no column", "newer"]


@pytest.mark.parametrize("kind", tiered(DAMAGES, SLOW))
def test_damage_is_named_with_what_to_do(run, capsys, kind):
    harm, expected = DAMAGES[kind]
    harm(fsrcnn(run))
    code, out = doctor(capsys, run)
    assert code == 2 and expected in out, out
    assert "→" in out and "to mend" in out and "Traceback" not in out
    assert "espcn" not in "".join(line for line in out.splitlines() if "WRONG" in line)


def test_mixed_provenance(run, capsys, tmp_path):
    """Two environments in one file, then cells of two test sets in one folder."""
    changed(fsrcnn(run), lambda f: edit_provenance(f, other_torch, rows=2))
    code, out = doctor(capsys, run)
    assert code == 0 and "2 environments computed it (they differ in packages.torch)" in out
    assert "several environments: they differ in packages.torch" in out
    save_image(tmp_path / "here" / "images" / "2.png", seed=9)
    assert main(["run", "model=srcnn", "model.weights=null", *SETTINGS]) == 0
    capsys.readouterr()
    code, out = doctor(capsys, run)
    assert code == 2 and "2 different images (srcnn-" in out and "not comparable" in out


def test_what_killed_and_failed_jobs_left(run, capsys):
    file = fsrcnn(run)
    file.with_suffix(".lock").write_text("process 1 on nowhere")
    (run / "fsrcnn-x.h5.tmp").write_bytes(b"half")
    file.with_suffix(".parts").mkdir()
    code, out = doctor(capsys, run)
    assert code == 0 and out.count("a killed job left it") == 2 and "its cell is finished without it" in out
    with locked(file, file.with_suffix(".lock")):
        assert is_held(file.with_suffix(".lock"))
        assert doctor(capsys, run)[1].count("a killed job left it") == 1
    file.unlink()
    (failed := file.with_suffix(".failed.json")).write_text(
        json.dumps({"record": {"model": "fsrcnn", "status": "failed", "message": "MemoryError: full"}})
    )
    code, out = doctor(capsys, run)
    assert code == 2 and "it failed: MemoryError: full" in out
    failed.write_text("{")
    code, out = doctor(capsys, run)
    assert code == 2 and "failed.json is damaged" in out


def test_a_missing_place_and_an_unknown_setting(run, capsys):
    assert main(["doctor", "nowhere"]) == 2 and main(["doctor", "machine.wieghts=x"]) == 2
    captured = capsys.readouterr()
    assert "nowhere" in captured.err and "Did you mean 'machine.weights'" in captured.err and captured.out == ""


def test_the_whole_machine(run, capsys):
    code, out = doctor(capsys, "machine.weights=nowhere")
    assert code == 2 and "there is no such folder" in out
    for title in ("environment", "devices", "weights", "data", "stored in results/runs"):
        assert f"\n{title}\n" in f"\n{out}"
    assert re.search(r"ship with lamscope: .*\bedsr_lite\b.*\bfsrcnn\b", out) and "cpu: " in out


def test_stores_are_checked_without_torch(run):
    code = f"from lamscope.cli import main; assert main(['doctor', {str(run)!r}]) == 0\n"
    code += "import sys; assert 'torch' not in sys.modules, 'torch was imported'"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
