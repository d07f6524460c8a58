"""The ASGI application: creates its parts, connects them, and closes them."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

from fastapi import FastAPI
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware

from gateway.api.error_handlers import CatchAll, install_handlers
from gateway.api.openapi import install_openapi
from gateway.api.routes import DETECTION_PATHS, INFER_PATH, Services, router
from gateway.demo_page.edge import edge_files
from gateway.demo_page.edge import router as edge_pages
from gateway.demo_page.routes import router as pages
from gateway.drain import Drain, DrainMiddleware
from gateway.images.addresses import AllowList
from gateway.images.fetch import FetchOptions, ImageFetcher
from gateway.images.image_input import ImageInput
from gateway.inference.batch import BatchRunner
from gateway.inference.detector import Detector
from gateway.inference.health import Readiness
from gateway.inference.sliced import SlicedInference
from gateway.inference.triton_client import TritonDetector
from gateway.limits.concurrency_limiter import ConcurrencyLimiter
from gateway.limits.early_refusal import EarlyRefusal
from gateway.limits.load_shedder import LoadShedder
from gateway.limits.memory_budget import MemoryBudget
from gateway.limits.moving_windows import MovingWindows, OwnWindows, Windows
from gateway.limits.rate_limit import RateLimit
from gateway.limits.request_limits import RequestLimits, TimeLimits
from gateway.limits.workers import Workers
from gateway.observability import metrics
from gateway.observability.telemetry import Telemetry
from gateway.observability.tracing import Tracing
from gateway.observability.triton_metrics import TritonMetrics
from gateway.security.api_keys import ApiKeys, KnownKeys
from gateway.security.file_watch import FileWatch
from gateway.security.security_headers import SecurityHeaders
from gateway.settings import Settings
from sod import __version__
from sod.formats.image_structure import StructureLimits
from sod.triton_addresses import TritonAddresses

_DESCRIPTION = """\
PP-YOLOE+ SOD small-object detection with PaddleX's REST contract. Every error, of whatever status, is
`{"logId", "errorCode": <HTTP status>, "errorMsg"}`.
"""

# Response headers that scripts of other origins may read.
_EXPOSED_HEADERS = (
    "X-Log-Id",
    "X-Detections",
    "X-Slices",
    "Server-Timing",
    "Retry-After",
    "RateLimit-Limit",
    "RateLimit-Remaining",
    "RateLimit-Reset",
)


def create_app(settings: Settings, drain: Drain | None = None) -> FastAPI:
    """Create the application. It starts, and keeps running, whether or not Triton is available.

    Args:
        settings: All settings.
        drain: Shared with the server, which sets it when it is asked to stop.

    Raises:
        ValueError: The file of API keys cannot be used.
    """
    drain = drain or Drain()
    endpoint = settings.otlp_endpoint
    tracing = Tracing(None if endpoint is None else str(endpoint), ratio=settings.trace_ratio, version=__version__)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with AsyncExitStack() as stack:
            url = settings.triton_metrics_url
            app.state.triton_metrics = await stack.enter_async_context(TritonMetrics(None if url is None else str(url)))
            app.state.services = await _start(settings, drain, limiter, stack)
            if settings.api_keys_file is not None:
                watch = asyncio.create_task(FileWatch("file of API keys", [settings.api_keys_file], keys.read).run())
                stack.callback(watch.cancel)
            if windows is not None:
                stack.push_async_callback(windows.close)
            await stack.enter_async_context(tracing)
            metrics.record_start(__version__)
            yield

    keys = KnownKeys(settings.api_keys, settings.api_keys_file)
    windows = _windows(settings)
    limiter = ConcurrencyLimiter(settings.max_concurrency)
    shedder = LoadShedder(
        slots=settings.max_concurrency + settings.max_queue,
        max_bytes=settings.max_buffered_bytes,
        estimated_wait_s=limiter.estimated_wait_s,
    )

    app = FastAPI(
        title="triton-sod",
        version=__version__,
        description=_DESCRIPTION,
        docs_url=None,  # `pages` serves it without files from a CDN
        redoc_url=None,
        redirect_slashes=False,  # a redirect would name this server's own scheme and lose a proxy's prefix
        lifespan=lifespan,
        middleware=[
            # From the outermost to the innermost.
            Middleware(Telemetry, tracing=tracing, access_log=settings.access_log),
            Middleware(SecurityHeaders),
            *_cors(settings),
            Middleware(DrainMiddleware, drain=drain),
            Middleware(CatchAll),
            *_access_control(keys, windows),
            Middleware(
                RequestLimits,
                path=INFER_PATH,
                max_body_bytes=settings.max_body_bytes,
                shedder=shedder,
                time_limits=_time_limits(settings),
            ),
        ],
    )
    app.state.limiter, app.state.shedder = limiter, shedder
    app.state.edge_files = edge_files(settings.edge_dir)
    early_refusal = EarlyRefusal(
        shedder, paths=DETECTION_PATHS, max_body_bytes=settings.max_body_bytes, draining=lambda: drain.active
    )
    # Only the application writes the access log and traces.
    app.state.refuse = None if settings.access_log or endpoint is not None else early_refusal
    install_handlers(app)
    app.include_router(router)
    app.include_router(pages)
    app.include_router(edge_pages)
    install_openapi(app, settings.max_batch_images)
    return app


def _cors(settings: Settings) -> list[Middleware]:
    """CORS, outside of access control, because browsers send no key with a preflight."""
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


def _access_control(keys: KnownKeys, windows: Windows | None) -> list[Middleware]:
    """API keys and rate limits, if they are set."""
    middleware = []
    if keys.entries:
        middleware.append(Middleware(ApiKeys, keys=keys))
    if windows is not None:
        middleware.append(Middleware(RateLimit, windows=windows, paths=DETECTION_PATHS))
    return middleware


def _windows(settings: Settings) -> Windows | None:
    if not settings.rate_limit:
        return None
    if settings.rate_limit_storage is None:
        return OwnWindows(MovingWindows(settings.rate_limit))
    # Imported here: its client of Redis is not needed otherwise.
    from gateway.limits.shared_windows import SharedWindows  # noqa: PLC0415

    return SharedWindows(
        settings.rate_limit_storage.get_secret_value(), settings.rate_limit, failure=settings.rate_limit_failure
    )


def _time_limits(settings: Settings) -> TimeLimits:
    return TimeLimits(
        body_grace=settings.body_grace,
        body_idle=settings.body_idle_timeout,
        body=settings.body_timeout,
        response=settings.request_timeout,
    )


def fetch_options(settings: Settings) -> FetchOptions:
    """The settings of fetching, as values."""
    return FetchOptions(
        enabled=settings.fetch_enabled,
        allow=AllowList.parse(settings.fetch_allow),
        max_bytes=settings.max_image_bytes,
        max_redirects=settings.fetch_max_redirects,
        max_connections=settings.fetch_max_connections,
        connect_timeout=settings.fetch_connect_timeout,
        read_timeout=settings.fetch_read_timeout,
        total_timeout=settings.fetch_total_timeout,
    )


async def _start(settings: Settings, drain: Drain, limiter: ConcurrencyLimiter, stack: AsyncExitStack) -> Services:
    workers = Workers(settings.worker_threads, task_timeout=settings.task_timeout)
    stack.callback(workers.close)
    fetcher = await stack.enter_async_context(ImageFetcher(fetch_options(settings)))
    triton = await stack.enter_async_context(
        TritonDetector(
            TritonAddresses.parse(settings.triton_url),
            model=settings.model,
            info_ttl=settings.model_info_ttl,
            timeout=settings.request_timeout,
            canary_timeout=settings.ready_timeout,
            resolve_interval=settings.triton_resolve_interval,
        )
    )
    readiness = Readiness(
        triton,
        drain,
        ttl=settings.ready_ttl,
        timeout=settings.ready_timeout,
        request_timeout=settings.request_timeout,
        in_work=lambda: limiter.in_use,
        starved=lambda: workers.exhausted,
    )
    stack.push_async_callback(readiness.close)
    images = ImageInput(
        fetcher,
        workers,
        max_bytes=settings.max_image_bytes,
        limits=StructureLimits(
            pixels=settings.max_image_pixels,
            scans=settings.max_image_scans,
            metadata_bytes=settings.max_image_metadata_bytes,
        ),
    )
    detector = Detector(
        triton=triton,
        images=images,
        workers=workers,
        limiter=limiter,
        sliced=SlicedInference(
            triton,
            workers,
            limiter,
            memory=MemoryBudget(settings.max_sliced_bytes),
            concurrency=settings.slice_concurrency,
            max_slices=settings.max_slices,
            time_limit_s=settings.request_timeout,
        ),
        default_threshold=settings.default_threshold,
        jpeg_quality=settings.jpeg_quality,
    )
    return Services(
        detector=detector,
        batches=BatchRunner(
            detector, concurrency=settings.batch_concurrency, max_overlay_bytes=settings.max_batch_overlay_bytes
        ),
        readiness=readiness,
        workers=workers,
        visualize=settings.visualize,
        max_batch_images=settings.max_batch_images,
    )
