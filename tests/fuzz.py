"""Thousands of damaged files read in a watched process, which alone dies when a library does.

    python tests/fuzz.py FAMILY BEGIN END     reads the inputs with these seeds; an input is a pure function of its seed

FAMILY is weights, images or stores. What is allowed: success, or a UserError of one line, within seconds and without
memory that the file does not explain.
"""

from __future__ import annotations

import io
import json
import re
import resource
import select
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from random import Random

import numpy as np
from mutations import BY_KIND, raw

SECONDS = 5.0  # of processor time for one input
SILENCE = 120.0  # seconds without an answer that count as a hang, on a busy machine too
GROWTH = 400 << 10  # KiB


@dataclass(frozen=True)
class Sound:
    """A sound file: its name, how it is damaged (a key of BY_KIND), its content."""

    name: str
    kind: str
    content: bytes


def weights() -> tuple[list[Sound], Callable[[Path], object]]:
    import torch
    from safetensors.torch import save

    from lamscope.checkpoints import metadata, read
    from lamscope.models.fsrcnn import FSRCNN
    from lamscope.weights import load_into

    def build() -> torch.nn.Module:
        torch.manual_seed(0)
        return FSRCNN(scale=4, width=6, shrunk=4, depth=1, channels=3)

    def saved(content: object, **how: bool) -> bytes:
        buffer = io.BytesIO()
        torch.save(content, buffer, **how)
        return buffer.getvalue()

    def use(path: Path) -> None:
        metadata(path)
        load_into(core, read(path), path.name, "tiny")

    core = build()
    state = core.state_dict()
    training = {"params": state, "epoch": 3, "optimizer": {"state": {0: {"step": 1.0}}, "param_groups": [{"lr": 1e-4}]}}
    legacy = saved({"state_dict": {f"module.{k}": v for k, v in state.items()}}, _use_new_zipfile_serialization=False)
    return [
        Sound("zip.pth", "zip", saved(state)),
        Sound("raw.pth", "raw", saved(state)),
        Sound("training.pth", "zip", saved(training)),
        Sound("legacy.pth", "raw", legacy),
        Sound("net.safetensors", "safetensors", save(state, {"a": "b"})),
    ], use


def images() -> tuple[list[Sound], Callable[[Path], object]]:
    from PIL import Image

    from lamscope.images import image_size, read_rgb

    random = np.random.default_rng(0)
    rgb = Image.fromarray(random.integers(0, 256, (24, 20, 3), np.uint8))
    exif = Image.Exif()
    exif[0x0112] = 6
    many = {
        "rgb.png": ("png", rgb, {"exif": exif}),
        "palette.png": ("png", rgb.quantize(16), {}),
        "grey16.png": ("png", Image.fromarray(random.integers(0, 65536, (9, 9), np.uint16)), {}),
        "bilevel.png": ("png", rgb.convert("1"), {}),
        "alpha.png": ("png", rgb.convert("RGBA"), {}),
        "raw.png": ("raw", rgb, {}),
        "a.jpg": ("raw", rgb, {"exif": exif}),
        "progressive.jpg": ("raw", rgb, {"progressive": True, "optimize": True}),
        "grey.jpg": ("raw", rgb.convert("L"), {}),
        "a.bmp": ("raw", rgb, {}),
        "palette.bmp": ("raw", rgb.quantize(16), {}),
        "a.tif": ("raw", rgb, {}),
        "lzw.tif": ("raw", rgb, {"compression": "tiff_lzw"}),
        "deflate.tif": ("raw", rgb, {"compression": "tiff_adobe_deflate"}),
        "jpeg.tif": ("raw", rgb, {"compression": "jpeg"}),
        "packbits.tif": ("raw", rgb, {"compression": "packbits"}),
        "fax.tif": ("raw", rgb.convert("1"), {"compression": "group4"}),
    }
    found = []
    for name, (kind, image, how) in many.items():
        buffer = io.BytesIO()
        image.save(buffer, {"jpg": "JPEG", "tif": "TIFF"}.get(name[-3:], name[-3:].upper()), **how)
        found.append(Sound(name, kind, buffer.getvalue()))

    def use(path: Path) -> None:
        size = image_size(path)
        assert read_rgb(path).shape == (*size, 3)

    return found, use


