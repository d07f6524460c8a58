"""The ASGI application: parts made, wired and closed."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from importlib.metadata import PackageNotFoundError, version

from fastapi import FastAPI
from starlette.middleware import Middleware

from gateway.batch import Batches
from gateway.body_limit import BodyLimit
from gateway.detector import Detector
from gateway.errors import CatchAll, install_handlers
from gateway.fetch import PictureFetcher, create_client
from gateway.health import Readiness
from gateway.openapi import install_openapi
from gateway.picture_input import PictureInput
from gateway.request_scope import RequestScopes
from gateway.routes import Services, router
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
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with AsyncExitStack() as stack:
            app.state.services = await _start(settings, stack)
            yield

    app = FastAPI(
        title="triton-sod",
        version=_version(),
        description=_DESCRIPTION,
        lifespan=lifespan,
        middleware=[
            Middleware(RequestScopes),
            Middleware(CatchAll),
            Middleware(BodyLimit, max_bytes=settings.max_body_bytes),
        ],
    )
    install_handlers(app)
    app.include_router(router)
    install_openapi(app, settings.max_batch_images)
    return app


async def _start(settings: Settings, stack: AsyncExitStack) -> Services:
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
    readiness = Readiness(triton, ttl=settings.ready_ttl, timeout=settings.ready_timeout)
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
