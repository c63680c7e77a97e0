"""What the page is told: figures and files against the codec, evaluation and Pillow."""

import json
from io import BytesIO
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from starlette.testclient import TestClient
from studio_app import LIMITS, client, png, tiny, tiny_path

from conftest import smooth_pixels
from optional_torch import HAS_TORCH
from slimcae.codec import Codec
from slimcae.container import read_header
from slimcae.evaluation import metrics
from slimcae.model.cost import decoder_memory
from slimcae.studio import fidelity
from slimcae.studio.curve import coarse_to_fine
from slimcae.studio.other_formats import (
    USUAL_STRENGTH,
    Setting,
    encode,
    nearest_quality,
    nearest_setting,
)

PICTURE = png(176, 208)
EXAMPLES = Path(__file__).parents[2] / "examples" / "images"


@pytest.fixture
def photo(client: TestClient) -> str:
    response = client.post("/photos", content=PICTURE)
    assert response.status_code == 201
    return str(response.json()["id"])


def test_a_version_is_what_the_codec_makes(client: TestClient, tiny: Codec, photo: str) -> None:
    original, architecture = Image.open(BytesIO(PICTURE)), tiny.model.architecture
    for width, step in ((12, 0), (4, 7), (12, 3), (12, 0)):
        data = tiny.compress(original, width, step=step)
        decoded = tiny.decompress(data)
        point = {"width": width, "step": step}
        figures = client.get(f"/photos/{photo}/version", params=point | {"ms_ssim": True}).json()
        got = client.get(f"/photos/{photo}/version.scae", params=point)
        shown = client.get(f"/photos/{photo}/version.png", params=point)
        assert got.content == data
        assert np.array_equal(np.asarray(Image.open(BytesIO(shown.content))), np.asarray(decoded))
        assert figures["bytes"] == figures["colour_bytes"] == len(data)
        assert figures["bpp"] == 8 * len(data) / (176 * 208)
        pixels = np.asarray(original), np.asarray(decoded)
        assert figures["psnr"] == pytest.approx(metrics.psnr(*pixels), abs=1e-9)
        if HAS_TORCH:
            assert figures["ms_ssim"] == pytest.approx(metrics.ms_ssim(*pixels), abs=1e-9)
        else:
            assert figures["ms_ssim"] is None
        assert figures["decoder_macs"] == architecture.decoder_macs(width) * 176 * 208
        assert figures["decoder_memory"] == decoder_memory(architecture, read_header(data))
        assert figures["encode_ms"] > figures["analysis_ms"] > 0 < figures["decode_ms"]


