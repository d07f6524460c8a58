"""The pipelines of the public interface: `create_pipeline`, `Pipeline` and `AsyncPipeline`."""

import asyncio
import inspect
import os
from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterable, Iterator, Mapping, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any

from sod_client._calls.in_flight import OnError
from sod_client._calls.keywords import NoKeywords, refuse_unknown
from sod_client._calls.pipeline_base import PipelineBase, settings
from sod_client._calls.predict_call import PredictCall
from sod_client._config import PIPELINE
from sod_client._filters import Classes
from sod_client._inputs.sources import ImageInput
from sod_client._inputs.stretch import Stretch
from sod_client._results.data import Model
from sod_client._slices import Pair, SliceInfer, SliceOptions
from sod_client._streams.call import Sources, WatchCall
from sod_client._streams.options import WatchOptions
from sod_client._streams.result import FrameResult
from sod_client._thresholds import Threshold
from sod_client.result import Result

if TYPE_CHECKING:
    from typing import Unpack  # since Python 3.11


class Pipeline(PipelineBase):
    """Small-object detection on a server; created by `create_pipeline`. Several threads may use one pipeline.

    So may processes: a forked child connects anew, and a pickled pipeline too. Over gRPC only processes that were
    started by other methods than fork can use it.

    The connections, and the local server, are kept until `close()`, the end of a `with` block, or the end of the last
    reference to the pipeline.
    """

    def open(self) -> "Pipeline":
        """Start the local server now rather than with the first call, if no address is given; returns the pipeline."""
        self._session.open()
        return self

    def predict(  # noqa: PLR0913 - the user's arguments, by name
        self,
        input: ImageInput | Iterable[ImageInput],  # noqa: A002 - PaddleX's name
        threshold: Threshold | None = None,
        *,
        batch_size: int | None = None,
        on_error: OnError = "raise",
        visualize: bool | None = None,
        model: str | None = None,
        classes: Classes | None = None,
        iou: float | None = None,
        agnostic_nms: bool = False,
        stretch: bool | Stretch = False,
        slice_infer: SliceInfer | None = None,
        slice_size: Pair | None = None,
        overlap_ratio: Pair | None = None,
        combine_method: str | None = None,
        match_metric: str | None = None,
        match_threshold: float | None = None,
        bands: Sequence[int] | None = None,
        journal: str | os.PathLike[str] | None = None,
        resume: bool = False,
        on_slice: Callable[[int, int], object] | None = None,
        device: str | None = None,
        **unknown: "Unpack[NoKeywords]",
    ) -> Iterator[Result]:
        """Detect objects in one image or many.

        The input is read some images ahead of the results that are requested; at most `max_in_flight` images are with
        the server at once.

        >>> pipeline = create_pipeline(url=server)
        >>> [result["boxes"][0]["label"] for result in pipeline.predict(["street.jpg", "street.jpg"], threshold=0.5)]
        ['car', 'car']
        >>> results = pipeline.predict(["missing.jpg", "street.jpg"], on_error=print)
        >>> [result.input_path for result in results]
        missing.jpg: no such file or folder
        ['street.jpg']

        Args:
            input: a path of an image, of a PDF (every page) or of a folder (every image and PDF in it and its
                subfolders, sorted by name), a pattern such as `photos/*.jpg`, an http(s) URL, the bytes of an encoded
                image or PDF, a file opened in binary mode, an image of Pillow (without its EXIF orientation), an array
                ([H, W, 3] BGR, [H, W, 4] BGRA or [H, W] grey; uint8, uint16, or floating-point numbers from 0 to 255),
                or an iterable of these.
            threshold: the score that an object must exceed, from 0 to 1: one number for all classes, or a mapping by
                class id or label, such as `{"car": 0.5, 3: 0.3}`; classes that the mapping leaves out have the value of
                its key None, or else keep the model's default. None is the threshold of the pipeline file, or else the
                model's default, which is 0.5 unless the server or the model sets another.
            batch_size: PaddleX's argument. It has no effect: Triton forms batches of the requests that arrive together.
            on_error: what happens if an image cannot be read or is refused. "raise" raises the error and ends the call.
                "skip" continues, adds the error to `errors`, and logs a warning to the logger `sod_client`. A function
                is called with the error, whose `input_path` and `page_index` name the image, and the call continues.
                Errors that the next image would meet too always raise: no server, overload, a wrong API key, a
                response that is not in the server's format.
            visualize: whether the server also draws the image for `Result.img`; None is the server's default, which is
                yes. Without the server's drawing, `Result.img` draws on the source image.
            model: name of one of `models()`; None is the pipeline's model, or else the server's default.
            classes: the wanted classes, by id or label, such as `["car", 3]`; None is all. Other classes are left out
                before the NMS. This and the two following arguments have Ultralytics' names.
            iou: an object is left out if its IoU with a better one is greater; None is the model's own value (0.6).
            agnostic_nms: whether an object is left out because of a better one of another class, too.
            stretch: whether images with more than 8 bits are scaled to 8: with True or "percentile" the range between
                the 0.5th and the 99.5th percentile of each image becomes 0 to 255, with "min-max" that between its
                lowest and its highest value. Otherwise samples of 16 bits keep their upper byte, as in
                PaddleX, which makes an image of 12 bits almost black, and samples of 32 bits and floating-point numbers
                are refused. Needs `sod-client[stretch]`; the client then reads the images itself.
            slice_infer: whether an image is detected in overlapping slices at their own resolution, and in the whole
                image too, so that small objects in large images are found; "auto" does so only for images larger than
                1.5 times the model's input. The gateway slices, or with a grpc:// address this client. This and the
                following arguments have PaddleDetection's names; None is the value of the pipeline file, or else no
                slices.
            slice_size: (width, height) of a slice in pixels, or one number for both; by default the model's input.
            overlap_ratio: share of a slice that its neighbours cover too, (horizontal, vertical) or one number; by
                default 0.25.
            combine_method: "nms" (the default) keeps the best of the boxes that match, "nmm" their common box, "none"
                all of them.
            match_metric: how the overlap of two boxes is measured, "ios" (over the smaller one, the default) or "iou".
            match_threshold: boxes of one class match if their metric is at least this; by default 0.6.
            bands: with `slice_infer`, the numbers of the bands of a file that become red, green and blue, from 1, or
                of one band; None takes those that the file calls so, or else the first.
            journal: with `slice_infer`, a folder in which a journal is kept of each image that the client itself cuts
                into slices, because the server does not take images of its size, or because it is georeferenced.
            resume: go on with the journal of a call that was interrupted.
            on_slice: called with the slices of such an image that are done and their number; from another thread.
            device: PaddleX's argument. The pipeline's own device has no effect; another one is an error if the pipeline
                has a local server, and gives a warning if it has the address of a server.
            **unknown: any other argument raises a TypeError, which names the nearest one.

        Returns:
            A generator of results in the order of the input; a PDF gives one result per page.

        Raises:
            InvalidInputError: an argument is invalid (raised at once), or an image is or a label is unknown (raised
                when the result is requested, as are the following errors).
            TypeError: an argument is unknown (raised at once).
            ConnectionFailedError: the server did not respond.
            ServerError: the server refused the request or failed to process it.
            BadReplyError: the response is not in the server's format.
            DependencyError: the input contains a PDF, and pypdfium2 is not installed.
        """
        refuse_unknown("predict", list(inspect.signature(self.predict).parameters), unknown)
        self._session.check_device(device)
        return PredictCall(
            self._session,
            input,
            threshold,
            batch_size=batch_size,
            on_error=on_error,
            visualize=visualize,
            model=model,
            classes=classes,
            iou=iou,
            agnostic_nms=agnostic_nms,
            stretch=stretch,
            slices=SliceOptions(slice_infer, slice_size, overlap_ratio, combine_method, match_metric, match_threshold),
            bands=bands,
            journal=journal,
            resume=resume,
            on_slice=on_slice,
        ).results()

    def __call__(self, input: ImageInput | Iterable[ImageInput], **options: Any) -> Iterator[Result]:  # noqa: A002
        """The same as `predict`."""
        return self.predict(input, **options)

    def watch(
        self, source: Sources, threshold: Threshold | None = None, **options: "Unpack[WatchOptions]"
    ) -> Iterator[FrameResult]:
        """Detect, track and count objects in a video, a camera, or a folder that fills with images, or in several.

        Of a file every frame has a result, in order; of a live source the newest frame that the server can take. The
        options are the attributes of `WatchOptions`; `docs/streams.md` describes them. Needs `sod-client[video]`.

        Raises:
            InvalidInputError: an argument is invalid (raised at once), or a source cannot be read.
            TypeError: an option is unknown (raised at once).
            DependencyError: PyAV or numpy is not installed.
        """
        return WatchCall(self._session, source, threshold, options).results()

    def models(self) -> list[Model]:
        """The models that the server has ready, the default first.

        Raises:
            ConnectionFailedError: the server did not respond.
            ServerError: the server answered an error.
            BadReplyError: the response is not in the server's format.
        """
        return self._session.open().models()

    def close(self) -> None:
        """Close the connections and stop the local server; `predict` cannot be used afterwards."""
        self._session.close()

    def __enter__(self) -> "Pipeline":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()


