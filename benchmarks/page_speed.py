"""Measure the page's decoder in headless Chromium: milliseconds of each width of the shipped model.

    python benchmarks/page_speed.py [--rounds 20] [photo.png]

The script exports the page and serves it on this machine. *first* is the first file with an empty
cache, *warm* all but the first four rounds. It needs selenium, the Debian packages chromium and
chromium-driver, and npm or the files that `slimcae studio --get_runtime` has downloaded.
"""

import argparse
import base64
import shutil
import statistics
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from tempfile import TemporaryDirectory

from selenium import webdriver

import slimcae
from slimcae.studio.export import STATIC, export_page

WARM_AFTER = 4
PARTS = ("load", "symbols", "synthesis", "all")
_DECODE = """
const [file, done] = arguments;
const bytes = Uint8Array.from(atob(file), (c) => c.charCodeAt(0));
import(new URL("scae/scae.js", location).href)
  .then(({ decodeFile }) => decodeFile(bytes))
  .then(({ ms }) => done(ms));
"""


class Quiet(SimpleHTTPRequestHandler):
    """Serves files without logging."""

    def log_message(self, *_: object) -> None:
        """Log nothing."""


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("photo", nargs="?", default=str(STATIC / "samples" / "parrots.webp"))
    parser.add_argument("--rounds", type=int, default=20)
    args = parser.parse_args()
    codec = slimcae.load()
    with TemporaryDirectory() as folder:
        export_page(Path(folder))
        host = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=folder))
        threading.Thread(target=host.serve_forever, daemon=True).start()
        address = f"http://127.0.0.1:{host.server_port}/"
        print(f"| width | bytes | first, ms | {' | '.join(f'{part}, ms' for part in PARTS[1:])} |")
        print("|---:|---:|---:|---:|---:|---:|")
        for width in codec.widths:
            data = codec.compress(args.photo, width)
            rounds = measured(address, data, args.rounds)
            warm = [
                f"{min(times):.0f} / {statistics.median(times):.0f}"
                for part in PARTS[1:]
                if (times := [each[part] for each in rounds[WARM_AFTER:]])
            ]
            print(f"| {width} | {len(data)} | {rounds[0]['all']:.0f} | {' | '.join(warm)} |")
        host.shutdown()


def measured(address: str, data: bytes, rounds: int) -> list[dict[str, float]]:
    """Return the milliseconds of each round, in a browser of its own."""
    options = webdriver.ChromeOptions()
    options.binary_location = shutil.which("chromium") or ""
    for flag in ("--headless", "--no-sandbox", "--disable-gpu"):
        options.add_argument(flag)
    service = webdriver.ChromeService(executable_path=shutil.which("chromedriver"))
    driver = webdriver.Chrome(options=options, service=service)
    try:
        driver.set_script_timeout(600)
        driver.get(address)
        text = base64.b64encode(data).decode()
        return [driver.execute_async_script(_DECODE, text) for _ in range(rounds)]
    finally:
        driver.quit()


if __name__ == "__main__":
    main()
