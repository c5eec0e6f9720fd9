"""One file over https: resumed where it stopped, and in place only after its sha256 was found right.

Proxies and certificates are the system's: HTTPS_PROXY, NO_PROXY and SSL_CERT_FILE are honoured. Nothing here is called
but by an explicit command.
"""

from __future__ import annotations

import hashlib
import http.client
import os
import socket
import ssl
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from .config import ModelConfig
from .durable import locked, reporting
from .types import UserError
from .version import __version__

BLOCK = 1 << 17
MAX_BYTES = 8 << 30  # no checkpoint of this field is as large; a server that never ends is
RETRIED = (408, 429, 500, 502, 503, 504)

Report = Callable[[int, int | None], None]  # bytes so far, bytes in all if the server says so


class _Broken(Exception):
    """The connection or the server failed in a way that another try may mend."""


class _OnlyHttps(urllib.request.HTTPRedirectHandler):
    """Follows redirections, but never away from https."""

    def redirect_request(self, req: Any, fp: Any, code: int, msg: str, headers: Any, newurl: str) -> Any:
        _require_https(newurl, f"{_host(req.full_url)} redirects to an address without https, which is refused")
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def cache_folder() -> Path:
    """Where fetched weights lie: $LAMSCOPE_CACHE, else lamscope in the user's cache folder."""
    named = os.environ.get("LAMSCOPE_CACHE")
    base = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(named or f"{base}/lamscope").expanduser() / "weights"


def cached(model: ModelConfig) -> Path | None:
    """The place of a network's official file in the cache, whether it is there or not; None where no file is known."""
    return cache_folder() / model.name / model.checkpoint.file if model.checkpoint.file else None


def fetch(
    url: str,
    path: Path,
    sha256: str,
    *,
    report: Report = lambda done, total: None,
    timeout: float = 30.0,
    tries: int = 4,
    pause: float = 1.0,
) -> Path:
    """Get url into path; returns path. sha256: hex digits, all 64 or the first few that the authors publish.

    What arrived stays in <path>.part when the connection breaks: after `pause` seconds (doubled each time) the rest is
    asked for, and a later call goes on there as well. Gives up after `tries` tries in a row that brought nothing.
    timeout: seconds of silence that count as a broken connection. Raises UserError with one sentence.
    """
    if len(sha256) < 8:
        raise UserError(f"{path.name} has no published sha256 to check it by, so it is not fetched: get it from {url}.")
    _require_https(url, "Weights are fetched over https only")
    with reporting(path):
        path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(path.name + ".part")
    with locked(path, path.with_name(path.name + ".lock")), reporting(path):
        for fresh in (False, True):
            resumed = _complete(url, part, fresh, report, timeout, tries, pause)
            found = _sha256(part)
            if found.startswith(sha256.lower()):
                os.replace(part, path)
                return path
            part.unlink()
            if not resumed:  # else the old part may have been of another file: once more, from the start
                break
    raise UserError(
        f"{_host(url)} sent another file than {path.name}: its sha256 is {found[:16]}…, expected {sha256[:16]}…. "
        "It was deleted."
    )


def _complete(url: str, part: Path, fresh: bool, report: Report, timeout: float, tries: int, pause: float) -> bool:
    """Fill part up. Returns whether some of it was there before this call."""
    if fresh or not part.exists():
        part.write_bytes(b"")
    resumed = part.stat().st_size > 0
    failures = 0
    while True:
        before = part.stat().st_size
        try:
            _pull(url, part, report, timeout)
            return resumed
        except _Broken as error:
            failures = 1 if part.stat().st_size > before else failures + 1
            if failures >= tries:
                raise UserError(
                    f"{_host(url)} broke off {failures} times without sending more of {part.stem} ({error}); "
                    "the same command goes on where it stopped."
                ) from error
            time.sleep(pause * 2 ** (failures - 1))