class AsyncPipeline(PipelineBase):
    """`Pipeline` for asyncio: the same arguments, results and errors. Nothing in it blocks the event loop.

    `async with` starts the local server; without it, the first call does.

    >>> async def count():
    ...     async with AsyncPipeline(url=server) as pipeline:
    ...         return [len(result.boxes) async for result in pipeline.predict(["street.jpg", "street.jpg"])]
    >>> asyncio.run(count())
    [1, 1]
    """

    def predict(  # noqa: PLR0913 - the arguments of Pipeline.predict
        self,
        input: ImageInput | Iterable[ImageInput] | AsyncIterable[ImageInput],  # noqa: A002 - PaddleX's name
        threshold: Threshold | None = None,
        *,
        batch_size: int | None = None,
        on_error: OnError = "raise",
        visualize: bool | None = None,
        model: str | None = None,
        classes: Classes | None = None,
        iou: float | None = None,
        agnostic_nms: bool = False,
        stretch: bool | Stretch = False,
        slice_infer: SliceInfer | None = None,
        slice_size: Pair | None = None,
        overlap_ratio: Pair | None = None,
        combine_method: str | None = None,
        match_metric: str | None = None,
        match_threshold: float | None = None,
        bands: Sequence[int] | None = None,
        journal: str | os.PathLike[str] | None = None,
        resume: bool = False,
        on_slice: Callable[[int, int], object] | None = None,
        device: str | None = None,
        **unknown: "Unpack[NoKeywords]",
    ) -> AsyncIterator[Result]:
        """The same as `Pipeline.predict`, as an asynchronous generator.

        `input` may be an asynchronous iterable too. Any other iterable is read in a thread, one element at a time.
        """
        refuse_unknown("predict", list(inspect.signature(self.predict).parameters), unknown)
        self._session.check_device(device)
        return PredictCall(
            self._session,
            input,
            threshold,
            batch_size=batch_size,
            on_error=on_error,
            visualize=visualize,
            model=model,
            classes=classes,
            iou=iou,
            agnostic_nms=agnostic_nms,
            stretch=stretch,
            slices=SliceOptions(slice_infer, slice_size, overlap_ratio, combine_method, match_metric, match_threshold),
            bands=bands,
            journal=journal,
            resume=resume,
            on_slice=on_slice,
        ).async_results()

    def __call__(
        self,
        input: ImageInput | Iterable[ImageInput] | AsyncIterable[ImageInput],  # noqa: A002
        **options: Any,
    ) -> AsyncIterator[Result]:
        """The same as `predict`."""
        return self.predict(input, **options)

    def watch(
        self, source: Sources, threshold: Threshold | None = None, **options: "Unpack[WatchOptions]"
    ) -> AsyncIterator[FrameResult]:
        """The same as `Pipeline.watch`, as an asynchronous generator. To close or cancel it ends the sources."""
        return WatchCall(self._session, source, threshold, options).async_results()

    async def models(self) -> list[Model]:
        """The same as `Pipeline.models`."""
        return await asyncio.to_thread(lambda: self._session.open().models())

    async def close(self) -> None:
        """The same as `Pipeline.close`."""
        await asyncio.to_thread(self._session.close)

    async def __aenter__(self) -> "AsyncPipeline":
        await asyncio.to_thread(self._session.open)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()


