"""The live view: its server by plain HTTP, and its page in a real browser, as a person would use it."""

from __future__ import annotations

import http.client
import io
import json
import re
import signal
import socket
import subprocess
import sys
import time
from urllib.parse import urlparse

import numpy as np
import pytest
import torch
from PIL import Image
from test_page import Page, browser, browsing  # noqa: F401 (a fixture)

from lamscope import Window, attribute, diffusion_index, load_model
from lamscope.config import options, read_model
from lamscope.data import CropDataset, skimage_folder
from lamscope.types import UserError

pytest.importorskip("starlette", reason="the view extra is not installed")
pytest.importorskip("uvicorn", reason="the view extra is not installed")
pytestmark = pytest.mark.slow
OURS = {"X-Lamscope": "1"}


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    """The real command, on a free port, in an empty folder."""
    command = [sys.executable, "-m", "lamscope", "view", "port=0", "browser=no", "dataset.limit=3"]
    with subprocess.Popen(command, cwd=tmp_path_factory.mktemp("view"), stdout=subprocess.PIPE, text=True) as server:
        said = server.stdout.readline()
        yield re.search(r"http://127\.0\.0\.1:\d+/", said).group()
        server.send_signal(signal.SIGINT)  # Ctrl-C
        assert server.wait(20) == 0


def ask(address, method, path, body=None, **headers):
    connection = http.client.HTTPConnection(urlparse(address).netloc, timeout=60)
    named = {key.replace("_", "-"): value for key, value in headers.items()}
    connection.request(method, path, body, {**OURS, **named} if method == "POST" else named)
    answer = connection.getresponse()
    content = answer.read()
    is_json = answer.headers.get("Content-Type", "").startswith("application/json")
    return answer.status, json.loads(content) if is_json else content


