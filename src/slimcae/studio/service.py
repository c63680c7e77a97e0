"""State and parameters that the routes of one server share."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, TypeVar

from fastapi import Path as InPath
from fastapi import Query, Request

from slimcae.studio.failures import Refused
from slimcae.studio.gallery import Gallery
from slimcae.studio.limits import Limits
from slimcae.studio.served_models import Offers
from slimcae.studio.uploads import Uploads
from slimcae.studio.work import Workshop

T = TypeVar("T")

_JOB = "^[A-Za-z0-9_-]{1,64}$"
JobPath = Annotated[str, InPath(pattern=_JOB)]
JobName = Annotated[
    str | None,
    Query(
        pattern=_JOB,
        description="A name of your choice, under which GET /progress tells how far this is.",
    ),
]
ModelName = Annotated[
    str | None,
    Query(max_length=80, description="One of GET /models."),
]
PhotoName = Annotated[str, InPath(max_length=40, description="The id that POST /photos gave.")]


async def known_parameters(request: Request) -> None:
    """Reject unknown query parameters, and parameters that are given twice.

    Otherwise, misspelt ones would be ignored silently, and only the last of two values would count.

    Raises:
        Refused: 422.
    """
    known = [field.alias for field in request.scope["route"].dependant.query_params]
    for name in request.query_params:
        if name not in known:
            have = f"it takes {', '.join(known)}" if known else "it takes none"
            raise Refused(422, f"{request.url.path} has no parameter {name[:80]!r}: {have}")
        if len(request.query_params.getlist(name)) > 1:
            raise Refused(422, f"parameter {name} is given more than once: give one value")


class Service:
    """Models, threads, uploads and photos of one server.

    Raises:
        ModelError: A named model is missing or damaged.
    """

    def __init__(self, models: Sequence[str | Path], limits: Limits) -> None:
        self.limits = limits
        self.offers = Offers(models)
        self.workshop = Workshop(limits.workers, limits.waiting)
        self.uploads = Uploads(limits)
        self.gallery = Gallery(limits.held_photos, limits.held_pixels)

    async def run(
        self,
        request: Request,
        function: Callable[[], T],
        job: str | None = None,
        *,
        background: bool = False,
    ) -> T:
        """Run a function in the workshop for a request; see `Workshop.run`."""
        return await self.workshop.run(request.receive, function, name=job, background=background)
