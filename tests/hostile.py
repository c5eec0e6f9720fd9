"""Checkpoints that run code in a careless loader, and small ones that claim gigabytes: a corpus made on the spot."""

from __future__ import annotations

import codecs
import gzip
import importlib
import io
import json
import os
import pathlib
import pickle
import runpy
import struct
import subprocess
import tarfile
import timeit
import zipfile
from collections import OrderedDict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn


class Call:
    """Unpickles as function(*arguments)."""

    def __init__(self, function: Callable[..., Any], *arguments: Any) -> None:
        self.made = (function, arguments)

    def __reduce__(self) -> tuple[Any, ...]:
        return self.made

    def __hash__(self) -> int:
        return 1


def payloads(mark: Path) -> dict[str, Any]:
    """Objects that touch the file `mark` when they are unpickled."""
    code = f"open({str(mark)!r}, 'w').close()"
    inner = io.BytesIO()
    torch.save(Call(os.system, f"touch {mark}"), inner)
    return {
        "os.system": Call(os.system, f"touch {mark}"),
        "eval": Call(eval, code),
        "exec": Call(exec, code),
        "runpy": Call(runpy._run_code, code, {}),  # type: ignore[attr-defined]
        "subprocess": Call(subprocess.check_call, ["touch", str(mark)]),
        "import then getattr": Call(Call, getattr, Call(importlib.import_module, "os"), "system"),
        "open": Call(open, str(mark), "w"),
        "pathlib": Call(pathlib.Path.touch, Path(mark)),
        "timeit": Call(timeit.timeit, code, "", timeit.default_timer, 1),
        "torch inside torch": Call(torch.storage._load_from_bytes, inner.getvalue()),
        "object array": np.array([Call(eval, code)], dtype=object),
    }


PLACES: dict[str, Callable[[Any, dict[str, torch.Tensor]], Any]] = {
    "alone": lambda evil, state: evil,
    "beside the tensors": lambda evil, state: {**state, "extra": evil},
    "before the tensors": lambda evil, state: {"extra": evil, **state},
    "in a list": lambda evil, state: {**state, "extra": [1, [evil, 2]]},
    "in an OrderedDict": lambda evil, state: OrderedDict(state, extra=OrderedDict(inner=(evil,))),
    "as a key": lambda evil, state: {**state, evil if isinstance(evil, Call) else 0: evil},
    "in params": lambda evil, state: {"params": {**state, "extra": evil}},
    "in params_ema": lambda evil, state: {"params": state, "params_ema": {**state, "extra": evil}},
    "in state_dict": lambda evil, state: {"state_dict": {**state, "extra": evil}},
    "in model": lambda evil, state: {"model": {"inner": {"deep": evil}, **state}},
    "beside params": lambda evil, state: {"params": state, "optimizer": evil},
    "as metadata": lambda evil, state: _with_metadata(evil, state),
    "as a hook of a tensor": lambda evil, state: {**state, "extra": _hooked(evil)},
    "as a hook of a module": lambda evil, state: _hooked_module(evil),
}


def _with_metadata(evil: Any, state: dict[str, torch.Tensor]) -> OrderedDict[str, Any]:
    found = OrderedDict(state)
    found._metadata = evil  # type: ignore[attr-defined]
    return found


def _hooked(evil: Any) -> Call:
    hooks = OrderedDict([(0, evil)])
    return Call(torch._utils._rebuild_tensor_v2, torch.zeros(2).storage(), 0, (2,), (1,), False, hooks)


def _hooked_module(evil: Any) -> nn.Module:
    module = nn.Linear(2, 2)
    module._state_dict_hooks[0] = evil
    return module


def zipped(content: Any) -> bytes:
    buffer = io.BytesIO()
    torch.save(content, buffer)
    return buffer.getvalue()


def legacy(content: Any) -> bytes:
    buffer = io.BytesIO()
    torch.save(content, buffer, _use_new_zipfile_serialization=False)
    return buffer.getvalue()


def rezipped(content: bytes, change: Callable[[dict[str, bytes]], dict[str, bytes]], packed: bool = False) -> bytes:
    """A zip with other members, as `zipfile` writes them."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        members = change({info.filename: archive.read(info) for info in archive.infolist()})
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED if packed else zipfile.ZIP_STORED) as archive:
        for name, value in members.items():
            archive.writestr(name, value)
    return buffer.getvalue()


def tampered(evil: Any, state: dict[str, torch.Tensor]) -> bytes:
    """A sound zip whose data.pkl first runs something and then gives the sound state dict."""
    payload = pickle.dumps(evil, 2)[2:-1] + b"0"  # without its protocol and its stop; POP
    return rezipped(zipped(state), lambda m: {k: _after_protocol(v, payload) if k.endswith("data.pkl") else v
                                              for k, v in m.items()})  # fmt: skip


def _after_protocol(sound: bytes, payload: bytes) -> bytes:
    return sound[:2] + payload + sound[2:]


def tarred(evil: Any) -> bytes:
    """The oldest format: a tar with pickles for storages, tensors and the content."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for name in ("storages", "tensors", "pickle"):
            content = pickle.dumps(evil, 2)
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return buffer.getvalue()


def arrays(evil: Any) -> bytes:
    buffer = io.BytesIO()
    np.savez(buffer, weight=np.array([evil, None], dtype=object))
    return buffer.getvalue()


