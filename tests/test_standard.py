"""Published test sets: what is said of a copy that is not what it should be."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from test_data import CONF

from lamscope.cli import main
from lamscope.datasets import known_sets
from lamscope.standard import Known, StandardSet, canonical, complaint, find_folder
from lamscope.types import UserError

COUNTS = {
    "set5": 5, "set14": 14, "b100": 100, "urban100": 100, "manga109": 109, "div2k_valid": 100, "general100": 100,
    "lam_demo": 7,
}  # fmt: skip


def lay_out(folder: Path, sizes: Mapping[str, tuple[int, int]]) -> list[Path]:
    """Black images of these (width, height)."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, size in sizes.items():
        Image.new("L", size).save(folder / name, compress_level=1)  # what is read of it is its header
    return sorted(folder.iterdir())


def small_set(**changes) -> Known:
    facts = {
        "title": "Urban4", "count": 4, "folders": ["Urban4"], "page": "https://example.org", "terms": "research",
        "names": "img_{:03d}", "sizes": {f"img_{i:03d}": [64, 43] for i in range(1, 5)},
    }  # fmt: skip
    return Known(**(facts | changes))


FULL = {f"img_{i:03d}.png": (64, 43) for i in range(1, 5)}


def test_a_whole_copy_has_no_complaint(tmp_path):
    assert complaint(small_set(), lay_out(tmp_path, FULL)) is None
    other_names = {f"img_{i}_SRF_4_HR.png": (64, 43) for i in range(1, 5)}
    assert complaint(small_set(), lay_out(tmp_path / "srf", other_names)) is None


def test_missing_and_halved_images_are_named(tmp_path):
    some = {k: v for k, v in FULL.items() if k != "img_003.png"} | {"img_002.png": (32, 21)}
    found = complaint(small_set(), lay_out(tmp_path, some))
    assert found == (
        "Urban4: 3 of 4 images, missing img_003.png; img_002.png is 32×21, expected 64×43: this is the half-size copy"
    )


@pytest.mark.parametrize(
    ("size", "said"),
    [
        ((60, 36), "the copy cut to multiples of 12"),
        ((16, 11), "the quarter-size copy"),
        ((43, 64), "turned by 90°"),
        ((50, 43), "expected 64×43"),
    ],
)
def test_kinds_of_wrong_sizes(tmp_path, size, said):
    found = complaint(small_set(), lay_out(tmp_path, dict.fromkeys(FULL, size)))
    assert found and said in found and "(and 3 more)" in found and found.count("expected") == 1


def test_strangers_and_lr_images_are_named(tmp_path):
    found = complaint(small_set(), lay_out(tmp_path / "a", FULL | {"cat.png": (9, 9)}))
    assert found == "Urban4: 4 of 4 images; cat.png does not belong to it"
    found = complaint(small_set(), lay_out(tmp_path / "b", {f"img_{i:03d}x4.png": (16, 10) for i in range(1, 5)}))
    assert found and "0 of 4" in found and "LR images: name the folder of the HR ones" in found


def test_a_bound_is_not_a_size(tmp_path):
    bound = small_set(sizes={}, at_least={"img_001": [60, 40]})
    assert complaint(bound, lay_out(tmp_path / "a", FULL)) is None
    found = complaint(bound, lay_out(tmp_path / "b", dict.fromkeys(FULL, (32, 21))))
    assert found == "Urban4: img_001.png is 32×21, expected at least 60×40: this is the half-size copy"
    assert "half" not in str(complaint(bound, lay_out(tmp_path / "c", dict.fromkeys(FULL, (20, 20)))))


def test_only_a_number_is_checked_where_no_names_are_known(tmp_path):
    unknown = small_set(names=(), sizes={})
    assert complaint(unknown, lay_out(tmp_path, FULL)) is None
    assert complaint(unknown, lay_out(tmp_path, FULL | {"x.png": (4, 4)})) == "Urban4: 5 of 4 images"


def test_folders_are_found_and_the_nearest_wins(tmp_path):
    lay_out(tmp_path / "benchmark" / "urban4" / "HR", FULL)
    assert find_folder(["Urban4"], [tmp_path]) == tmp_path / "benchmark" / "urban4" / "HR"
    lay_out(tmp_path / "Urban4" / "image_SRF_4", FULL)
    assert find_folder(["Urban4"], [tmp_path]) == tmp_path / "Urban4" / "image_SRF_4"
    assert find_folder(["Set5"], [tmp_path]) is None
    with pytest.raises(UserError, match="machine.data does not exist"):
        find_folder(["Set5"], [tmp_path / "nowhere"])


