"""The web application: the page, its two files, and the JSON API.

Uploads are the body of a request, not a form: a page of another site can make a browser send a form, but it can send an
image only with this server's consent, which it never gives (no CORS).
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import urlencode

import jinja2
import numpy as np
from fastapi import APIRouter, FastAPI, Request, Response
from fastapi import Query as Parameter
from fastapi.concurrency import run_in_threadpool
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse, JSONResponse
from starlette.exceptions import HTTPException as StarletteHTTPException

from dseh_tf.errors import brief
from experiments.serving import schema
from experiments.serving.guard import Guard
from experiments.serving.limits import FORMATS, MOST_ANSWERS, Gate, Limits, Refused, decode_upload, read_body
from experiments.serving.pictures import Thumbnails
from experiments.serving.served import Served, answers, code_of_item

_PAGE = Path(__file__).parent / "page"
_FILES = {"serve.css": "text/css", "serve.js": "text/javascript", "icon.svg": "image/svg+xml"}

Top = Annotated[int, Parameter(ge=1, le=MOST_ANSWERS, description="Number of answers per index.")]
Radius = Annotated[int | None, Parameter(ge=0, description="Maximum distance of an answer.")]
Label = Annotated[str | None, Parameter(description="Return only answers with this label.")]

_IMAGE = {"requestBody": {"required": True, "content": {"image/*": {"schema": {"type": "string", "format": "binary"}}}}}
_ERRORS: dict[int | str, dict[str, Any]] = {
    400: {"model": schema.Error, "description": "The request is incomplete or ambiguous."},
    404: {"model": schema.Error, "description": "No such item or picture."},
    422: {"model": schema.Error, "description": "A value is invalid."},
    503: {"model": schema.Error, "description": "The index is missing or damaged, or the server is busy."},
}
_OF_UPLOADS: dict[int | str, dict[str, Any]] = {
    **_ERRORS,
    408: {"model": schema.Error, "description": "The upload takes too long."},
    413: {"model": schema.Error, "description": "The file is too large."},
    415: {"model": schema.Error, "description": "The body is not an image of an accepted format."},
}


class Pages:
    """The routes' functions over the indexes that are served."""

    def __init__(self, runs: Sequence[Served], limits: Limits) -> None:
        self._runs, self._limits = runs, limits
        self._gate, self._thumbnails = Gate(limits), Thumbnails()
        environment = jinja2.Environment(loader=jinja2.FileSystemLoader(_PAGE), autoescape=True)
        self._template = environment.get_template("page.html")
        self._files = {name: (_PAGE / name).read_bytes() for name in _FILES}

    def page(self) -> HTMLResponse:
        return HTMLResponse(self._template.render(about=self.about(), limits=self._limits))

    def file(self, name: str) -> Response:
        if name not in _FILES:
            raise Refused(404, f"found no file {brief(name)}")
        return Response(self._files[name], media_type=_FILES[name])

    def about(self) -> schema.About:
        """What is served, and the limits."""
        runs = [_described(run) for run in self._runs]
        most = {"most_bytes": self._limits.bytes, "most_pixels": self._limits.pixels, "most_answers": MOST_ANSWERS}
        return schema.About(runs=runs, formats=list(FORMATS), **most)

    def search(
        self,
        text: Annotated[str | None, Parameter(max_length=1000, description="Words, for a cross-modal run.")] = None,
        id: Annotated[
            str | None, Parameter(max_length=4096, description="The id of an item of the index `run`.")
        ] = None,
        code: Annotated[str | None, Parameter(max_length=256, description="Hexadecimal digits.")] = None,
        run: Annotated[int, Parameter(ge=0, description="The number of the index that contains the id.")] = 0,
        top: Top = 20,
        radius: Radius = None,
        label: Label = None,
    ) -> schema.Answers:
        """Searches by words, by an item of an index, or by a code; exactly one of them."""
        given = [(kind, value) for kind, value in (("text", text), ("id", id), ("code", code)) if value is not None]
        if len(given) != 1:
            found = ", ".join(kind for kind, _ in given) or "none"
            raise Refused(400, f"query: found {found}, expected one of text, id and code")
        ((kind, value),) = given
        query: dict[str, Any] = {"kind": kind, "value": value}
        of: Callable[[Served], np.ndarray]
        if kind == "id":
            origin = self._run(run)
            query |= {"labels": origin.labels_of(value), "thumbnail": _thumbnail(origin, value)}
            of = functools.partial(code_of_item, origin=origin, name=value)
        elif kind == "text":
            of = functools.partial(Served.encode_words, text=value)
        else:
            of = functools.partial(Served.read_code, text=value)
        if kind == "code" or (kind == "id" and len(self._runs) == 1):  # nothing is encoded
            return self._answers(query, of, top, radius, label)
        with self._gate.place():
            return self._answers(query, self._gate.run(lambda: _codes(self._runs, of)), top, radius, label)

    async def search_image(
        self, request: Request, top: Top = 20, radius: Radius = None, label: Label = None
    ) -> schema.Answers:
        """Searches by an image, which is the body of the request."""
        with self._gate.place():
            data = await read_body(request.stream(), request.headers, self._limits)
            return await run_in_threadpool(self._of_image, data, top, radius, label)

    def _of_image(self, data: bytes, top: int, radius: int | None, label: str | None) -> schema.Answers:
        def encode() -> Callable[[Served], np.ndarray]:
            image = decode_upload(data, self._limits)
            return _codes(self._runs, lambda run: run.encode(image))

        return self._answers({"kind": "image"}, self._gate.run(encode), top, radius, label)

    def thumbnail(self, id: Annotated[str, Parameter(max_length=4096)], run: int = 0) -> Response:
        """A small JPEG of an item."""
        origin = self._run(run)
        origin.check_item(id)
        if origin.pictures is None:
            raise Refused(404, f"id: found no pictures for {origin.name}; --images_root says where they are")
        return Response(self._thumbnails.of(run, origin.pictures, id), media_type="image/jpeg")

    def _run(self, number: int) -> Served:
        if not 0 <= number < len(self._runs):
            raise Refused(404, f"run: found {number}, expected 0 to {len(self._runs) - 1}")
        return self._runs[number]

    def _answers(
        self, query: dict[str, Any], of: Callable[[Served], np.ndarray], top: int, radius: int | None, label: str | None
    ) -> schema.Answers:
        found = answers(self._runs, of, top, radius, label)
        for run, answer in zip(self._runs, found, strict=True):
            for item in answer.get("nearest", []):
                item["thumbnail"] = _thumbnail(run, item["id"])
        return schema.Answers(query=schema.Query(**query), answers=[schema.Answer(**answer) for answer in found])


