"""Strangers' checkpoints: whatever they hold, nothing runs, nothing grows, and the user reads one line."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from hostile import hostile_checkpoints, memory_bombs, tampered, zipped

from lamscope import load_model
from lamscope.cli import main
from lamscope.types import UserError

WATCHED = """
import encodings.cp437, encodings.latin_1, json, resource, sys  # codecs of zipfile and pickletools
from pathlib import Path
from lamscope.checkpoints import read
from lamscope.types import UserError

sound, *files = map(Path, json.load(sys.stdin))
read(sound)  # what torch imports when it is first used has been imported
events = []
QUIET = {"open", "os.listdir", "os.stat", "object.__getattr__", "mmap.__new__", "pickle.find_class", "gc.get_objects"}

def hook(event, arguments):
    writing = event == "open" and isinstance(arguments[1], str) and set(arguments[1]) & set("wax+")
    named = event.startswith(("os.", "subprocess.", "socket.", "shutil.", "ctypes.", "exec", "compile", "import"))
    if named or writing:
        if event not in QUIET or writing:
            events.append([event, repr(arguments)[:100]])

sys.addaudithook(hook)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
found = []
for file in files:
    events.clear()
    try:
        read(file)
        said = None
    except UserError as error:
        said = str(error)
    except BaseException as error:
        said = f"NOT ONE LINE BUT {type(error).__name__}: {error}"
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    found.append([said, list(events), grown])
print(json.dumps(found))
"""
CARELESS = """
import json, os, sys, zipfile, pickle, gzip, warnings
import numpy, torch
warnings.simplefilter("ignore")
mark, *files = json.load(sys.stdin)
live = []
for file in files:
    for load in (
        lambda: torch.load(file, weights_only=False),
        lambda: pickle.load(open(file, "rb")),
        lambda: pickle.load(gzip.open(file)),
        lambda: numpy.load(file, allow_pickle=True)["weight"],
    ):
        try:
            load()
        except Exception:
            pass
    live.append(os.path.exists(mark))
    if live[-1]:
        os.remove(mark)
print(json.dumps(live))
"""


@pytest.fixture(scope="module")
def state():
    return {f"body.{i}.weight": torch.randn(8, 8, 3, 3, generator=torch.Generator().manual_seed(i)) for i in range(4)}


def child(code, given):
    done = subprocess.run([sys.executable, "-c", code], input=json.dumps(given), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def written(folder, corpus):
    """{file: what it is}"""
    found = {}
    for i, (what, name, content) in enumerate(corpus):
        file = folder / str(i) / name
        file.parent.mkdir(parents=True)
        file.write_bytes(content)
        found[str(file)] = what
    return found


@pytest.fixture(scope="module")
def corpus(tmp_path_factory, state):
    """What would run code, what would fill the memory, the mark that code would leave."""
    folder = tmp_path_factory.mktemp("hostile")
    mark = folder / "executed"
    runs = written(folder / "code", hostile_checkpoints(mark, state))
    fills = written(folder / "memory", memory_bombs(state))
    assert len(runs) > 150 and not mark.exists()
    return runs, fills, mark


@pytest.fixture(scope="module")
def judged(corpus, state, tmp_path_factory):
    """{file: [what the user reads, audited events, growth in KiB]}, all in one watched process."""
    runs, fills, _ = corpus
    sound = tmp_path_factory.mktemp("sound") / "sound.pth"
    torch.save(state, sound)
    files = [*runs, *fills]
    found = dict(zip(files, child(WATCHED, [str(sound), *files]), strict=True))
    for file, (said, _, _) in found.items():
        what = (runs | fills)[file]
        assert said and not said.startswith("NOT") and "\n" not in said and file in said, (what, said)
    return found


def test_no_checkpoint_runs_code_in_any_container(corpus, judged):
    runs, _, mark = corpus
    assert not mark.exists()
    for file, what in runs.items():
        assert not judged[file][1], (what, judged[file][1])
    assert sum("execute code" in judged[file][0] for file in runs) > 100


@pytest.mark.slow
def test_the_corpus_bites(corpus):
    runs, _, mark = corpus
    live = child(CARELESS, [str(mark), *runs])
    assert sum(live) > 0.85 * len(live), [w for w, fired in zip(runs.values(), live, strict=True) if not fired]


def test_what_a_small_file_claims_is_not_made(corpus, judged):
    fills = corpus[1]
    assert max(Path(file).stat().st_size for file in fills) < 4 << 20
    for file, what in fills.items():
        assert judged[file][2] < 200 << 10, (what, judged[file][2])


def test_torchscript_is_named_as_code(tmp_path):
    from lamscope.checkpoints import read

    file = tmp_path / "net.pt"
    torch.jit.trace(torch.nn.Conv2d(3, 3, 1), torch.zeros(1, 3, 4, 4)).save(str(file))
    with pytest.raises(UserError, match="TorchScript archive, which is code"):
        read(file)


def test_the_command_says_one_line(tmp_path, state, capsys):
    for what, content in {"zip": {**state, "x": print}, "tampered": None}.items():
        mark, file = tmp_path / f"executed {what}", tmp_path / f"{what}.pth"
        from hostile import Call

        evil = Call(exec, f"open({str(mark)!r}, 'w')")
        file.write_bytes(tampered(evil, state) if content is None else zipped({"params": {**state, "x": evil}}))
        assert main(["run", "model=edsr_lite", f"model.weights='{file}'", f"results={tmp_path}"]) == 2
        said = capsys.readouterr().err.strip().splitlines()
        assert "wants to execute code (__builtin__.exec)" in said[-1] and not mark.exists()


def test_names_of_weights_cannot_write_to_a_terminal(tmp_path, capsys):
    file = tmp_path / "net.pth"
    torch.save({**load_model("edsr_lite").core.state_dict(), "a\nb\x1b[2J": torch.zeros(1)}, file)
    assert main(["run", "model=edsr_lite", f"model.weights={file}", f"results={tmp_path}"]) == 2
    err = capsys.readouterr().err
    assert r"unexpected a\nb\x1b[2J" in err and "\x1b" not in err and err.count("\n") == 1
