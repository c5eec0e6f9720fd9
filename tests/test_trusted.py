"""A configuration from a stored file: what conf/ builds is accepted, everything else is refused unresolved."""

from __future__ import annotations

import copy
import sys
from dataclasses import asdict
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from lamscope.config import compose
from lamscope.trusted import ours, require_trusted
from lamscope.types import UserError

CONF = Path(__file__).resolve().parents[1] / "conf"


@pytest.fixture(scope="module")
def stored():
    return asdict(compose(["model=srcnn_y", "attribution=smoothgrad"]))


def in_yaml(node):
    if isinstance(node, dict):
        return {v for k, v in node.items() if k == "_target_"}.union(*map(in_yaml, node.values()))
    return set().union(*map(in_yaml, node)) if isinstance(node, list) else set()


def test_what_conf_builds_is_accepted(stored):
    require_trusted(stored, "cell.h5")
    assert ours() == set().union(*(in_yaml(yaml.safe_load(f.read_text())) for f in CONF.rglob("*.yaml")))
    for name in ("sftmd", "rcan", "nlrn_new_rgb"):
        require_trusted(asdict(compose([f"model={name}"])), "cell.h5")


@pytest.mark.parametrize(
    "target",
    [
        "os.system",
        "builtins.eval",
        "subprocess.Popen",
        "hydra.utils.get_class",
        "lamscope.durable.os.system",  # another library, through one of our modules
        "lamscope.models.rcan.torch.load",
        "lamscope.attribution.lam.replace",
        "lamscope.store.remove",  # ours, but no part of a computation
        "lamscope.fetch.fetch",
        "lamscope.cli.main",
        "lamscope.models.edsr.EDSR.__init__.__globals__",
        "lamscope..models.edsr.EDSR",
        "lamscope.models.edsr.EDSR ",
        "Lamscope.models.edsr.EDSR",
        "lamscopes.models.edsr.EDSR",
        "",
        None,
        7,
        {"_target_": "lamscope.models.edsr.EDSR"},
    ],
)
@pytest.mark.parametrize("where", ["model.net", "dataset.window", "attribution", "trial", "new.deep", "list"])
def test_other_targets_are_refused_and_nothing_is_imported(stored, target, where, capsys):
    config = copy.deepcopy(stored)
    if where == "list":
        config["model"]["wrappers"].append(
            {"_target_": "lamscope.models.wrappers.Range", "inner": [{"_target_": target}]}
        )
    else:
        node = config
        for key in where.split("."):
            node = node.setdefault(key, {})
        node["_target_"] = target
    before = set(sys.modules)
    with pytest.raises(UserError, match=r"^cell\.h5 wants to call .*say allow=") as caught:
        require_trusted(config, "cell.h5")
    assert "\n" not in str(caught.value) and set(sys.modules) == before


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("path", "${oc.env:HOME}", "interpolation"),
        ("path", "a${oc.decode:${oc.env:X}}", "interpolation"),
        ("${oc.env:HOME}", 1, "interpolation"),
        ("path", ["${hydra:runtime.cwd}"], "interpolation"),
        ("_partial_", True, "keyword '_partial_'"),
        ("_args_", ["touch x"], "keyword '_args_'"),
        ("_recursive_", False, "keyword"),
        ("name", "../../x", "is a path"),
        ("file", "..", "is a path"),
        ("_convert_", "none", "keyword"),
        ("path", object(), "JSON does not have"),
        ("path", b"bytes", "JSON does not have"),
        (3, "x", "JSON does not have"),
        ("path", [[0] * 100] * 2000, "too large"),
    ],
)
def test_what_resolves_binds_or_hides_is_refused(stored, key, value, message):
    config = copy.deepcopy(stored)
    config["dataset"][key] = value
    with pytest.raises(UserError, match=message):
        require_trusted(config, "cell.h5")


@pytest.mark.parametrize("task", ["os", "training.loop", "..os", "", None, "../x", "a b"])
def test_a_task_is_a_plain_name(stored, task):
    if task == "os":  # looked for inside lamscope only
        require_trusted({**stored, "task": task}, "cell.h5")
        return
    with pytest.raises(UserError, match="task"):
        require_trusted({**stored, "task": task}, "cell.h5")


def test_depth_is_no_recursion(stored):
    node = config = {}
    for _ in range(100_000):
        node["a"] = node = {}
    with pytest.raises(UserError, match="too large"):
        require_trusted(config, "cell.h5")


def test_the_user_may_allow_more(stored):
    config = copy.deepcopy(stored)
    config["model"]["net"]["_target_"] = "my_package.nets.MyNet"
    for allowed in (["my_package"], ["other", " my_package.nets.MyNet"], ["any"]):
        require_trusted(config, "cell.h5", allowed)
    for allowed in ([], [""], ["my_pack"], ["my_package.nets.MyNet.more"]):
        with pytest.raises(UserError, match="my_package"):
            require_trusted(config, "cell.h5", allowed)


TREES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=9) | st.just("_target_"), inner, max_size=4)
    ),
    max_leaves=20,
)


@given(TREES)
def test_any_tree_is_accepted_or_refused(tree):
    try:
        require_trusted({"x": tree}, "cell.h5")
    except UserError:
        return
    assert in_yaml(tree) <= ours() and "${" not in str(tree)
