"""The ASGI application: parts made, wired and closed."""

from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

from fastapi import FastAPI
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware

from gateway.api import operations
from gateway.api.openapi import install_openapi
from gateway.api.routes import DETECTION_PATHS, INFER_PATH, Services, router
from gateway.demo_page.routes import router as pages
from gateway.drain import Drain, Draining
from gateway.errors import CatchAll, install_handlers
from gateway.http_server.connection import STATE_KEY, ConnectionLimits
from gateway.images.fetch import ImageFetcher
from gateway.images.image_input import ImageInput
from gateway.inference.batch import Batches
from gateway.inference.detector import Detector
from gateway.inference.health import Readiness
from gateway.inference.triton_client import TritonDetector
from gateway.limits.body_limit import BodyLimit
from gateway.limits.concurrency_limiter import ConcurrencyLimiter
from gateway.limits.load_shedder import LoadShedder
from gateway.limits.rate_limit import MovingWindows, RateLimit
from gateway.limits.request_limits import RequestLimits, TimeLimits
from gateway.limits.workers import Workers
from gateway.observability import metrics
from gateway.observability.request_context import RequestContexts
from gateway.observability.telemetry import Telemetry
from gateway.observability.tracing import Tracing
from gateway.observability.triton_metrics import TritonMetrics
from gateway.security.api_keys import ApiKeys
from gateway.security.security_headers import SecurityHeaders
from gateway.settings import Settings
from sod import __version__

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
    tracing = Tracing(None if endpoint is None else str(endpoint), ratio=settings.trace_ratio, version=__version__)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[Mapping[str, Any]]:
        async with AsyncExitStack() as stack:
            url = settings.triton_metrics_url
            app.state.triton_metrics = await stack.enter_async_context(TritonMetrics(None if url is None else str(url)))
            app.state.services = await _start(settings, drain, limiter, stack)
            await stack.enter_async_context(tracing)
            metrics.started(__version__)
            yield {STATE_KEY: ConnectionLimits(settings.body_timeout, settings.send_timeout)}

    limiter = ConcurrencyLimiter(settings.max_concurrency)
    shedder = LoadShedder(
        places=settings.max_concurrency + settings.max_queue,
        max_bytes=settings.max_buffered_bytes,
        wait_s=limiter.wait_s,
    )

    app = FastAPI(
        title="triton-sod",
        version=__version__,
        description=_DESCRIPTION,
        docs_url=None,  # served by `pages`, without a host on the web
        redoc_url=None,
        lifespan=lifespan,
        middleware=[
            Middleware(RequestContexts),
            Middleware(Telemetry, tracing=tracing, access_log=settings.access_log),
            Middleware(SecurityHeaders),
            *_cors(settings),
            Middleware(Draining, drain=drain),
            Middleware(CatchAll),
            *_guards(settings),
            # Before the door, so that a body that never fits hears 413 at the busiest time too.
            Middleware(BodyLimit, max_bytes=settings.max_body_bytes),
            Middleware(RequestLimits, path=INFER_PATH, shedder=shedder, limits=_time_limits(settings)),
        ],
    )
    app.state.limiter, app.state.shedder = limiter, shedder
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


async def _start(settings: Settings, drain: Drain, limiter: ConcurrencyLimiter, stack: AsyncExitStack) -> Services:
    workers = Workers(settings.worker_threads)
    stack.callback(workers.close)
    fetcher = await stack.enter_async_context(ImageFetcher(settings))
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
        in_work=lambda: limiter.in_use,
    )
    stack.push_async_callback(readiness.close)
    images = ImageInput(
        fetcher,
        workers,
        max_bytes=settings.max_image_bytes,
        max_pixels=settings.max_image_pixels,
    )
    detector = Detector(
        triton=triton,
        images=images,
        workers=workers,
        limiter=limiter,
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
