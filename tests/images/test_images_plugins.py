"""Test formats that Pillow reads with plugins, with and without the plugins."""

from importlib.util import find_spec
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from conftest import smooth_pixels
from slimcae.errors import ImageError, MissingPluginError
from slimcae.images import find_images, plugin_kinds, plugins, read_picture

HEIC = Path(__file__).parents[1] / "data" / "pictures" / "gradient.heic"
JXL_CODESTREAM = b"\xff\x0a" + bytes(20)

needs_jxl = pytest.mark.skipif(find_spec("pillow_jxl") is None, reason="no pillow-jxl-plugin")
needs_heif = pytest.mark.skipif(find_spec("pillow_heif") is None, reason="no pillow-heif")


def jxl(pixels: np.ndarray, **settings: object) -> bytes:
    from pillow_jxl import JpegXLImagePlugin  # noqa: F401 (registers itself)

    file = BytesIO()
    Image.fromarray(pixels).save(file, "JXL", lossless=True, **settings)
    return file.getvalue()


@pytest.fixture
def no_plugins(monkeypatch: pytest.MonkeyPatch) -> None:
    """Simulate that neither package is installed or registered."""
    monkeypatch.setattr(plugins, "find_spec", lambda name: None)
    monkeypatch.setattr(Image, "ID", [name for name in Image.ID if name not in ("HEIF", "JXL")])


@needs_jxl
def test_jpeg_xl_is_read_without_a_word(tmp_path: Path) -> None:
    pixels = smooth_pixels(40, 56, 1)
    path = tmp_path / "a.jxl"
    path.write_bytes(jxl(pixels))
    for source in (path, path.read_bytes(), BytesIO(path.read_bytes())):
        np.testing.assert_array_equal(read_picture(source).pixels, pixels)
    assert find_images(str(tmp_path)) == [path]
    assert "jxl" in plugin_kinds()


@needs_jxl
def test_orientation_in_jpeg_xl_is_that_of_the_codestream(tmp_path: Path) -> None:
    """EXIF orientation does not apply there (ISO/IEC 18181-2), but it does in repacked JPEG."""
    from pillow_jxl import JpegXLImagePlugin  # noqa: F401

    pixels = smooth_pixels(40, 56, 1)
    exif = Image.Exif()
    exif[0x112] = 6
    found = read_picture(jxl(pixels, exif=exif.tobytes()))
    np.testing.assert_array_equal(found.pixels, pixels)
    path = tmp_path / "a.jpg"
    Image.fromarray(pixels).save(path, exif=exif.tobytes())
    packed = BytesIO()
    with Image.open(path) as image:
        image.save(packed, "JXL", lossless_jpeg=True)
    expected = read_picture(path)
    assert expected.pixels.shape == (56, 40, 3)
    np.testing.assert_array_equal(read_picture(packed).pixels, expected.pixels)


@needs_heif
def test_heic_is_read() -> None:
    picture = read_picture(HEIC)
    y, x = np.mgrid[:48, :64]
    expected = np.stack([x * 4, y * 5, 255 - x * 2 - y * 2], 2)
    assert picture.pixels.shape == (48, 64, 3)
    assert np.abs(picture.pixels - expected).mean() < 3  # lossy
    assert picture.icc_profile is None
    assert "heic" in plugin_kinds()


@pytest.mark.usefixtures("no_plugins")
def test_what_to_install_is_said_where_a_plugin_is_missing(tmp_path: Path) -> None:
    with pytest.raises(MissingPluginError, match=r"gradient\.heic.*HEIC.*pillow-heif"):
        read_picture(HEIC)
    with pytest.raises(MissingPluginError, match="JPEG XL") as caught:
        read_picture(JXL_CODESTREAM)
    assert caught.value.package == "pillow-jxl-plugin"
    assert plugin_kinds() == ()
    (tmp_path / "a.jxl").write_bytes(JXL_CODESTREAM)
    with pytest.raises(ImageError, match="no images in"):
        find_images(str(tmp_path))


def test_other_foreign_files_are_told_as_before() -> None:
    with pytest.raises(ImageError, match="cannot be read as a picture"):
        read_picture(b"\x00\x00\x00\x18ftypisom" + bytes(40))
