"""Routes for programs: compress and decompress pictures, without storing anything."""

from functools import partial
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Query, Request, Response

from slimcae import __version__
from slimcae.codec.decoding import Crop
from slimcae.images import png_bytes
from slimcae.model.architecture import architecture_of
from slimcae.model.model import DEFAULT_EFFORT, EFFORTS
from slimcae.model.quality import Point
from slimcae.pillow import MIME
from slimcae.studio import notices, schemas
from slimcae.studio.failures import responses
from slimcae.studio.limits import check_picture_format, read_upload
from slimcae.studio.other_formats import RIVALS
from slimcae.studio.photo import decode
from slimcae.studio.runtime import runtime_folder
from slimcae.studio.served_models import Offer
from slimcae.studio.service import JobName, JobPath, ModelName, Service, known_parameters
from slimcae.studio.work import Job

MOST_EFFORT = 6
"""Highest effort that the server accepts; higher ones would occupy it for minutes."""
BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "description": "The bytes of the file, whatever Content-Type they are sent with.",
        "content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}},
    }
}
_BINARY = {"schema": {"type": "string", "format": "binary"}}
_NOTICE = {
    notices.HEADER: {
        "description": "What was left out of the file when it was read, say 8 of 16 bits.",
        "schema": {"type": "string"},
    }
}


def routes(service: Service) -> APIRouter:
    """The routes of one server."""
    router = APIRouter(tags=["programs"], dependencies=[Depends(known_parameters)])

    @router.get("/models", summary="What can be asked for here", responses=responses(422))
    async def models() -> schemas.Offer:
        return schemas.Offer(
            version=__version__,
            models=[_model(offer) for offer in service.offers.all()],
            rivals=[
                schemas.RivalFormat(
                    name=name,
                    title=rival.title,
                    settings=rival.settings,
                    lowest=rival.qualities[0],
                    highest=rival.qualities[1],
                )
                for name, rival in RIVALS.items()
            ],
            max_bytes=service.limits.max_bytes,
            max_pixels=service.limits.max_pixels,
            page_decodes=runtime_folder() is not None,
        )

    @router.post(
        "/compress",
        summary="A picture to a .scae file",
        description="Give at most one of width, point, quality, bpp, target_size and target_psnr; "
        "without one, the widest width is taken.",
        response_class=Response,
        responses={
            200: {"content": {MIME: _BINARY}, "description": "The file.", "headers": _NOTICE},
            **responses(400, 404, 408, 413, 415, 422, 503),
        },
        openapi_extra=BODY,
    )
    async def compress(
        request: Request,
        width: Annotated[int | None, Query(ge=1, le=65535)] = None,
        point: Annotated[
            int | None,
            Query(ge=1, le=65535, description="Number of an operating point."),
        ] = None,
        step: Annotated[
            int | None, Query(ge=0, le=255, description="With a width or point.")
        ] = None,
        quality: Annotated[float | None, Query(ge=0, le=100)] = None,
        bpp: Annotated[
            float | None, Query(gt=0, le=1000, description="Bits per pixel, at most.")
        ] = None,
        target_size: Annotated[
            int | None, Query(ge=1, le=2**40, description="Bytes of the whole file, at most.")
        ] = None,
        target_psnr: Annotated[
            float | None, Query(gt=0, le=200, description="dB, at least.")
        ] = None,
        closest: Annotated[
            bool, Query(description="Take the nearest if the target is out of range.")
        ] = False,
        metadata: Annotated[
            Literal["all", "icc", "none"], Query(description="EXIF may hold a position.")
        ] = "icc",
        effort: Annotated[
            int,
            Query(
                ge=EFFORTS[0],
                le=MOST_EFFORT,
                description="Higher ones save bytes at equal PSNR, and take longer.",
            ),
        ] = DEFAULT_EFFORT,
        model: ModelName = None,
        job: JobName = None,
    ) -> Response:
        offer = service.offers.named(model)
        async with service.uploads.body(request) as body:
            check_picture_format(body)

            def work() -> tuple[bytes, list[str]]:
                with notices.heard() as heard:
                    data = service.offers.codec(offer.name).compress(
                        read_upload(body, service.limits),
                        width,
                        point=point,
                        step=step,
                        quality=quality,
                        bpp=bpp,
                        target_size=target_size,
                        target_psnr=target_psnr,
                        closest=closest,
                        metadata=metadata,
                        effort=effort,
                    )
                return data, heard

            data, heard = await service.run(request, work, job)
            return Response(data, headers=notices.headers(heard), media_type=MIME)

    @router.post(
        "/decompress",
        summary="A .scae file to a PNG file",
        response_class=Response,
        responses={
            200: {
                "content": {"image/png": _BINARY},
                "description": "The picture.",
                "headers": _NOTICE,
            },
            **responses(400, 404, 408, 413, 422, 503),
        },
        openapi_extra=BODY,
    )
    async def decompress(
        request: Request,
        crop: Annotated[
            str | None,
            Query(
                pattern=r"^[0-9]{1,9},[0-9]{1,9},[0-9]{1,9},[0-9]{1,9}$",
                description="x,y,width,height in pixels.",
            ),
        ] = None,
        model: Annotated[
            str | None,
            Query(max_length=80, description="Without it, the one that made the file."),
        ] = None,
        job: JobName = None,
    ) -> Response:
        if model is not None:
            service.offers.named(model)
        async with service.uploads.body(request) as body:
            part = None if crop is None else _crop(crop)
            work = partial(decode, body, model, service.offers, service.limits, part)

            def png() -> tuple[bytes, list[str]]:
                decoded = work()
                return png_bytes(decoded.image), decoded.notices

            data, heard = await service.run(request, png, job)
            return Response(data, headers=notices.headers(heard), media_type="image/png")

    @router.get(
        "/progress/{job}",
        summary="How far a request is that gave its job a name",
        description="A name that is not known is taken for a job that has not begun.",
        responses=responses(422),
    )
    async def progress(job: JobPath) -> schemas.Progress:
        found = service.workshop.progress(job) or Job()
        return schemas.Progress(stage=found.stage, done=found.done, of=found.of)

    return router


def _crop(text: str) -> Crop:
    x, y, width, height = map(int, text.split(","))
    return x, y, width, height


def _model(offer: Offer) -> schemas.Model:
    scale, header = offer.scale, offer.model.header
    steps = header.steps
    architecture = architecture_of(header.config)

    def shape(point: Point) -> schemas.OperatingPoint:
        return schemas.OperatingPoint(
            width=point.width,
            step=point.step,
            delta=steps[point.step],
            bpp=scale.bpp(point),
            psnr=scale.psnr(point),
        )

    return schemas.Model(
        name=offer.name,
        widths=[
            schemas.WidthCost(
                width=width,
                label=header.config.label(width, header.lmbda),
                decoder_macs_per_pixel=architecture.decoder_macs(header.config.filters(width)),
            )
            for width in scale.widths
        ],
        ladder=[shape(point) for point in scale.ladder()],
        points=[shape(point) for width in scale.widths for point in scale.points(width)],
        measured=not scale.nominal,
    )
