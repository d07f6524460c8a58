"""Pictures in, results out, over HTTP."""

import os
import weakref
from collections.abc import Iterable, Iterator
from types import TracebackType
from typing import Any

import httpx

from sod_client._inputs import Picture, Threshold, image_field, is_url, pictures, threshold_field
from sod_client._reply import parse_models, parse_reply
from sod_client.errors import BadReplyError, ConnectionFailedError, InvalidInputError
from sod_client.result import Model, Result

DEFAULT_URL = "http://127.0.0.1:8080"
_CONNECT_SECONDS = 5.0
_LOOPBACK = ("127.0.0.1", "localhost", "::1")


class Pipeline:
    """A server's small-object detection; made by `create_pipeline`. Threads may share one.

    Connections are kept open between calls, until `close()`, the end of a `with` block, or the object's own end.

    Attributes:
        url: the server's address, without a slash at its end.
        model: what pictures are sent to; None is the server's default.
    """

    def __init__(self, url: str, timeout: float, model: str | None = None) -> None:
        self.url = _checked(url)
        self.model = model
        self._client = httpx.Client(
            timeout=httpx.Timeout(timeout, connect=min(timeout, _CONNECT_SECONDS)),
            # A proxy of the environment cannot reach this machine's own addresses.
            trust_env=httpx.URL(self.url).host not in _LOOPBACK,
        )
        self._finalizer = weakref.finalize(self, self._client.close)

    def predict(
        self,
        input: Picture | Iterable[Picture],  # noqa: A002 - PaddleX's name
        threshold: Threshold | None = None,
        *,
        visualize: bool | None = None,
        model: str | None = None,
    ) -> Iterator[Result]:
        """Detect objects in one picture or many, one request a picture, sent when its result is asked for.

        Args:
            input: a path, an http(s) URL (which the server fetches), the bytes of an encoded picture, or an iterable
                of these.
            threshold: the score an object must exceed: one for all classes, or by class id, where the classes left
                out keep the model's default, which None is for all: 0.5 if the server and the model say nothing else.
            visualize: whether the server also draws the picture for `Result.save_to_img`; None is its own default.
            model: the name of one of `models()`; None is the pipeline's, or else the server's default.

        Returns:
            An iterator of results in the order of the input.

        Raises:
            InvalidInputError: at once for a threshold, at its turn for a picture that cannot be read.
            ConnectionFailedError: the server gave no answer (at the picture's turn, as the following).
            ServerError: the server refused the request or failed at it.
            BadReplyError: the reply is not this server's.
        """
        fields: dict[str, Any] = {"threshold": threshold_field(threshold), "visualize": visualize}
        if (asked := model or self.model) is not None:
            fields["model"] = asked
        return self._results(pictures(input), fields)

    def models(self) -> list[Model]:
        """The models that the server has ready, its default first.

        Raises:
            ConnectionFailedError: the server gave no answer.
            ServerError: it cannot tell now.
            BadReplyError: the reply is not this server's.
        """
        return parse_models(self._request("GET", "/models"))

    def close(self) -> None:
        """Close the connections; `predict` cannot be used after it."""
        self._finalizer()

    def __enter__(self) -> "Pipeline":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def _results(self, given: Iterator[Picture], fields: dict[str, Any]) -> Iterator[Result]:
        for picture in given:
            image, input_path = image_field(picture)
            yield parse_reply(self._request("POST", "/small-object-detection", {"image": image, **fields}), input_path)

    def _request(self, method: str, path: str, body: dict[str, Any] | None = None) -> httpx.Response:
        try:
            return self._client.request(method, self.url + path, json=body)
        except httpx.TimeoutException as error:
            raise ConnectionFailedError(f"{self.url} gave no answer in time ({type(error).__name__})") from error
        except httpx.TransportError as error:
            raise ConnectionFailedError(f"cannot reach {self.url}: {error or type(error).__name__}") from error
        except httpx.RequestError as error:
            raise BadReplyError(f"{self.url} sent a reply that cannot be read: {error}") from error


def create_pipeline(
    pipeline: str = "small_object_detection",
    *,
    url: str | None = None,
    timeout: float = 300.0,
    model: str | None = None,
) -> Pipeline:
    """Make the client of a server; nothing is sent yet.

    Args:
        pipeline: PaddleX's name of the task; this server has the one.
        url: where the server listens, as "http://host:port"; None takes the environment's SOD_URL, or else
            http://127.0.0.1:8080.
        timeout: seconds to wait for a reply (and 5 at most for the connection). Large models on a CPU take many.
        model: the name of one of the server's models; None is its default.

    Raises:
        InvalidInputError: an unknown pipeline, or a URL that is none.
    """
    if pipeline != "small_object_detection":
        raise InvalidInputError(f"this server's pipeline is 'small_object_detection', not {pipeline!r}")
    return Pipeline(url or os.environ.get("SOD_URL") or DEFAULT_URL, timeout, model)


def _checked(url: str) -> str:
    try:
        host = httpx.URL(url).host
    except (httpx.InvalidURL, UnicodeError) as error:
        raise InvalidInputError(f"{url!r} is no URL: {error}") from error
    if not is_url(url) or not host:
        raise InvalidInputError(f"{url!r} is no server's URL; it should look like {DEFAULT_URL}")
    return url.rstrip("/")
