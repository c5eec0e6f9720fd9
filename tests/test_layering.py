"""Who may know whom: the picture of the house, held by reading every import.

models (torch)   types                         conf ──► config
                   ▲  ▲  ▲                                ▲
                data  attribution  metrics    pure siblings: values in, values out
                   ▲      ▲          ▲
                   └── runner ───────┘──► store ◄── table, statistics ◄── figures ◄── report
                         ▲                                                   ▲
                         └───────────────────────── cli ─────────────────────┘
"""

from __future__ import annotations

import ast
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
FOLDERS = {"lamscope": "bench", "lamscope.models": "models", "lamscope.conf": "conf"}
OURS = "lamscope"

DATA = (
    "data",
    "standard",
    "pairs",
    "image_files",
    "conditions",
    "images",
    "downsampling",
    "windows",
    "selection",
    "references",
)
SIBLINGS = {"data": DATA, "attribution": ("attribution",), "metrics": ("metrics",)}
STORE = ("store", "cellfile", "cellread", "rows", "durable", "interruption", "shards", "scores")
FOREIGN = ("zips", "hdf5", "watched", "printable")  # how files that nobody vouched for are read
TABLES = ("table", "statistics", "nested", "comparison", "reference")
WITHOUT_TORCH = (*FOREIGN, *STORE, *TABLES, "variants", "examine", "census", "maps", "figures", "report")
KNOW_HYDRA = {"lamscope.config", "lamscope.sweep", "lamscope.launch.plugin"}
SHARED = {"lamscope.models.resize", "lamscope.models.colour"}  # the one bicubic and the one luminance

# What a layer may import of ours, itself included. What is not here is the upper floor and may know all.
ALLOWED = {
    **dict.fromkeys(FOREIGN, ("types", *FOREIGN)),
    "types": (),
    "version": (),
    "progress": ("progress",),
    "config": ("types",),
    "trusted": ("types",),
    **{layer: ("types", *FOREIGN, *own) for own in SIBLINGS.values() for layer in own},
    **dict.fromkeys(STORE, ("types", "version", *FOREIGN, *STORE)),
    **dict.fromkeys(TABLES, ("types", *STORE, *TABLES)),
    "variants": ("types", *STORE, *TABLES),
    "examine": ("types", "metrics", *FOREIGN, *STORE),
    "census": ("types", "examine", *STORE),
    "maps": ("types", "metrics", *STORE, *TABLES),
    "figures": ("types", "metrics", *STORE, *TABLES, "maps", "figures"),
    "report": (
        "types",
        "version",
        "config",
        "printable",
        "metrics",
        *STORE,
        *TABLES,
        "variants",
        "maps",
        "figures",
        "report",
    ),
}


@dataclass(frozen=True)
class Import:
    """`lazy`: inside a function, so only when it is called. `typing`: only for the type checker."""

    module: str
    line: int
    lazy: bool
    typing: bool


def read_modules() -> dict[str, Path]:
    """Every module of the package by its import name."""
    modules = {}
    for package, folder in FOLDERS.items():
        for file in sorted((ROOT / folder).rglob("*.py")):
            parts = file.relative_to(ROOT / folder).with_suffix("").parts
            modules[".".join((package, *parts)).removesuffix(".__init__")] = file
    return modules


MODULES = read_modules()


