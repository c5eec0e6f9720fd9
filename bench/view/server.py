"""The live view's server: Starlette on 127.0.0.1, a handful of routes, files served by name from the package only.

Requests that change something need the header X-Lamscope, which a page of another origin cannot send, and the Host
must be the server's own, so that no name of somebody else's can point here.
"""

from __future__ import annotations

import io
import json
import webbrowser
from collections.abc import Callable
from contextlib import suppress
from importlib import resources
from typing import Any

from PIL import Image
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from ..config import Config, instantiate, options, read_model
from ..figures import style
from ..report.document import document
from ..report.summary import colour_tables
from ..types import UserError, Window
from ..version import __version__
from ..weights import find
from ..zoo import prepare, weight_folders
from .pictures import MAX_BYTES, Gallery
from .work import Worker

LOOPBACK = ("127.0.0.1", "localhost")
KINDS = {"html": "text/html; charset=utf-8", "css": "text/css", "js": "text/javascript"}
FILES = {  # what the page is made of: name → package that holds it
    "view.js": "lamscope.view",
    "view.css": "lamscope.view",
    "style.css": "lamscope.report",
    "core.js": "lamscope.report",
    "maps.js": "lamscope.report",
}
POLICY = "default-src 'self'; img-src 'self' data: blob:; style-src 'self' 'unsafe-inline'; frame-ancestors 'none'"


def networks(config: Config) -> list[dict[str, Any]]:
    """The networks at the scale of `config.model` whose weights are here and right, as the page shows them."""
    folders = weight_folders(config.machine.weights)
    found = []
    for name in options("model"):
        model = read_model(name)
        if model.scale != config.model.scale:
            continue
        try:
            if find(model, folders) is None:
                continue
        except UserError:
            continue
        found.append(model)
    looks = style.looks([(model.name, model.family) for model in found])
    return [
        {
            "name": model.name,
            "label": looks[model.name].label,
            "family": model.family + (", luminance only" if model.channels == "y" else ""),
            "colour": looks[model.name].colour,
            "marker": looks[model.name].marker,
        }
        for model in found
    ]


def application(config: Config, hosts: tuple[str, ...] = LOOPBACK) -> Starlette:
    """The server's routes for one configuration. hosts: names under which it may be asked for."""
    device, dtype = prepare(config)
    dataset = instantiate(config.dataset)
    gallery = Gallery(dataset, config.model.scale)
    worker = Worker(config, device, dtype)
    known = networks(config)
    names = {network["name"] for network in known}

    async def index(request: Request) -> Response:
        return _answer(document("view", ["/assets/style.css", "/assets/view.css"], _source("view.html")), "html")

    async def asset(request: Request) -> Response:
        return _file(request.path_params["name"])

    async def choices(request: Request) -> Response:
        about = {"version": __version__, "scale": config.model.scale, "window": dataset.window.size}
        about |= {"networks": known, "images": gallery.listed(), "colours": colour_tables(), "max_bytes": MAX_BYTES}
        return JSONResponse({**about, "attribution": config.attribution["name"], "device": str(device)})

    def picture(request: Request) -> Response:
        shown = gallery.get(request.path_params["key"])
        image = Image.fromarray(shown.lr if shown.hr is None else shown.hr)
        if shown.hr is None:
            image = image.resize((image.width * shown.scale, image.height * shown.scale), Image.Resampling.NEAREST)
        buffer = io.BytesIO()
        image.save(buffer, "PNG")
        return Response(buffer.getvalue(), media_type="image/png", headers={"X-Name": _ascii(shown.name)})

    async def upload(request: Request) -> Response:
        data = bytearray()
        async for piece in request.stream():
            data += piece
            if len(data) > MAX_BYTES:
                raise UserError(f"The file is larger than {MAX_BYTES // 10**6} MB.")
        key = gallery.add(request.query_params.get("name", ""), bytes(data), request.query_params.get("role", "hr"))
        return JSONResponse({"id": key, "name": gallery.get(key).name})

    async def start(request: Request) -> Response:
        asked = await _json(request)
        models = asked.get("models")
        if not isinstance(models, list) or not models or not all(isinstance(m, str) and m in names for m in models):
            raise UserError("Choose at least one of the networks listed.")
        y, x = (asked.get(key) for key in ("y", "x"))
        if type(y) is not int or type(x) is not int:
            raise UserError("A window has a row y and a column x, whole numbers of SR pixels.")
        shown = gallery.get(str(asked.get("image")))
        window = _inside(Window(y, x, dataset.window.size), shown.lr.shape, shown.scale)
        task = worker.start(shown, window, list(dict.fromkeys(models)))
        return JSONResponse({**task.state(), "window": [window.y, window.x, window.size]})

    async def state(request: Request) -> Response:
        if worker.task is None:
            return JSONResponse({"number": 0, "status": "idle", "results": []})
        seen = request.query_params.get("known", "0")
        return JSONResponse(worker.task.state(int(seen) if seen.isdecimal() and len(seen) < 10 else 0))

    def cancel(request: Request) -> Response:
        worker.cancel()
        return JSONResponse({} if worker.task is None else worker.task.state(len(worker.task.results)))

    routes = [
        Route("/", index),
        Route("/assets/{name}", asset),
        Route("/api/choices", choices),
        Route("/api/image/{key}", picture),
        Route("/api/upload", _own(upload), methods=["POST"]),
        Route("/api/task", state),
        Route("/api/task", _own(start), methods=["POST"]),
        Route("/api/cancel", _own(cancel), methods=["POST"]),
    ]
    return Starlette(
        routes=routes,
        middleware=[Middleware(TrustedHostMiddleware, allowed_hosts=list(hosts), www_redirect=False)],
        exception_handlers={UserError: _refused},
    )


