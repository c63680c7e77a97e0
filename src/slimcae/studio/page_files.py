"""Files with which the page decodes `.scae` files itself: models, and the runtime's files."""

from typing import Literal

from fastapi import APIRouter, FastAPI, Request, Response
from fastapi.staticfiles import StaticFiles

from slimcae.studio.failures import Refused
from slimcae.studio.page_models import INDEX, folder_names, index_file, width_file
from slimcae.studio.runtime import runtime_folder
from slimcae.studio.service import Service

_BINARY, _JSON = "application/octet-stream", "application/json"


def add_page_files(app: FastAPI, service: Service) -> None:
    """Serve the files under the same addresses as in an exported page."""
    router = APIRouter(prefix="/static/models", include_in_schema=False)
    offers = service.offers.all()
    headers = [offer.model.header for offer in offers]
    by_folder = dict(zip(folder_names(headers), offers, strict=True))

    @router.get(f"/{INDEX}")
    async def index() -> Response:
        return Response(index_file(zip(by_folder, headers, strict=True)), media_type=_JSON)

    @router.get("/{folder}/{width}.{kind}")
    async def file(
        request: Request, folder: str, width: int, kind: Literal["safetensors", "onnx"]
    ) -> Response:
        offer = by_folder.get(folder)
        if offer is None or width not in offer.model.header.points:
            raise Refused(404, f"no model {folder[:80]!r} of width {width} here")

        def made() -> bytes:
            return width_file(service.offers.codec(offer.name).model, width, kind)

        return Response(await service.run(request, made), media_type=_BINARY)

    app.include_router(router)
    runtime = runtime_folder()
    if runtime is not None:
        app.mount("/static/runtime", StaticFiles(directory=runtime), name="runtime")
