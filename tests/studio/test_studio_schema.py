"""Test the OpenAPI document with schemathesis: valid requests, and many invalid ones.

`pytest tests/studio/test_studio_schema.py -s` prints how many cases of each operation were tried,
and what they were answered; STUDIO_EXAMPLES=200 tries more.
"""

import os
from collections import Counter
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("schemathesis")
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from PIL import Image
from schemathesis import GenerationMode
from schemathesis.specs.openapi.checks import positive_data_acceptance
from starlette.testclient import TestClient
from studio_app import LIMITS, png, tiny, tiny_path

from slimcae.codec import Codec
from slimcae.studio import create_app

EXAMPLES = int(os.environ.get("STUDIO_EXAMPLES", "15"))

_files: list[bytes] = []
_photos: list[str] = []

schemathesis.openapi.media_type(
    "application/octet-stream",
    # drawn late: the files need a model
    st.deferred(lambda: st.sampled_from(_files) | st.binary(max_size=64)),
)


OPERATIONS = {
    ("/models", "GET"),
    ("/compress", "POST"),
    ("/decompress", "POST"),
    ("/progress/{job}", "GET"),
    ("/photos", "POST"),
    ("/photos/{photo}", "DELETE"),
    ("/photos/{photo}/original.png", "GET"),
    ("/photos/{photo}/version", "GET"),
    ("/photos/{photo}/version.scae", "GET"),
    ("/photos/{photo}/version.png", "GET"),
    ("/photos/{photo}/nearest", "GET"),
    ("/photos/{photo}/rival", "GET"),
    ("/photos/{photo}/rival/{format}", "GET"),
    ("/photos/{photo}/curve", "GET"),
}


@pytest.fixture(scope="module")
def api(tiny_path: Path, tiny: Codec) -> Any:
    """Return the document of a server in this process, with a picture and a `.scae` file."""
    whole = png(20, 24)
    coded = tiny.compress(Image.open(BytesIO(whole)), 8)
    _files[:] = [whole, coded, whole[:60], coded[:-1], b"text"]
    app = create_app([tiny_path], limits=replace(LIMITS, held_photos=1000), host="testserver")
    held = TestClient(app, base_url="http://testserver")
    _photos[:] = [held.post("/photos", content=body).json()["id"] for body in _files[:2]]
    return schemathesis.openapi.from_asgi("/openapi.json", app)


def make_plausible(case: Any) -> None:
    """Often use an existing photo, width and model: otherwise all answers were 404.

    Which cases are changed depends on what was drawn, so that failures can be repeated.
    """
    parameters, query = case.path_parameters or {}, case.query or {}
    name, width, model = parameters.get("photo"), query.get("width"), query.get("model")
    if isinstance(name, str) and len(name) % 4 and case.method != "DELETE":
        parameters["photo"] = _photos[len(name) % len(_photos)]
    if type(width) is int and width % 4 and 1 <= width <= 65535:
        query["width"] = (12, 8, 4)[width % 3]
        query["step"] = query.get("step", 0) and 3
    if isinstance(model, str) and len(model) % 2 == 0:
        query["model"] = "tiny@1"
    if case.operation.path == "/decompress" and len(case.body) % 3:
        case.body = _files[1]


def test_the_document_has_these_operations(api: Any) -> None:
    found = {(o.ok().path, o.ok().method.upper()) for o in api.get_all_operations()}
    assert found == OPERATIONS


@pytest.mark.parametrize(("path", "method"), sorted(OPERATIONS), ids=str)
@pytest.mark.parametrize("mode", [GenerationMode.POSITIVE, GenerationMode.NEGATIVE])
def test_operation(api: Any, path: str, method: str, mode: GenerationMode) -> None:
    operation = api[path][method]
    statuses: Counter[int] = Counter()

    @given(case=operation.as_strategy(generation_mode=mode))
    @settings(
        max_examples=EXAMPLES,
        database=None,
        derandomize=True,
        suppress_health_check=list(HealthCheck),
        phases=[Phase.explicit, Phase.generate],
    )
    def check(case: Any) -> None:
        if mode is GenerationMode.POSITIVE:
            make_plausible(case)
        response = case.call()
        statuses[response.status_code] += 1
        # a body that the schema allows may still be no picture, or exceed this picture's range
        case.validate_response(response, excluded_checks=[positive_data_acceptance])

    if mode is GenerationMode.NEGATIVE and path == "/models":
        return  # it takes nothing that could be wrong
    check()
    answers = ", ".join(f"{count} × {status}" for status, count in sorted(statuses.items()))
    print(f"{method:6} {path:30} {mode.value:8} {statuses.total():4} cases: {answers}")
    if mode is GenerationMode.POSITIVE and method != "DELETE":
        assert min(statuses) < 300  # some of the possible requests are also answered
