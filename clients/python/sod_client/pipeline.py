"""Images in, results out: `create_pipeline`, and its asynchronous twin."""

import asyncio
import os
from collections.abc import AsyncIterable, AsyncIterator, Iterable, Iterator, Mapping, Sequence
from types import TracebackType
from typing import Any

from sod_client._config import PIPELINE
from sod_client._core import Core
from sod_client._inputs.sources import ImageInput
from sod_client._thresholds import Threshold
from sod_client._transport.window import OnError
from sod_client.errors import SodError
from sod_client.result import Model, Result


class _Base:
    """What both pipelines have; the arguments are those of `create_pipeline`."""

    def __init__(  # noqa: PLR0913 - a user's settings, by name
        self,
        pipeline: str | os.PathLike[str] | None = PIPELINE,
        *,
        config: Mapping[str, Any] | None = None,
        device: str | None = None,
        engine: str | None = None,
        engine_config: Mapping[str, Any] | None = None,
        pp_option: object = None,
        use_hpip: bool | None = None,
        hpi_config: object = None,
        url: str | None = None,
        model: str | None = None,
        api_key: str | None = None,
        timeout: float = 300.0,
        retries: int = 3,
        max_in_flight: int = 4,
    ) -> None:
        self._core = Core(
            pipeline,
            config=config,
            device=device,
            use_hpip=use_hpip,
            url=url,
            model=model,
            api_key=api_key,
            timeout=timeout,
            retries=retries,
            max_in_flight=max_in_flight,
            paddlex={
                "engine": engine,
                "engine_config": engine_config,
                "pp_option": pp_option,
                "hpi_config": hpi_config,
            },
        )

    @property
    def url(self) -> str | None:
        """The server's address, without a slash at its end; None before a local server was started."""
        return self._core.url

    @property
    def model(self) -> str | None:
        """What images are sent to; None is the server's default."""
        return self._core.model

    @property
    def threshold(self) -> float | dict[int, float] | None:
        """Of calls that name none, from the pipeline file; None is the model's own."""
        return self._core.threshold

    @property
    def device(self) -> str | None:
        """As it was given."""
        return self._core.device

    @property
    def use_hpip(self) -> bool | None:
        """As it was given, or by the pipeline file."""
        return self._core.use_hpip

    @property
    def errors(self) -> Sequence[SodError]:
        """What the last call skipped (`on_error`), in the input's order; the last thousand."""
        return tuple(self._core.errors)


class Pipeline(_Base):
    """Small-object detection on a server; made by `create_pipeline`. Threads may share one.

    Connections, and a local server, are kept until `close()`, the end of a `with` block, or the object's own end.
    """

    def open(self) -> "Pipeline":
        """Start the local server, if that is where it runs, now rather than with the first call; returns itself."""
        self._core.open()
        return self

    def predict(  # noqa: PLR0913 - a call's settings, by name
        self,
        input: ImageInput | Iterable[ImageInput],  # noqa: A002 - PaddleX's name
        threshold: Threshold | None = None,
        *,
        batch_size: int | None = None,
        on_error: OnError = "raise",
        visualize: bool | None = None,
        model: str | None = None,
    ) -> Iterator[Result]:
        """Detect objects in one image or many.

        The input is read as results are asked for, some images ahead; `max_in_flight` of them are asked for at once.

        >>> pipeline = create_pipeline(url=server)
        >>> [result["boxes"][0]["label"] for result in pipeline.predict(["street.jpg", "street.jpg"], threshold=0.5)]
        ['car', 'car']
        >>> results = pipeline.predict(["missing.jpg", "street.jpg"], on_error=print)
        >>> [result.input_path for result in results]
        missing.jpg: no such file or folder
        ['street.jpg']

        Args:
            input: a path of an image, a PDF (each page) or a folder (each image and PDF in it and below, by name),
                an http(s) URL, the bytes of an encoded image, an array uint8 [H, W, 3], BGR, or an iterable of these.
            threshold: the score an object must exceed, 0 to 1: one for all classes, or by class id, where the classes
                left out keep the model's default, which None is for all: the pipeline file's, or else 0.5 if the
                server and the model say nothing else.
            batch_size: PaddleX's; without effect, Triton makes the batches of what arrives together.
            on_error: what an image that cannot be read, or is refused, does: "raise" its error, which ends the call,
                "skip" it, noted in `errors` and as a warning of the log `sod_client`, or skip it and call a function
                with the error, whose `input_path` and `page_index` name the image. Errors that the next image
                would meet too (no server, overload, a wrong API key, a reply out of the contract) always raise.
            visualize: whether the server also draws the image for `Result.img`; None is its own default, which is
                yes. Without it `Result.img` draws here, on the source.
            model: the name of one of `models()`; None is the pipeline's, or else the server's default.

        Returns:
            A generator of results in the order of the input; a PDF gives one a page.

        Raises:
            InvalidInputError: at once for the arguments, at its turn for an image.
            ConnectionFailedError: the server gave no answer (at the image's turn, as the following).
            ServerError: the server refused the request or failed at it.
            BadReplyError: the reply is not this server's.
            DependencyError: a PDF without pypdfium2.
        """
        return self._core.call(
            input, threshold, batch_size=batch_size, on_error=on_error, visualize=visualize, model=model
        ).results()

    def __call__(self, input: ImageInput | Iterable[ImageInput], **options: Any) -> Iterator[Result]:  # noqa: A002
        """As `predict`."""
        return self.predict(input, **options)

    def models(self) -> list[Model]:
        """The models that the server has ready, its default first.

        Raises:
            ConnectionFailedError: the server gave no answer.
            ServerError: it cannot tell now.
            BadReplyError: the reply is not this server's.
        """
        return self._core.open().models()

    def close(self) -> None:
        """Close the connections, and stop the local server; `predict` cannot be used after it."""
        self._core.close()

    def __enter__(self) -> "Pipeline":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()


