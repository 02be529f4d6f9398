"""The paths of the server, as a FastAPI application."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Annotated, Any

from fastapi import FastAPI, File, HTTPException, Query, Request, Response, UploadFile
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.formparsers import MultiPartParser

from ...shared.core.errors import UserError
from ...shared.core.hardware import cores
from ...shared.exported import served
from ...shared.exported.served import Served
from ..params import Http
from ..service import Answer, Prepared, Service
from ..size import TooLarge
from . import schema
from .batcher import Batcher
from .guard import Guard, place
from .metrics import Metrics
from .models import Models
from .schema import Health, Model, Prediction, Ready

log = logging.getLogger("lightbox.serve")
ABOUT = """One exported model of a Lightbox study, behind HTTP.

Send an image (PNG, JPEG, TIFF, …) or a DICOM file to `/predict`; it is prepared as the images were that the model
learned from. Nothing that is sent is kept on a disk. **Research and teaching only. Not for diagnosis.**"""
REFUSALS: dict[int | str, dict[str, Any]] = {
    401: {"description": "The server needs a key, in the header X-API-Key."},
    408: {"description": "The request took too long to arrive."},
    413: {"description": "More bytes or more pixels than the server reads."},
    422: {"description": "No image, one that cannot be decoded or predicted, or no mask where the model needs one."},
    503: {"description": "No model answers yet, or too many requests are under way."},
}


def make_app(models: Models, metrics: Metrics, settings: Http, key: str | None, log_folder: Path | None) -> Guard:
    """`key`: that every request needs, but those that ask whether the server lives; None: no key. `log_folder`: where
    features are remembered for drift; None: nowhere."""
    workers = ThreadPoolExecutor(cores(), "decode")
    writer = ThreadPoolExecutor(1, "log")  # rows stay in order, and a slow disk takes no thread from the images
    # a form's file of more than a megabyte would be written to a temporary file; a patient's image stays in memory
    MultiPartParser.spool_max_size = int(settings.body_mb * 2**20)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        app.state.batcher = Batcher(settings.window_ms / 1000, settings.batch, metrics.batch)
        yield
        app.state.batcher.close()
        if logging_tasks:
            await asyncio.wait(logging_tasks)
        workers.shutdown()
        writer.shutdown()

    app = FastAPI(title="Lightbox", description=ABOUT, version="1", lifespan=lifespan, redoc_url=None)

    async def in_worker(function: Any, *arguments: Any) -> Any:
        return await asyncio.get_running_loop().run_in_executor(workers, partial(function, *arguments))

    logging_tasks: set[asyncio.Future[None]] = set()

    async def log_later(*row: Any) -> None:
        """The answer does not wait for the disk, unless that is so slow that as many rows are left to write as requests
        may be under way."""
        while len(logging_tasks) >= settings.waiting:
            await asyncio.wait(logging_tasks, return_when=asyncio.FIRST_COMPLETED)
        task = asyncio.ensure_future(asyncio.get_running_loop().run_in_executor(writer, remember, *row))
        logging_tasks.add(task)
        task.add_done_callback(logged)

    def logged(task: asyncio.Future[None]) -> None:
        logging_tasks.discard(task)
        if not task.cancelled() and (error := task.exception()):
            log.error("internal error: %s", place(error))

    async def predicted(service: Service, data: bytes, mask: bytes | None) -> tuple[Prepared, Answer]:
        batcher: Batcher = app.state.batcher
        with batcher.preparing():
            try:
                prepared = await in_worker(service.prepare, data, mask)
            except TooLarge as error:
                raise HTTPException(413, str(error)) from None
            except UserError as error:  # UnreadableImage, or no mask
                raise HTTPException(422, str(error)) from None
        future = batcher.submit(service, prepared.image)  # no longer prepared: a batch would wait for itself
        try:
            return prepared, await asyncio.wrap_future(future)
        except UserError as error:  # the model has no number for it
            raise HTTPException(422, str(error)) from None

    @app.post(
        "/predict",
        response_model=Prediction,
        responses={200: {"content": {"application/json": {"example": schema.EXAMPLE}}}, **REFUSALS},
    )
    async def predict(
        image: Annotated[UploadFile, File(description="An image or DICOM file, as it is.")],
        mask: Annotated[
            UploadFile | None, File(description="White where the structures are: for models that crop to them.")
        ] = None,
        heatmap: Annotated[bool, Query(description="Where does the image speak for the predicted class?")] = False,
    ) -> Response:
        """Class, calibrated probabilities, and what to make of them."""
        service = current(models)
        prepared, answer = await predicted(service, await image.read(), await mask.read() if mask else None)
        metrics.answer(service.version, answer.decision.predicted, answer.decision.abstain)
        picture = await in_worker(schema.heat_map, service, answer, prepared.image) if heatmap else None
        if log_folder is not None:
            await log_later(service, answer, prepared, log_folder)
        # as it is: FastAPI would check our own model once more
        content = schema.prediction(service, answer, picture).model_dump_json()
        return Response(content, media_type="application/json")

    @app.get("/health", response_model=Health)
    async def health() -> Health:
        """The process lives."""
        return Health()

    @app.get("/ready", response_model=Ready, responses={503: {"model": Ready}})
    async def ready(response: Response) -> Ready:
        """A model answers."""
        service, refused = models.service, models.refused
        response.status_code = 200 if service else 503
        return Ready(
            ready=service is not None,
            version=service.version if service else None,
            refused=f"{refused.version}: {refused.reason}" if refused else None,
            registry=models.registry,
        )

    @app.get("/version", response_model=Model, responses={503: REFUSALS[503]})
    async def version() -> Model:
        """The model that answers now."""
        return schema.model_of(current(models))

    @app.get("/metrics", response_class=Response, responses={200: {"content": {"text/plain": {}}}})
    async def prometheus() -> Response:
        """For Prometheus."""
        return Response(metrics.text(), media_type="text/plain; version=0.0.4; charset=utf-8")

    @app.exception_handler(RequestValidationError)
    async def malformed(request: Request, error: RequestValidationError) -> JSONResponse:
        """Without what was sent, which FastAPI would repeat."""
        faults = [f"{'.'.join(map(str, fault['loc']))}: {fault['msg']}" for fault in error.errors()]
        return JSONResponse({"detail": "; ".join(faults)}, 422)

    limit = int(settings.body_mb * 2**20)
    memory = int(settings.waiting_mb * 2**20)
    return Guard(app, metrics, limit=limit, seconds=settings.seconds, waiting=settings.waiting, memory=memory, key=key)


def current(models: Models) -> Service:
    if models.service is None:
        raise HTTPException(503, "No model answers yet; /ready says why.", {"Retry-After": "5"})
    return models.service


def remember(service: Service, answer: Answer, prepared: Prepared, folder: Path) -> None:
    row = Served(
        time=datetime.now(UTC).replace(microsecond=0),
        version=service.version,
        onnx_sha256=service.export.certificate.onnx_sha256,
        features=answer.features,
        probabilities=answer.probabilities,
        facts=prepared.facts,
    )
    try:
        served.write([row], folder)
    except OSError as error:  # a full disk must not keep an answer from anybody
        log.error("%s: not written (%s)", folder, error.strerror)
