"""Test the static page in headless Chromium, served by a host of static files."""

import base64
import json
import threading
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from io import BytesIO
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import urlsplit

import numpy as np
import pytest

pytest.importorskip("selenium")
from chromium import BrowserPage, browser, needs_chromium
from page_site import FILES, MODELS, TINY
from PIL import Image
from selenium import webdriver

from conftest import smooth_pixels
from slimcae import container
from slimcae.cli import main
from slimcae.codec import Codec, codec_of
from slimcae.errors import ConfigError
from slimcae.images import Picture
from slimcae.model.file import read_model
from slimcae.studio.runtime import get_runtime

pytestmark = needs_chromium

PHOTO = Path(__file__).parents[2] / "examples" / "images" / "parrots.png"
PLACE = "pages/of mine/"
"""Path of the page on the host, which must not matter."""

_DECODE = """
const done = arguments[arguments.length - 1];
const [files, options] = arguments;
const { decode } = await import(new URL("scae/scae.js", location).href);
const bytes = (text) => Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
const text = (bytes) => {
  let found = "";
  for (let k = 0; k < bytes.length; k += 4096)
    found += String.fromCharCode(...bytes.subarray(k, k + 4096));
  return btoa(found);
};
const made = [];
for (const file of files) {
  try {
    const { width, height, data } = await decode(bytes(file), options);
    made.push({ width, height, data: text(data) });
  } catch (error) {
    made.push({ error: `${error.name}: ${error.message}` });
  }
}
done(made);
"""
_CANCELLED = """
const [file, done] = arguments;
const { decode } = await import(new URL("scae/scae.js", location).href);
const bytes = Uint8Array.from(atob(file), (c) => c.charCodeAt(0));
const controller = new AbortController();
const seen = [];
const onProgress = (job) => {
  seen.push(job);
  if (job.done === 1) controller.abort();
};
try {
  await decode(bytes, { signal: controller.signal, onProgress });
} catch (error) {
  seen.push(error.name);
}
const early = await decode(bytes, { signal: AbortSignal.abort() }).catch((error) => error.name);
done([...seen, early]);
"""
_SYMBOLS = """
const [files, done] = arguments;
const { Decoder } = await import(new URL("scae/decoder.js", location).href);
const folder = (name) => new URL(`${name}/`, location).href;
const decoder = new Decoder({ models: folder("models"), runtime: folder("runtime") });
const found = [];
for (const file of files) {
  const bytes = Uint8Array.from(atob(file), (c) => c.charCodeAt(0));
  const symbols = await decoder.symbols(bytes);
  const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", symbols));
  found.push(Array.from(digest, (byte) => byte.toString(16).padStart(2, "0")).join(""));
}
done(found);
"""
_PNG = """
const [file, done] = arguments;
const { openHere } = await import(new URL("opened.js", location).href);
const opened = await openHere(new Blob([Uint8Array.from(atob(file), (c) => c.charCodeAt(0))]), {});
const reader = new FileReader();
reader.onload = () => done(reader.result);
reader.readAsDataURL(await opened.png());
"""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return an exported page with three models, in a folder of the host."""
    try:
        get_runtime()
    except ConfigError as error:
        pytest.skip(str(error))
    root = tmp_path_factory.mktemp("host")
    options = [word for path in MODELS for word in ("-m", str(path))]
    assert main(["studio", "--export", str(root / PLACE), *options]) == 0
    return root


class Host(SimpleHTTPRequestHandler):
    """A host of static files that records the requests."""

    given: ClassVar[set[str]] = set()

    def log_request(self, code: object = "-", size: object = "-") -> None:
        self.given.add(self.path)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture(scope="module")
def address(site: Path) -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Host, directory=site)) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/{PLACE.replace(' ', '%20')}"
        server.shutdown()
        thread.join()


class Page(BrowserPage):
    def decode(self, *files: bytes, **options: Any) -> list[Any]:
        """Return pixels (H, W, 4) of files, or errors, from `decode` of the module."""
        texts = [base64.b64encode(data).decode() for data in files]
        made = self.driver.execute_async_script(_asynchronous(_DECODE), texts, options)
        return [each.get("error") or _pixels(each) for each in made]

    def symbols(self, *files: bytes) -> list[str]:
        """Return the SHA-256 of the symbols of files."""
        texts = [base64.b64encode(data).decode() for data in files]
        found: list[str] = self.driver.execute_async_script(_asynchronous(_SYMBOLS), texts)
        return found

    def open(self, path: Path) -> None:
        self.upload(path)
        self.until(lambda: self.text("#photo-name").startswith(f"{path.name} "))
        self.until(lambda: not self.element("#busy").is_displayed())


def _asynchronous(code: str) -> str:
    return (
        f"(async (...arguments_) => {{ {code.replace('arguments', 'arguments_')} }})(...arguments)"
    )


def _pixels(image: dict[str, Any]) -> np.ndarray:
    values = np.frombuffer(base64.b64decode(image["data"]), np.uint8)
    return values.reshape(image["height"], image["width"], 4)


@pytest.fixture
def page(browser: webdriver.Chrome, address: str) -> Page:
    if not browser.current_url.startswith(address):
        browser.get(address)
    page = Page(browser)
    page.until(lambda: "ready" in page.element("body").get_attribute("class"))
    return page


@pytest.fixture(scope="module")
def tiny() -> Codec:
    return Codec(read_model(TINY))


@pytest.fixture(scope="module")
def tiled() -> bytes:
    """Return a file of several tiles, which the network also computes as several tiles."""
    codec = codec_of(None)
    coder = Codec(codec.model, codec.transforms, tile_side=256)
    return coder.compress(Picture(smooth_pixels(400, 1700, 2)), 48)


def _close(found: np.ndarray, expected: np.ndarray) -> None:
    assert found.shape == expected.shape
    assert np.abs(found.astype(int) - expected).max() <= 1
    np.testing.assert_array_equal(found[..., 3], expected[..., 3])


def test_symbols_of_golden_files_equal_pythons(page: Page) -> None:
    found = dict(zip(FILES, page.symbols(*(path.read_bytes() for path in FILES)), strict=True))
    for path in FILES:
        pinned = json.loads((path.parent / "pinned.json").read_text())
        assert found[path] == pinned[path.stem]["symbols"], path.stem


def test_pixels_of_every_golden_file(page: Page) -> None:
    files = [path for path in FILES if path.with_suffix(".png").exists()]
    assert len(files) > 15
    found = page.decode(*(path.read_bytes() for path in files))
    for path, pixels in zip(files, found, strict=True):
        with Image.open(path.with_suffix(".png")) as image:
            _close(pixels, np.asarray(image.convert("RGBA")))


def test_pixels_of_the_shipped_model_at_every_width(page: Page) -> None:
    codec = codec_of(None)
    with Image.open(PHOTO) as photo:
        part = photo.crop((64, 32, 320, 208))
    files = [codec.compress(part, width) for width in codec.widths]
    for data, pixels in zip(files, page.decode(*files), strict=True):
        _close(pixels, np.asarray(codec.decompress(data).convert("RGBA")))


def test_parts_are_those_of_the_whole(page: Page, tiled: bytes) -> None:
    expected = np.asarray(codec_of(None).decompress(tiled).convert("RGBA"))
    (whole,) = page.decode(tiled)
    _close(whole, expected)
    for x, y, width, height in ((0, 0, 1, 1), (1699, 399, 1, 1), (250, 33, 77, 200)):
        (part,) = page.decode(tiled, crop=[x, y, width, height])
        _close(part, expected[y : y + height, x : x + width])
    for crop, words in (
        ([0, 0, 1701, 1], "crop 0,0,1701,1 is not within 1700x400 pixels"),
        ([0, 0, 0, 1], "crop 0,0,0,1: X and Y must be 0 or more, WIDTH and HEIGHT 1 or more"),
        ([0.5, 0, 1, 1], "crop 0.5,0,1,1: give four whole numbers, X,Y,WIDTH,HEIGHT"),
    ):
        assert page.decode(tiled, crop=crop) == [f"ScaeError: {words}"]
    refused = "1700x400 pixels are more than the limit of 1,000"
    assert page.decode(tiled, maxPixels=1000) == [f"ScaeError: {refused}"]
    damaged = tiled[:-1] + bytes([tiled[-1] ^ 1])  # in the last tile only
    _close(page.decode(damaged, crop=[0, 0, 90, 90])[0], expected[:90, :90])


def test_work_is_cancelled_at_the_next_tile(page: Page, tiled: bytes) -> None:
    text = base64.b64encode(tiled).decode()
    *seen, error, early = page.driver.execute_async_script(_asynchronous(_CANCELLED), text)
    assert (error, early) == ("AbortError", "AbortError")
    assert [(job["stage"], job["done"], job["of"]) for job in seen] == [
        ("loading the model", 0, 0),
        ("decoding", 0, 3),
        ("decoding", 1, 3),
    ]
    assert page.decode(tiled)[0].shape == (400, 1700, 4)  # and the decoder continues to work


def test_errors_are_those_of_python(page: Page, tiny: Codec) -> None:
    data = tiny.compress(Picture(smooth_pixels(32, 48, 0)), 8)
    header = container.read_header(data)
    alpha = (FILES[0].parent / "alpha.scae").read_bytes()
    start = alpha.index(b"IDAT") + 4
    contents = container.read(alpha)
    assert contents.alpha is not None
    for png, words in (
        (b"no PNG", "the alpha channel is not a PNG file"),
        (contents.alpha[:-1], "the alpha channel is not a plain PNG file, or a damaged one"),
        (_png(3, 3), "8-bit greys"),
    ):
        forged = container.write(replace(contents, alpha=png))
        (error,) = page.decode(forged)
        assert error.startswith("ScaeError: ") and words in error
    extremes = (FILES[0].parent / "extremes.scae").read_bytes()
    found = page.decode(b"", b"PNG?", data[:-1], alpha[:start] + b"?" + alpha[start + 1 :])
    assert found == [
        "ScaeError: not a .scae file: it is empty",
        "ScaeError: not a .scae file: it begins with b'PNG?'",
        f"ScaeError: the file is truncated (copy it again): it has {len(data) - 1} of {len(data)} "
        "bytes",
        "ScaeError: the checksum of chunk ALPH does not match (file damaged? copy it again)",
    ]
    assert isinstance(page.decode(extremes)[0], np.ndarray)  # pixels are meaningless, but finite
    foreign = container.write(
        replace(container.read(data), header=replace(header, model_fingerprint=b"otherone"))
    )
    (error,) = page.decode(foreign)
    assert error.startswith(f"ScaeError: the file needs model tiny width 8 ({b'otherone'.hex()}); ")


def _png(height: int, width: int) -> bytes:
    file = BytesIO()
    Image.new("L", (width, height)).save(file, "PNG")
    return file.getvalue()


def test_a_dropped_file_is_shown_and_described(page: Page, tmp_path: Path, tiled: bytes) -> None:
    path = tmp_path / "wide.scae"
    path.write_bytes(tiled)
    page.open(path)
    assert page.text("#file-model").startswith("slimcae@") and page.text("#file-width") == "48"
    assert "1,700 × 400" in page.text("#photo-name")
    assert page.text("#bpp").endswith("bpp") and "its raw pixels" in page.text("#ratio")
    for name in ("decode", "symbols", "synthesis"):
        assert page.text(f"#{name}").endswith("s")
    page.script(
        "const { x, y, width, height } = document.querySelector('#part').elements;"
        "[x.value, y.value, width.value, height.value] = [10, 20, 30, 40]"
    )
    page.click("#show-part")
    page.until(lambda: page.text("#notices") == "Shown is a part of 30 × 40 pixels.")
    page.click("#show-whole")
    page.until(lambda: page.text("#notices") == "")
    page.script("document.querySelector('#part').elements.x.value = 'ten'")
    page.click("#show-part")
    page.until(lambda: "Crop ten,0,1700,400: give four whole" in page.text("#alert-words"))
    page.click("#alert-close")
    path.write_bytes(tiled[:-1])
    page.upload(path)
    page.until(lambda: page.text("#alert-words").startswith("The file is truncated"))
    page.click("#alert-close")
    assert page.text("#photo-name").startswith("wide.scae")  # existing files remain


def test_the_png_has_every_value(page: Page) -> None:
    for name in ("everything", "grey-alpha", "grey", "odd"):
        path = FILES[0].parent / f"{name}.scae"
        (pixels,) = page.decode(path.read_bytes())
        text = base64.b64encode(path.read_bytes()).decode()
        url = page.driver.execute_async_script(_asynchronous(_PNG), text)
        data = base64.b64decode(url.partition(",")[2])
        with Image.open(BytesIO(data)) as made, Image.open(path.with_suffix(".png")) as golden:
            made.load()
            assert made.mode == golden.mode
            assert made.info.get("icc_profile") == container.read(path.read_bytes()).icc_profile
            np.testing.assert_array_equal(np.asarray(made.convert("RGBA")), pixels)


@pytest.mark.parametrize(("width", "height"), [(320, 640), (1440, 700)])
def test_fits_every_screen(page: Page, width: int, height: int) -> None:
    metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600}
    page.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    try:
        assert page.script("return document.documentElement.scrollWidth") == width
    finally:
        page.driver.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


def test_an_address_opens_a_file_of_the_host(page: Page, address: str) -> None:
    page.driver.get(f"{address}?file=samples/parrots.scae&crop=100,50,64,32")
    page.until(lambda: page.text("#notices") == "Shown is a part of 64 × 32 pixels.")
    assert page.text("#photo-name").startswith("parrots.scae")
    page.driver.get(f"{address}?file=missing.scae")
    page.until(lambda: "No file missing.scae here: 404" in page.text("#alert-words"))
    page.driver.get(address)
    page.click("[data-sample='lighthouse']")
    page.until(lambda: page.text("#photo-name").startswith("lighthouse.scae"))


def test_nothing_came_from_elsewhere_and_nothing_was_complained_about(
    page: Page, address: str
) -> None:
    entries = [json.loads(entry["message"])["message"] for entry in page.log("performance")]
    urls = {
        entry["params"]["request"]["url"]
        for entry in entries
        if entry["method"] == "Network.requestWillBeSent"
    }
    web = {url for url in urls if url.startswith(("http", "ws"))}  # others are the browser's
    assert {url for url in web if not url.startswith(address)} == set()
    # the page cannot see the worker's requests; the worker would not find another host
    given = {path.removeprefix(urlsplit(address).path) for path in Host.given}
    assert {"scae/decoder.js", "runtime/ort.wasm", "models/index.json"} <= given
    said = [entry["message"] for entry in page.log("browser")]
    assert [line for line in said if "missing.scae" not in line] == []


def test_a_folder_that_has_files_is_kept(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    assert main(["studio", "--export", str(tmp_path)]) == 1
    assert "is not empty: add -y to write into it" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]