def hostile_checkpoints(mark: Path, state: dict[str, torch.Tensor]) -> Iterator[tuple[str, str, bytes]]:
    """(what it is, file name, content) of everything that would run code."""
    evils = payloads(mark)
    for name, evil in evils.items():
        for protocol in (0, 2, 4, 5):
            yield f"{name}, plain pickle of protocol {protocol}", "a.pth", pickle.dumps(evil, protocol)
        yield f"{name}, zip", "a.pth", zipped({**state, "extra": evil})
        yield f"{name}, legacy", "a.pt", legacy({**state, "extra": evil})
        yield f"{name}, tampered data.pkl", "a.ckpt", tampered(evil, state)
        yield f"{name}, tar", "a.pth", tarred(evil)
        yield f"{name}, gzip", "a.pth.gz", gzip.compress(pickle.dumps(evil, 2))
        yield f"{name}, npz", "a.npz", arrays(evil)
        yield f"{name}, called safetensors", "a.safetensors", zipped({**state, "extra": evil})
    for where, place in PLACES.items():
        for name in ("os.system", "eval"):
            for write in (zipped, legacy):
                yield f"{name} {where}, {write.__name__}", "a.pth", write(place(evils[name], state))


def memory_bombs(state: dict[str, torch.Tensor]) -> Iterator[tuple[str, str, bytes]]:
    """Small files that claim or make gigabytes. Nothing in them is code."""
    hexed: Any = b"\x00"
    for _ in range(36):
        hexed = Call(codecs.encode, hexed, "hex")
    huge = Call(torch._utils._rebuild_tensor_v2, torch.zeros(1).storage(), 0, (1 << 36,), (0,), False, OrderedDict())
    many = {f"{i}": Call(torch._utils._rebuild_tensor_v2, torch.zeros(4096).storage(), 0, (4096, 64), (1, 0), False,
                         OrderedDict()) for i in range(200)}  # fmt: skip
    beyond = Call(torch._utils._rebuild_tensor_v2, torch.zeros(4).storage(), 0, (1 << 36,), (1,), False, OrderedDict())
    for write in (zipped, legacy):
        yield f"more than its storage, {write.__name__}", "a.pth", write({**state, "x": beyond})
        yield f"codecs, {write.__name__}", "a.pth", write({**state, "x": hexed})
        yield f"bytearray, {write.__name__}", "a.pth", write({**state, "x": Call(bytearray, 1 << 36)})
        yield f"a constructor, {write.__name__}", "a.pth", write({**state, "x": Call(torch.FloatTensor, 1 << 34)})
        yield f"a view, {write.__name__}", "a.pth", write({**state, "x": huge})
        yield f"many views, {write.__name__}", "a.pth", write(many)
        sparse = torch.sparse_coo_tensor(torch.tensor([[0]]), torch.tensor([1.0]), (1 << 40,))
        yield f"sparse, {write.__name__}", "a.pth", write({"x": sparse})
        yield f"meta, {write.__name__}", "a.pth", write({"x": torch.empty(1 << 40, device="meta")})
    sound = zipped(state)
    zeros = {"archive/data/9": bytes(1 << 26)}
    yield "a packed zip", "a.pth", rezipped(sound, lambda m: m | zeros, packed=True)
    yield "one member many times", "a.pth", overlapping(sound)
    for about, header, size in [
        ("length 2^63", b"{}", 1 << 63),
        ("length beyond the file", b"{}", 1 << 20),
        ("length 0", b"", 0),
        ("nested JSON", b'{"a":' * 100_000, None),
        ("offsets that lie", _header(shape=[1 << 40], data_offsets=[0, 1 << 42]), None),
        ("offsets backwards", _header(shape=[1], data_offsets=[4, 0]), None),
        ("a negative size", _header(shape=[-1], data_offsets=[0, 4]), None),
        ("sizes that overflow", _header(shape=[1 << 32, 1 << 32], data_offsets=[0, 4]), None),
        ("an empty tensor as large as can be", _header(shape=[0, 1 << 62], data_offsets=[0, 0]), None),
        ("an unknown type", _header(dtype="F7", shape=[1], data_offsets=[0, 4]), None),
    ]:
        yield about, "a.safetensors", struct.pack("<Q", len(header) if size is None else size) + header + bytes(4)


def _header(**about: Any) -> bytes:
    return json.dumps({"x": {"dtype": "F32", **about}}).encode()


def overlapping(content: bytes) -> bytes:
    """A directory with a thousand entries for the same large member."""
    padded = rezipped(content, lambda m: m | {"archive/data/big": bytes(1 << 20)})
    with zipfile.ZipFile(io.BytesIO(padded)) as archive:
        start = archive.start_dir
        big = next(i for i in archive.infolist() if i.filename.endswith("/big"))
    entry = padded[padded.rindex(b"PK\1\2") : padded.rindex(b"PK\5\6")]
    assert big.filename.encode() in entry
    copies = b"".join(entry.replace(b"data/big", b"data/%03x" % i) for i in range(1000))
    end = bytearray(padded[padded.rindex(b"PK\5\6") :])
    directory = padded[start : padded.rindex(b"PK\5\6")] + copies
    count = struct.unpack("<H", end[10:12])[0] + 1000
    struct.pack_into("<HHII", end, 8, count, count, len(directory), start)
    return padded[:start] + directory + bytes(end)