def test_the_analysis_runs_once_per_width(
    client: TestClient, photo: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from slimcae.codec.tiled import TiledTransforms

    ran = []
    residuals = TiledTransforms.residuals

    def counted(self: TiledTransforms, pixels: Any, tile: Any, width: int) -> Any:
        ran.append(width)
        return residuals(self, pixels, tile, width)

    monkeypatch.setattr(TiledTransforms, "residuals", counted)
    for step in (0, 5, 9):
        for width in (8, 4):
            client.get(f"/photos/{photo}/version", params={"width": width, "step": step})
    assert ran == [8, 4]


@pytest.mark.parametrize("kind", ["jpeg", "webp", "avif"])
def test_rivals_at_the_nearest_size(client: TestClient, photo: str, kind: str) -> None:
    wanted = 3000
    figures = client.get(f"/photos/{photo}/rival", params={"format": kind, "size": wanted}).json()
    quality, url = figures["quality"], f"/photos/{photo}/rival/{kind}"
    sizes = {
        q: len(client.get(url, params={"quality": q}).content)
        for q in (quality - 1, quality, quality + 1)
    }
    ratios = {q: abs(np.log(size / wanted)) for q, size in sizes.items()}
    assert ratios[quality] == min(ratios.values())
    got = client.get(url, params={"quality": quality, "strength": figures["strength"]})
    assert len(got.content) == figures["bytes"]
    assert abs(np.log(figures["bytes"] / wanted)) <= ratios[quality]
    assert got.headers["content-type"] == f"image/{kind}"
    with Image.open(BytesIO(got.content)) as image:
        assert image.format == kind.upper()
        pixels = np.asarray(image.convert("RGB"))
    original = np.asarray(Image.open(BytesIO(PICTURE)))
    assert figures["psnr"] == pytest.approx(metrics.psnr(original, pixels), abs=1e-9)


def test_avif_comes_within_two_percent_of_any_size() -> None:
    """Of a photo; its 64 quantisers alone do not."""
    with Image.open(EXAMPLES / "parrots.png") as opened:
        image = opened.convert("RGB").crop((150, 150, 310, 310))
    sizes: dict[Setting, int] = {}

    def size(setting: Setting) -> int:
        if setting not in sizes:
            sizes[setting] = len(encode(image, "avif", setting))
        return sizes[setting]

    plain = [size(Setting(quality)) for quality in (10, 15, 20, 40, 60, 80)]
    missed = 0
    for smaller, larger in pairwise(plain):
        wanted = round((smaller * larger) ** 0.5)
        found = nearest_setting(size, "avif", wanted)
        assert abs(size(found) / wanted - 1) <= 0.02
        assert found.quality in range(10, 81)
        missed += abs(size(Setting(found.quality)) / wanted - 1) > 0.02
    assert missed  # without the strength
    assert nearest_setting(size, "avif", plain[3]) == Setting(40)  # with no need to change it


def test_other_avif_encoders_are_taken_at_whole_qualities() -> None:
    def size(setting: Setting) -> int:
        if setting.strength != USUAL_STRENGTH:
            raise ValueError("Failed to encode image: Invalid codec-specific option")
        return 1000 + 100 * setting.quality

    assert nearest_setting(size, "avif", 3040) == Setting(20)


def test_only_avif_has_a_strength(client: TestClient, photo: str) -> None:
    response = client.get(f"/photos/{photo}/rival/jpeg?quality=50&strength=90")
    assert response.status_code == 422
    assert "only AVIF" in response.json()["error"]


def test_nearest_quality_is_that_of_a_full_search() -> None:
    rng = np.random.default_rng(0)
    for _ in range(50):
        sizes = np.cumsum(rng.integers(1, 40, 30))
        for wanted in rng.integers(1, 900, 20):
            found = nearest_quality(sizes.tolist().__getitem__, 0, 29, int(wanted))
            assert found in np.flatnonzero(
                np.isclose(
                    np.abs(np.log(sizes / wanted)), np.abs(np.log(sizes / wanted)).min(), atol=1e-12
                )
            )


def test_the_curve_has_every_point_once(client: TestClient, tiny: Codec, photo: str) -> None:
    lines = client.get(f"/photos/{photo}/curve").text.splitlines()
    head, *points = map(json.loads, lines)
    steps = len(tiny.model.steps)
    ours = [point for point in points if "width" in point]
    rivals = [point for point in points if "format" in point]
    assert head == {"of": len(points), "size": [208, 176], "whole": True}
    assert {(p["width"], p["step"]) for p in ours} == {
        (width, step) for width in tiny.widths for step in range(steps)
    }
    assert len(ours) == steps * len(tiny.widths)
    assert {point["format"] for point in rivals} == {"jpeg", "webp", "avif"}
    original = Image.open(BytesIO(PICTURE))
    for point in ours[::29]:
        data = tiny.compress(original, point["width"], step=point["step"])
        decoded = np.asarray(tiny.decompress(data))
        assert point["bpp"] == 8 * len(data) / (176 * 208)
        assert point["psnr"] == pytest.approx(metrics.psnr(np.asarray(original), decoded), abs=1e-9)
    assert len(client.get(f"/photos/{photo}/curve?rivals=false").text.splitlines()) == len(ours) + 1


def test_coarse_to_fine_is_an_order_of_all() -> None:
    for count in range(1, 40):
        order = coarse_to_fine(count)
        assert sorted(order) == list(range(count))
        assert order[:2] == sorted({0, count - 1})


def test_two_models_at_the_nearest_size(client: TestClient, photo: str) -> None:
    name = client.get("/models").json()["models"][1]["name"]
    figures = client.get(f"/photos/{photo}/nearest", params={"model": name, "size": 900}).json()
    assert figures["model"] == name
    assert abs(figures["bytes"] - 900) < 60
    first = client.get(f"/photos/{photo}/version", params={"width": 12}).json()
    assert first["model"] == "tiny@1"


def test_a_scae_file_is_opened(client: TestClient, tiny: Codec) -> None:
    data = tiny.compress(Image.open(BytesIO(PICTURE)), 8, step=2)
    opened = client.post("/photos", content=data).json()
    assert (opened["kind"], opened["image_width"], opened["image_height"]) == ("scae", 208, 176)
    assert (opened["bytes"], opened["figures"]["width"]) == (len(data), 8)
    assert opened["figures"]["psnr"] is None
    shown = client.get(f"/photos/{opened['id']}/original.png").content
    assert np.array_equal(np.asarray(Image.open(BytesIO(shown))), np.asarray(tiny.decompress(data)))
    damaged = client.post("/photos", content=data[:-4])
    assert damaged.status_code == 400


def test_alpha_counts_for_the_file_but_not_for_rivals(client: TestClient) -> None:
    rng = np.random.default_rng(1)
    pixels = np.dstack([smooth_pixels(64, 64, 3), rng.integers(0, 256, (64, 64), np.uint8)])
    file = BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    opened = client.post("/photos", content=file.getvalue()).json()
    assert opened["alpha"]
    figures = client.get(f"/photos/{opened['id']}/version?width=8").json()
    assert figures["bytes"] > figures["colour_bytes"] + 4000  # noise does not pack
    made = client.get(f"/photos/{opened['id']}/version.scae?width=8").content
    again = client.post("/photos", content=made).json()["figures"]
    assert (again["bytes"], again["colour_bytes"]) == (figures["bytes"], figures["colour_bytes"])
    original = client.get(f"/photos/{opened['id']}/original.png").content
    assert np.array_equal(np.asarray(Image.open(BytesIO(original))), pixels)
    for kind in ("jpeg", "webp", "avif"):
        got = client.get(f"/photos/{opened['id']}/rival/{kind}?quality=50").content
        assert Image.open(BytesIO(got)).mode == "RGB"


def test_hidden_colours_are_neither_coded_nor_measured(client: TestClient) -> None:
    seen, rng = smooth_pixels(64, 64, 3), np.random.default_rng(1)
    alpha = np.zeros((64, 64, 1), np.uint8)
    alpha[10:50, 20:60] = 200
    figures, curves, rivals = [], [], []
    for hidden in (np.zeros_like(seen), rng.integers(0, 256, seen.shape, np.uint8)):
        file = BytesIO()
        pixels = np.dstack([np.where(alpha > 0, seen, hidden), alpha])
        Image.fromarray(pixels).save(file, "PNG")
        photo = client.post("/photos", content=file.getvalue()).json()["id"]
        found = client.get(f"/photos/{photo}/version?width=12").json()
        figures.append((found["bytes"], found["psnr"]))
        rivals.append(client.get(f"/photos/{photo}/rival/jpeg?quality=50").content)
        points = map(json.loads, client.get(f"/photos/{photo}/curve").text.splitlines())
        curves.append([(point.get("bpp"), point.get("psnr")) for point in points])
        made = client.get(f"/photos/{photo}/version.scae?width=12").content
        shown = np.asarray(Image.open(BytesIO(client.post("/decompress", content=made).content)))
        error = (shown[:, :, :3].astype(float) - seen)[alpha[:, :, 0] > 0]
        assert found["psnr"] == pytest.approx(10 * np.log10(255**2 / (error**2).mean()))
        own = [psnr for bpp, psnr in curves[-1] if bpp == 8 * found["colour_bytes"] / 64**2]
        assert pytest.approx(found["psnr"]) in own
    assert figures[0] == figures[1]
    assert rivals[0] == rivals[1]
    assert curves[0] == curves[1]


def test_photos_are_forgotten(client: TestClient, photo: str) -> None:
    assert client.delete(f"/photos/{photo}").status_code == 204
    for what in ("original.png", "version?width=8", "curve", "rival?format=jpeg&size=9"):
        response = client.get(f"/photos/{photo}/{what}")
        assert response.status_code == 404
        assert "send it again" in response.json()["error"]
    names = [client.post("/photos", content=png()).json()["id"] for _ in range(6)]
    held = [client.get(f"/photos/{n}/original.png").status_code == 200 for n in names]
    assert held == [False] * 2 + [True] * LIMITS.held_photos


def test_photos_share_a_room_of_pixels(client: TestClient) -> None:
    from slimcae.images import Picture
    from slimcae.studio.gallery import Gallery
    from slimcae.studio.photo import Photo

    gallery = Gallery(9, 1000)
    names = [gallery.add(Photo(Picture(np.zeros((20, 20, 3), np.uint8)), 1)) for _ in range(3)]
    assert len(gallery) == 2
    gallery.get(names[1])
    gallery.add(Photo(Picture(np.zeros((50, 50, 3), np.uint8)), 1))  # more than all: alone
    assert len(gallery) == 1


def test_identical_pictures_have_no_psnr() -> None:
    first, second = smooth_pixels(50, 70, 0), smooth_pixels(50, 70, 1)
    assert fidelity.psnr(first, second) == metrics.psnr(first, second)
    assert fidelity.psnr(first, first) is None


def test_points_that_the_model_lacks(client: TestClient, photo: str) -> None:
    for query, words in (("width=9", "no width 9"), ("width=8&step=200", "no step 200")):
        response = client.get(f"/photos/{photo}/version?{query}")
        assert response.status_code == 422
        assert words in response.json()["error"]