def stores() -> tuple[list[Sound], Callable[[Path], object]]:
    import h5py

    from lamscope.conditions import Conditions
    from lamscope.pairs import HDF5Dataset
    from lamscope.store import CellWriter, read_provenance, read_tensors
    from lamscope.table import read_records
    from lamscope.training.patches import describe
    from lamscope.types import UserError

    found = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        random = np.random.default_rng(0)
        image = random.integers(0, 256, (8, 8, 3), np.uint8)
        tensors = {"hr": image, "lr": image[:4, :4], "sr": image, "map": random.random((1, 3, 4, 4), np.float32)}
        row = {"di": 1.0, "status": "ok", "lr_h": 4, "lr_w": 4, "scale": 2, "window_y": 1, "gap": None}
        about = {"digest": "0", "config": {"seed": 0}, "identity": {}, "environment": {"host": "x"}}
        with CellWriter(folder / "a.h5", about, 2, {"model": "net", "family": "plain"}) as writer:
            writer.write(0, "a", tensors, [row])
            found.append(Sound("00000.npz", "zip", (folder / "a.parts/00000.npz").read_bytes()))
            found.append(Sound("00000.npz", "raw", (folder / "a.parts/00000.npz").read_bytes()))
            writer.write(1, "b", tensors, [row])
            writer.finish()
        found.append(Sound("a.h5", "hdf5", (folder / "a.h5").read_bytes()))
        with h5py.File(folder / "a.h5") as old, h5py.File(folder / "old.h5", "w", libver="earliest") as new:
            new.attrs.update(old.attrs)
            for member in old:  # the same in the layout that has no checksums
                old.copy(member, new)
        found.append(Sound("a.h5", "hdf5", (folder / "old.h5").read_bytes()))
        with h5py.File(folder / "set.h5", "w") as file:
            file.create_dataset("hr/b", data=np.stack([image] * 1)[0], compression="gzip", shuffle=True)
            file.create_dataset("hr/a", data=image)
            file.create_dataset("lr/a", data=image[:4, :4], compression="gzip", fletcher32=True)
        found.append(Sound("set.h5", "hdf5", (folder / "set.h5").read_bytes()))
        with h5py.File(folder / "arrays.h5", "w", libver="latest") as file:
            file.create_dataset("hr", data=np.stack([image, image]), chunks=(1, 8, 8, 3), maxshape=(None, 8, 8, 3))
            file["names"] = ["first", "second"]
        found.append(Sound("set.h5", "hdf5", (folder / "arrays.h5").read_bytes()))
        with h5py.File(folder / "patches.h5", "w") as file:
            file.attrs.update(schema=1, scale=2, dataset="x", sha256="0", sources="[]")
            for group, side in (("lr", 4), ("hr", 8)):
                made = file.create_group(group).create_dataset("000000", data=image[:side, :side])
                made.attrs["name"] = "a.png"
        found.append(Sound("patches.h5", "hdf5", (folder / "patches.h5").read_bytes()))
        np.savez_compressed(folder / "conditions.npz", a=np.zeros((2, 8, 8)), b=np.ones(2))
        found.append(Sound("conditions.npz", "zip", (folder / "conditions.npz").read_bytes()))
        with CellWriter(folder / "f.h5", about, 1, {"model": "net"}) as writer:
            writer.fail(ValueError("why"))
        found.append(Sound("a.failed.json", "json", (folder / "f.failed.json").read_bytes()))

    def tried(read: Callable[[], object]) -> None:
        try:
            read()
        except UserError as error:
            one_line(error)

    def use(path: Path) -> None:
        if path.name == "00000.npz":
            parts = path.parent / "cell.parts"
            parts.mkdir(exist_ok=True)
            path.replace(parts / path.name)
            read_records(path.parent, partial=True)
        elif path.name == "set.h5":
            for source in HDF5Dataset(path=path).sources:
                tried(source.read)
                tried(source.read_lr)
        elif path.name == "patches.h5":
            describe(path)
        elif path.name == "conditions.npz":
            tried(lambda: Conditions(path).read("a"))
            Conditions(path).check("b", (4, 4), 2, 2)
        elif path.name == "a.h5":
            tried(lambda: read_provenance(path))
            for index in (0, 1):
                tried(lambda index=index: read_tensors(path, index))
            read_records(path)
        else:
            read_records(path.parent)

    return found, use


