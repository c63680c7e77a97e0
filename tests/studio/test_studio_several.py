"""Several photos in the page, in headless Chromium: their list, its work, its ZIP file."""

import time
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("selenium")
from chromium import BrowserPage, browser, needs_chromium
from PIL import Image
from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from studio_app import LIMITS, serving, tiny, tiny_path

from conftest import HANG, smooth_pixels
from slimcae.codec import Codec
from slimcae.container import read_header

pytestmark = needs_chromium

HELD = 3
"""Photos that the server holds: fewer than the page has."""


@pytest.fixture(scope="module")
def address(tiny_path: Path) -> Iterator[str]:
    with serving(tiny_path, replace(LIMITS, held_photos=HELD)) as port:
        yield f"http://127.0.0.1:{port}/"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, tiny: Codec) -> Path:
    """Four photos, what is none, and a `.scae` file."""
    folder = tmp_path_factory.mktemp("photos") / "trip"
    (folder / "deep").mkdir(parents=True)
    for seed, name in enumerate(("a.png", "a.jpg", "b.tif", "deep/c.webp")):
        Image.fromarray(smooth_pixels(80 + 16 * seed, 128, seed)).save(folder / name)
    (folder / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\nnothing")
    (folder / "huge.png").write_bytes(bytes(LIMITS.max_bytes + 1))
    (folder / "coded.scae").write_bytes(tiny.compress(folder / "a.png", 8))
    (folder / "notes.txt").write_text("no picture")
    (folder / "._a.png").write_bytes(b"what macOS leaves")
    return folder


DELETE_TWICE = """
for (let k = 0; k < 2; k += 1) {
  const event = new KeyboardEvent("keydown", { key: "Delete", bubbles: true });
  document.activeElement.dispatchEvent(event);
}
"""


class Page(BrowserPage):
    """The studio's, with a list."""

    def upload_all(self, *paths: Path) -> None:
        self.element("#file").send_keys("\n".join(map(str, paths)))

    def options(self) -> list[Any]:
        return list(self.driver.find_elements(By.CSS_SELECTOR, "#album-list [role=option]"))

    def names(self) -> list[str]:
        return [option.find_element(By.CSS_SELECTOR, ".name").text for option in self.options()]

    def states(self) -> list[str]:
        return [option.get_attribute("data-state") for option in self.options()]

    def sizes(self) -> list[str]:
        return [option.find_element(By.CSS_SELECTOR, ".sizes").text for option in self.options()]

    def until_done(self) -> None:
        self.until(lambda: {"waiting", "working"}.isdisjoint(self.states()))
        self.until(lambda: self.element("#download-all").is_enabled())

    def shown(self, name: str) -> None:
        """Wait until a photo and a version of it are shown."""
        self.until(lambda: self.text("#photo-name").startswith(f"{name} "))
        self.until(lambda: self.text("#right-label") != "")

    def slide(self, index: int) -> bool:
        """Move the slider; returns whether the download waits for what follows."""
        return bool(
            self.script(
                "const s = document.querySelector('#slider'); s.value = arguments[0];"
                "s.dispatchEvent(new Event('input'));"
                "return document.querySelector('#download-all').disabled",
                index,
            )
        )


@pytest.fixture
def page(browser: webdriver.Chrome, address: str) -> Page:
    page = Page(browser)
    browser.get(address)
    page.until(lambda: "ready" in page.element("body").get_attribute("class"))
    return page


def saved(folder: Path, name: str) -> bytes:
    """A file that the browser has saved whole."""
    end = time.monotonic() + HANG
    while not (folder / name).is_file():
        assert time.monotonic() < end, list(folder.iterdir())
        time.sleep(0.05)
    return (folder / name).read_bytes()


_COUNT_SHIFTS = """
window.shifts = [];
new PerformanceObserver((list) => {
  for (const { value, sources } of list.getEntries())
    window.shifts.push([value, sources.map(({ node }) => node?.id || node?.className)]);
}).observe({ type: "layout-shift", buffered: true });
"""
_WATCH_URLS = """
const [later, made] = [(window.later = []), (window.made = [])];
const { setTimeout: wait } = window;
const make = URL.createObjectURL;
window.setTimeout = (f, ms) => (ms >= 60000 ? later.push(f) : wait(f, ms));
URL.createObjectURL = (blob) => (made.push(make(blob)), made.at(-1));
"""
_REVOKED = """
const done = arguments[0];
for (const f of window.later) f();
Promise.allSettled(window.made.map((url) => new Promise((resolve, reject) => {
  const request = new XMLHttpRequest();
  request.onload = resolve;
  request.onerror = reject;
  try { request.open("GET", url); request.send(); } catch (error) { reject(error); }
}))).then((all) => done(all.map(({ status }) => status)));
"""


@pytest.mark.parametrize("window", [(1440, 900), (1100, 800)], ids=str)
def test_all_are_compressed_alike_and_saved_in_one_file(
    page: Page, tiny: Codec, folder: Path, tmp_path: Path, window: tuple[int, int]
) -> None:
    metrics = {"width": window[0], "height": window[1], "deviceScaleFactor": 1, "mobile": False}
    page.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    page.driver.refresh()  # the change of size moves things, too
    page.until(lambda: "ready" in page.element("body").get_attribute("class"))
    page.driver.execute_cdp_cmd(
        "Browser.setDownloadBehavior", {"behavior": "allow", "downloadPath": str(tmp_path)}
    )
    page.script(_COUNT_SHIFTS)
    given = ["broken.png", "a.png", "a.jpg", "huge.png", "b.tif", "coded.scae", "deep/c.webp"]
    page.upload_all(*(folder / name for name in given))
    page.until_done()
    assert page.names() == [Path(name).name for name in given]
    states = ["failed", "done", "done", "failed", "done", "done", "done"]
    assert page.states() == states
    broken, _, _, huge, *_ = page.options()
    assert "cannot be read: it is damaged" in broken.text.replace("\n", " ")
    assert "at most 200 kB" in huge.text.replace("\n", " ")
    page.shown("a.png")  # the first that can be
    assert page.text("#album-count") == "7 photos"
    assert page.text("#album-more") == "2 failed"
    assert not page.element("#alert").is_displayed()
    page.script(_WATCH_URLS)
    page.click("#download-all")
    with zipfile.ZipFile(BytesIO(saved(tmp_path, "photos.zip"))) as found:
        assert found.testzip() is None
        assert found.namelist() == ["a.png.scae", "a.jpg.scae", "b.scae", "c.scae"]
        files = [found.read(info) for info in found.infolist()]
    assert page.driver.execute_async_script(_REVOKED) == ["rejected"]
    header = read_header(files[0])
    for name, data in zip(("a.png", "a.jpg", "b.tif", "deep/c.webp"), files, strict=True):
        assert data == tiny.compress(folder / name, header.num_filters, step=header.step)
        original = np.asarray(Image.open(folder / name).convert("RGB"))
        assert np.asarray(tiny.decompress(data)).shape == original.shape
    before = sum((folder / name).stat().st_size for name in ("a.png", "a.jpg", "b.tif"))
    before += (folder / "deep" / "c.webp").stat().st_size
    percent = 100 * sum(map(len, files)) / before
    assert page.text("#album-words").endswith(f" · {percent:.{0 if percent >= 10 else 1}f} %")
    # the photos that come one by one move nothing but the digits of right-aligned numbers
    shifts = page.script("return window.shifts")
    assert sum(value for value, _ in shifts) < 0.005, shifts


def test_one_is_chosen_by_keys_and_the_server_may_have_dropped_it(page: Page, folder: Path) -> None:
    names = ["a.png", "a.jpg", "b.tif", "deep/c.webp"]
    page.upload_all(*(folder / name for name in names))
    page.shown("a.png")
    assert [o.get_attribute("aria-selected") for o in page.options()] == ["true"] + 3 * ["false"]
    first, *_, last = page.options()
    assert [option.get_attribute("tabindex") for option in page.options()] == ["0"] + 3 * ["-1"]
    first.send_keys(Keys.ARROW_RIGHT)
    page.driver.switch_to.active_element.send_keys(Keys.ENTER)
    page.shown("a.jpg")
    page.driver.switch_to.active_element.send_keys(Keys.END)
    assert page.driver.switch_to.active_element == last
    for option, name in ((page.options()[2], "b.tif"), (last, "c.webp"), (first, "a.png")):
        option.click()
        page.shown(name)  # the server holds three: the first is sent again
    assert first.get_attribute("aria-selected") == "true"
    assert not page.element("#alert").is_displayed()
    page.until_done()
    first.send_keys(Keys.DELETE)
    page.shown("a.jpg")
    assert page.names() == ["a.jpg", "b.tif", "c.webp"]
    assert page.driver.switch_to.active_element == page.options()[0]
    page.script(DELETE_TWICE)  # the second before what follows the first is shown
    page.shown("c.webp")
    assert not page.element("#album").is_displayed()  # one is no list


def test_the_slider_counts_for_all(page: Page, folder: Path) -> None:
    page.upload_all(folder / "a.png", folder / "b.tif", folder / "broken.png")
    page.until_done()
    for index in (0, int(page.element("#slider").get_attribute("max"))):
        before = page.sizes()
        assert page.slide(index)
        page.until_done()
        after = page.sizes()
        assert after[0] != before[0] and after[1] != before[1]
        assert after[2] == before[2] and page.states()[2] == "failed"
    page.upload_all(folder / "a.jpg")  # and for what comes later
    page.until_done()
    assert page.names() == ["a.png", "b.tif", "broken.png", "a.jpg"]


def test_a_folder_gives_its_pictures(page: Page, folder: Path) -> None:
    page.element("#folder").send_keys(str(folder))
    page.until_done()
    assert sorted(page.names()) == [
        "a.jpg", "a.png", "b.tif", "broken.png", "c.webp", "coded.scae", "huge.png",
    ]  # fmt: skip
    assert "2 other files left out" in page.text("#album-more")
    page.click("#album-clear")
    assert page.element("#welcome").is_displayed() and not page.options()


def test_photos_of_which_none_can_be_read(page: Page, folder: Path) -> None:
    page.upload_all(folder / "broken.png", folder / "huge.png")
    page.until(lambda: page.states() == ["failed", "failed"])
    assert page.text("#photo-name") == "" and not page.element("#divider").is_displayed()
    page.slide(1)
    page.options()[0].click()  # then the error is told in full
    page.until(lambda: "cannot be read" in page.text("#alert-words"))
    page.click("#alert-close")
    page.upload_all(folder / "a.png")
    page.shown("a.png")
    page.until_done()


_DROP_MANY = """
const transfer = new DataTransfer();
for (let k = 0; k < arguments[0]; k++) transfer.items.add(new File(["none"], `${k}.png`));
dispatchEvent(new DragEvent("drop", { dataTransfer: transfer }));
"""


def test_the_list_is_bounded(page: Page) -> None:
    page.script(_DROP_MANY, 203)
    page.until(lambda: len(page.options()) == 200)
    assert "3 of these are left out" in page.text("#alert-words")
    page.click("#album-clear")
    assert not page.options()


def test_fits_a_phone(page: Page, folder: Path) -> None:
    metrics = {"width": 390, "height": 844, "deviceScaleFactor": 1, "mobile": True}
    page.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    try:
        page.upload_all(folder / "a.png", folder / "b.tif", folder / "broken.png")
        page.until_done()
        assert page.script("return document.documentElement.scrollWidth") == 390
        for css in ("#album-list", "#download-all", "#album-words"):
            box = page.element(css).rect
            assert box["x"] >= 0 and box["x"] + box["width"] <= 390
    finally:
        page.driver.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
