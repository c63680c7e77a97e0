"""The server with models whose operating points are no widths."""

from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from starlette.testclient import TestClient
from studio_app import LIMITS, png

from slimcae.codec import Codec
from slimcae.model.file import read_model
from slimcae.studio import create_app

MODEL = Path(__file__).parents[1] / "data" / "golden" / "methods" / "modulated.safetensors"
PICTURE = png(80, 96)


@pytest.fixture(scope="module")
def codec() -> Codec:
    return Codec(read_model(MODEL))


@pytest.fixture(scope="module")
def points(codec: Codec) -> Iterator[TestClient]:
    assert codec.points == (2, 1) and codec.widths == (8, 8)
    with TestClient(create_app([MODEL], limits=LIMITS), base_url="http://127.0.0.1:8750") as inside:
        yield inside


def test_points_are_offered_by_number(points: TestClient, codec: Codec) -> None:
    offered = points.get("/models").json()["models"][0]
    assert codec.model.info.lmbda is not None
    best, least = codec.model.info.lmbda
    macs = codec.model.architecture.decoder_macs(8)
    assert offered["widths"] == [
        {"width": 2, "label": f"point 2 (λ {best:g})", "decoder_macs_per_pixel": macs},
        {"width": 1, "label": f"point 1 (λ {least:g})", "decoder_macs_per_pixel": macs},
    ]
    assert {point["width"] for point in offered["ladder"]} == {2, 1}
    rates = [point["bpp"] for point in offered["ladder"]]
    assert rates == sorted(rates)


def test_programs_choose_a_point(points: TestClient, codec: Codec) -> None:
    image = Image.open(BytesIO(PICTURE))
    for point in (2, 1):
        answer = points.post("/compress", params={"point": point, "step": 1}, content=PICTURE)
        assert answer.content == codec.compress(image, point=point, step=1, metadata="icc")
        back = points.post("/decompress", content=answer.content)
        found = np.asarray(Image.open(BytesIO(back.content)))
        np.testing.assert_array_equal(found, np.asarray(codec.decompress(answer.content)))
    refused = points.post("/compress", params={"width": 8}, content=PICTURE)
    assert refused.status_code in (400, 422)
    assert "width 8 cannot be chosen" in refused.json()["error"]
    assert "choose a point by its number, 2, 1" in refused.json()["error"]


def test_the_page_goes_through_points(points: TestClient, codec: Codec) -> None:
    """What it is told of a version is what it asks for next."""
    image = Image.open(BytesIO(PICTURE))
    photo = points.post("/photos", content=PICTURE).json()["id"]
    for wanted in points.get("/models").json()["models"][0]["points"]:
        choice: dict[str, Any] = {key: wanted[key] for key in ("width", "step")}
        figures = points.get(f"/photos/{photo}/version", params=choice).json()
        assert (figures["width"], figures["step"]) == (wanted["width"], wanted["step"])
        assert figures["label"] == codec.model.label(wanted["width"])
        again = {key: figures[key] for key in ("width", "step")}
        file = points.get(f"/photos/{photo}/version.scae", params=again).content
        assert file == codec.compress(image, point=wanted["width"], step=wanted["step"])
        shown = points.get(f"/photos/{photo}/version.png", params=again)
        assert shown.status_code == 200
        opened = points.post("/photos", content=file).json()["figures"]
        assert (opened["width"], opened["label"]) == (figures["width"], figures["label"])
    near = points.get(f"/photos/{photo}/nearest", params={"size": 1}).json()
    assert near["width"] in (2, 1)