def test_lr_images_beside_hr_ones_are_left_out(tmp_path):
    lay_out(
        tmp_path / "Urban4", {f"img_00{i}_SRF_4_{kind}.png": (64, 43) for i in range(1, 5) for kind in ("HR", "LR")}
    )
    assert len(StandardSet(known=small_set(), roots=str(tmp_path))) == 4


def test_a_set_refuses_a_wrong_copy_unless_told(tmp_path):
    lay_out(tmp_path, {"img_001.png": (64, 43)})
    with pytest.raises(UserError, match=r"1 of 4 images.*dataset.strict=false"):
        len(StandardSet(known=small_set(), path=tmp_path))
    assert len(StandardSet(known=small_set(), path=tmp_path, strict=False)) == 1
    with pytest.raises(UserError, match=r"Urban4 is not here: get it from https://example.org"):
        StandardSet(known=small_set())


@given(st.integers(1, 999), st.sampled_from(["", "_SRF_2_HR", "_SRF_4_HR", "_GT", "_HR"]), st.integers(1, 4))
def test_one_image_under_many_names(number, ending, digits):
    assert canonical(f"IMG_{number:0{digits}d}{ending}") == f"img_{number}"


def test_what_is_known_agrees_with_itself():
    known = known_sets()
    assert {name: facts.count for name, facts in known.items()} == COUNTS
    for facts in known.values():
        names = facts.expected()
        assert len({canonical(name) for name in names}) == facts.count
        assert set(facts.sizes) <= set(names) and set(facts.at_least) <= set(names)
        assert facts.page.startswith("http") and facts.terms


def test_sizes_of_div2k_follow_its_rule():
    """One side is 2040 pixels, and both are multiples of 12 (Agustsson & Timofte 2017)."""
    sizes = known_sets()["div2k_valid"].sizes
    assert len(sizes) == 100
    assert all(max(size) == 2040 and not size[0] % 12 and not size[1] % 12 for size in sizes.values())


def test_a_shrunk_copy_is_told_by_the_images_whose_size_is_known(tmp_path):
    for name, kind in (("div2k_valid", "the half-size copy"), ("manga109", "the half-size copy")):
        known = known_sets()[name]
        full = known.sizes or dict.fromkeys(known.expected(), (827, 1170)) | dict(known.at_least)
        files = lay_out(tmp_path / name, {f"{image}.png": (w // 2, h // 2) for image, (w, h) in full.items()})
        assert str(complaint(known, files)).endswith(kind)
        files = lay_out(tmp_path / f"{name}_full", {f"{image}.png": (w, h) for image, (w, h) in full.items()})
        assert complaint(known, files) is None


def test_conf_has_every_field_of_its_class():
    for name in COUNTS:
        node = yaml.safe_load((CONF / f"{name}.yaml").read_text("utf-8"))
        assert set(node) - {"_target_"} == set(StandardSet.__dataclass_fields__)
        assert node["name"] == name and node["roots"] == "${machine.data}"


@pytest.mark.shared
def test_the_shared_copies_are_whole(shared, capsys):
    for name in ("set5", "set14", "lam_demo"):
        assert main(["data", "verify", name, f"machine.data={shared / 'data'}"]) == 0
    assert main(["data", f"machine.data={shared / 'data'}"]) == 0
    out = capsys.readouterr().out
    assert out.count("complete") == 4 and "not here" in out and "SelfExSR" in out
    assert main(["data", "verify", "urban100", str(shared / "data" / "urban256")]) == 2
    error = capsys.readouterr().err
    assert (
        "60 of 100 images, missing img_003.png" in error and "256×256, expected at least 272×272 (and 58 more)" in error
    )


@pytest.mark.shared
def test_every_urban_crop_lies_inside_its_bound(shared):
    known = known_sets()["urban100"]
    rows = np.genfromtxt(shared / "data/urban256/crops.csv", delimiter=",", skip_header=1, dtype=str)
    assert {name: list(size) for name, size in known.at_least.items()} == {
        file[:-4]: [int(left) + 256, int(top) + 256] for file, top, left, _ in rows
    }
