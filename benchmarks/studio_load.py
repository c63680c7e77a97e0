"""Measure `slimcae studio` under load on this machine: requests per second, latency, and memory.

    python benchmarks/studio_load.py rate [--seconds 6] [--photo PICTURE]
    python benchmarks/studio_load.py memory [--requests 1000] [--side 128]

`rate` sends a photo (by default examples/images/parrots.png, 768×512) to POST /compress, and the
file to POST /decompress, from 1, 4 and 16 clients at widths 192 and 48. It also sends the requests
of one move of the page's slider (figures and picture of another step). `memory` sends different
small pictures through all routes that compute, and compares the resident memory of the server after
10 requests and after all. The script starts the server on the loopback interface and stops it
afterwards.
"""

import argparse
import json
import re
import statistics
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from io import BytesIO
from itertools import cycle
from pathlib import Path

import numpy as np
from PIL import Image

PHOTO = Path(__file__).parents[1] / "examples" / "images" / "parrots.png"
CLIENTS = (1, 4, 16)
WIDTHS = (192, 48)


def main() -> None:
    """Measure, and print a Markdown table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("what", choices=("rate", "memory"))
    parser.add_argument("--seconds", type=float, default=6, help="of each row")
    parser.add_argument("--photo", type=Path, default=PHOTO)
    parser.add_argument("--requests", type=int, default=1000)
    parser.add_argument("--side", type=int, default=128, help="of the pictures for memory")
    args = parser.parse_args()
    with server() as (process, address):
        if args.what == "rate":
            rate(address, args.photo.read_bytes(), args.seconds)
        else:
            memory(process, address, args.requests, args.side)


@contextmanager
def server() -> Iterator[tuple["subprocess.Popen[str]", str]]:
    """Start the server; yield its process and address."""
    argv = [sys.executable, "-m", "slimcae", "studio", "--port", "0", "--no_browser"]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            yield process, process.stdout.readline().strip()
        finally:
            process.terminate()


def rate(address: str, photo: bytes, seconds: float) -> None:
    """Yield a table of requests per second and latency by route, width and number of clients."""
    print("| route | width | clients | requests/s | median ms | 95 % ms |")
    print("|---|---:|---:|---:|---:|---:|")
    for width in WIDTHS:
        path = f"compress?width={width}"
        coded = post(address, path, photo)
        for route, body in ((path, photo), ("decompress", coded)):
            post(address, route, body)
            for clients in CLIENTS:
                took, spent = hammer(partial(post, address, route, body), clients, seconds)
                print(row(route.partition("?")[0], width, clients, took, spent), flush=True)
        name = photo_id(post(address, "photos", photo))
        steps = cycle(range(31))

        def slide(name: str = name, steps: Iterator[int] = steps, width: int = width) -> None:
            query = f"width={width}&step={next(steps)}"
            get(address, f"photos/{name}/version?{query}")
            get(address, f"photos/{name}/version.png?{query}")

        slide()
        took, spent = hammer(slide, 1, seconds)
        print(row("slider", width, 1, took, spent), flush=True)


def row(route: str, width: int, clients: int, took: list[float], spent: float) -> str:
    """Return a row of the table of rates."""
    ms = sorted(1000 * one for one in took)
    return (
        f"| {route} | {width} | {clients} | {len(ms) / spent:.1f} | "
        f"{statistics.median(ms):.0f} | {ms[int(0.95 * (len(ms) - 1))]:.0f} |"
    )


def hammer(
    request: Callable[[], object], clients: int, seconds: float
) -> tuple[list[float], float]:
    """Return the seconds of each request of several concurrent clients, and the total seconds."""
    start = time.perf_counter()

    def client(_: int) -> list[float]:
        took = []
        while (now := time.perf_counter()) - start < seconds:
            request()
            took.append(time.perf_counter() - now)
        return took

    with ThreadPoolExecutor(clients) as pool:
        times = [one for row in pool.map(client, range(clients)) for one in row]
    return times, time.perf_counter() - start


def memory(process: "subprocess.Popen[str]", address: str, requests: int, side: int) -> None:
    """Yield a table of the resident memory after 10 requests of each kind and after `requests`."""
    rng = np.random.default_rng(0)
    print("| requests | resident MB |")
    print("|---:|---:|")
    for number in range(1, requests // 5 + 1):  # five requests for each picture
        noise = rng.integers(0, 256, (side // 8, side // 8, 3), np.uint8)
        file = BytesIO()
        Image.fromarray(noise).resize((side, side), Image.Resampling.BICUBIC).save(file, "PNG")
        width = (48, 72, 96, 144, 192)[number % 5]
        coded = post(address, f"compress?width={width}", file.getvalue())
        post(address, "decompress", coded)
        name = photo_id(post(address, "photos", file.getvalue()))
        get(address, f"photos/{name}/version?width={width}&step={number % 31}&ms_ssim=true")
        get(address, f"photos/{name}/rival?format=webp&size={len(coded)}")
        if 5 * number in (10, 100, requests // 2, requests):
            print(f"| {5 * number} | {resident(process.pid):.0f} |", flush=True)


def photo_id(answer: bytes) -> str:
    """Return the name of a photo that the server holds."""
    return str(json.loads(answer)["id"])


def resident(pid: int) -> float:
    """Return the resident memory of a process in MB (Linux)."""
    status = Path(f"/proc/{pid}/status").read_text()
    found = re.search(r"VmRSS:\s+(\d+) kB", status)
    assert found is not None
    return int(found[1]) / 1000


def post(address: str, route: str, body: bytes) -> bytes:
    """Send a POST request, and return the answer."""
    with urllib.request.urlopen(urllib.request.Request(f"{address}{route}", body)) as response:
        return bytes(response.read())


def get(address: str, route: str) -> bytes:
    """Send a GET request, and return the answer."""
    with urllib.request.urlopen(f"{address}{route}") as response:
        return bytes(response.read())


if __name__ == "__main__":
    main()
