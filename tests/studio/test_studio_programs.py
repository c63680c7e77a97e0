"""Test POST /compress, POST /decompress and GET /models against the codec, and their errors."""

from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from starlette.testclient import TestClient
from studio_app import client, png, tiny, tiny_path

from slimcae.codec import Codec
from slimcae.container import read_header

PICTURE = png()


def flat(height: int, width: int) -> bytes:
    file = BytesIO()
    Image.new("RGB", (width, height)).save(file, "PNG")
    return file.getvalue()


def error(response: Any, status: int) -> str:
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/json"
    body = response.json()
    assert body.keys() == {"error"}
    return str(body["error"])


@pytest.mark.parametrize(
    "choice",
    [
        {},
        {"width": 8},
        {"width": 4, "step": 3},
        {"target_size": 300, "closest": True},
        {"bpp": 2, "closest": True},
        {"width": 8, "effort": 1},
        {"width": 8, "effort": 3},
    ],
    ids=str,
)
def test_compress_is_the_codec(client: TestClient, tiny: Codec, choice: dict[str, Any]) -> None:
    expected = tiny.compress(Image.open(BytesIO(PICTURE)), **choice)
    response = client.post("/compress", params=choice, content=PICTURE)
    assert response.status_code == 200
    assert response.headers["content-type"] == "image/x-scae"
    assert response.content == expected


def test_efforts_of_minutes_are_refused(client: TestClient) -> None:
    response = client.post("/compress", params={"effort": 7}, content=PICTURE)
    assert "6" in error(response, 422)


def test_decompress_is_the_codec(client: TestClient, tiny: Codec) -> None:
    data = tiny.compress(Image.open(BytesIO(PICTURE)), 8)
    response = client.post("/decompress", content=data)
    assert response.headers["content-type"] == "image/png"
    got = np.asarray(Image.open(BytesIO(response.content)))
    assert np.array_equal(got, np.asarray(tiny.decompress(data)))
    part = client.post("/decompress", params={"crop": "5,6,20,10"}, content=data)
    assert np.array_equal(np.asarray(Image.open(BytesIO(part.content))), got[6:16, 5:25])


def test_metadata_are_kept_as_asked_for(client: TestClient) -> None:
    file = BytesIO()
    exif = Image.Exif()
    exif[0x010E] = "here"
    Image.open(BytesIO(PICTURE)).save(file, "PNG", exif=exif)
    for metadata, kept in (("all", "here"), ("icc", None)):
        data = client.post("/compress", params={"metadata": metadata}, content=file.getvalue())
        back = client.post("/decompress", content=data.content)
        assert Image.open(BytesIO(back.content)).getexif().get(0x010E) == kept


def test_models_with_their_points(client: TestClient, tiny: Codec) -> None:
    offer = client.get("/models").json()
    first, shipped, paper = offer["models"]
    assert paper["name"].startswith("paper@")
    assert first["name"] == "tiny@1"
    assert not first["measured"] and shipped["measured"]
    macs = tiny.model.architecture.decoder_macs
    assert first["widths"] == [
        {"width": width, "label": f"width {width}", "decoder_macs_per_pixel": macs(width)}
        for width in tiny.widths
    ]
    assert len(shipped["points"]) == len(shipped["widths"]) * 31
    rates = [point["bpp"] for point in shipped["ladder"]]
    assert rates == sorted(rates)
    assert {48, 72, 96, 144, 192} == {point["width"] for point in shipped["points"]}


def test_another_model_by_name(client: TestClient) -> None:
    name = client.get("/models").json()["models"][1]["name"]
    data = client.post("/compress", params={"model": name, "quality": 10}, content=PICTURE).content
    assert read_header(data).num_filters == 48
    assert client.post("/decompress", content=data).status_code == 200  # finds its model itself
    wrong = client.post("/decompress", params={"model": "tiny@1"}, content=data)
    assert "needs model slimcae" in error(wrong, 400)


@pytest.mark.parametrize("name", ["nobody", "/etc/passwd", "../tiny.safetensors"])
def test_models_are_named_never_read_from_a_path(
    client: TestClient, tiny_path: Path, name: str
) -> None:
    for model in (name, str(tiny_path)):
        message = error(client.post("/compress", params={"model": model}, content=PICTURE), 404)
        assert "choose from tiny@1" in message


@pytest.mark.parametrize(
    ("choice", "words"),
    [
        ({"width": 7}, "no width 7"),
        ({"width": 8, "step": 99}, "step"),
        ({"step": 1}, "step needs a width"),
        ({"width": 8, "bpp": 1}, "contradict"),
        ({"quality": 40}, "no quality scale"),
        ({"quality": 400}, "quality"),
        ({"bpp": "nan"}, "bpp"),
        ({"target_size": 1}, "out of range"),
        ({"metadata": "some"}, "metadata"),
        ({"job": "a b"}, "job"),
        ({"qualty": 40}, "no parameter 'qualty': it takes width, point, step, quality"),
    ],
    ids=str,
)
def test_impossible_choices(client: TestClient, choice: dict[str, Any], words: str) -> None:
    assert words in error(client.post("/compress", params=choice, content=PICTURE), 422)


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/models"),
        ("POST", "/decompress"),
        ("POST", "/photos"),
        ("GET", "/progress/some"),
        ("GET", "/photos/none/version.scae"),
        ("DELETE", "/photos/none"),
    ],
)
def test_unknown_parameters_are_named(client: TestClient, method: str, path: str) -> None:
    response = client.request(method, path, params={"width": 8, "stpe": 3})
    assert f"{path} has no parameter" in error(response, 422)


