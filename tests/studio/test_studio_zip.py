"""The page's ZIP files, read by the standard library."""

import json
import shutil
import subprocess
import zipfile
from datetime import datetime
from io import BytesIO
from pathlib import Path

import pytest

from conftest import HANG

NODE = shutil.which("node")
_SCRIPT = Path(__file__).with_name("zip_files.mjs")

pytestmark = pytest.mark.skipif(NODE is None, reason="no JavaScript: apt-get install nodejs")


def zipped(paths: list[str], texts: list[str], when: datetime) -> zipfile.ZipFile:
    """What the page makes of photos with these paths."""
    modified = 1000 * when.timestamp()
    files = [
        {"path": path, "text": text, "modified": modified}
        for path, text in zip(paths, texts, strict=True)
    ]
    done = subprocess.run(
        [str(NODE), str(_SCRIPT)],
        input=json.dumps(files).encode(),
        capture_output=True,
        timeout=HANG,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return zipfile.ZipFile(BytesIO(done.stdout))


def test_files_come_back_in_order_with_names_and_times() -> None:
    paths = ["b.png", "trip/Öl & Wasser 水.jpg", "a.tar.gz", ".hidden", "trip/none"]
    texts = ["first", "", "third" * 10_000, "Ω", "5"]
    found = zipped(paths, texts, datetime(2024, 6, 12, 10, 15, 13))
    names = ["b.scae", "trip/Öl & Wasser 水.scae", "a.tar.scae", ".hidden.scae", "trip/none.scae"]
    assert found.namelist() == names
    assert [found.read(name).decode() for name in names] == texts  # and their checksums
    for info in found.infolist():
        assert info.compress_type == zipfile.ZIP_STORED
        assert info.date_time == (2024, 6, 12, 10, 15, 12)  # in steps of two seconds


def test_a_time_before_1980_is_the_first_of_1980() -> None:
    (info,) = zipped(["a.png"], ["x"], datetime(1971, 1, 2)).infolist()
    assert info.date_time == (1980, 1, 1, 0, 0, 0)


def test_no_two_files_have_one_name() -> None:
    paths = ["a.png", "a.jpg", "A.gif", "b/a.png", "c.png", "c.png", "c.png.scae"]
    names = zipped(paths, ["x"] * len(paths), datetime(2024, 1, 1)).namelist()
    assert names[:4] == ["a.png.scae", "a.jpg.scae", "A.gif.scae", "b/a.scae"]
    assert len({name.lower() for name in names}) == len(paths)
