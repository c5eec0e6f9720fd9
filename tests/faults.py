"""Faults, for real: a sweep in a process of its own is hit at a random point, resumed, hit again, and judged.

    python tests/faults.py FOLDER [faults=60] [seed=0] [chunk=1]

One warm process forks for every attempt, so that an attempt costs seconds and no import. What must hold after each is
in `judge`, and when a sweep has come through, in `compare`. The last line is a JSON summary.
"""

from __future__ import annotations

import errno
import importlib
import json
import os
import random
import resource
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
from PIL import Image

from lamscope import cellfile, durable, environment, runner
from lamscope.agreement import differences
from lamscope.background import WAITING
from lamscope.cli import main
from lamscope.examine import examine_file
from lamscope.store import cells, read_columns

MODELS = ("fsrcnn", "espcn", "srcnn")
IMAGES = 6
IN_FLIGHT = WAITING + 2  # waiting to be written, being written, being handed over
STOPS = {"SIGTERM": "terminated", "SIGINT": "interrupted", "SIGHUP": "terminated"}
KILLS = ("kill at a file operation", "kill at a moment", "kill within a write", "freeze within a write")
DISKS = ("write limit", "fsync fails", "rename fails", "folder forbidden", "disk full", "disk read-only")
KINDS = (*KILLS, *DISKS, *STOPS, "out of memory")


class Sweep:
    """One folder of results, attempted again and again."""

    def __init__(self, home: Path, results: Path, chunk: str) -> None:
        self.home, self.results = home, results
        self.settings = [
            f"model={','.join(MODELS)}",
            "model.weights=null",
            "dataset=folder",
            f"dataset.path={home}/images",
            "attribution.n_steps=3",
            f"chunk={chunk}",
            "figures=[]",
            "machine.progress=off",
            f"results={results}",
        ]

    def stored(self) -> set[tuple[str, int]]:
        """(network, image) on the disk. Readers never meet half of anything, whatever happened."""
        found = set()
        for cell in cells(self.results / "runs") if self.results.exists() else []:
            columns = read_columns(cell, partial=True)
            for model, index, status in zip(
                columns.get("model", ()), columns.get("index", ()), columns.get("status", ()), strict=False
            ):
                if status != "failed":
                    found.add((str(model), int(index)))
        return found

    def files(self, suffix: str) -> list[Path]:
        return [path for path in self.results.rglob(f"*{suffix}") if path.is_file()]

    def orphans(self) -> set[Path]:
        """Half-written files, and locks; what is left of a killed attempt goes when its cell is next opened."""
        return {*self.files(".tmp"), *self.files(".lock")}

    def attempt(self, fault) -> tuple[int, set[tuple[str, int]], str]:
        """Run the sweep in a child that suffers a fault: (exit code, what it computed, its standard error)."""
        log, out = self.home / "computed", self.home / "out"
        log.write_text("")
        child = os.fork()
        if child == 0:
            with out.open("wb") as file:
                os.dup2(file.fileno(), 1)
                os.dup2(file.fileno(), 2)
            code = 70
            try:
                watch(log)
                fault.arm(self)
                code = main(["-m", *self.settings])
                if isinstance(fault, NoFault):
                    (self.home / "modules").write_text("\n".join(sys.modules))
            finally:
                sys.stdout.flush()
                sys.stderr.flush()
                os._exit(code)
        fault.watch(child)
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        fault.mend()
        lines = [line.split() for line in log.read_text().splitlines()]
        computed = [(model, int(index)) for model, index in lines]
        assert len(set(computed)) == len(computed), f"computed twice in one attempt: {computed}"
        return code, set(computed), out.read_text()


def warm(names: list[str]) -> None:
    """Import in the parent what a child needed, so that the next ones find it. Hydra's early check of a sweep, which
    composes all jobs a second time, is left out."""
    from hydra._internal.core_plugins.basic_sweeper import BasicSweeper

    BasicSweeper.validate_batch_is_legal = lambda *_: None
    environment.commit = lambda: "as it is"  # whoever edits the sources meanwhile does not change what is compared
    for name in names:
        if name.split(".")[0] in (
            "lamscope",
            "hydra",
            "omegaconf",
            "pandas",
            "matplotlib",
            "scipy",
            "rich",
            "yaml",
            "torch",
        ):
            with suppress(Exception):
                importlib.import_module(name)


