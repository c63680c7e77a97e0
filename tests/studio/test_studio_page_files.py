"""What the server gives the page so that it decodes `.scae` files itself."""

import json
from pathlib import Path

import numpy as np
import pytest
import safetensors.numpy
from starlette.testclient import TestClient
from studio_app import LIMITS, client, tiny, tiny_path

from slimcae.codec import Codec
from slimcae.studio import create_app, runtime
from slimcae.transforms.onnx_.building import synthesis_graph

MODELS = "/static/models"


def test_models_are_described_and_their_files_given(client: TestClient, tiny: Codec) -> None:
    models = client.get(f"{MODELS}/index.json").json()["models"]
    assert [model["name"] for model in models] == ["tiny", "slimcae", "paper"]
    described = models[0]
    assert described["steps"] == list(tiny.model.steps)
    assert (described["downsampling"], described["halo"]) == (16, 2)
    assert described["widths"].keys() == {str(width) for width in tiny.widths}
    for width in tiny.widths:
        facts = described["widths"][str(width)]
        assert facts["fingerprint"] == tiny.model.fingerprint(width).hex()
        assert (facts["filters"], facts["label"]) == (width, f"width {width}")
        assert facts["kinds"] == list(tiny.model.entropy_models[width])
        address = f"{MODELS}/{described['folder']}/{width}"
        assert client.get(f"{address}.onnx").content == synthesis_graph(tiny.model, width)
        arrays = safetensors.numpy.load(client.get(f"{address}.safetensors").content)
        np.testing.assert_array_equal(arrays.pop("medians"), tiny.model.medians(width))
        for kind in facts["kinds"]:
            for name, array in tiny.model.entropy_model(width, kind).to_arrays().items():
                np.testing.assert_array_equal(arrays.pop(f"{kind}.{name}"), array)
        assert not arrays


@pytest.mark.parametrize("name", ["nothing-1/12.onnx", "tiny-1/13.onnx"])
def test_other_models_are_not_found(client: TestClient, name: str) -> None:
    answer = client.get(f"{MODELS}/{name}")
    assert answer.status_code == 404 and "no model" in answer.json()["error"]


@pytest.mark.parametrize("name", ["tiny-1/12.py", "tiny-1/x.onnx", "../app.py"])
def test_nothing_else_is_given(client: TestClient, name: str) -> None:
    assert client.get(f"{MODELS}/{name}").status_code in (404, 422)


def test_the_runtime_is_served_where_it_is(
    tiny_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for variable in ("XDG_CACHE_HOME", "LOCALAPPDATA"):
        monkeypatch.setenv(variable, str(tmp_path))
    origin = "http://127.0.0.1:8750"
    with TestClient(create_app([tiny_path], limits=LIMITS), base_url=origin) as client:
        assert client.get("/models").json()["page_decodes"] is False
        assert client.get("/static/runtime/ort.js").status_code == 404
    folder = tmp_path / "slimcae" / f"onnxruntime-web-{runtime.VERSION}"
    folder.mkdir(parents=True)
    for name in (*runtime.FILES, runtime.NOTICE):
        (folder / name).write_text(json.dumps(name))
    with TestClient(create_app([tiny_path], limits=LIMITS), base_url=origin) as client:
        assert client.get("/models").json()["page_decodes"] is True
        answer = client.get("/static/runtime/ort.js")
        assert answer.json() == "ort.js"
        assert answer.headers["content-type"].startswith("text/javascript")
