"""The ASGI application: parts made, wired and closed."""

from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from fastapi import FastAPI
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware

from gateway import metrics, operations
from gateway.admission import Admission
from gateway.api_keys import ApiKeys
from gateway.batch import Batches
from gateway.body_limit import BodyLimit
from gateway.connection import STATE_KEY, ConnectionLimits
from gateway.detector import Detector
from gateway.door import Door, TimeLimits
from gateway.drain import Drain, Draining
from gateway.errors import CatchAll, install_handlers
from gateway.fetch import PictureFetcher
from gateway.gate import Gate
from gateway.health import Readiness
from gateway.openapi import install_openapi
from gateway.pages import router as pages
from gateway.picture_input import PictureInput
from gateway.rate_limit import MovingWindows, RateLimit
from gateway.request_scope import RequestScopes
from gateway.routes import DETECTION_PATHS, INFER_PATH, Services, router
from gateway.security_headers import SecurityHeaders
from gateway.settings import Settings
from gateway.telemetry import Telemetry
from gateway.tracing import Tracing
from gateway.triton import TritonDetector
from gateway.triton_metrics import TritonMetrics
from gateway.workers import Workers

_DESCRIPTION = """\
PP-YOLOE+ SOD small-object detection with PaddleX's REST contract. Every error, of whatever status, is
`{"logId", "errorCode": <HTTP status>, "errorMsg"}`.
"""

# What scripts of other origins may read of an answer beside its body.
_EXPOSED_HEADERS = (
    "X-Log-Id",
    "X-Detections",
    "Server-Timing",
    "Retry-After",
    "RateLimit-Limit",
    "RateLimit-Remaining",
    "RateLimit-Reset",
)


def create_app(settings: Settings, drain: Drain | None = None) -> FastAPI:
    """The application; it starts, and stays up, whether or not Triton does.

    Args:
        settings: all of them.
        drain: what the server says when it is asked to stop.
    """
    drain = drain or Drain()
    endpoint = settings.otlp_endpoint
    tracing = Tracing(None if endpoint is None else str(endpoint), ratio=settings.trace_ratio, version=_version())

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[Mapping[str, Any]]:
        async with AsyncExitStack() as stack:
            url = settings.triton_metrics_url
            app.state.triton_metrics = await stack.enter_async_context(TritonMetrics(None if url is None else str(url)))
            app.state.services = await _start(settings, drain, admission, stack)
            await stack.enter_async_context(tracing)
            metrics.started(_version())
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
        docs_url=None,  # served by `pages`, without a host on the web
        redoc_url=None,
        lifespan=lifespan,
        middleware=[
            Middleware(RequestScopes),
            Middleware(Telemetry, tracing=tracing, access_log=settings.access_log),
            Middleware(SecurityHeaders),
            *_cors(settings),
            Middleware(Draining, drain=drain),
            Middleware(CatchAll),
            *_guards(settings),
            # Before the door, so that a body that never fits hears 413 at the busiest time too.
            Middleware(BodyLimit, max_bytes=settings.max_body_bytes),
            Middleware(Door, path=INFER_PATH, gate=gate, limits=_time_limits(settings)),
        ],
    )
    app.state.admission, app.state.gate = admission, gate
    install_handlers(app)
    app.include_router(router)
    app.include_router(operations.router)
    app.include_router(pages)
    install_openapi(app, settings.max_batch_images)
    return app


def _cors(settings: Settings) -> list[Middleware]:
    """Answers preflights itself, so they need no key."""
    if not settings.cors_origins:
        return []
    return [
        Middleware(
            CORSMiddleware,
            allow_origins=settings.cors_origins,
            allow_methods=("GET", "POST"),
            allow_headers=("Authorization", "X-API-Key", "Content-Type"),
            expose_headers=_EXPOSED_HEADERS,
        )
    ]


def _guards(settings: Settings) -> list[Middleware]:
    """Who may pass, and how often."""
    guards = []
    if settings.api_keys:
        guards.append(Middleware(ApiKeys, keys=settings.api_keys))
    if settings.rate_limit:
        guards.append(Middleware(RateLimit, windows=MovingWindows(settings.rate_limit), paths=DETECTION_PATHS))
    return guards


def _time_limits(settings: Settings) -> TimeLimits:
    return TimeLimits(
        body_grace=settings.body_grace,
        body_idle=settings.body_idle_timeout,
        body=settings.body_timeout,
        answer=settings.request_timeout,
    )


async def _start(settings: Settings, drain: Drain, admission: Admission, stack: AsyncExitStack) -> Services:
    workers = Workers(settings.worker_threads)
    stack.callback(workers.close)
    fetcher = await stack.enter_async_context(PictureFetcher(settings))
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
        drain,
        ttl=settings.ready_ttl,
        timeout=settings.ready_timeout,
        request_timeout=settings.request_timeout,
        in_work=lambda: admission.in_use,
    )
    stack.push_async_callback(readiness.close)
    pictures = PictureInput(
        fetcher,
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
    return Services(
        detector=detector,
        batches=Batches(
            detector, concurrency=settings.batch_concurrency, max_overlay_bytes=settings.max_batch_overlay_bytes
        ),
        readiness=readiness,
        workers=workers,
        visualize=settings.visualize,
        max_batch_images=settings.max_batch_images,
    )


def _version() -> str:
    try:
        return version("triton-sod")
    except PackageNotFoundError:  # run from a checkout that is not installed
        return "0"
