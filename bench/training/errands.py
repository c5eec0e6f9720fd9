"""lamscope train prepare | pack | unpack: what comes before a training, and carrying trainings about."""

from __future__ import annotations

from pathlib import Path

from ..types import UserError
from . import bundle
from . import patches as patch_files

HELP = """\
lamscope train prepare IMAGES [out=FILE.h5] [scale=4] [manifest=CSV]  a folder or a tar of photographs, DIV2K's 800 for
                                            train=paper, as one HDF5 file of HR and LR images: train.patches=FILE.h5
lamscope train pack FILE.tar.gz [results=results]    every training of results/train in one file of 64 MiB at most
lamscope train unpack FILE.tar.gz [results=results]  and back; a training that is further here is left alone
"""


def main(arguments: list[str]) -> int:
    """The verb's errands; returns the exit code."""
    errand, *rest = arguments
    names = [a for a in rest if "=" not in a]
    settings = dict(a.split("=", 1) for a in rest if "=" in a)
    if rest in (["-h"], ["--help"]):
        print(HELP, end="")
        return 0
    known = {"prepare": {"out", "scale", "manifest"}, "pack": {"results"}, "unpack": {"results"}}[errand]
    if len(names) != 1 or set(settings) - known:
        raise UserError(f"lamscope train {errand} takes one file or folder, and {', '.join(sorted(known))}=….")
    given = Path(names[0]).expanduser()
    if errand == "prepare":
        return _prepare(given, settings)
    root = Path(settings.get("results", "results")) / "train"
    said = bundle.pack(root, given) if errand == "pack" else bundle.unpack(given, root)
    print("\n".join(said))
    print(f"{given}: {given.stat().st_size / 2**20:.1f} MiB, {len(said)} trainings")
    return 0


def _prepare(images: Path, settings: dict[str, str]) -> int:
    scale = settings.get("scale", "4")
    if not scale.isdecimal() or int(scale) < 1:
        raise UserError(f"scale is a whole number, 1 or more, not '{scale}'.")
    default = Path("results/train/patches") / f"{images.name.split('.')[0]}_x{scale}.h5"
    out = Path(settings["out"]).expanduser() if "out" in settings else default
    manifest = Path(settings["manifest"]).expanduser() if "manifest" in settings else None
    found = patch_files.describe(patch_files.ensure(images, out, int(scale), manifest))
    print(f"{out}: {len(found.names)} images ×{scale}, {out.stat().st_size / 1e6:.0f} MB, sha256 {found.sha256[:16]}…")
    return 0