def create_pipeline(  # noqa: PLR0913 - the user's settings, by name
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
    ca_file: str | os.PathLike[str] | None = None,
    insecure: bool = False,
    **unknown: "Unpack[NoKeywords]",
) -> Pipeline:
    """Create a pipeline, with PaddleX's arguments and some more.

    >>> with create_pipeline(pipeline="small_object_detection", url=server) as pipeline:
    ...     for result in pipeline.predict(input="street.jpg", threshold={0: 0.5, 1: 0.35}):
    ...         print(result.boxes[0]["label"], result.save_to_json("./output/"), result.save_to_img("./output/"))
    car output/street_res.json output/street_res.jpg

    `url`, or the environment variable SOD_URL, is the address of a server: http(s):// of a gateway or of PaddleX's own
    server; or grpc(s):// or triton+http(s):// of Triton itself, whose gRPC or HTTP port receives images without base64,
    so that boxes are drawn on the client. These need `sod-client[grpc]` or `sod-client[triton-http]`. With neither
    `url` nor SOD_URL, a local server is started, which takes some seconds; it exists as long as the pipeline, and
    triton-sod must be installed.

    If the pipeline file has a `model_dir`, that model answers: a local server exports it once, by its content, to
    `$SOD_CACHE/served` or `~/.cache/triton-sod/served`; a server whose address is given must have it, under the name
    that the local server gives it or, unless that is a name of PaddleX's own models, under `model_name`.

    Args:
        pipeline: "small_object_detection", or the path of a PaddleX pipeline file (.yaml, .yml).
        config: the content of such a file; it takes precedence over `pipeline`.
        device: where a local server runs its detectors: "cpu", "gpu", "gpu:0", or "gpu:0,1". PaddleX's other devices
            are refused with an error that says what to install.
        engine: PaddleX's argument. It has no effect and gives a warning, as do `engine_config`, `pp_option` and
            `hpi_config`.
        engine_config: see `engine`.
        pp_option: see `engine`.
        use_hpip: how a local server runs its detectors: True is PaddleX's high-performance mode (OpenVINO; in Triton's
            container image TensorRT), False is its regular mode (Paddle Inference; on a GPU ONNX Runtime). None is
            `use_hpip` of the pipeline file, or else the mode that needs no further packages: OpenVINO on a CPU, ONNX
            Runtime on a GPU outside of Triton's image.
        hpi_config: see `engine`.
        url: the server's address: http(s)://…, or of Triton itself grpc(s)://host:port or triton+http(s)://….
        model: name of a served model; None is `model_name` of the pipeline file, or else the server's default. A local
            server loads only this model.
        api_key: sent to the server as a bearer token; None is the environment variable SOD_API_KEY, if it is set.
        timeout: seconds to wait for a response, and at most 5 of them for the connection. Large models on a CPU need
            many seconds.
        retries: the most attempts after the first one if the server is overloaded or not ready (429, 503) or cannot be
            reached. The pauses are 0.5, 1, 2, … seconds, or what Retry-After says, up to a minute.
        max_in_flight: the most images that are with the server at once.
        ca_file: a file with the PEM certificates of authorities that the server of an address with TLS (https://,
            grpcs:// or triton+https://) may have its certificate from, beside the public ones; None is SOD_CA_FILE or
            SSL_CERT_FILE of the environment, if one is set.
        insecure: do not verify the certificate of such a server. gRPC cannot leave the check out and trusts the
            certificate that the server presents first, unless it has expired.
        **unknown: any other argument raises a TypeError, which names the nearest one.

    Raises:
        InvalidConfigError: the pipeline is unknown, its file is invalid, or the URL is.
        MissingFileError: the pipeline file does not exist.
        UnsupportedDeviceError: this machine has no such device, or triton-sod does not support it.
        DependencyError: a package is missing; the text names it.
        LocalServerError: the local server does not start.
        TypeError: an argument is unknown; the text names the nearest one.
    """
    refuse_unknown("create_pipeline", settings(), unknown)
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
        ca_file=ca_file,
        insecure=insecure,
    ).open()