FAMILIES = {"weights": weights, "images": images, "stores": stores}


def damaged(sounds: list[Sound], seed: int) -> Sound:
    random = Random(seed)
    one = sounds[seed % len(sounds)]
    return Sound(one.name, one.kind, (BY_KIND[one.kind] if random.random() < 0.85 else raw)(random, one.content))


def one_line(error: Exception) -> None:
    assert "\n" not in str(error) and len(str(error)) < 1000, "the message is no single line"


def child(family: str, begin: int, end: int) -> None:
    """Before each input its seed goes out, after it what was wrong, if anything."""
    import warnings

    from lamscope import watched
    from lamscope.types import UserError

    watched.SECONDS = 1
    warnings.simplefilter("ignore")
    sounds, use = FAMILIES[family]()
    with tempfile.TemporaryDirectory() as folder:
        for i, sound in enumerate(sounds):
            (where := Path(folder, f"sound{i}")).mkdir()
            (where / sound.name).write_bytes(sound.content)
            use(where / sound.name)
        for seed in range(begin, end):
            tell(seed=seed)
            sound = damaged(sounds, seed)
            (where := Path(folder, str(seed))).mkdir()
            (where / sound.name).write_bytes(sound.content)
            before, start, wrong = peak(), time.process_time(), ""
            try:
                use(where / sound.name)
                outcome = "read"
            except UserError as error:
                outcome = "refused"
                if "\n" in str(error) or len(str(error)) > 1000:
                    wrong = f"the message is no single line: {error}"
            except BaseException as error:
                outcome, wrong = "failed", f"{type(error).__name__}: {error}"
            if (grown := peak() - before) > GROWTH:
                wrong += f" {grown >> 10} MiB of memory"
            if (spent := time.process_time() - start) > SECONDS:
                wrong += f" {spent:.0f} s"
            tell(outcome=outcome, wrong=wrong)
            for file in sorted(where.rglob("*"), reverse=True):
                file.rmdir() if file.is_dir() else file.unlink()
    tell(end=True)


def peak() -> int:
    """KiB that this process, or the one that reads HDF5 for it, has held at most."""
    from lamscope.watched import reader

    process = reader().process
    status = Path(f"/proc/{process.pid}/status") if process else Path()
    held = re.search(r"VmHWM:\s*(\d+)", status.read_text()) if status.is_file() else None
    return max(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, int(held[1]) if held else 0)


def tell(**about: object) -> None:
    print(json.dumps(about), flush=True)


def watch(family: str, begin: int, end: int) -> tuple[dict[str, int], dict[int, str]]:
    """Outcomes counted, and {seed: what was wrong}. A child that dies or hangs is replaced after that input."""
    counts: dict[str, int] = {}
    wrong: dict[int, str] = {}
    while begin < end:
        command = [sys.executable, __file__, family, str(begin), str(end)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
            seed = begin - 1
            for said in lines(process):
                if "seed" in said:
                    seed = said["seed"]
                elif "outcome" in said:
                    counts[said["outcome"]] = counts.get(said["outcome"], 0) + 1
                    if said["wrong"]:
                        wrong[seed] = said["wrong"]
                elif "end" in said:
                    return counts, wrong
                else:
                    process.kill()
            code = process.wait()
        assert seed >= begin, f"the child does not start: {code}"
        counts["lost"] = counts.get("lost", 0) + 1
        wrong[seed] = f"the process ended with {code}"
        begin = seed + 1
    return counts, wrong


def lines(process: subprocess.Popen[str]) -> Iterator[dict]:
    """What a child says; {} when it is silent for too long."""
    assert process.stdout is not None
    while True:
        if not select.select([process.stdout], [], [], SILENCE)[0]:
            yield {}
            return
        line = process.stdout.readline()
        if not line:
            return
        yield json.loads(line)


if __name__ == "__main__":
    child(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
