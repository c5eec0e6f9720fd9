"""What tests/test_watched.py has a watched process do."""

from __future__ import annotations

import ctypes
import os

import numpy as np

from lamscope.types import UserError
from lamscope.watched import watched


@watched
def echo(path, *values):
    return list(values)


@watched
def crash(path):
    ctypes.string_at(0)


@watched
def killed(path, by):
    os.kill(os.getpid(), by)


@watched
def spin(path):
    while True:
        pass


@watched
def hoard(path):
    return [np.ones(1 << 34)]


@watched
def mistake(path):
    raise UserError(f"{path} is a mistake.")


@watched
def bug(path):
    raise KeyError("a bug of ours")


@watched
def unsendable(path):
    return object()


@watched
def chatter(path):
    print("not a reply", flush=True)
    os.write(1, b"nor this")
    return os.path.exists(path)
