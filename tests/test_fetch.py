"""Fetching weights from a local https server that misbehaves in every way that servers do."""

from __future__ import annotations

import base64
import hashlib
import re
import select
import socket
import ssl
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
import trustme

from lamscope.cli import main
from lamscope.config import read_model
from lamscope.fetch import cache_folder, cached, fetch
from lamscope.types import UserError
from lamscope.weights import find

CONTENT = np.random.default_rng(0).bytes(300_000)
SHA256 = hashlib.sha256(CONTENT).hexdigest()
HALF = len(CONTENT) // 2


class Handler(BaseHTTPRequestHandler):
    """The first part of a path says how the server behaves."""

    def do_GET(self) -> None:
        server = self.server
        assert isinstance(server, Server)
        asked = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
        begin = int(asked[1]) if asked else 0
        server.asked.append((self.path, begin))
        getattr(self, self.path.strip("/").partition("/")[0])(begin, len(server.asked))

    def send(self, begin: int, content: bytes = b"", end: int | None = None, length: bool = True) -> None:
        assert isinstance(self.server, Server)
        content = content or self.server.content
        if begin >= len(content) and begin:
            self.send_error(416)
            return
        self.send_response(206 if begin else 200)
        if begin:
            self.send_header("Content-Range", f"bytes {begin}-{len(content) - 1}/{len(content)}")
        if length:
            self.send_header("Content-Length", str(len(content) - begin))
        self.end_headers()
        self.wfile.write(content[begin:end])

    def whole(self, begin: int, n: int) -> None:
        self.send(begin)

    def silent(self, begin: int, n: int) -> None:  # says nothing of its length
        self.send(begin, length=False)

    def truncates(self, begin: int, n: int) -> None:
        self.send(begin, end=begin + 70_000)

    def stalls(self, begin: int, n: int) -> None:
        self.send(begin, end=HALF if begin < HALF else None)
        if begin < HALF:
            assert isinstance(self.server, Server)
            self.server.over.wait(10)

    def mute(self, begin: int, n: int) -> None:
        self.send(begin, end=begin)

    def wrong(self, begin: int, n: int) -> None:
        self.send(begin, content=CONTENT[::-1])

    def deaf(self, begin: int, n: int) -> None:  # ignores that only the rest was asked for
        self.send(0)

    def shifted(self, begin: int, n: int) -> None:
        self.send(begin + 1 if begin else 0, end=HALF if not begin else None)

    def busy(self, begin: int, n: int) -> None:
        self.send_error(503) if n < 3 else self.send(begin)

    def gone(self, begin: int, n: int) -> None:
        self.send_error(404)

    def moved(self, begin: int, n: int) -> None:
        self.send_response(302)
        self.send_header("Location", "/whole/file.pth")
        self.end_headers()

    def downgrades(self, begin: int, n: int) -> None:
        self.send_response(302)
        self.send_header("Location", "http://localhost/file.pth")
        self.end_headers()

    def circles(self, begin: int, n: int) -> None:
        self.send_response(302)
        self.send_header("Location", f"/circles/{n}")
        self.end_headers()

    def log_message(self, *_) -> None:
        pass


class Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, context: ssl.SSLContext) -> None:
        super().__init__(("localhost", 0), Handler)
        self.socket = context.wrap_socket(self.socket, server_side=True)
        self.content = CONTENT
        self.asked: list[tuple[str, int]] = []
        self.over = threading.Event()

    def handle_error(self, *_) -> None:  # a client that hangs up is what we test
        pass

    def url(self, behaviour: str) -> str:
        return f"https://localhost:{self.server_port}/{behaviour}/file.pth"


@pytest.fixture(scope="module")
def authority():
    return trustme.CA()


