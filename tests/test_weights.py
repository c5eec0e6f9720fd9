"""Weights: what is accepted, what is refused, and that nothing in a file is ever executed."""

import os
import pickle
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from lamscope.config import CheckpointConfig, ModelConfig
from lamscope.types import UserError
from lamscope.weights import find, load_into, metadata, read, sha256_of


@pytest.fixture
def state(tiny_net):
    return {k: v.clone() for k, v in tiny_net.core.state_dict().items()}


class Bomb:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (Path.touch, (Path(self.path),))


@pytest.mark.parametrize("wrapping", [None, "params_ema", "params", "state_dict", "model"])
@pytest.mark.parametrize("prefix", ["", "module."])
def test_checkpoints_load_as_authors_publish_them(tmp_path, tiny_net, state, wrapping, prefix):
    content = {prefix + k: v for k, v in state.items()}
    torch.save(content if wrapping is None else {"epoch": 3, wrapping: content}, tmp_path / "net.pth")
    loaded = read(tmp_path / "net.pth")
    assert loaded.keys() == state.keys() and all(torch.equal(loaded[k], state[k]) for k in state)
    load_into(tiny_net.core, loaded, "net.pth", "tiny")


def test_safetensors_and_their_metadata(tmp_path, state):
    save_file(state, tmp_path / "net.safetensors", {"model": "tiny"})
    assert read(tmp_path / "net.safetensors").keys() == state.keys()
    assert metadata(tmp_path / "net.safetensors") == {"model": "tiny"}
    assert metadata(tmp_path / "net.pth") == {}


@pytest.mark.parametrize("container", ["pickle", "legacy", "zip", "nested"])
def test_code_in_a_checkpoint_is_never_executed(tmp_path, state, container):
    mark, file = tmp_path / "executed", tmp_path / "net.pth"
    bomb = Bomb(str(mark))
    if container == "pickle":
        file.write_bytes(pickle.dumps(bomb))
    elif container == "legacy":
        torch.save(bomb, file, _use_new_zipfile_serialization=False)
    elif container == "zip":
        torch.save(bomb, file)
    else:
        torch.save({"params": {**state, "extra": bomb}}, file)
    with pytest.raises(UserError, match="execute code"):
        read(file)
    assert not mark.exists()
    pickle.loads(pickle.dumps(bomb))  # the bomb is live: this is what a careless loader would do
    assert mark.exists()


@pytest.mark.parametrize("share", [0.0, 0.3, 0.9])
@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_truncated_files_are_refused_in_one_line(tmp_path, state, share, suffix):
    file = tmp_path / f"net{suffix}"
    save_file(state, file) if suffix == ".safetensors" else torch.save(state, file)
    os.truncate(file, int(share * file.stat().st_size))
    with pytest.raises(UserError) as caught:
        read(file)
    assert str(file) in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize("content", [b"", b"GIF89a", b"\x80\x02.", bytes(1000)])
def test_files_of_other_kinds_are_refused(tmp_path, content):
    for name in ("net.pth", "net.safetensors"):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(UserError):
            read(tmp_path / name)


def test_zip_without_a_checkpoint_and_a_list_of_numbers_are_refused(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.pth", "w") as z:
        z.writestr("readme.txt", "hello")
    torch.save([1, 2, 3], tmp_path / "b.pth")
    torch.save({"epoch": 3}, tmp_path / "c.pth")
    for name in "abc":
        with pytest.raises(UserError):
            read(tmp_path / f"{name}.pth")


def test_nan_weights_are_refused_by_name(tmp_path, state):
    state["head.0.bias"][0] = torch.nan
    torch.save(state, tmp_path / "net.pth")
    with pytest.raises(UserError, match=r"head\.0\.bias"):
        read(tmp_path / "net.pth")


def test_checkpoint_of_another_network_is_named_as_such(tiny_net, state):
    for wrong in ({k: v for k, v in state.items() if "head" not in k}, {**state, "tail.9.weight": torch.ones(1)}):
        with pytest.raises(UserError, match="another network"):
            load_into(tiny_net.core, wrong, "net.pth", "tiny")
    state["head.0.weight"] = state["head.0.weight"][:1]
    with pytest.raises(UserError, match=r"head\.0\.weight"):
        load_into(tiny_net.core, state, "net.pth", "tiny")


def test_auto_finds_the_published_file_by_name_and_hash(tmp_path, state):
    torch.save(state, tmp_path / "net.pth")
    digest = sha256_of(tmp_path / "net.pth")
    model = ModelConfig(
        name="tiny", checkpoint=CheckpointConfig(file="net.pth", sha256=digest[:8], page="https://x.org")
    )
    assert find(model, [tmp_path / "nowhere", tmp_path]) == tmp_path / "net.pth"
    with pytest.raises(UserError, match=r"net\.pth from https://x\.org .*machine\.weights="):
        find(model, [])
    (tmp_path / "net.pth").write_bytes(b"something else")
    with pytest.raises(UserError, match="sha256"):
        find(model, [tmp_path])


def test_a_path_is_taken_as_it_is_and_none_means_random(tmp_path):
    model = ModelConfig(name="tiny", weights=str(tmp_path / "net.pth"))
    with pytest.raises(UserError, match="no weights file"):
        find(model)
    (tmp_path / "net.pth").touch()
    assert find(model) == tmp_path / "net.pth"
    assert find(replace(model, weights=None)) is None
    with pytest.raises(UserError, match="There are no weights of"):
        find(replace(model, weights="auto"))
