"""Errors as status codes and messages."""

import logging
import os
import traceback

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from slimcae.errors import (
    BitstreamError,
    ConfigError,
    ImageError,
    ModelError,
    PictureTooLargeError,
    SlimCAEError,
)

log = logging.getLogger("slimcae")

_STATUS: dict[type[SlimCAEError], int] = {
    PictureTooLargeError: 413,
    ImageError: 400,
    BitstreamError: 400,
    ConfigError: 422,
    ModelError: 500,
}
CLIENT_GONE = 499
RETRY_SECONDS = 2


class Refused(Exception):
    """A rejected request, with a status code and a message."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class ClientGoneError(Exception):
    """The client has disconnected."""


class Failure(BaseModel):
    """Body of all error responses."""

    error: str = Field(description="What is wrong, with what value, and what to do.")


def add_failure_handlers(app: FastAPI) -> None:
    """Make every error of an app a JSON body in the shape of `Failure`."""
    app.add_exception_handler(Refused, _refused)
    app.add_exception_handler(SlimCAEError, _slimcae_error)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(HTTPException, _http)
    app.add_exception_handler(ClientGoneError, _gone)
    app.add_exception_handler(ClientDisconnect, _gone)
    app.add_exception_handler(MemoryError, _memory)
    app.add_exception_handler(Exception, _bug)


def responses(*statuses: int) -> dict[int | str, dict[str, object]]:
    """Return the errors of a route, for the OpenAPI document."""
    return {status: {"model": Failure, "description": _MEANINGS[status]} for status in statuses}


_HEADERS = {
    408: {"Connection": "close"},  # the rest of the body may still come
    503: {"Retry-After": str(RETRY_SECONDS)},
}
_MEANINGS = {
    400: "The body is damaged, or another kind of file.",
    404: "There is no such photo or model here.",
    408: "The body stalled for some seconds.",
    413: "The body or its picture is too large.",
    415: "The body is not a picture in a supported format.",
    422: "A parameter is invalid, alone or with the others, or out of this picture's range.",
    503: "Too much work at once; try again.",
}


def failure(status: int, message: str) -> JSONResponse:
    """Return the response for an error."""
    return JSONResponse({"error": message}, status, _HEADERS.get(status))


async def _refused(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, Refused)
    return failure(error.status, str(error))


async def _slimcae_error(_: Request, error: Exception) -> JSONResponse:
    status = next(code for kind, code in _STATUS.items() if isinstance(error, kind))
    return failure(status, str(error))


async def _invalid(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)
    words = [
        f"{'.'.join(map(str, problem['loc'][1:])) or 'the request'}: {problem['msg']}"
        for problem in error.errors()
    ]
    return failure(422, "; ".join(words))


async def _http(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)
    response = failure(error.status_code, str(error.detail).lower())
    response.headers.update(error.headers or {})
    return response


async def _gone(_: Request, error: Exception) -> JSONResponse:
    return failure(CLIENT_GONE, "the client has gone")


async def _memory(_: Request, error: Exception) -> JSONResponse:
    return failure(503, "not enough memory for this picture now: take a smaller one")


async def _bug(_: Request, error: Exception) -> JSONResponse:
    if os.environ.get("SLIMCAE_DEBUG"):
        traceback.print_exception(error)
    log.error("a request failed: %s: %s", type(error).__name__, error)
    return failure(500, "this should not happen; the terminal of the studio says more")