@pytest.fixture
def server(authority, tmp_path, monkeypatch):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(context)
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
    monkeypatch.setenv("LAMSCOPE_CACHE", str(tmp_path / "cache"))
    for name in ("HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("NO_PROXY", "localhost")
    running = Server(context)
    thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    yield running
    running.over.set()
    running.shutdown()
    running.server_close()


def get(server: Server, behaviour: str, folder: Path, sha256: str = SHA256, **settings) -> Path:
    return fetch(
        server.url(behaviour), folder / "new" / "file.pth", sha256, **({"timeout": 0.5, "pause": 0.01} | settings)
    )


def left(folder: Path) -> list[str]:
    return sorted(p.name for p in (folder / "new").iterdir())


@pytest.mark.parametrize("behaviour", ["whole", "silent", "moved", "truncates", "stalls", "busy", "deaf"])
def test_the_file_arrives_all_the_same(server, tmp_path, behaviour):
    seen = []
    path = get(server, behaviour, tmp_path, report=lambda done, total: seen.append((done, total)))
    assert path.read_bytes() == CONTENT and left(tmp_path) == ["file.pth"]
    assert seen[-1][0] == len(CONTENT) and (behaviour == "silent" or seen[-1][1] == len(CONTENT))
    begins = [begin for _, begin in server.asked]
    if behaviour == "truncates":
        assert begins == [0, 70_000, 140_000, 210_000, 280_000]
    if behaviour == "stalls":
        assert begins == [0, HALF]


@pytest.mark.parametrize(
    ("behaviour", "said"),
    [
        ("wrong", "sent another file than file.pth"),
        ("gone", "HTTP 404"),
        ("downgrades", "without https, which is refused: 'http://localhost/file.pth'"),
        ("circles", "does not give the file"),
        ("mute", "the same command goes on where it stopped"),
    ],
)
def test_what_cannot_be_had_is_one_sentence_and_no_file(server, tmp_path, behaviour, said):
    with pytest.raises(UserError) as caught:
        get(server, behaviour, tmp_path)
    assert said in str(caught.value) and str(caught.value).count("\n") == 0
    assert "file.pth" not in left(tmp_path)
    if behaviour == "wrong":
        assert left(tmp_path) == []


def test_a_later_call_goes_on_where_the_first_stopped(server, tmp_path):
    (tmp_path / "new").mkdir()
    (tmp_path / "new" / "file.pth.part").write_bytes(CONTENT[:HALF])
    assert get(server, "whole", tmp_path).read_bytes() == CONTENT
    assert server.asked == [("/whole/file.pth", HALF)]


@pytest.mark.parametrize("old", [CONTENT[:1000][::-1], CONTENT + b"more", CONTENT[::-1]], ids=["other", "long", "full"])
@pytest.mark.parametrize("behaviour", ["whole", "deaf"])
def test_a_part_of_another_file_is_thrown_away(server, tmp_path, old, behaviour):
    (tmp_path / "new").mkdir()
    (tmp_path / "new" / "file.pth.part").write_bytes(old)
    assert get(server, behaviour, tmp_path).read_bytes() == CONTENT
    assert left(tmp_path) == ["file.pth"]


def test_a_wrong_part_is_not_glued_on(server, tmp_path):
    with pytest.raises(UserError, match="wrong part"):
        get(server, "shifted", tmp_path, tries=2)


def test_a_prefix_of_the_hash_is_enough_but_none_is_not(server, tmp_path):
    assert get(server, "whole", tmp_path, sha256=SHA256[:8].upper()).is_file()
    with pytest.raises(UserError, match="no published sha256"):
        get(server, "whole", tmp_path, sha256="")


def test_only_https(tmp_path):
    with pytest.raises(UserError, match="https only: 'http://localhost/f'"):
        fetch("http://localhost/f", tmp_path / "f", SHA256)


def test_an_unknown_certificate_is_refused(server, tmp_path, monkeypatch):
    trustme.CA().cert_pem.write_to_path(str(tmp_path / "other.pem"))
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "other.pem"))
    with pytest.raises(UserError, match=r"certificate of localhost is not trusted.*SSL_CERT_FILE"):
        get(server, "whole", tmp_path)
    assert server.asked == []


def test_offline_and_proxies(tmp_path, monkeypatch):
    with socket.socket() as taken:  # a port where nobody listens
        taken.bind(("localhost", 0))
        port = taken.getsockname()[1]
        with pytest.raises(UserError, match=r"localhost cannot be reached: Connection refused.*HTTPS_PROXY"):
            fetch(f"https://localhost:{port}/f", tmp_path / "f", SHA256)
        monkeypatch.setenv("https_proxy", f"http://me:secret@localhost:{port}")
        monkeypatch.delenv("no_proxy", raising=False)
        monkeypatch.delenv("NO_PROXY", raising=False)
        with pytest.raises(UserError, match=rf"through the proxy localhost:{port} ") as caught:
            fetch("https://example.org/f", tmp_path / "f", SHA256)
        assert "secret" not in str(caught.value)
    monkeypatch.delenv("https_proxy")

    def unknown(*_, **__):
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    with pytest.raises(UserError, match="nowhere.example cannot be found: this machine is offline, or needs a proxy"):
        fetch("https://nowhere.example/f", tmp_path / "f", SHA256)


class Proxy(BaseHTTPRequestHandler):
    """Tunnels to where CONNECT says, for those who know the password."""

    def do_CONNECT(self) -> None:
        asked = self.headers.get("Proxy-Authorization", "")
        self.server.seen.append((self.path, asked))  # type: ignore[attr-defined]
        if asked != "Basic " + base64.b64encode(b"me:secret").decode():
            self.send_error(407, "Proxy Authentication Required")
            return
        host, _, port = self.path.rpartition(":")
        with socket.create_connection((host, int(port)), timeout=10) as there:
            self.send_response(200)
            self.end_headers()
            ends = {self.connection: there, there: self.connection}
            while True:
                ready, _, _ = select.select([*ends], [], [], 10)
                for end in ready:
                    if not (data := end.recv(1 << 16)):
                        return
                    ends[end].sendall(data)
                if not ready:
                    return

    def log_message(self, *_) -> None:
        pass


