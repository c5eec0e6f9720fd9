"""The report's page, opened in a real browser: every view, sorted, filtered, compared, by mouse and by keyboard."""

from __future__ import annotations

import base64
import functools
import http.server
import io
import json
import shutil
import threading
from urllib.parse import quote

import numpy as np
import pytest
from matplotlib import colormaps
from PIL import Image
from test_report import write_cell

from lamscope.metrics.concentration import magnitude
from lamscope.report import report
from lamscope.store import read_tensors

pytestmark = pytest.mark.slow
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
DRIVER = shutil.which("chromedriver")
browsing = pytest.mark.skipif(not (CHROMIUM and DRIVER), reason="no Chromium with its driver on this machine")
VIEWS = ["ranking", "scatter", "images", "compare", "figures", "method"]
FLAGS = [
    "headless", "no-sandbox", "disable-gpu", "disable-dev-shm-usage", "disable-quic", "no-first-run",
    "disable-background-networking", "disable-component-update", "disable-sync",
]  # fmt: skip
EVIL = "<img src=x onerror=alert(1)>"


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """Two parts; in the first, pan lacks image 1. Names try to be markup."""
    folder = tmp_path_factory.mktemp("page")
    for model in ("fsrcnn", "edsr_lite", EVIL):
        write_cell(folder / "runs", model.replace("/", ""), images=4)
    write_cell(folder / "runs", "pan", images=4, broken=[1])
    write_cell(folder / "runs", "fsrcnn", images=1, attribution="lam_paper")
    report(folder / "runs", folder / "out", ["psnr_vs_di"], page=True)
    return folder


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    from selenium import webdriver
    from selenium.webdriver.chrome.service import Service

    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    for flag in [*FLAGS, f"user-data-dir={tmp_path_factory.mktemp('profile')}", "window-size=1400,1000"]:
        options.add_argument(f"--{flag}")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    found = webdriver.Chrome(options=options, service=Service(DRIVER))
    found.set_script_timeout(30)
    yield found
    found.quit()


class Page:
    """The page in the browser. A selector is CSS; every question waits until what it asks for is there."""

    def __init__(self, browser, address):
        self.browser, self.address = browser, address
        browser.get("about:blank")
        browser.get_log("browser")

    def open(self, view, part=0, **query):
        text = "&".join(f"{key}={quote(str(value))}" for key, value in query.items())
        self.browser.get("about:blank")
        self.browser.get(f"{self.address}#/{view}/{part}?{text}")
        self.wait(f"main[data-view='{view}'] h1")
        return self

    def wait(self, selector):
        from selenium.webdriver.support.ui import WebDriverWait

        return WebDriverWait(self.browser, 60).until(lambda b: b.find_elements("css selector", selector))[0]

    def until(self, script, *arguments):
        from selenium.webdriver.support.ui import WebDriverWait

        return WebDriverWait(self.browser, 60).until(lambda b: b.execute_script(f"return {script}", *arguments))

    def texts(self, selector):
        return [e.text for e in self.browser.find_elements("css selector", selector)]

    def run(self, script, *arguments):
        return self.browser.execute_script(script, *arguments)

    def press(self, key):
        from selenium.webdriver.common.action_chains import ActionChains

        ActionChains(self.browser).send_keys(key).perform()

    def choose(self, label, value):
        """Choose an option of the list with that label, as a person does."""
        from selenium.webdriver.support.ui import Select

        (found,) = self.browser.find_elements("xpath", f"//label[normalize-space(text())='{label}']/select")
        Select(found).select_by_value(value)

    def points(self, n):
        """The n markers of the plot, as soon as they are there."""
        found = "document.querySelectorAll('.plot .points path')"
        return self.until(f"{found}.length === arguments[0] && [...{found}]", n)

    def complaints(self):
        return [entry for entry in self.browser.get_log("browser") if entry["level"] in ("SEVERE", "WARNING")]


@pytest.fixture
def page(browser, site):
    page = Page(browser, (site / "out" / "index.html").as_uri())
    yield page
    assert page.complaints() == []


# ── what lies on the disk ──


