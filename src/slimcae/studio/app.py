"""The application: routes, the files of the page, errors as JSON, and the guard."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from fastapi import FastAPI
from fastapi.responses import FileResponse
from fastapi.staticfiles import StaticFiles
from starlette.types import ASGIApp

from slimcae import __version__
from slimcae.images import Picture
from slimcae.studio import photos, programs
from slimcae.studio.failures import add_failure_handlers
from slimcae.studio.guard import Guard
from slimcae.studio.limits import Limits
from slimcae.studio.page_files import add_page_files
from slimcae.studio.service import Service

STATIC = Path(__file__).parent / "static"


def create_app(
    models: Sequence[str | Path] = (), *, limits: Limits | None = None, host: str = "127.0.0.1"
) -> ASGIApp:
    """Return the studio as an ASGI application, with page and HTTP interface.

    models: models to offer in addition to the installed ones, see `slimcae.load`; the first is the
    default. host: address that the server binds to, which determines the accepted host names.

    Raises:
        ModelError: A model is missing or damaged.
    """
    service = Service(models, limits or Limits())

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        service.workshop.start(lambda: _warm_up(service))
        yield
        service.workshop.close()

    # no documentation pages, because those of FastAPI load scripts from other hosts
    app = FastAPI(
        title="SlimCAE studio",
        version=__version__,
        summary="Learned image compression over HTTP, for programs and for the studio's page.",
        docs_url=None,
        redoc_url=None,
        telemetry={"tracing": False, "metrics": False, "logs": False, "auto_configure": False},
        lifespan=lifespan,
    )
    add_failure_handlers(app)
    app.include_router(programs.routes(service))
    app.include_router(photos.routes(service))

    @app.get("/", include_in_schema=False)
    async def page() -> FileResponse:
        return FileResponse(STATIC / "index.html")

    add_page_files(app, service)
    app.mount("/static", StaticFiles(directory=STATIC), name="static")
    return Guard(app, host)


def _warm_up(service: Service) -> None:
    """Load the default model and run it once, so that the first photo does not wait for it."""
    import numpy as np

    codec = service.offers.codec(None)
    codec.decompress(codec.compress(Picture(np.zeros((64, 64, 3), np.uint8))))