def watch(log: Path) -> None:
    """Write down every image as soon as it is computed."""
    whole = runner.explain

    def explain(net, samples, *rest):
        model = type(getattr(net, "core", net)).__name__.lower()
        for explained in whole(net, samples, *rest):
            with log.open("a") as file:
                file.write(f"{model} {explained.sample.index}\n")
            yield explained

    runner.explain = explain


class Fault:
    """Something that goes wrong once, at the point-th opportunity."""

    def __init__(self, kind: str, chance: random.Random, disk: Disk | None, left: int) -> None:
        """left: images that are still to be computed; the point is somewhere in what that takes."""
        self.kind, self.disk = kind, disk
        most = {
            "fsync fails": 2 * left + 6,
            "rename fails": left + 3,
            "freeze within a write": 2 * left + 6,
            "kill within a write": left + 12,
            "kill at a file operation": 5 * left + 20,
            "folder forbidden": left + 6,
        }
        self.point = chance.randint(1, most.get(kind, max(1, left)))
        self.delay = chance.uniform(0, 0.02)
        self.room = chance.randint(1, 4 * left + 8) * 1024
        self.frozen: Path | None = None

    # ── in the child ──

    def arm(self, sweep: Sweep) -> None:
        here = str(sweep.results)
        if self.kind == "kill at a file operation":
            sys.addaudithook(self._auditor(here, lambda: os.kill(os.getpid(), signal.SIGKILL)))
        elif self.kind == "folder forbidden":
            sys.addaudithook(self._auditor(here, self._forbid, writing=True))
        elif self.kind == "kill at a moment":
            self._at_an_image(lambda: os.kill(os.getpid(), signal.SIGKILL))
        elif self.kind in STOPS:
            self._at_an_image(lambda: os.kill(os.getpid(), getattr(signal, self.kind)))
        elif self.kind == "kill within a write":
            self._half_a_write()
        elif self.kind == "freeze within a write":
            self.frozen = sweep.home / "frozen"
            os.fsync = self._counted(os.fsync, self._freeze)
        elif self.kind == "fsync fails":
            os.fsync = self._counted(os.fsync, self._refuse(errno.EIO))
        elif self.kind == "rename fails":
            os.replace = self._counted(os.replace, self._refuse(errno.EROFS))
        elif self.kind == "write limit":
            resource.setrlimit(resource.RLIMIT_FSIZE, (self.room, resource.RLIM_INFINITY))
        elif self.kind == "out of memory":
            from lamscope import explain

            explain.lr_tensor = self._counted(explain.lr_tensor, self._no_memory)

    def _counted(self, whole, event):
        """A function that at the point-th call does something else first."""
        count, lock = 0, threading.Lock()

        def counted(*arguments, **named):
            nonlocal count
            with lock:
                count += 1
                now = count == self.point
            if now:
                event()
            return whole(*arguments, **named)

        return counted

    def _auditor(self, here: str, event, writing: bool = False):
        names = ("open",) if writing else ("open", "os.rename", "os.remove", "os.mkdir", "os.rmdir", "fcntl.flock")
        count = self._counted(lambda: None, event)

        def audit(name, arguments):
            if name not in names or (name != "fcntl.flock" and not str(arguments[0]).startswith(here)):
                return
            if not writing or (isinstance(arguments[2], int) and arguments[2] & (os.O_WRONLY | os.O_RDWR)):
                count()

        return audit

    def _at_an_image(self, event) -> None:
        """A moment after the point-th image was computed: in the network, in a write, in between."""
        timer = lambda: threading.Timer(self.delay, event).start()  # noqa: E731
        runner.explain = self._each(runner.explain, self._counted(lambda: None, timer))

    @staticmethod
    def _each(whole, event):
        def explain(*arguments):
            for explained in whole(*arguments):
                event()
                yield explained

        return explain

    def _half_a_write(self) -> None:
        def kill_within(write, file, data):
            write(file, bytes(data)[: len(data) // 2])
            os.kill(os.getpid(), signal.SIGKILL)

        count = 0
        whole_part, whole_sink = Path.write_bytes, durable.Sink.write

        def part(path, data):
            nonlocal count
            count += 1
            return kill_within(whole_part, path, data) if count == self.point else whole_part(path, data)

        def sink(file, data):
            nonlocal count
            count += 1
            whole = memoryview(data).cast("B")
            return kill_within(whole_sink, file, whole) if count == self.point else whole_sink(file, data)

        Path.write_bytes = part
        durable.Sink.write = cellfile.Sink.write = sink

    def _freeze(self) -> None:
        assert self.frozen is not None
        self.frozen.write_text("")
        time.sleep(600)

    @staticmethod
    def _refuse(number: int):
        def refuse():
            raise OSError(number, os.strerror(number))

        return refuse

    @staticmethod
    def _forbid() -> None:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    @staticmethod
    def _no_memory() -> None:
        raise MemoryError("the host has none left")

    # ── in the parent ──

    def prepare(self) -> None:
        if self.disk and self.kind == "disk full":
            self.disk.leave(self.room)
        if self.disk and self.kind == "disk read-only":
            self.disk.set("ro")

    def watch(self, child: int) -> None:
        """A frozen file system never answers: the machine is switched off."""
        if self.kind != "freeze within a write":
            return
        frozen = self.disk_home / "frozen"
        while not frozen.exists() and os.waitid(os.P_PID, child, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None:
            time.sleep(0.01)
        if frozen.exists():
            os.kill(child, signal.SIGKILL)
            frozen.unlink()

    disk_home: Path

    def mend(self) -> None:
        if self.disk and self.kind.startswith("disk"):
            self.disk.set("rw,size=64m")


class Disk:
    """A small file system of its own, whose room and mode can be changed while it is in use."""

    def __init__(self, place: Path) -> None:
        self.place = place
        place.mkdir()
        done = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", "size=64m", "tmpfs", str(place)], capture_output=True, text=True, check=False
        )
        if done.returncode:
            raise OSError(done.stderr.strip())

    def set(self, options: str) -> None:
        subprocess.run(["mount", "-o", f"remount,{options}", str(self.place)], check=True)

    def leave(self, room: int) -> None:
        state = os.statvfs(self.place)
        used = (state.f_blocks - state.f_bfree) * state.f_frsize
        self.set(f"size={used + room}")

    def close(self) -> None:
        subprocess.run(["umount", str(self.place)], check=False)


def judge(sweep: Sweep, fault: Fault, before: set, orphans: set, code: int, computed: set, said: str) -> bool:
    """What must hold after every attempt; whether the fault really came. orphans: of a killed attempt before it."""
    after, kind = sweep.stored(), fault.kind
    context = f"{kind}, point {fault.point}, exit code {code}\n{said}"
    assert after >= before, f"an image was lost: {before - after}; {context}"
    assert not computed & before, f"computed again though it was stored: {computed & before}; {context}"
    assert after - before <= computed, context
    assert len(computed - after) <= (IN_FLIGHT if sweep.settings[5] == "chunk=1" else IMAGES), context
    last = said.splitlines()[-1] if said else ""
    if kind in KILLS:
        assert code in (0, -signal.SIGKILL), context
        return code != 0
    assert sweep.orphans() <= orphans, f"{sweep.orphans() - orphans}; {context}"
    if kind in STOPS:
        assert code in (0, 128 + getattr(signal, kind)), context
        assert code == 0 or last.startswith(f"lamscope: {STOPS[kind]}; what was finished is kept"), context
        assert "Traceback" not in said, context
    elif kind in DISKS:
        assert code in (0, 2) and "Traceback" not in said, context
        assert code == 0 or "Cannot write" in said or "cannot be used" in said, context
    else:
        assert code in (0, 1), context
        assert code == 0 or ("MemoryError: the host has none left" in said and "To run just these again:" in said), (
            context
        )
        others = {(model, i) for model in MODELS for i in range(IMAGES) if f"model={model}: MemoryError" not in said}
        assert after >= others, f"the others did not run; {context}"
    return code != 0


def compare(whole: Sweep, torn: Sweep, rtol: float) -> None:
    """A sweep that came through is the undisturbed one, and nothing lies about."""
    pairs = [{path.name: path for path in one.files(".h5")} for one in (whole, torn)]
    assert pairs[0].keys() == pairs[1].keys() and len(pairs[0]) == len(MODELS), pairs
    for name, path in pairs[0].items():
        assert (found := differences(path, pairs[1][name], rtol)) == [], (name, found)
        _, damage = examine_file(pairs[1][name])
        assert not [finding for finding in damage if finding.wrong], damage
    orphans = [
        path
        for path in (torn.results / "runs").rglob("*")
        if path.suffix not in (".h5", "") or (path.is_dir() and path.name.endswith(".parts"))
    ]
    assert not orphans, orphans


class NoFault(Fault):
    def __init__(self) -> None:
        self.kind, self.disk, self.point = "none", None, 0


def main_(folder: Path, faults: int, seed: int, chunk: str) -> None:
    chance = random.Random(seed)
    noise = np.random.default_rng(seed)
    (folder / "images").mkdir(parents=True)
    for i in range(IMAGES):
        Image.fromarray(noise.integers(0, 256, (48, 48, 3), np.uint8)).save(folder / "images" / f"{i}.png")
    os.chdir(folder)
    Fault.disk_home = folder
    try:
        disk, kinds = Disk(folder / "disk"), list(KINDS)
    except OSError as error:
        disk, kinds = None, [kind for kind in KINDS if not kind.startswith("disk")]
        print(f"left out, for no file system can be mounted here ({error}): disk full, disk read-only")
    whole, begin, met, attempts = Sweep(folder, folder / "whole", chunk), time.monotonic(), Counter(), 0
    try:
        warm(list(sys.modules))
        code, computed, said = whole.attempt(NoFault())
        assert code == 0 and len(computed) == len(MODELS) * IMAGES, said
        warm((folder / "modules").read_text().split())
        sweeps = 0
        while sum(met.values()) < faults:
            sweeps += 1
            torn = Sweep(folder, (disk.place if disk else folder) / f"torn{sweeps}", chunk)
            code, total, here = -1, 0, 0
            while code != 0:
                plain = sum(met.values()) >= faults
                before, orphans = torn.stored(), torn.orphans()
                kind = chance.choice([kind for kind in kinds if met[kind] <= min(met[k] for k in kinds) + 1])
                fault = NoFault() if plain else Fault(kind, chance, disk, len(MODELS) * IMAGES - len(before))
                if not plain:
                    fault.prepare()
                code, computed, said = torn.attempt(fault)
                attempts += 1
                total += len(computed)
                if plain:
                    assert code == 0, said
                elif judge(torn, fault, before, orphans, code, computed, said):
                    met[fault.kind] += 1
                    here += 1
                    print(
                        f"sweep {sweeps}: {fault.kind} ({fault.point}): {len(before)} → {len(torn.stored())} images",
                        flush=True,
                    )
            assert total <= len(MODELS) * IMAGES + here * (IN_FLIGHT if chunk == "1" else IMAGES), (total, here)
            compare(whole, torn, 0.0 if chunk == "1" else 1e-5)
    finally:
        if disk:
            disk.close()
    summary = {
        "faults": sum(met.values()),
        "attempts": attempts,
        "sweeps": sweeps,
        "kinds": dict(met),
        "seconds": round(time.monotonic() - begin),
    }
    print(json.dumps(summary))


if __name__ == "__main__":
    import lamscope.report
    import lamscope.study
    import lamscope.zoo  # noqa: F401 (imported before the forks, as are the other two)

    given = dict(word.split("=", 1) for word in sys.argv[2:])
    main_(Path(sys.argv[1]).resolve(), int(given.get("faults", 60)), int(given.get("seed", 0)), given.get("chunk", "1"))