def test_the_page_needs_nobody_else(site):
    out = site / "out"
    index = (out / "index.html").read_text("utf-8")
    assert "http" not in index.replace("http-equiv", "") and len(index) < 5_000_000
    assert index.startswith("<!doctype html>") and "<title>lamscope report</title>" in index and "$" not in index
    for file in out.glob("assets/*.*"):
        if file.name not in ("plotly.min.js", "data.js"):
            text = file.read_text("utf-8")
            assert "fetch(" not in text and "import(" not in text and "innerHTML" not in text
            assert "http" not in text.replace("http://www.w3.org/2000/svg", "").replace("/^https?:\\/\\//", "")
    assert not list(out.glob("**/*.tmp"))


def test_the_same_runs_give_the_same_bytes(site, tmp_path):
    report(site / "runs", tmp_path, ["psnr_vs_di"], page=True)
    files = sorted(p.relative_to(tmp_path) for p in tmp_path.rglob("*") if p.is_file())
    assert len(files) > 20
    assert files == sorted(p.relative_to(site / "out") for p in (site / "out").rglob("*") if p.is_file())
    assert [p for p in files if (tmp_path / p).read_bytes() != (site / "out" / p).read_bytes()] == []


def test_a_second_report_replaces_the_first(site, tmp_path):
    report(site / "runs", tmp_path, [], page=True)
    assert (tmp_path / "assets" / "part1").exists()
    report(site / "runs" / "made" / "lam", tmp_path, [], page=True)
    assert not (tmp_path / "assets" / "part1").exists() and (tmp_path / "index.html").exists()


# ── what a person sees ──


@browsing
@pytest.mark.parametrize("way", ["file", "http"])
def test_every_view_opens(browser, site, way):
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=site / "out")
    handler.log_message = lambda *_: None  # type: ignore[attr-defined]
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    address = f"http://127.0.0.1:{server.server_port}/" if way == "http" else (site / "out" / "index.html").as_uri()
    try:
        page = Page(browser, address)
        for part in (0, 1):
            for view in VIEWS:
                page.open(view, part)
                assert page.texts("nav a[aria-current]") == [view.capitalize()]
                if view == "scatter":
                    page.wait(".plot .scatterlayer path")
                if view == "compare":
                    page.wait(".card canvas")
                page.until("[...document.images].every((i) => i.complete && (i.naturalWidth || i.loading === 'lazy'))")
        assert page.complaints() == []
    finally:
        server.shutdown()
        server.server_close()


@browsing
def test_the_ranking_is_sorted_and_filtered(page):
    page.open("ranking")
    names = page.texts("tbody th")
    assert names[0] == EVIL and sorted(names) == sorted([EVIL, "EDSR-lite", "FSRCNN", "PAN"])  # as text
    assert "pan lacks 2 of 8 windows" in page.texts(".notes")[0]
    page.wait("button[data-key=psnr_y]").click()
    assert page.texts("tbody th") == names and page.wait("th[aria-sort=descending]").text.startswith("PSNR-Y")
    page.wait("button[data-key=psnr_y]").click()
    assert page.texts("tbody th") == names[::-1] and page.wait("th[aria-sort=ascending]")
    page.press("/")
    page.wait("input[type=search]").send_keys("edsr")
    assert page.texts("tbody th") == ["EDSR-lite"] and page.texts(".count") == ["1 of 4 networks"]
    page.browser.refresh()
    assert page.wait("tbody th").text == "EDSR-lite" and len(page.texts("tbody tr")) == 1  # the address remembers
    page.wait("input[type=search]").clear()
    page.run("document.querySelector('#filter').dispatchEvent(new Event('input'))")
    page.choose("Family", "residual")
    assert len(page.texts("tbody tr")) == 4


@browsing
def test_a_point_says_its_name_and_leads_to_its_network(page):
    from selenium.webdriver.common.action_chains import ActionChains

    page.open("scatter")
    points = page.points(4)
    ActionChains(page.browser).move_to_element(points[-1]).perform()
    said = page.until("document.querySelector('.plot .hoverlayer')?.textContent")
    data = json.loads((page_data(page)).split("=", 1)[1].rstrip(";\n"))
    last = data["parts"][0]["networks"][-1]
    assert last["label"] in said and f"{last['di'][0]:.2f}" in said
    ActionChains(page.browser).move_to_element(points[-1]).click().perform()
    page.until("location.hash.startsWith('#/ranking/0')")
    assert page.wait("tr.named th").text == last["label"]


