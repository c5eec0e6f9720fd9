"""What is installed is what the folders hold: the package list, the wheel, and what coverage counts."""

from __future__ import annotations

import json
import os
import shutil
import site
import subprocess
import sys
import tomllib
import venv
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
SETUPTOOLS = PROJECT["tool"]["setuptools"]
FOLDERS = {
    "lamscope": "bench",
    "lamscope.models": "models",
    "lamscope.conf": "conf",
    "lamscope.stored": "results/reference",
}


def source_files(pattern: str) -> dict[str, Path]:
    """Files of the package in the tree, by the path that they have when installed."""
    found = {}
    for package, folder in FOLDERS.items():
        for file in sorted((ROOT / folder).rglob(pattern)):
            if "__pycache__" not in file.parts:
                found["/".join([*package.split("."), *file.relative_to(ROOT / folder).parts])] = file
    return found


def run(*command: str | Path, cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """A command that must succeed, in a given folder, without a package registry."""
    settings = {**os.environ, "PIP_NO_INDEX": "1", "PIP_DISABLE_PIP_VERSION_CHECK": "1", **environment}
    settings.pop("PYTHONPATH", None)
    done = subprocess.run([str(c) for c in command], cwd=cwd, env=settings, capture_output=True, text=True)
    assert done.returncode == 0, f"{' '.join(map(str, command))}\n{done.stdout}\n{done.stderr}"
    return done


def test_package_list_is_the_folders():
    assert SETUPTOOLS["package-dir"] == FOLDERS
    with_python = {path.rpartition("/")[0].replace("/", ".") for path in source_files("*.py")}
    assert sorted(SETUPTOOLS["packages"]) == sorted(with_python)
    assert len(set(SETUPTOOLS["packages"])) == len(SETUPTOOLS["packages"])


def test_every_package_has_an_init():
    for package in SETUPTOOLS["packages"]:
        assert package.replace(".", "/") + "/__init__.py" in source_files("__init__.py")


def test_folders_do_not_shadow_each_other():
    # lamscope/models would have two homes
    assert not list((ROOT / "bench").glob("models*"))
    assert not list((ROOT / "bench").glob("conf*/"))
    assert not list((ROOT / "bench").glob("stored*"))


def test_constraints_pin_what_the_project_asks_for():
    pins = dict(
        line.split("==") for line in (ROOT / "constraints.txt").read_text().splitlines() if not line.startswith("#")
    )
    project = PROJECT["project"]
    asked = [*project["dependencies"], *(line for extra in project["optional-dependencies"].values() for line in extra)]
    names = {"".join(c if c.isalnum() or c in "-_" else " " for c in line).split()[0] for line in asked}
    assert names <= pins.keys()
    assert {"torch", "torchvision", "setuptools", "wheel"} <= pins.keys()
    assert not [name for name in pins if name.startswith(("nvidia", "cuda", "triton"))]


def test_coverage_counts_modules_that_nothing_imports(tmp_path):
    settings = ROOT / "pyproject.toml"
    coverage = (sys.executable, "-m", "coverage")
    (tmp_path / "start.py").write_text("import lamscope, lamscope.models, lamscope.conf")
    run(*coverage, "run", f"--rcfile={settings}", "--data-file=data", "start.py", cwd=tmp_path)
    run(*coverage, "combine", f"--rcfile={settings}", "--data-file=data", cwd=tmp_path)
    run(*coverage, "json", f"--rcfile={settings}", "--data-file=data", "-o", "out.json", cwd=tmp_path)
    counted = {Path(name).resolve() for name in json.loads((tmp_path / "out.json").read_text())["files"]}
    # coverage leaves out empty files that nothing imported
    assert {file for file in source_files("*.py").values() if file.stat().st_size} <= counted


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    """A wheel built from a copy of the tree, so that an old build/ cannot lend it files."""
    folder = tmp_path_factory.mktemp("wheel")
    copy = folder / "source"
    for name in FOLDERS.values():
        shutil.copytree(ROOT / name, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, copy)
    run(sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation", "-w", folder, ".", cwd=copy)
    return next(folder.glob("lamscope-*.whl"))


@pytest.fixture(scope="module")
def installed(wheel, tmp_path_factory) -> Path:
    """The bin folder of a throw-away environment that holds the wheel and sees this one's other packages."""
    folder = tmp_path_factory.mktemp("environment")
    venv.create(folder, with_pip=False)
    python = folder / "bin" / "python"
    run(sys.executable, "-m", "pip", "--python", python, "install", "--no-deps", wheel, cwd=folder)
    own = Path(run(python, "-c", "import site; print(site.getsitepackages()[0])", cwd=folder).stdout.strip())
    # a path appended this way is searched last, and its own .pth files (the editable lamscope among them) are not read
    (own / "others.pth").write_text("\n".join(site.getsitepackages()))
    return folder / "bin"


@pytest.mark.slow
def test_wheel_holds_every_file_of_the_package(wheel):
    with zipfile.ZipFile(wheel) as archive:
        inside = {name for name in archive.namelist() if ".dist-info/" not in name}
    kinds = ("*.py", "*.yaml", "*.safetensors", "page/*", "*.csv", "*.json")
    needed = {name: file for kind in kinds for name, file in source_files(kind).items()}
    assert any(name.endswith(".html") for name in needed)
    assert inside >= needed.keys()
    assert {name for name in inside if name not in source_files("*")} == set()
    assert any(name.startswith("lamscope/conf/model/") for name in inside)


@pytest.mark.slow
def test_wheel_runs_from_an_empty_folder(installed, tmp_path):
    where = run(installed / "python", "-c", "import lamscope; print(lamscope.__file__)", cwd=tmp_path).stdout.strip()
    assert Path(where).is_relative_to(installed.parent)
    assert "lamscope run" in run(installed / "lamscope", "--help", cwd=tmp_path).stdout
    assert run(installed / "python", "-m", "lamscope", "--help", cwd=tmp_path).stdout
    models = run(installed / "lamscope", "options", "model", cwd=tmp_path).stdout.split()
    assert sorted(models) == sorted(Path(name).stem for name in source_files("*.yaml") if "/conf/model/" in name)
    code = "from lamscope.reference import read, shipped; file = shipped(); read(file); print(file)"
    reference = run(installed / "python", "-c", code, cwd=tmp_path).stdout.strip()
    assert Path(reference).is_relative_to(installed.parent)
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_shipped_weights_load_from_the_wheel(installed, tmp_path):
    code = """
from pathlib import Path
import lamscope
from lamscope.config import options, read_model
shipped = [name for name in options("model") if read_model(name).checkpoint.shipped]
for name in shipped:
    lamscope.load_model(name)
print(len(shipped))
"""
    n_shipped = int(run(installed / "python", "-W", "error::UserWarning", "-c", code, cwd=tmp_path).stdout)
    assert n_shipped == len(source_files("*.safetensors"))
