"""Test the page in headless Chromium, with a server process and the command line."""

import base64
import json
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("selenium")
from chromium import BrowserPage, browser, needs_chromium
from command_line import environment
from PIL import Image
from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from studio_app import tiny, tiny_path

from conftest import HANG, smooth_pixels
from slimcae.cli import main
from slimcae.model.architecture import architecture_of
from slimcae.model.header import read_model_header
from slimcae.model.registry import shipped_model
from slimcae.studio.runtime import runtime_folder

pytestmark = needs_chromium


@pytest.fixture(scope="module")
def address(tiny_path: Path) -> Iterator[str]:
    """Of `slimcae studio` with the shipped model and a tiny one, as a process of its own."""
    argv = ["studio", "--port", "0", "--no_browser", "--max_bytes", "2MB"]
    models = ["-m", str(shipped_model()), "-m", str(tiny_path)]
    running = subprocess.Popen(
        [sys.executable, "-m", "slimcae", *argv, *models],
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert running.stdout is not None and running.stderr is not None
    try:
        address = running.stdout.readline().strip()
        assert address.startswith("http://127.0.0.1:"), running.stderr.read()
        yield address
    finally:
        running.terminate()
        running.wait(HANG)
        said = running.stderr.read()
        running.stdout.close()
        running.stderr.close()
    # of the one file with frames; the page reports it, too
    frames = "slimcae: warning: the picture has several frames: only the first one is used"
    assert set(said.splitlines()) <= {frames}


@pytest.fixture(scope="module")
def photo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("photos") / "photo.png"
    Image.fromarray(smooth_pixels(192, 256, 5)).save(path)
    return path


class Page(BrowserPage):
    """The studio's."""

    def slide(self, index: int) -> None:
        self.script(
            "const s = document.querySelector('#slider'); s.value = arguments[0];"
            "s.dispatchEvent(new Event('input'))",
            index,
        )

    def pixels(self) -> np.ndarray:
        """What the canvas shows, (H, W, 3), once it has drawn what it was told before."""
        # frames are drawn in the order in which they were asked for
        self.script("return new Promise(requestAnimationFrame)")
        url = self.script("return document.querySelector('#canvas').toDataURL('image/png')")
        data = base64.b64decode(url.partition(",")[2])
        with Image.open(BytesIO(data)) as image:
            return np.asarray(image.convert("RGB"))

    def figures(self) -> dict[str, str]:
        return {name: self.text(f"#{name}") for name in ("size", "bpp", "psnr", "ms-ssim")}


@pytest.fixture
def page(browser: webdriver.Chrome, address: str, photo: Path) -> Page:
    """The page with a photo at its first version, and its comparisons."""
    page = Page(browser)
    if not browser.current_url.startswith(address):
        browser.get(address)
        page.until(lambda: "ready" in page.element("body").get_attribute("class"))
    if page.text("#photo-name").partition(" ")[0] != photo.name:
        page.upload(photo)
        page.until(lambda: page.text("#photo-name").startswith(f"{photo.name} "))
    page.until(lambda: page.text("#row-avif td:last-child") not in ("", "–"))
    return page


def test_upload_shows_figures_rivals_and_the_curve(page: Page, photo: Path) -> None:
    assert page.text("#photo-name").startswith(photo.name)
    assert page.text("#size").endswith("B")
    assert float(page.text("#psnr").split()[0]) > 20
    assert page.text("#encode").endswith("ms") and page.text("#decode").endswith("ms")
    assert "kMAC/pixel" in page.text("#macs")
    ours = page.text("#row-ours td")
    for row in ("jpeg", "webp", "avif"):
        number = float(page.text(f"#row-{row} td").split()[0])
        assert abs(number / float(ours.split()[0]) - 1) < 0.6  # the smallest JPEG is larger
    page.until(lambda: len(page.driver.find_elements(By.CSS_SELECTOR, "#chart .dot")) > 20)
    page.until(lambda: "points measured" in page.text("#curve-words"))
    assert len(page.driver.find_elements(By.CSS_SELECTOR, "#chart .dot")) == 5 * 31
    assert page.element("#chart").get_attribute("aria-label").startswith("Rate and quality: from")


def test_the_slider_goes_from_the_smallest_to_the_best(page: Page) -> None:
    last = int(page.element("#slider").get_attribute("max"))
    seen = []
    for index in (0, last // 2, last):
        before = page.text("#right-label")
        page.slide(index)
        page.until(lambda b=before: page.text("#right-label") != b)
        seen.append(page.figures())
    psnr = [float(figures["psnr"].split()[0]) for figures in seen]
    bpp = [float(figures["bpp"].split()[0]) for figures in seen]
    assert psnr == sorted(psnr) and bpp == sorted(bpp)
    assert psnr[-1] > psnr[0] + 2
    page.element("#slider").send_keys(Keys.ARROW_LEFT)  # the keyboard does it too
    page.until(lambda: page.figures()["bpp"] != seen[-1]["bpp"])


def test_a_width_is_picked(page: Page) -> None:
    page.click("#widths input[value='96']")
    page.until(lambda: page.text("#right-label").startswith("SlimCAE 96"))
    macs = architecture_of(read_model_header(shipped_model()).config).decoder_macs(96)
    assert page.text("#macs").startswith(f"{macs / 1000:.2f} kMAC/pixel")
    page.click("#widths input[value='any']")
    page.until(lambda: page.element("#slider").get_attribute("max") != "30")


def test_the_divider_moves_by_keys_and_shows_both(page: Page, photo: Path) -> None:
    divider = page.element("#divider")
    assert divider.get_attribute("role") == "slider"
    shown = {}
    for key, value in ((Keys.HOME, "0"), (Keys.END, "100")):
        divider.send_keys(key)
        page.until(lambda v=value: divider.get_attribute("aria-valuenow") == v)
        shown[value] = page.pixels()
    assert not np.array_equal(shown["0"], shown["100"])
    divider.send_keys(Keys.HOME, *[Keys.ARROW_RIGHT] * 3)
    assert divider.get_attribute("aria-valuenow") == "3"
    divider.send_keys(Keys.SHIFT, Keys.ARROW_RIGHT)
    # zoomed to single pixels, the left side shows the photo's own values, in crisp blocks
    divider.send_keys(Keys.END)
    canvas = page.element("#canvas")
    canvas.send_keys("1", "+", "+", "+", "+", "+", "+", "+", "+", "+", "+", "+")
    view = page.pixels()
    original = np.asarray(Image.open(photo))
    height, width, _ = view.shape
    middle = view[height // 2, width // 2]
    around = original[94:99, 126:131].reshape(-1, 3)
    assert (around == middle).all(axis=1).any()
    block = view[height // 2 - 40 : height // 2 + 40, width // 2 - 40 : width // 2 + 40]
    assert len(np.unique(block.reshape(-1, 3), axis=0)) <= 10 * 10
    canvas.send_keys("0")


def test_the_difference_is_black_where_nothing_differs(page: Page) -> None:
    page.click("input[name='view'][value='difference']")
    differing = page.pixels()
    assert differing.any()
    page.click("input[name='view'][value='split']")
    assert page.pixels().mean() > differing.mean()


def test_other_formats_take_the_place_of_the_original(page: Page) -> None:
    for row, name in (("jpeg", "JPEG"), ("avif", "AVIF")):
        page.click(f"#row-{row} input")
        page.until(lambda n=name: page.text("#left-label").startswith(n))
    page.click("#row-original input")
    page.until(lambda: page.text("#left-label") == "Original")


def test_two_models_on_the_same_photo(page: Page) -> None:
    page.click("#row-model input")
    page.until(lambda: page.text("#left-label").startswith("tiny@1 · "))
    page.until(lambda: page.text("#row-model td").endswith("B"))
    page.until(lambda: page.driver.find_elements(By.CSS_SELECTOR, "#chart .dot.second"))
    page.click("#row-original input")
    page.until(lambda: page.text("#left-label") == "Original")


def test_the_download_decodes_on_the_command_line(page: Page, tmp_path: Path) -> None:
    link = page.element("#download")
    assert link.get_attribute("download") == "photo.scae"
    with urllib.request.urlopen(link.get_attribute("href")) as response:
        (tmp_path / "photo.scae").write_bytes(response.read())
    with urllib.request.urlopen(page.element("#download-png").get_attribute("href")) as response:
        (tmp_path / "page.png").write_bytes(response.read())
    assert main(["decompress", str(tmp_path / "photo.scae"), "--quiet"]) == 0
    ours, shown = (Image.open(tmp_path / name) for name in ("photo.png", "page.png"))
    difference = np.asarray(ours).astype(int) - np.asarray(shown)
    assert np.abs(difference).max() <= 1
    size = (tmp_path / "photo.scae").stat().st_size
    assert page.text("#size") in (f"{size} B", f"{size / 1000:.2f} kB", f"{size / 1000:.1f} kB")


def test_errors_are_said_in_words(page: Page, tmp_path: Path) -> None:
    before = page.text("#photo-name")
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"\x89PNG\r\n\x1a\nnothing")
    huge = tmp_path / "huge.png"
    huge.write_bytes(bytes(2_000_001))
    wide = tmp_path / "wide.png"
    Image.new("1", (9000, 9000)).save(wide)
    for path, words in (
        (broken, "cannot be read: it is damaged"),
        (huge, "at most 2.00 MB"),
        (wide, "40,000,000"),
    ):
        page.upload(path)
        page.until(lambda w=words: w in page.text("#alert-words"))
        assert page.element("#alert").get_attribute("role") == "alert"
        page.click("#alert-close")
    assert page.text("#photo-name") == before  # what was there stays


def test_slow_work_shows_progress_and_is_cancelled(page: Page, tmp_path: Path) -> None:
    large = tmp_path / "large.png"
    Image.linear_gradient("L").resize((4000, 3000)).save(large)
    page.upload(large)
    page.until(lambda: " of 12" in page.text("#busy-words"))
    assert page.element("#busy-bar").get_attribute("max") == "12"
    page.click("#cancel")
    page.until(lambda: not page.element("#busy").is_displayed())
    assert page.text("#size") == "–"  # nothing was made of it
    assert not page.element("#alert").is_displayed()


def test_a_scae_file_is_opened(page: Page, tmp_path: Path, photo: Path) -> None:
    path = tmp_path / "small.scae"
    argv = ["compress", str(photo), "-o", str(path), "--width", "48", "--quiet"]
    assert main(argv) == 0
    page.upload(path)
    page.until(lambda: page.text("#photo-name").startswith("small.scae"))
    assert page.text("#file-width").startswith("48")
    assert not page.element("#slider").is_displayed()


def test_a_scae_file_is_decoded_by_the_page_itself(page: Page, tmp_path: Path, photo: Path) -> None:
    if runtime_folder() is None:
        pytest.skip("no runtime for the page: slimcae studio --get_runtime")
    path = tmp_path / "here.scae"
    assert main(["compress", str(photo), "-o", str(path), "--width", "72", "--quiet"]) == 0
    page.log("performance")
    page.upload(path)
    page.until(lambda: page.text("#photo-name").startswith("here.scae"))
    assert page.text("#file-model").startswith("slimcae@") and page.text("#file-width") == "72"
    assert page.text("#decode").endswith("s") and "kMAC/pixel" in page.text("#macs")
    assert not page.element("#memory").is_displayed()
    asked = "".join(entry["message"] for entry in page.log("performance"))
    assert '"method":"POST"' not in asked  # the server did not hold it
    path.write_bytes(path.read_bytes()[:-4])
    page.upload(path)
    page.until(lambda: "The file is truncated (copy it again)" in page.text("#alert-words"))
    page.click("#alert-close")
    page.upload(photo)  # and back to what the server does
    page.until(lambda: page.text("#photo-name").startswith(photo.name))
    page.until(lambda: page.element("#memory").is_displayed())


def test_the_size_is_compared_in_words(page: Page, tmp_path: Path, photo: Path) -> None:
    link = page.element("#download").get_attribute("href")
    with urllib.request.urlopen(link) as response:
        coded = response.read()
    percent = 100 * len(coded) / photo.stat().st_size
    digits = 0 if percent >= 10 else 1
    assert page.text("#ratio") == f"{percent:.{digits}f} % of the original"
    # a file has no original here: its pixels stand for it, if they are more than the file
    for size, expected in (((192, 256), " % of its raw pixels"), ((1, 1), "larger than")):
        path = tmp_path / f"{size[0]}.scae"
        picture = tmp_path / "picture.png"
        Image.new("RGB", size, "teal").save(picture)
        assert main(["compress", str(picture), "-o", str(path), "--quiet"]) == 0
        page.upload(path)
        page.until(lambda p=path: page.text("#photo-name").startswith(p.name))
        assert expected in page.text("#ratio")
    page.upload(picture)  # of one pixel
    page.until(lambda: page.text("#ratio").endswith(" % of the original"))


def test_rivals_that_cannot_come_near_say_so(page: Page) -> None:
    seen = set()
    for index in (0, int(page.element("#slider").get_attribute("max"))):
        before = page.text("#right-label")
        page.slide(index)
        page.until(lambda b=before: page.text("#right-label") != b)
        page.until(  # said when the comparisons begin
            lambda: (page.element("#spoken").get_attribute("textContent") or "").startswith(
                f"{page.text('#size')}, "
            )
        )
        page.until(lambda: not page.driver.find_elements(By.CSS_SELECTOR, "#rivals .pending"))
        ours = float(page.text("#row-ours td").split()[0])
        for row in ("jpeg", "webp", "avif"):
            size, detail = page.text(f"#row-{row} td"), page.text(f"#row-{row} small")
            away = float(size.split()[0]) / ours - 1
            if abs(away) < 0.015:
                assert detail.startswith("q ")
            elif abs(away) > 0.025:
                words = ("smallest", "largest") if abs(away) > 0.095 else ()
                assert detail in words or detail.endswith(" %")
                assert (detail == "smallest" or "+" in detail) == (away > 0)
            if row == "avif" and not detail.startswith("largest"):
                assert abs(away) < 0.025
            seen.add(detail)
    assert "smallest" in seen  # JPEG at the lowest rate


def test_alpha_and_what_was_left_out_are_said(page: Page, tmp_path: Path) -> None:
    path = tmp_path / "alpha.png"
    alpha = np.random.default_rng(0).integers(0, 256, (64, 64, 1), np.uint8)
    Image.fromarray(np.dstack([smooth_pixels(64, 64, 3), alpha])).save(path)
    page.upload(path)
    page.until(lambda: "alpha adds" in page.text("#compare-words"))
    assert page.text("#size") != page.text("#row-ours td")
    assert page.text("#notices") == ""
    animated = tmp_path / "animated.gif"
    frames = [Image.new("L", (9, 9), grey) for grey in (0, 99)]
    frames[0].save(animated, save_all=True, append_images=frames[1:])
    page.upload(animated)
    page.until(lambda: "several frames" in page.text("#notices"))
    assert page.text("#compare-words") == ""


_OVERLAP = """
const boxes = ["#views", ".zoom"].map((css) => document.querySelector(css).getBoundingClientRect());
const inside = [...document.querySelectorAll("#views span, .zoom > *")].filter((e) => {
  const { left, right } = e.parentElement.closest("#views, .zoom").getBoundingClientRect();
  const box = e.getBoundingClientRect();
  return box.width && (box.left < left - 0.5 || box.right > right + 0.5);
});
const [a, b] = boxes;
const apart = a.right <= b.left || b.right <= a.left || a.bottom <= b.top || b.bottom <= a.top;
return { apart, spilled: inside.map((e) => e.textContent) };
"""
_TOO_WIDE = """
const panel = document.querySelector("#panel");
const edge = panel.getBoundingClientRect().left + panel.clientLeft + panel.clientWidth;
return [...panel.querySelectorAll("*")]
  .filter((e) => e.offsetParent && !e.matches(".spoken"))
  .filter((e) => e.getBoundingClientRect().right > edge)
  .map((e) => e.outerHTML.slice(0, 80));
"""


@pytest.mark.parametrize(("width", "height"), [(320, 640), (390, 844), (900, 700), (1440, 700)])
def test_fits_every_screen(page: Page, width: int, height: int) -> None:
    metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600}
    page.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    try:
        assert page.script("return document.documentElement.scrollWidth") == width
        assert page.script("return innerWidth") == width
        assert page.script(_OVERLAP) == {"apart": True, "spilled": []}
        assert page.script(_TOO_WIDE) == []
        work = page.script("return document.querySelector('#macs').getBoundingClientRect().right")
        memory = "return document.querySelector('#memory').getBoundingClientRect().right"
        assert work <= page.script(memory) + 0.5  # the same margin
        page.script(
            "document.querySelector('#alert').hidden = false;"
            "document.querySelector('#alert-words').textContent = 'What is wrong, '.repeat(8)"
        )
        toast = page.element("#alert").rect
        assert toast["x"] >= 11 and toast["x"] + toast["width"] <= width - 11
        assert toast["width"] >= min(width - 24, 640) - 1
        page.click("#alert-close")
    finally:
        page.driver.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


def test_nothing_came_from_elsewhere_and_nothing_was_complained_about(
    page: Page, address: str
) -> None:
    entries = [json.loads(entry["message"])["message"] for entry in page.log("performance")]
    urls = {
        entry["params"]["request"]["url"]
        for entry in entries
        if entry["method"] == "Network.requestWillBeSent"
    }
    assert any("/photos/" in url for url in urls)
    web = {url for url in urls if url.startswith(("http", "ws"))}  # the rest is the browser's own
    assert {url for url in web if not url.startswith(address)} == set()
    said = [entry["message"] for entry in page.log("browser")]
    refused = [line for line in said if "status of 400" in line or "status of 413" in line]
    assert len(refused) == 2  # the broken file and the one of too many pixels
    assert said == refused
