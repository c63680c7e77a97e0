"""Routes for the page: photos that are held a while, their versions, rivals and curves."""

import json
from collections.abc import AsyncIterator
from functools import partial
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Query, Request, Response
from fastapi.responses import StreamingResponse

from slimcae.model.quality import Point
from slimcae.pillow import MIME
from slimcae.studio import curve, schemas
from slimcae.studio.failures import ClientGoneError, Refused, responses
from slimcae.studio.other_formats import STRENGTHS, USUAL_STRENGTH, Setting
from slimcae.studio.photo import Photo, Version, open_upload
from slimcae.studio.programs import BODY
from slimcae.studio.service import JobName, ModelName, PhotoName, Service, known_parameters

Width = Annotated[int, Query(ge=1, le=65535)]
Step = Annotated[int, Query(ge=0, le=255)]
RivalName = Literal["jpeg", "webp", "avif"]

_LINES = "application/x-ndjson"


def _file(*media_types: str) -> dict[str, Any]:
    content = {kind: {"schema": {"type": "string", "format": "binary"}} for kind in media_types}
    return {"content": content, "description": "The file."}


def routes(service: Service) -> APIRouter:
    """The routes of one server."""
    router = APIRouter(prefix="/photos", tags=["page"], dependencies=[Depends(known_parameters)])

    @router.post(
        "",
        status_code=201,
        summary="Hold a picture, or a .scae file, to look at",
        responses=responses(400, 408, 413, 415, 422, 503),
        openapi_extra=BODY,
    )
    async def hold(request: Request, job: JobName = None) -> schemas.Photo:
        async with service.uploads.body(request) as body:
            work = partial(open_upload, body, service.offers, service.limits)
            photo = await service.run(request, work, job)
        return _described(service.gallery.add(photo), photo)

    @router.delete("/{photo}", status_code=204, responses=responses(404, 422))
    async def let_go(photo: PhotoName) -> None:
        """Remove a photo."""
        service.gallery.remove(photo)

    @router.get(
        "/{photo}/original.png",
        summary="The picture as it was sent",
        response_class=Response,
        responses={200: _file("image/png"), **responses(404, 422, 503)},
    )
    async def original(request: Request, photo: PhotoName) -> Response:
        held = service.gallery.get(photo)
        return Response(await service.run(request, held.original_png), media_type="image/png")

    async def made(
        request: Request,
        photo: str,
        width: int,
        step: int,
        model: str | None,
        job: str | None = None,
        ms_ssim: bool = False,
    ) -> Version:
        held, point = service.gallery.get(photo), _point(service, model, width, step)
        name = service.offers.named(model).name

        def work() -> Version:
            return held.version(name, service.offers.codec(name), point, ms_ssim=ms_ssim)

        return await service.run(request, work, job)

    @router.get(
        "/{photo}/version",
        summary="What the photo becomes at a width and step",
        responses=responses(404, 422, 503),
    )
    async def version(
        request: Request,
        photo: PhotoName,
        width: Width,
        step: Step = 0,
        ms_ssim: bool = False,
        model: ModelName = None,
        job: JobName = None,
    ) -> schemas.Figures:
        return (await made(request, photo, width, step, model, job, ms_ssim)).figures

    @router.get(
        "/{photo}/version.scae",
        summary="The file of a version",
        response_class=Response,
        responses={200: _file(MIME), **responses(404, 422, 503)},
    )
    async def version_file(
        request: Request, photo: PhotoName, width: Width, step: Step = 0, model: ModelName = None
    ) -> Response:
        found = await made(request, photo, width, step, model)
        headers = {"Content-Disposition": 'attachment; filename="photo.scae"'}
        return Response(found.data, media_type=MIME, headers=headers)

    @router.get(
        "/{photo}/version.png",
        summary="The picture that a version decodes to",
        response_class=Response,
        responses={200: _file("image/png"), **responses(404, 422, 503)},
    )
    async def version_picture(
        request: Request, photo: PhotoName, width: Width, step: Step = 0, model: ModelName = None
    ) -> Response:
        found = await made(request, photo, width, step, model)
        return Response(found.png, media_type="image/png")

    @router.get(
        "/{photo}/nearest",
        summary="The version of a model whose file is nearest to a size",
        responses=responses(404, 422, 503),
    )
    async def nearest(
        request: Request,
        photo: PhotoName,
        size: Annotated[int, Query(ge=1, le=2**40, description="Bytes.")],
        model: ModelName = None,
        job: JobName = None,
    ) -> schemas.Figures:
        held, offer = service.gallery.get(photo), service.offers.named(model)

        def work() -> Version:
            codec = service.offers.codec(offer.name)
            point = held.nearest(offer.name, codec, offer.scale.ladder(), size)
            return held.version(offer.name, codec, point, ms_ssim=True)

        return (await service.run(request, work, job)).figures

    @router.get(
        "/{photo}/rival",
        summary="The photo in another format, at the nearest size",
        responses=responses(404, 422, 503),
    )
    async def rival(
        request: Request,
        photo: PhotoName,
        format: RivalName,
        size: Annotated[int, Query(ge=1, le=2**40, description="Bytes.")],
        job: JobName = None,
    ) -> schemas.RivalFigures:
        held = service.gallery.get(photo)
        return (await service.run(request, partial(held.rival, format, size), job)).figures

    @router.get(
        "/{photo}/rival/{format}",
        summary="The file of another format at a quality",
        response_class=Response,
        responses={
            200: _file("image/jpeg", "image/webp", "image/avif"),
            **responses(404, 422, 503),
        },
    )
    async def rival_file(
        request: Request,
        photo: PhotoName,
        format: RivalName,
        quality: Annotated[int, Query(ge=0, le=100)],
        strength: Annotated[
            int, Query(ge=STRENGTHS[0], le=STRENGTHS[1], description="AVIF's deltaq-strength.")
        ] = USUAL_STRENGTH,
    ) -> Response:
        held = service.gallery.get(photo)
        if format != "avif" and strength != USUAL_STRENGTH:
            raise Refused(422, f"{format} has no strength: only AVIF takes one")
        setting = Setting(quality, strength)
        found = await service.run(request, partial(held.rival_at, format, setting))
        return Response(found.data, media_type=found.media_type)

    @router.get(
        "/{photo}/curve",
        summary="Rate and quality at all widths and steps, as they are measured",
        description="One JSON object a line: first how many points will follow and of how many "
        "pixels, then the points, so ordered that the curve's shape shows early.",
        response_class=StreamingResponse,
        responses={
            200: {"content": {_LINES: {"schema": {"type": "string"}}}, "description": "Lines."},
            **responses(404, 422, 503),
        },
    )
    async def curve_lines(
        request: Request,
        photo: PhotoName,
        rivals: Annotated[bool, Query(description="The other formats, too.")] = True,
        model: ModelName = None,
    ) -> StreamingResponse:
        held, offer = service.gallery.get(photo), service.offers.named(model)
        todo = curve.tasks(offer.scale, with_rivals=rivals)

        def begin() -> curve.Curve:
            return curve.Curve(held.picture, service.offers.codec(offer.name))

        bench = await service.run(request, begin, background=True)

        async def lines() -> AsyncIterator[bytes]:
            yield _line({"of": len(todo), "size": bench.size, "whole": bench.whole})
            try:
                for task in todo:
                    work = partial(bench.measure, task)
                    yield _line(await service.run(request, work, background=True))
            except ClientGoneError:
                return
            except (
                Refused
            ) as refused:  # the headers have been sent, so the error goes into the stream
                yield _line({"error": str(refused)})

        return StreamingResponse(lines(), media_type=_LINES)

    return router


def _line(value: object) -> bytes:
    return json.dumps(value, allow_nan=False).encode() + b"\n"


def _point(service: Service, model: str | None, width: int, step: int) -> Point:
    header = service.offers.named(model).model.header
    header.config.check_point(width)
    if step >= len(header.steps):
        raise Refused(422, f"this model has no step {step}: give 0 to {len(header.steps) - 1}")
    return Point(width, step)


def _described(name: str, photo: Photo) -> schemas.Photo:
    rows, columns, _ = photo.picture.pixels.shape
    return schemas.Photo(
        id=name,
        kind="picture" if photo.opened is None else "scae",
        image_width=columns,
        image_height=rows,
        bytes=photo.upload_bytes,
        grey=photo.picture.grey,
        alpha=photo.picture.alpha is not None,
        notices=list(photo.notices),
        figures=None if photo.opened is None else photo.opened.figures,
    )