def imports(name: str) -> list[Import]:
    """What a module imports, relative names made whole; `from x import y` gives x.y where that is a module."""
    file = MODULES[name]
    package = name if file.name == "__init__.py" else name.rpartition(".")[0]
    found: list[Import] = []

    def visit(node: ast.AST, lazy: bool, typing: bool) -> None:
        if isinstance(node, ast.Import):
            found.extend(Import(alias.name, node.lineno, lazy, typing) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                above = package.split(".")[: len(package.split(".")) - node.level + 1]
                base = ".".join([*above, *([base] if base else [])])
            for alias in node.names:
                inner = f"{base}.{alias.name}"
                found.append(Import(inner if inner in MODULES else base, node.lineno, lazy, typing))
        elif isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            for child in node.body:
                visit(child, lazy, True)
            for child in node.orelse:
                visit(child, lazy, typing)
        else:
            inside = lazy or isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
            for child in ast.iter_child_nodes(node):
                visit(child, inside, typing)

    visit(ast.parse(file.read_text()), False, False)
    return list(dict.fromkeys(found))  # `from x import a, b` is one import of x


IMPORTS = {name: imports(name) for name in MODULES}


def layer(name: str) -> str:
    """lamscope.attribution.lam → attribution; lamscope → itself."""
    return name.split(".")[1] if "." in name else name


def top(name: str) -> str:
    return name.split(".")[0]


def in_models(name: str) -> bool:
    return name == "lamscope.models" or name.startswith("lamscope.models.")


def explain(name: str, found: Import, rule: str) -> str:
    return f"{MODULES[name].relative_to(ROOT)}:{found.line} imports {found.module}; {rule}"


def assert_none(wrong: list[str]) -> None:
    assert not wrong, "\n" + "\n".join(wrong)


def test_the_walk_sees_the_house():
    # a walk that finds nothing would pass every other test here
    assert {"lamscope", "lamscope.config", "lamscope.attribution.lam", "lamscope.models.edsr"} <= MODULES.keys()
    assert {"torch", "lamscope.models.layers"} <= {i.module for i in IMPORTS["lamscope.models.edsr"]}
    assert {i.module for name in MODULES if not in_models(name) for i in IMPORTS[name]} >= SHARED
    assert any(i.lazy for i in IMPORTS["lamscope.cli"])
    assert all(i.typing for i in IMPORTS["lamscope.types"] if i.module == "torch")


def test_models_need_torch_only_and_know_nothing_of_the_bench():
    free = sys.stdlib_module_names | {"torch"}
    wrong = []
    for name in filter(in_models, MODULES):
        # basicsr.py is the one module that meets BasicSR
        allowed = free | ({"basicsr", "torchvision"} if name == "lamscope.models.basicsr" else set())
        wrong += [
            explain(name, i, "models know torch and each other")
            for i in IMPORTS[name]
            if not (in_models(i.module) or top(i.module) in allowed)
        ]
    assert_none(wrong)


def test_bench_knows_two_modules_of_models():
    wrong = []
    for name in MODULES:
        if in_models(name):
            continue
        # networks arrive through _target_; training hands them to BasicSR through its one compat module
        allowed = SHARED | ({"lamscope.models.basicsr"} if layer(name) == "training" else set())
        wrong += [
            explain(name, i, "networks arrive through _target_")
            for i in IMPORTS[name]
            if in_models(i.module) and i.module not in allowed
        ]
    assert_none(wrong)


def test_every_layer_knows_only_what_lies_below():
    wrong = []
    for name in MODULES:
        if in_models(name) or layer(name) not in ALLOWED:
            continue
        allowed = ALLOWED[layer(name)]
        wrong += [
            explain(name, i, f"{layer(name)} knows {', '.join(allowed) or 'nothing of ours'}")
            for i in IMPORTS[name]
            if top(i.module) == OURS and not in_models(i.module) and layer(i.module) not in allowed
        ]
    assert_none(wrong)


def test_only_three_modules_know_hydra():
    wrong = [
        explain(name, i, "only config.py, cli.py and the launcher know Hydra")
        for name in MODULES
        for i in IMPORTS[name]
        if top(i.module) in ("hydra", "omegaconf") and name not in KNOW_HYDRA
    ]
    assert_none(wrong)


def test_nothing_flows_back():
    """No module is imported, even indirectly, by what it imports. Imports inside functions count too."""
    edges = {n: sorted({i.module for i in IMPORTS[n] if i.module in MODULES and i.module != n}) for n in MODULES}
    # `lamscope` hands out names of modules below it when asked, and imports them for the type checker only
    edges[OURS] = [i.module for i in IMPORTS[OURS] if not i.typing and i.module in MODULES]
    done: set[str] = set()

    def walk(name: str, path: list[str]) -> None:
        assert name not in path, "a circle: " + " → ".join([*path[path.index(name) :], name])
        if name not in done:
            for other in edges[name]:
                walk(other, [*path, name])
            done.add(name)

    for name in MODULES:
        walk(name, [])


def test_from_the_store_on_nobody_imports_torch():
    wrong = [
        explain(name, i, "everything from the store on redraws without torch")
        for name in MODULES
        if layer(name) in WITHOUT_TORCH
        for i in IMPORTS[name]
        if top(i.module) in ("torch", "captum", "basicsr") and not i.typing
    ]
    assert_none(wrong)


SLOW = pytest.mark.slow
LIGHT = [n for n in MODULES if layer(n) in WITHOUT_TORCH or n in (OURS, "lamscope.cli", "lamscope.types")]


@pytest.mark.parametrize(
    "code",
    [
        pytest.param(f"import {', '.join([*LIGHT, 'lamscope.config', 'lamscope.conf'])}", id="what redraws"),
        pytest.param("from lamscope import options; assert options('model')", id="options"),
        pytest.param("from lamscope.cli import main; assert main(['--help']) == 0", id="help"),
        pytest.param("from lamscope.cli import main; assert main(['run', 'model=nosuch']) == 2", id="wrong option"),
        pytest.param("from lamscope.cli import main; assert main(['run', 'sede=1']) == 2", id="typo", marks=SLOW),
        pytest.param("from lamscope.cli import main; assert main(['compare', 'seed=x']) == 2", id="compare"),
    ],
)
def test_torch_is_not_imported_before_a_network_is_needed(code, tmp_path):
    code += "\nimport sys; assert 'torch' not in sys.modules, 'torch was imported'"
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