def serve(config: Config, host: str = "127.0.0.1", port: int = 8765, show: bool = True) -> None:
    """Serve until interrupted. host: a name or an IPv4 address. Raises UserError where host and port cannot be used."""
    import socket

    import uvicorn

    hosts = LOOPBACK if host in LOOPBACK else (*LOOPBACK, "*" if host == "0.0.0.0" else host)
    app = application(config, hosts)
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as listening, suppress(KeyboardInterrupt):
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listening.bind((host, port))
            listening.listen()  # who reads the address may come at once
        except OSError as error:
            raise UserError(f"Port {port} on {host} cannot be used: {error.strerror}. Try port=0.") from error
        address = f"http://{host}:{listening.getsockname()[1]}/"
        print(f"lamscope view: {address} (Ctrl-C ends it)", flush=True)
        if host not in LOOPBACK:
            print("Anyone who reaches this machine can use it.", flush=True)
        if show:
            webbrowser.open(address)
        uvicorn.Server(uvicorn.Config(app, log_level="warning", lifespan="off")).run(sockets=[listening])


def _own(answer: Callable[[Request], Any]) -> Callable[[Request], Any]:
    """Only for requests of our own page."""

    def refusal(request: Request) -> Response | None:
        return None if request.headers.get("x-lamscope") else JSONResponse({"message": "Not from here."}, 403)

    if _is_async(answer):

        async def guarded(request: Request) -> Response:
            return refusal(request) or await answer(request)

        return guarded
    return lambda request: refusal(request) or answer(request)


def _is_async(answer: Callable[..., Any]) -> bool:
    import inspect

    return inspect.iscoroutinefunction(answer)


async def _json(request: Request) -> dict[str, Any]:
    body = bytearray()
    async for piece in request.stream():
        body += piece
        if len(body) > 20_000:
            raise UserError("That request is too long.")
    try:
        asked = json.loads(body)
    except (ValueError, RecursionError):
        asked = None
    if not isinstance(asked, dict):
        raise UserError("That request is not understood.")
    return asked


def _inside(window: Window, lr_shape: tuple[int, ...], scale: int) -> Window:
    """The window moved by as little as it takes to lie inside, with the pixel beside it that the detector needs."""
    size = window.size
    most_y, most_x = (scale * side - size - 1 for side in lr_shape[:2])
    return Window(min(max(window.y, 0), most_y), min(max(window.x, 0), most_x), size)


def _file(name: str) -> Response:
    package = FILES.get(name)
    if package is None:
        return Response("There is no such file.", 404)
    return _answer(_source(name, package), name.rpartition(".")[2])


def _source(name: str, package: str = "lamscope.view") -> str:
    return (resources.files(package) / "page" / name).read_text("utf-8")


def _answer(text: str, kind: str) -> Response:
    headers = {"Content-Security-Policy": POLICY, "X-Content-Type-Options": "nosniff", "Cache-Control": "no-cache"}
    return Response(text, media_type=KINDS[kind], headers=headers)


async def _refused(request: Request, error: Exception) -> Response:
    return JSONResponse({"message": str(error)}, 400)


def _ascii(text: str) -> str:
    return text.encode("ascii", "replace").decode("ascii")