def png(size=(96, 80), seed=0):
    buffer = io.BytesIO()
    noise = np.random.default_rng(seed).integers(0, 256, (size[1] // 8, size[0] // 8, 3), np.uint8)
    Image.fromarray(noise).resize(size, Image.Resampling.BICUBIC).save(buffer, "PNG")
    return buffer.getvalue()


def finished(address):
    for _ in range(600):
        _, task = ask(address, "GET", "/api/task")
        if task["status"] != "running":
            return task
        time.sleep(0.1)
    raise AssertionError("the computation does not end")


def test_the_numbers_are_those_of_the_library(address):
    _, choices = ask(address, "GET", "/api/choices")
    shipped = {name for name in options("model") if read_model(name).checkpoint.shipped}
    assert shipped == {n["name"] for n in choices["networks"]} and "edsr_lite" in shipped
    assert [m["id"] for m in choices["images"]] == ["d0", "d1", "d2"]
    asked = {"image": "d0", "y": 100, "x": 60, "models": ["fsrcnn", "edsr_lite"]}
    status, started = ask(address, "POST", "/api/task", json.dumps(asked))
    assert status == 200 and started["window"] == [100, 60, 16]
    task = finished(address)
    assert task["status"] == "done" and [r["model"] for r in task["results"]] == ["fsrcnn", "edsr_lite"]
    crops = CropDataset(name="x", root="skimage", crops=[["grass.png", 208, 256]])
    assert skimage_folder().is_dir()
    (sample,) = crops.samples(4)
    lr = torch.from_numpy(sample.lr.copy()).permute(2, 0, 1) / 255
    found = attribute(load_model("fsrcnn"), lr, window=Window(100, 60, 16))
    assert task["results"][0]["di"] == pytest.approx(diffusion_index(found.map), rel=1e-4)
    assert task["results"][0]["map"].startswith("data:image/png;base64,")
    assert ask(address, "GET", "/api/task?known=1")[1]["results"] == task["results"][1:]


def test_an_upload_is_looked_at_and_a_window_is_moved_inside(address):
    status, added = ask(address, "POST", "/api/upload?name=../../etc/my%20photo.png&role=hr", png())
    assert status == 200 and added["name"] == "my photo.png"
    shown = Image.open(io.BytesIO(ask(address, "GET", f"/api/image/{added['id']}")[1]))
    assert shown.size == (96, 80)
    asked = {"image": added["id"], "y": 999, "x": -5, "models": ["fsrcnn"]}
    assert ask(address, "POST", "/api/task", json.dumps(asked))[1]["window"] == [63, 0, 16]
    result = finished(address)["results"][0]
    assert result["psnr_y"] > 10 and 0 < result["di"] < 100
    _, low = ask(address, "POST", "/api/upload?name=small.png&role=lr", png((24, 20)))
    ask(address, "POST", "/api/task", json.dumps({"image": low["id"], "y": 8, "x": 8, "models": ["fsrcnn"]}))
    result = finished(address)["results"][0]
    assert "psnr_y" not in result and Image.open(
        io.BytesIO(ask(address, "GET", f"/api/image/{low['id']}")[1])
    ).size == (96, 80)


def test_one_computation_at_a_time_and_it_can_be_cancelled(address):
    ask(address, "POST", "/api/task", json.dumps({"image": "d1", "y": 8, "x": 8, "models": ["rcan_lite", "fsrcnn"]}))
    other = json.dumps({"image": "d1", "y": 0, "x": 0, "models": ["fsrcnn"]})
    status, refused = ask(address, "POST", "/api/task", other)
    assert status == 400 and "One computation at a time" in refused["message"]
    begin = time.monotonic()
    _, state = ask(address, "POST", "/api/cancel")
    assert state["status"] == "cancelled" and state["share"] < 1 and time.monotonic() - begin < 5
    assert ask(address, "POST", "/api/task", other)[0] == 200  # and the next one may start
    assert finished(address)["status"] == "done"


@pytest.mark.parametrize(
    ("path", "body", "message"),
    [
        ("/api/upload?name=a.png", b"no image", "not a readable"),
        ("/api/upload?name=a.png", b"", "not a readable"),
        ("/api/upload?role=other", b"", "hr or the lr"),
        ("/api/upload", png((1100, 64)), "crop it"),
        ("/api/upload", png((32, 32)), "too small"),
        ("/api/upload", b"x" * 20_000_001, "larger than 20 MB"),
        ("/api/task", b"[]", "not understood"),
        ("/api/task", b"{" * 30_000, "too long"),
        ("/api/task", b'{"models": ["nosuch"], "y": 0, "x": 0, "image": "d0"}', "at least one"),
        ("/api/task", b'{"models": ["fsrcnn"], "y": 0.5, "x": 0, "image": "d0"}', "whole numbers"),
        ("/api/task", b'{"models": ["fsrcnn"], "y": 0, "x": 0, "image": "d99"}', "no longer here"),
        ("/api/task", b'{"models": ["fsrcnn"], "y": 0, "x": 0, "image": "../d0"}', "no longer here"),
    ],
)
def test_what_cannot_be_is_one_sentence(address, path, body, message):
    status, answer = ask(address, "POST", path, body)
    assert status == 400 and message in answer["message"] and "/tmp" not in answer["message"]


@pytest.mark.parametrize(
    "path",
    [
        "..%2fserver.py",
        "%2e%2e/server.py",
        "__init__.py",
        "view.html",
        "/etc/passwd",
        "../../etc/passwd",
    ],
)
def test_only_its_own_files_are_served(address, path):
    status, content = ask(address, "GET", f"/assets/{path}")
    assert status == 404 and b"root:" not in content and b"import" not in content


def test_other_pages_and_other_names_are_refused(address):
    assert ask(address, "POST", "/api/cancel", X_Lamscope="")[0] == 403
    assert ask(address, "POST", "/api/upload?name=a.png", png(), X_Lamscope="")[0] == 403
    assert ask(address, "GET", "/", Host="evil.example")[0] == 400
    assert ask(address, "GET", "/", Host="localhost")[0] == 200
    headers = http.client.HTTPConnection(urlparse(address).netloc, timeout=10)
    headers.request("GET", "/")
    policy = headers.getresponse().headers
    assert "default-src 'self'" in policy["Content-Security-Policy"] and policy["Access-Control-Allow-Origin"] is None


def test_nobody_else_on_the_network_reaches_it(address):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as outward:  # nothing is sent: it only chooses an address
        try:
            outward.connect(("203.0.113.1", 9))
        except OSError:
            pytest.skip("this machine has no other address")
        own = outward.getsockname()[0]
    if own.startswith("127."):
        pytest.skip("this machine has no other address")
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection((own, urlparse(address).port), timeout=5)


def test_mistakes_on_the_command_line():
    from lamscope.cli import main

    assert main(["view", "port=many"]) == 2 and main(["view", "modle=x"]) == 2
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        assert main(["view", f"port={taken.getsockname()[1]}", "browser=no", "dataset.limit=1"]) == 2


def test_uploads_are_forgotten_in_turn():
    from lamscope.view.pictures import KEPT, Gallery

    gallery = Gallery(CropDataset(name="x", root="skimage", crops=[]), 4)
    keys = [gallery.add(f"{i}.png", png(seed=i), "hr") for i in range(KEPT + 1)]
    assert [m["id"] for m in gallery.listed()] == keys[:0:-1]
    with pytest.raises(UserError, match="no longer here"):
        gallery.get(keys[0])


# ── in the browser ──

# the chips to click so that one alone is pressed
NOT_ONLY = """
const pressed = (chip) => chip.getAttribute('aria-pressed') === 'true';
return [...document.querySelectorAll('.chip')].filter((c) => pressed(c) !== (c.id === arguments[0])).map((c) => c.id);
"""


@browsing
def test_a_person_clicks_and_sees_networks_look(browser, address, tmp_path):  # noqa: F811
    from selenium.webdriver.common.action_chains import ActionChains
    from selenium.webdriver.common.keys import Keys

    page = Page(browser, address)
    browser.get(address)
    page.until("document.querySelector('#image option[value=d0]')")
    page.choose("Image", "d0")  # other tests' uploads come before it
    page.until("document.querySelector('#where').textContent.startsWith('Window at row 120, column 120')")
    picture = page.wait("#picture")
    side = page.run("return arguments[0].getBoundingClientRect().width", picture)
    ActionChains(browser).move_to_element(picture).move_by_offset(round(side / 4), round(-side / 4)).click().perform()
    said = page.wait("#where").text
    y, x = map(int, re.search(r"row (\d+), column (\d+)", said).groups())
    assert abs(y - 56) <= 2 and abs(x - 184) <= 2  # a quarter up and right of the middle, less half a window
    page.wait("#drop").send_keys(Keys.ARROW_DOWN, Keys.ARROW_LEFT)
    assert f"row {y + 1}, column {x - 1}" in page.wait("#where").text
    for chip in page.run(NOT_ONLY, "chip-fsrcnn"):
        page.wait(f"#{chip}").click()
    page.wait("#go").click()
    page.wait(".card[data-network=fsrcnn] canvas")
    page.until("document.querySelector('#doing').textContent === 'done' && document.querySelector('#cancel').disabled")
    numbers = dict(zip(page.texts(".card dt"), page.texts(".card dd"), strict=True))
    assert numbers["DI"].endswith("%") and numbers["PSNR-Y"].endswith("dB") and numbers["steps"] == "21"
    before = page.run("return document.querySelector('.card canvas').toDataURL()")
    page.choose("Above", "area")
    page.until("document.querySelector('.card canvas')?.toDataURL() !== arguments[0]", before)
    # an image of one's own, then one that is none
    (tmp_path / "mine.png").write_bytes(png((128, 96)))
    page.wait("#file").send_keys(str(tmp_path / "mine.png"))
    page.until("document.querySelector('#picture').naturalWidth === 128")
    assert page.run("return document.querySelector('#image').selectedOptions[0].textContent") == "mine.png"
    page.wait("#go").click()
    page.until("document.querySelector('.card img')?.naturalWidth === 128")
    assert page.complaints() == []
    (tmp_path / "none.png").write_bytes(b"nothing")
    page.wait("#file").send_keys(str(tmp_path / "none.png"))
    page.until("document.querySelector('#message').textContent.includes('not a readable')")
    page.complaints()  # the browser logs the refusal


QUICK_CANCEL = """
const timer = setInterval(() => {
  const button = document.querySelector('#cancel');
  if (!button.disabled) { clearInterval(timer); button.click(); }
}, 2);
"""


@browsing
def test_a_person_cancels(browser, address):  # noqa: F811
    page = Page(browser, address)
    browser.get(address)
    page.until("document.querySelector('#where').textContent.startsWith('Window')")
    # a quick hand: small networks may be done before a browser's next poll
    browser.execute_script(QUICK_CANCEL)
    page.wait("#go").click()
    page.until("document.querySelector('#doing').textContent === 'cancelled'")
    assert not page.wait("#go").get_attribute("disabled")
    assert page.complaints() == []