@pytest.mark.parametrize(
    ("method", "path"),
    [("POST", "/compress"), ("POST", "/photos"), ("GET", "/photos/none/version")],
)
def test_parameters_that_are_given_twice(client: TestClient, method: str, path: str) -> None:
    name = "job" if path == "/photos" else "width"
    for values in (["8", "4"], ["8", "8"]):
        query = "&".join(f"{name}={value}" for value in values)
        response = client.request(method, f"{path}?{query}", content=png())
        assert f"parameter {name} is given more than once" in error(response, 422)


def test_head_is_get_without_a_body(client: TestClient) -> None:
    held = client.post("/photos", content=png()).json()["id"]
    for path in (
        "/models",
        f"/photos/{held}/original.png",
        f"/photos/{held}/version?width=8",
        f"/photos/{held}/curve?rivals=false",
    ):
        whole, head = client.get(path), client.head(path)
        assert (head.status_code, head.content) == (whole.status_code, b"") == (200, b"")
        assert head.headers.get("content-type") == whole.headers.get("content-type")
    assert client.head("/compress").status_code == client.get("/compress").status_code == 405


def test_what_was_left_out_is_in_a_header(client: TestClient) -> None:
    deep = BytesIO()
    Image.fromarray(np.arange(0, 65536, 16).astype(np.uint16).reshape(64, 64)).save(deep, "PNG")
    response = client.post("/compress", content=deep.getvalue())
    assert "reduced to 8" in response.headers["x-slimcae-notice"]
    held = client.post("/photos", content=deep.getvalue()).json()
    assert held["notices"] == [response.headers["x-slimcae-notice"]]
    back = client.post("/decompress", content=response.content)
    for quiet in (client.post("/compress", content=PICTURE), back):
        assert quiet.status_code == 200
        assert "x-slimcae-notice" not in quiet.headers


def test_parameters_have_their_units(client: TestClient) -> None:
    parameters = client.get("/openapi.json").json()["paths"]["/compress"]["post"]["parameters"]
    said = {entry["name"]: entry.get("description", "") for entry in parameters}
    assert "Bytes" in said["target_size"]
    assert "Bits per pixel" in said["bpp"]
    assert "dB" in said["target_psnr"]


@pytest.mark.parametrize(
    ("body", "status", "words"),
    [
        (b"", 400, "no body"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", 415, "PNG, JPEG"),
        (b"hello", 415, "PNG, JPEG"),
        (PICTURE[:-200], 400, "truncated"),
        (b"\x89PNG\r\n\x1a\nnothing", 400, "damaged"),
        (bytes(200_001), 413, "200,000 bytes"),
        (flat(400, 300), 413, "limit of 100,000"),
    ],
    ids=["empty", "PostScript", "text", "cut", "damaged", "large", "many pixels"],
)
def test_bodies_that_are_no_pictures(
    client: TestClient, body: bytes, status: int, words: str
) -> None:
    message = error(client.post("/compress", content=body), status)
    assert words in message
    assert "BytesIO" not in message
    assert words in error(client.post("/photos", content=body), status)


def test_a_body_of_unknown_length_is_limited_too(client: TestClient) -> None:
    def parts() -> Any:
        for _ in range(300):
            yield bytes(1000)

    assert "200,000 bytes" in error(client.post("/compress", content=parts()), 413)


def test_damaged_files(client: TestClient, tiny: Codec) -> None:
    data = tiny.compress(Image.open(BytesIO(PICTURE)), 8)
    assert "truncated" in error(client.post("/decompress", content=data[:-1]), 400)
    assert "not a .scae file" in error(client.post("/decompress", content=PICTURE), 400)
    assert "checksum" in error(client.post("/decompress", content=data[:-9] + b"123456789"), 400)
    assert "not within" in error(
        client.post("/decompress", params={"crop": "0,0,65,1"}, content=data), 422
    )
    large = Codec(tiny.model).compress(Image.new("RGB", (400, 300)), 4)
    assert "400x300" in error(client.post("/decompress", content=large), 413)


def test_nothing_else_is_there(client: TestClient) -> None:
    assert error(client.get("/nothing"), 404)
    assert error(client.get("/compress"), 405)
    assert error(client.get("/static/../app.py"), 404)
    assert error(client.get("/static/%2e%2e/app.py"), 404)
    assert error(client.get("/docs"), 404)  # with a page that would load scripts from elsewhere
    assert client.get("/openapi.json").json()["info"]["title"] == "SlimCAE studio"