class AsyncPipeline(_Base):
    """`Pipeline` for asyncio: the same arguments, results and errors, and nothing in it blocks the event loop.

    A local server is started by `async with`, or else by the first call.

    >>> async def count():
    ...     async with AsyncPipeline(url=server) as pipeline:
    ...         return [len(result.boxes) async for result in pipeline.predict(["street.jpg", "street.jpg"])]
    >>> asyncio.run(count())
    [1, 1]
    """

    def predict(  # noqa: PLR0913 - as Pipeline's
        self,
        input: ImageInput | Iterable[ImageInput] | AsyncIterable[ImageInput],  # noqa: A002 - PaddleX's name
        threshold: Threshold | None = None,
        *,
        batch_size: int | None = None,
        on_error: OnError = "raise",
        visualize: bool | None = None,
        model: str | None = None,
    ) -> AsyncIterator[Result]:
        """As `Pipeline.predict`, an asynchronous generator.

        `input` may be an asynchronous iterable too; another iterable is read in threads, one entry at a time.
        """
        return self._core.call(
            input, threshold, batch_size=batch_size, on_error=on_error, visualize=visualize, model=model
        ).aresults()

    def __call__(
        self,
        input: ImageInput | Iterable[ImageInput] | AsyncIterable[ImageInput],  # noqa: A002
        **options: Any,
    ) -> AsyncIterator[Result]:
        """As `predict`."""
        return self.predict(input, **options)

    async def models(self) -> list[Model]:
        """As `Pipeline.models`."""
        return await asyncio.to_thread(lambda: self._core.open().models())

    async def close(self) -> None:
        """As `Pipeline.close`."""
        await asyncio.to_thread(self._core.close)

    async def __aenter__(self) -> "AsyncPipeline":
        await asyncio.to_thread(self._core.open)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()


def create_pipeline(  # noqa: PLR0913 - a user's settings, by name
    pipeline: str | os.PathLike[str] | None = PIPELINE,
    *,
    config: Mapping[str, Any] | None = None,
    device: str | None = None,
    engine: str | None = None,
    engine_config: Mapping[str, Any] | None = None,
    pp_option: object = None,
    use_hpip: bool | None = None,
    hpi_config: object = None,
    url: str | None = None,
    model: str | None = None,
    api_key: str | None = None,
    timeout: float = 300.0,
    retries: int = 3,
    max_in_flight: int = 4,
) -> Pipeline:
    """Make a pipeline, with PaddleX's arguments and some more.

    >>> with create_pipeline(pipeline="small_object_detection", url=server) as pipeline:
    ...     for result in pipeline.predict(input="street.jpg", threshold={0: 0.5, 1: 0.35}):
    ...         print(result.boxes[0]["label"], result.save_to_json("./output/"), result.save_to_img("./output/"))
    car output/street_res.json output/street_res.jpg

    With `url`, or the environment's SOD_URL, it is a server's client: of a gateway or PaddleX's own server by http(s),
    or by grpc:// of Triton itself (`sod-client[grpc]`; no base64, and the boxes are drawn here). With neither, a local
    server is started, which takes some seconds, and lives as long as the pipeline; triton-sod must be installed then.

    Args:
        pipeline: "small_object_detection", or the path of a PaddleX pipeline file (.yaml, .yml).
        config: the content of such a file, in place of it.
        device: where a local server runs its detectors: "cpu", or "gpu", "gpu:0", "gpu:0,1". PaddleX's other devices
            are refused with a sentence that says what to install.
        engine: PaddleX's, as `engine_config`, `pp_option` and `hpi_config`; without effect, with a warning.
        engine_config: see `engine`.
        pp_option: see `engine`.
        use_hpip: how a local server runs them: True is PaddleX's high-performance mode (OpenVINO; TensorRT in Triton's
            image), False its regular one (Paddle Inference; on a GPU ONNX Runtime), None the file's `use_hpip`, or else
            what needs nothing more installed: OpenVINO on a CPU, ONNX Runtime on a GPU outside of the image.
        hpi_config: see `engine`.
        url: the server's address: http(s)://… or grpc://host:port.
        model: the name of a served model; None is the file's `model_name`, or else the server's default. A local
            server loads only it.
        api_key: sent to the gateway as a bearer token; None takes the environment's SOD_API_KEY, if any.
        timeout: seconds to wait for a reply (and 5 at most for the connection). Large models on a CPU take many.
        retries: tries after the first one where the server is overloaded or not ready (429, 503) or cannot be
            reached, after 0.5, 1, 2, … seconds, or what Retry-After says, up to a minute.
        max_in_flight: images that are asked for at once.

    Raises:
        InvalidConfigError: an unknown pipeline, a file that does not fit, or a URL that is none.
        MissingFileError: there is no such pipeline file.
        UnsupportedDeviceError: no such device, or none that this build drives.
        DependencyError: a package is missing; the text says which.
        LocalServerError: the local server does not start.
    """
    return Pipeline(
        pipeline,
        config=config,
        device=device,
        engine=engine,
        engine_config=engine_config,
        pp_option=pp_option,
        use_hpip=use_hpip,
        hpi_config=hpi_config,
        url=url,
        model=model,
        api_key=api_key,
        timeout=timeout,
        retries=retries,
        max_in_flight=max_in_flight,
    ).open()