def _pull(url: str, part: Path, report: Report, timeout: float) -> None:
    """One request for what is missing. Raises _Broken when it ended early, UserError when another try is useless."""
    have = part.stat().st_size
    headers = {"User-Agent": f"lamscope/{__version__}", "Accept-Encoding": "identity"}
    if have:
        headers["Range"] = f"bytes={have}-"
    opener = urllib.request.build_opener(_OnlyHttps, urllib.request.HTTPSHandler(context=ssl.create_default_context()))
    try:
        with opener.open(urllib.request.Request(url, headers=headers), timeout=timeout) as answer:
            begin = _begin(answer, have)
            length = answer.headers.get("Content-Length")
            total = begin + int(length) if length and length.isdigit() else None
            with part.open("r+b") as file:
                file.truncate(begin)
                file.seek(begin)
                _copy(answer, file, begin, total, report)
    except urllib.error.HTTPError as error:
        if error.code == 416 and have:  # nothing is missing, or the part is longer than the file: the sha256 decides
            return
        if error.code in RETRIED:
            raise _Broken(f"HTTP {error.code} {error.reason}") from error
        reason = str(error.reason).splitlines()[0].rstrip(".")
        raise UserError(f"{_host(url)} does not give the file: HTTP {error.code}, {reason}, for {url}.") from error
    except urllib.error.URLError as error:
        raise _unreachable(url, error.reason) from error
    except (TimeoutError, ConnectionError, http.client.HTTPException, ssl.SSLError) as error:
        raise _Broken("no data came for a while" if isinstance(error, TimeoutError) else str(error)) from error


def _begin(answer: Any, have: int) -> int:
    """Where in the file the answer's first byte belongs: a server may ignore that only the rest was asked for."""
    if answer.status != 206:
        return 0
    first = answer.headers.get("Content-Range", "").removeprefix("bytes ").partition("-")[0]
    if not first.isdigit() or int(first) > have:
        raise _Broken(f"the server sent a wrong part, {answer.headers.get('Content-Range')}")
    return int(first)


def _copy(answer: Any, file: Any, done: int, total: int | None, report: Report) -> None:
    report(done, total)
    while block := answer.read1(BLOCK):  # what has arrived: read would drop it when the rest never comes
        done += len(block)
        if done > MAX_BYTES:
            raise UserError(f"The server sends more than {MAX_BYTES >> 30} GiB, which no weights file has.")
        file.write(block)
        report(done, total)
    if total is not None and done < total:
        raise _Broken(f"{total - done} bytes are missing")


def _unreachable(url: str, reason: Any) -> Exception:
    """What urllib says of a connection that did not come about: _Broken when trying again may help."""
    host, proxy = _host(url), _proxy()
    if isinstance(reason, ssl.SSLCertVerificationError):
        return UserError(
            f"The certificate of {host} is not trusted ({reason.verify_message}). Behind a proxy that reads "
            "https, SSL_CERT_FILE names its certificate."
        )
    if isinstance(reason, TimeoutError | ConnectionResetError | ssl.SSLError):
        return _Broken(str(reason))
    said = getattr(reason, "strerror", None) or str(reason)
    if proxy:
        return UserError(f"{host} cannot be reached through the proxy {proxy} (HTTPS_PROXY): {said}.")
    if isinstance(reason, socket.gaierror):
        return UserError(
            f"{host} cannot be found: this machine is offline, or needs a proxy (HTTPS_PROXY=http://HOST:PORT)."
        )
    return UserError(f"{host} cannot be reached: {said}. Behind a proxy, HTTPS_PROXY=http://HOST:PORT names it.")


def _proxy() -> str | None:
    """Host and port of the proxy for https, never its password."""
    address = urllib.request.getproxies().get("https")
    return None if not address else urlsplit(address).netloc.rpartition("@")[2] or address.rpartition("@")[2]


def _require_https(url: str, sentence: str) -> None:
    if urlsplit(url).scheme != "https" or not urlsplit(url).hostname:
        raise UserError(f"{sentence}: '{url}'.")


def _host(url: str) -> str:
    return urlsplit(url).hostname or url


def _sha256(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