def create_app(runs: Sequence[Served], limits: Limits, hosts: Sequence[str] = ()) -> FastAPI:
    """The application.

    Args:
        runs: The indexes that are served.
        limits: Bounds of a request.
        hosts: Names by which the server may be addressed, in addition to IP addresses and localhost.
    """
    # Its pages of documentation load scripts from another site.
    app = FastAPI(title="dseh_tf: search by hash codes", version="1", docs_url=None, redoc_url=None)
    pages, routes = Pages(runs, limits), APIRouter()
    routes.add_api_route("/", pages.page, include_in_schema=False)
    routes.add_api_route("/files/{name}", pages.file, include_in_schema=False)
    routes.add_api_route("/api/about", pages.about, response_model=schema.About)
    search: dict[str, Any] = {"response_model": schema.Answers, "response_model_exclude_none": False}
    routes.add_api_route("/api/search", pages.search, responses=_ERRORS, **search)
    routes.add_api_route(
        "/api/search", pages.search_image, methods=["POST"], responses=_OF_UPLOADS, openapi_extra=_IMAGE, **search
    )
    jpeg: dict[int | str, dict[str, Any]] = {
        200: {"content": {"image/jpeg": {}}},
        403: {"model": schema.Error, "description": "The path is outside the image folder."},
    }
    routes.add_api_route("/api/thumbnail", pages.thumbnail, responses=_ERRORS | jpeg, response_class=Response)
    app.include_router(routes)
    app.add_middleware(Guard, hosts=hosts)
    app.add_exception_handler(Refused, _refused)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(StarletteHTTPException, _not_found)
    app.add_exception_handler(Exception, _fault)
    return app


def _codes(runs: Sequence[Served], of: Callable[[Served], np.ndarray]) -> Callable[[Served], np.ndarray]:
    """The codes of a query, encoded now by every run; those that are refused are refused when they are asked for."""
    found: dict[int, np.ndarray | Refused] = {}
    for run in runs:
        try:
            found[run.number] = of(run)
        except Refused as error:
            found[run.number] = error

    def code(run: Served) -> np.ndarray:
        held = found[run.number]
        if isinstance(held, Refused):
            raise held
        return held

    return code


def _thumbnail(run: Served, name: str) -> str | None:
    return None if run.pictures is None else f"/api/thumbnail?{urlencode({'run': run.number, 'id': name})}"


def _described(run: Served) -> schema.Run:
    model = run.model
    known = ("method", "dataset", "identity", "encoder")
    kept: dict[str, Any] = {name: run.about[name] for name in known if name in run.about}
    shown: dict[str, Any] = {
        "run": run.number,
        "name": run.name,
        "bits": run.bits,
        "model": None if model is None else model.folder.name,
        "reads_images": model is not None,
        "reads_words": model is not None and model.reads_words,
        **{name: str(value) for name, value in kept.items()},
    }
    try:
        with run.index() as index:
            shown |= {"items": len(index), "labels": index.label_names()}
    except Refused as error:
        shown["error"] = error.line
    return schema.Run(**shown)


def _failed(status: int, line: str) -> JSONResponse:
    return JSONResponse({"error": line}, status)


def _refused(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, Refused)
    return _failed(error.status, error.line)


def _fault(request: Request, error: Exception) -> JSONResponse:
    return _failed(500, "an internal error; see the log of the server")


def _invalid(request: Request, error: Exception) -> JSONResponse:
    """One line on the first parameter that is wrong."""
    assert isinstance(error, RequestValidationError)
    first = error.errors()[0]
    expected = str(first["msg"]).replace("Input should be", "expected")
    found = "none" if first["type"] == "missing" else brief(first.get("input"))
    return _failed(422, f"{first['loc'][-1]}: found {found}, {expected[:1].lower()}{expected[1:]}")


def _not_found(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, StarletteHTTPException)
    return _failed(error.status_code, f"{request.method} {request.url.path}: {str(error.detail).lower()}")
