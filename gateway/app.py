"""The ASGI application: parts made, wired and closed."""

from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from fastapi import FastAPI
from starlette.middleware import Middleware

from gateway.admission import Admission
from gateway.body_limit import BodyLimit
from gateway.connection import STATE_KEY, ConnectionLimits
from gateway.detector import Detector
from gateway.door import Door, TimeLimits
from gateway.errors import CatchAll, install_handlers
from gateway.fetch import PictureFetcher, create_client
from gateway.gate import Gate
from gateway.health import Readiness
from gateway.picture_input import PictureInput
from gateway.request_scope import RequestScopes
from gateway.routes import INFER_PATH, Services, router
from gateway.settings import Settings
from gateway.triton import TritonDetector
from gateway.workers import Workers

_DESCRIPTION = """\
PP-YOLOE+ SOD small-object detection with PaddleX's REST contract. Every error, of whatever status, is
`{"logId", "errorCode": <HTTP status>, "errorMsg"}`.
"""


def create_app(settings: Settings) -> FastAPI:
    """The application; it starts, and stays up, whether or not Triton does."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[Mapping[str, Any]]:
        async with AsyncExitStack() as stack:
            app.state.services = await _start(settings, admission, stack)
            yield {STATE_KEY: ConnectionLimits(settings.body_timeout, settings.send_timeout)}

    admission = Admission(settings.max_concurrency)
    gate = Gate(
        places=settings.max_concurrency + settings.max_queue,
        max_bytes=settings.max_buffered_bytes,
        wait_s=admission.wait_s,
    )

    app = FastAPI(
        title="triton-sod",
        version=_version(),
        description=_DESCRIPTION,
        lifespan=lifespan,
        middleware=[
            Middleware(RequestScopes),
            Middleware(CatchAll),
            # Before the door, so that a body that never fits hears 413 at the busiest time too.
            Middleware(BodyLimit, max_bytes=settings.max_body_bytes),
            Middleware(Door, path=INFER_PATH, gate=gate, limits=_time_limits(settings)),
        ],
    )
    app.state.admission, app.state.gate = admission, gate
    install_handlers(app)
    app.include_router(router)
    return app


def _time_limits(settings: Settings) -> TimeLimits:
    return TimeLimits(
        body_grace=settings.body_grace,
        body_idle=settings.body_idle_timeout,
        body=settings.body_timeout,
        answer=settings.request_timeout,
    )


async def _start(settings: Settings, admission: Admission, stack: AsyncExitStack) -> Services:
    workers = Workers(settings.worker_threads)
    stack.callback(workers.close)
    client = await stack.enter_async_context(create_client(settings))
    triton = await stack.enter_async_context(
        TritonDetector(
            settings.triton_url,
            model=settings.model,
            info_ttl=settings.model_info_ttl,
            timeout=settings.request_timeout,
        )
    )
    readiness = Readiness(
        triton,
        ttl=settings.ready_ttl,
        timeout=settings.ready_timeout,
        request_timeout=settings.request_timeout,
        in_work=lambda: admission.in_use,
    )
    stack.push_async_callback(readiness.close)
    pictures = PictureInput(
        PictureFetcher(client, settings),
        workers,
        max_bytes=settings.max_image_bytes,
        max_pixels=settings.max_image_pixels,
    )
    detector = Detector(
        triton=triton,
        pictures=pictures,
        workers=workers,
        admission=admission,
        default_threshold=settings.default_threshold,
        max_pixels=settings.max_image_pixels,
        jpeg_quality=settings.jpeg_quality,
    )
    return Services(detector, readiness, settings.visualize)


def _version() -> str:
    try:
        return version("triton-sod")
    except PackageNotFoundError:  # run from a checkout that is not installed
        return "0"