def page_data(page):
    from pathlib import Path
    from urllib.parse import unquote, urlparse

    return (Path(unquote(urlparse(page.address).path)).parent / "assets" / "data.js").read_text("utf-8")


@browsing
def test_points_of_images_lead_to_images(page):
    from selenium.webdriver.common.action_chains import ActionChains

    page.open("scatter", mode="images", network="fsrcnn")
    point = page.until(
        "document.querySelectorAll('.plot .points path').length === 4 && document.querySelector('.plot .points path')"
    )
    ActionChains(page.browser).move_to_element(point).click().perform()
    page.until("location.hash.startsWith('#/compare/0?image=')")
    page.wait(".card canvas")
    for mode in ("ranks", "distance"):
        page.open("scatter", mode=mode)
        page.wait(".plot .scatterlayer path")


@browsing
def test_the_wall_is_in_the_order_of_ranks(page, site):
    page.open("images")
    assert page.texts(".wall .rank") == ["#1", "#2", "#3", "incomplete"]
    assert page.texts(".wall .name")[-1] == "picture 1"  # pan lacks it
    page.wait("input[type=checkbox]").click()
    assert page.texts(".wall .rank") == ["#3", "#2", "#1", "incomplete"]
    page.choose("Order by", "name")
    assert page.texts(".wall .name") == [f"picture {i}" for i in (3, 2, 1, 0)]
    page.wait("#filter").send_keys("2")
    page.wait(".wall a").click()
    assert page.wait("main[data-view=compare] h1").text == "picture 2"


def shown(page, network):
    """The overlay of a card as an array (h, w, 3)."""
    script = "return document.querySelector(`.card[data-network='${arguments[0]}'] canvas`).toDataURL()"
    data = base64.b64decode(page.run(script, network).split(",", 1)[1])
    return np.asarray(Image.open(io.BytesIO(data)).convert("RGB")).astype(int)


@browsing
def test_maps_are_shown_as_they_are_stored(page, site):
    page.open("compare", image=0, networks="fsrcnn|pan")
    page.wait(".card[data-network=pan] canvas")
    assert page.texts(".card figcaption b") == ["HR", "FSRCNN", "PAN"]  # in the order of the ranking
    maps = read_tensors(site / "runs" / "made" / "lam" / "pan.h5", 0)["map"]
    for window, found in enumerate(maps):
        page.choose("Window", str(window))
        expected = 255 * colormaps["seismic"](magnitude(found) * 0.5 + 0.5)[..., :3]
        page.until("document.querySelector('.card[data-network=pan] dd').textContent.length > 0")
        assert np.abs(shown(page, "pan") - expected).max() <= 6  # 8 bits, and 256 colours
    numbers = dict(zip(page.texts(".card[data-network=pan] dt"), page.texts(".card[data-network=pan] dd"), strict=True))
    assert numbers["PSNR-Y"] == "24.00 dB" and numbers["DI"].endswith(" %")