@pytest.fixture
def proxy(server, monkeypatch):
    running = ThreadingHTTPServer(("localhost", 0), Proxy)
    running.daemon_threads = True
    running.seen = []  # type: ignore[attr-defined]
    threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
    monkeypatch.delenv("NO_PROXY")
    yield running
    running.shutdown()
    running.server_close()


@pytest.mark.parametrize("behaviour", ["whole", "truncates", "wrong"])
def test_behind_a_proxy_all_is_as_without(server, proxy, tmp_path, monkeypatch, behaviour):
    monkeypatch.setenv("https_proxy", f"http://me:secret@localhost:{proxy.server_port}")
    if behaviour == "wrong":
        with pytest.raises(UserError, match="sent another file than file.pth"):
            get(server, behaviour, tmp_path)
    else:
        assert get(server, behaviour, tmp_path).read_bytes() == CONTENT
    assert {path for path, _ in proxy.seen} == {f"localhost:{server.server_port}"}


def test_a_proxy_that_refuses_is_named_without_its_password(server, proxy, tmp_path, monkeypatch):
    monkeypatch.setenv("https_proxy", f"http://me:wrong@localhost:{proxy.server_port}")
    with pytest.raises(UserError, match=rf"through the proxy localhost:{proxy.server_port} ") as caught:
        get(server, "whole", tmp_path)
    assert "407" in str(caught.value) and "wrong" not in str(caught.value) and server.asked == []


def test_a_fetch_that_is_killed_goes_on_and_two_do_not_mix(server, tmp_path):
    """A process that is killed while the server stalls leaves its part; another one meanwhile is refused."""
    code = (
        "import sys; from pathlib import Path; from lamscope.fetch import fetch; "
        "fetch(sys.argv[1], Path(sys.argv[2]), sys.argv[3], timeout=60)"
    )
    path = tmp_path / "new" / "file.pth"
    job = subprocess.Popen([sys.executable, "-c", code, server.url("stalls"), str(path), SHA256])
    part, patience = path.with_name("file.pth.part"), time.monotonic() + 60
    while not part.exists() or part.stat().st_size < HALF:
        assert time.monotonic() < patience and job.poll() is None
        time.sleep(0.02)
    with pytest.raises(UserError, match="Another job"):
        get(server, "whole", tmp_path)
    job.kill()
    job.wait()
    assert not path.exists() and part.stat().st_size == HALF
    assert get(server, "whole", tmp_path).read_bytes() == CONTENT
    assert server.asked[-1] == ("/whole/file.pth", HALF) and left(tmp_path) == ["file.pth"]


def test_the_verb_shows_the_licence_checks_and_is_found_by_a_run(server, tmp_path, capsys):
    code = main(["weights", "fetch", "imdn", f"url={server.url('whole')}"])
    out, err = capsys.readouterr()
    assert code == 2 and "another file than IMDN_x4.pth" in err
    assert out.index("licence: none stated") < len(out) and not list(tmp_path.rglob("*.pth"))
    place = cached(read_model("imdn"))
    assert place is not None and cache_folder() == tmp_path / "cache" / "weights"
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_bytes(CONTENT)
    assert main(["weights", "verify", "imdn"]) == 2
    assert f"imdn: WRONG sha256: {place}" in capsys.readouterr().out
    assert main(["weights", "verify", "edsr_lite"]) == 0
    assert "edsr_lite: right" in capsys.readouterr().out


@pytest.mark.shared
def test_a_fetched_file_is_what_auto_finds(server, shared, capsys):
    server.content = (shared / "weights" / "PANx4_DF2K.pth").read_bytes()
    for said in ("sha256 is right", "is here already"):
        assert main(["weights", "fetch", "pan", f"url={server.url('truncates')}"]) == 0
        assert said in capsys.readouterr().out
    assert find(read_model("pan")) == cached(read_model("pan"))
    assert main(["weights", "verify", "pan"]) == 0


def test_the_real_command_offline(tmp_path):
    environment = {"PATH": "/usr/bin:/bin", "HOME": str(tmp_path), "https_proxy": "http://localhost:9"}
    command = [sys.executable, "-m", "lamscope", "weights", "fetch", "pan"]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.returncode == 2 and done.stderr.count("\n") == 1
    assert "github.com cannot be reached through the proxy localhost:9" in done.stderr
    assert "PANx4_DF2K.pth from https://github.com/" in done.stdout