@browsing
def test_networks_are_compared_side_by_side(page):
    page.open("compare", image=0)
    page.wait(".card canvas")
    assert len(page.texts(".card")) == 5  # HR and four networks
    page.wait("#chip-pan").click()
    assert (
        "PAN" not in page.texts(".card figcaption b")
        and page.wait("#chip-pan").get_attribute("aria-pressed") == "false"
    )
    page.run("const s = document.querySelector('#opacity'); s.value = 25; s.dispatchEvent(new Event('input'))")
    assert page.run("return getComputedStyle(document.querySelector('.card canvas')).opacity") == "0.25"
    lam = shown(page, "fsrcnn")
    page.press("a")
    page.until("location.hash.includes('layer=area')")
    page.wait(".card[data-network=fsrcnn] canvas")
    assert not np.array_equal(shown(page, "fsrcnn"), lam)
    page.press("s")
    page.until("document.querySelectorAll('.card img').length && !document.querySelector('.card canvas')")
    page.press("l")
    page.wait(".card canvas")
    page.choose("Above", "difference")
    page.choose("minus", "fsrcnn")
    white = np.abs(shown(page, "fsrcnn") - 255).max()  # a network minus itself
    assert white <= 4
    other = shown(page, "edsr_lite")
    assert (other[..., 0] > other[..., 2] + 50).any() and (other[..., 2] > other[..., 0] + 50).any()
    page.choose("Colours", "safe")
    assert not np.array_equal(shown(page, "edsr_lite"), other)
    page.choose("Zoom", "4")
    assert "scale(4)" in page.wait(".inner").get_attribute("style")
    for base in ("hr", "lr", "white", "sr"):
        page.choose("Below", base)
    page.until("[...document.images].every((i) => i.complete && i.naturalWidth)")


@browsing
def test_what_a_network_lacks_is_said(page):
    page.open("compare", image=1, networks="pan|fsrcnn")
    page.wait(".card[data-network=fsrcnn] canvas")
    assert "not ranked" in page.texts("main p.small")[0]
    assert page.texts(".card[data-network=pan] dd")[0] == "nan"
    assert not page.browser.find_elements("css selector", ".card[data-network=pan] canvas")


@browsing
def test_the_keyboard_suffices(page):
    from selenium.webdriver.common.keys import Keys

    page.open("ranking")
    for key, view in enumerate(VIEWS, start=1):
        page.press(str(key))
        page.wait(f"main[data-view={view}]")
    page.press("4")
    first = page.wait("main[data-view=compare] h1").text
    page.wait(".card canvas")
    page.press(Keys.ARROW_LEFT)
    page.until("document.querySelector('h1').textContent !== arguments[0]", first)
    page.wait(".card canvas")
    page.press(Keys.ARROW_RIGHT)
    page.until("document.querySelector('h1').textContent === arguments[0]", first)
    page.press("?")
    assert page.wait("dialog[open] h2").text == "Keyboard"
    page.press(Keys.ESCAPE)
    page.until("!document.querySelector('dialog').open")


@browsing
def test_light_and_dark(page):
    ground = "return getComputedStyle(document.body).backgroundColor"
    set_media = functools.partial(page.browser.execute_cdp_cmd, "Emulation.setEmulatedMedia")
    try:
        set_media({"features": [{"name": "prefers-color-scheme", "value": "dark"}]})
        page.open("ranking")
        dark = page.run(ground)
        page.wait("#theme").click()
        light = page.run(ground)
        assert sum(map(int, dark[4:-1].split(","))) < 150 and light == "rgb(255, 255, 255)"
        page.press("d")
        assert page.run(ground) == dark
    finally:
        set_media({"features": []})
        page.run("try { localStorage.clear() } catch {}")


@browsing
def test_a_phone_needs_no_sideways_scrolling(page):
    size = {"width": 360, "height": 740, "deviceScaleFactor": 2, "mobile": True}
    try:
        page.browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
        for view in VIEWS:
            page.open(view)
            if view == "compare":
                page.wait(".card canvas")
            if view == "scatter":
                page.wait(".plot .scatterlayer path")
            wide, there = page.run("const d = document.documentElement; return [d.scrollWidth, d.clientWidth]")
            assert wide <= there == 360, view
    finally:
        page.browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


@browsing
def test_everything_one_can_use_has_a_name(page):
    roles = {"button", "link", "combobox", "searchbox", "slider", "checkbox", "region", "img", "image", "table"}
    for view in VIEWS:
        page.open(view)
        if view == "compare":
            page.wait(".card canvas")
        if view == "scatter":
            page.wait(".plot svg[aria-hidden]")
        nodes = page.browser.execute_cdp_cmd("Accessibility.getFullAXTree", {})["nodes"]
        used = [n for n in nodes if not n["ignored"] and n["role"]["value"] in roles]
        assert len(used) > 8
        nameless = [n["role"]["value"] for n in used if not n.get("name", {}).get("value", "").strip()]
        assert nameless == [], view
