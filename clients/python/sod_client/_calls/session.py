"""What all calls of a pipeline share: its settings, the connection to the server, and the threads."""

import math
import os
import sys
import threading
import time
import warnings
import weakref
from collections import deque
from collections.abc import Mapping
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol

import httpx

from sod_client._calls.daemon_pool import DaemonPool
from sod_client._calls.scene_detector import SceneDetector
from sod_client._config import MODULE, PIPELINE, read_config, warn_of_ignored_options
from sod_client._inputs.fetch import Fetcher
from sod_client._inputs.items import FileItem, Item, StretchedItem
from sod_client._inputs.paths import is_file
from sod_client._inputs.scenes import MAX_SENT_BYTES, SceneItem, is_too_large
from sod_client._local_server.device import Placement, choose_placement, parse_device
from sod_client._local_server.exported_model import OFFICIAL, export_once, served_name
from sod_client._local_server.local_server import LocalServer
from sod_client._results.data import Model
from sod_client._seconds import check_seconds
from sod_client._transport.connect import connect
from sod_client._transport.tls import Verification
from sod_client._transport.transport import RequestOptions, Transport
from sod_client.errors import (
    ConnectionFailedError,
    InvalidConfigError,
    ServerError,
    SodError,
    SodWarning,
    UnreadableFileError,
)
from sod_client.result import Result, SavedNames

# Sessions to renew in a forked child, whose threads and connections are those of its parent.
_SESSIONS: "weakref.WeakSet[Session]" = weakref.WeakSet()
_MAX_ERRORS = 1000
_LABELS_TTL_S = 5.0
_WINDOWS = "--slice_infer, or slice_infer=True, reads an image of any size in windows"


class _Closable(Protocol):
    def close(self) -> None: ...


class Session:
    """The settings and resources of one pipeline.

    `open` connects to the server, and starts the local server if no address is given. `close` releases everything; so
    does the end of the last reference to the session, and the end of the process.

    The arguments are those of `create_pipeline`; `paddlex_options` are PaddleX's options that have no effect.
    """

    def __init__(  # noqa: PLR0913 - the user's settings, by name
        self,
        pipeline: str | os.PathLike[str] | None,
        *,
        config: Mapping[str, Any] | None,
        device: str | None,
        use_hpip: bool | None,
        url: str | None,
        model: str | None,
        api_key: str | None,
        timeout: float,
        retries: int,
        max_in_flight: int,
        ca_file: str | os.PathLike[str] | None,
        insecure: bool,
        paddlex_options: Mapping[str, object],
    ) -> None:
        described = read_config(pipeline, config)
        warn_of_ignored_options(paddlex_options)
        self.model = model or described.model_name
        self.threshold = described.threshold
        self.slices = described.slices
        self.device = device
        self.use_hpip = described.use_hpip if use_hpip is None else use_hpip
        self.errors: deque[SodError] = deque(maxlen=_MAX_ERRORS)
        self.max_in_flight = check_count("max_in_flight", max_in_flight, 1)
        self._api_key = _check_header_value("the API key", api_key or os.environ.get("SOD_API_KEY") or None)
        self._timeout = check_seconds("timeout", timeout)
        self._retries = check_count("retries", retries, 0)
        self._ca_file, self._insecure = None if ca_file is None else os.fspath(ca_file), insecure
        self._has_own_server = url is None and not os.environ.get("SOD_URL")
        self._own_api_key = api_key
        self._url = url if url is not None else os.environ.get("SOD_URL") or None
        self._placement = self._place(device, use_hpip)
        self._model_name = described.model_name
        self._model_dir = None if model else described.model_dir  # an explicit model takes precedence
        if described.model_dir is not None and model:
            warnings.warn(
                f"model_dir {described.model_dir!r} is not used, because model={model!r} is given",
                SodWarning,
                stacklevel=4,
            )
        self._lock = threading.Lock()
        self._labels: dict[str | None, tuple[float, tuple[str, ...]]] = {}
        self._resources: list[_Closable] = []
        self._transport: Transport | None = None
        self._finalizer = weakref.finalize(self, _close, self._resources)
        # Twice as many threads as requests: while some images are with the server, the next ones are read and encoded,
        # and the last responses are parsed.
        self._pool = DaemonPool(2 * self.max_in_flight)
        self._scenes = SceneDetector(self.max_in_flight)
        self._is_forked = False
        self._inherited: tuple[object, ...] = ()
        _SESSIONS.add(self)
        self.fetcher = Fetcher(self._timeout)
        self._resources += [self._pool, self._scenes, self.fetcher]
        if self._url is not None:  # connect at once, so that an invalid address is refused at once
            self._connect(self._url)

    @property
    def url(self) -> str | None:
        """The server's address; None before the local server was started."""
        return self._url

    def check_open(self) -> None:
        """Look whether the session was closed.

        Raises:
            ConnectionFailedError: it was.
        """
        if not self._finalizer.alive:
            raise ConnectionFailedError("the pipeline was closed")

    def open(self) -> Transport:
        """The connection to the server; starts the local server if necessary.

        Raises:
            LocalServerError: the local server does not start.
            DependencyError: no address is given, and triton-sod is not installed.
            ConnectionFailedError: the pipeline was closed.
            InvalidConfigError: the server does not serve the model of the file's `model_dir`.
        """
        with self._lock:
            self.check_open()
            if self._transport is None and self._url is not None:  # in a forked child
                self._connect(self._url)
            elif self._transport is None:
                server = self._start_local_server()
                self._resources.append(server)
                self._connect(server.url)
            assert self._transport is not None  # noqa: S101 - set by _connect
            if self._model_dir is not None:
                self.model = self._find_served_model(self._transport, self._model_dir)
                self._model_dir = None
            return self._transport

    def labels(self, model: str | None) -> tuple[str, ...]:
        """The labels by class id of a model, or of the pipeline's; asked for again after some seconds.

        Raises:
            InvalidConfigError: the server has no such model, or does not list its classes, as PaddleX's own server.
        """
        self.open()  # which finds the name of a model in a folder
        name = model or self.model
        read_at, labels = self._labels.get(name, (-math.inf, ()))
        if time.monotonic() - read_at < _LABELS_TTL_S:
            return labels
        labels = self.described(model, "does not list its classes; use class ids in place of labels").labels
        self._labels[name] = time.monotonic(), labels
        return labels

    def described(self, model: str | None, otherwise: str) -> Model:
        """What the server says of a model, or of the pipeline's.

        Args:
            model: its name; None is the pipeline's.
            otherwise: what the error says of a server that describes no models, as PaddleX's own server.

        Raises:
            InvalidConfigError: the server has no such model, or describes none.
        """
        transport = self.open()
        name = model or self.model
        try:
            models = transport.models()
        except ServerError as error:
            if error.status != httpx.codes.NOT_FOUND:
                raise
            raise InvalidConfigError(f"{transport.url} {otherwise}") from error
        found = next((one for one in models if (one.default if name is None else one.name == name)), None)
        if found is None:
            ready = ", ".join(one.name for one in models)
            raise InvalidConfigError(f"there is no model {name}; these are ready: {ready}")
        return found

    def submit(self, item: Item, options: RequestOptions, saved_names: SavedNames) -> "Future[Result]":
        """Send one image from one of the threads; without a model in the options, to the pipeline's model."""
        transport = self.open()
        options = replace(options, model=options.model or self.model)

        def detect() -> Result:
            start = time.monotonic()
            if isinstance(item, SceneItem):
                result = self._scenes.detect(item, transport, options)
            else:
                result = _detect(transport, item, options)
            result._set_context(item.subfolder, saved_names, time.monotonic() - start)
            return result

        return self._pool.submit(detect)

    def check_device(self, device: str | None) -> None:
        """Check the device of one call: a server runs on the device with which it was started.

        Raises:
            UnsupportedDeviceError: this machine has no such device, or triton-sod does not support it.
            InvalidConfigError: the local server runs on another device.
        """
        if device is None or device == self.device:
            return
        parse_device(device)
        if not self._has_own_server:
            warnings.warn(
                f"device has no effect: the server at {self._url} uses its own device", SodWarning, stacklevel=4
            )
            return
        wanted, own = choose_placement(device, self.use_hpip), self._placement
        if own.profile is None:  # the launcher's own choice, which is the CPU outside of Triton's image
            own = choose_placement("cpu", self.use_hpip) if parse_device(device)[0] == "cpu" else own
        if wanted != own:
            raise InvalidConfigError(
                f"the local server of this pipeline runs on the device {self.device or 'cpu'!r}, not {device!r}: use "
                f"another pipeline, create_pipeline(device={device!r})"
            )

    def arguments(self) -> dict[str, Any]:
        """The arguments of `Pipeline` that make a pipeline of the same settings, in another process too.

        It connects to the same server, also if that is a local server, which ends with this pipeline.
        """
        settings = {"model_name": self._model_name, "model_dir": self._model_dir, "threshold": self.threshold}
        return {
            "config": {"pipeline_name": PIPELINE, "SubModules": {MODULE: settings}},
            "url": self._url,
            "model": None if self._model_dir is not None else self.model,
            "device": self.device if self._url is None else None,
            "use_hpip": self.use_hpip if self._url is None else None,
            "api_key": self._own_api_key,
            "timeout": self._timeout,
            "retries": self._retries,
            "max_in_flight": self.max_in_flight,
            "ca_file": self._ca_file,
            "insecure": self._insecure,
        }

    def renew(self) -> None:
        """Replace the threads and connections, which a forked child does not have; the next call connects again."""
        if not self._finalizer.alive:
            return
        self._finalizer.detach()
        # Kept, because closing them would disturb the parent.
        self._inherited = (self._resources, self._transport, self._pool)
        self._lock = threading.Lock()
        self._resources = []
        self._finalizer = weakref.finalize(self, _close, self._resources)
        self._is_forked, self._transport = True, None
        self._pool, self.fetcher = DaemonPool(2 * self.max_in_flight), Fetcher(self._timeout)
        self._scenes = SceneDetector(self.max_in_flight)
        self._resources += [self._pool, self._scenes, self.fetcher]

    def close(self) -> None:
        """Close the connections and stop the local server."""
        self._finalizer()

    def _place(self, device: str | None, use_hpip: bool | None) -> Placement:
        if self._url is None:
            return choose_placement(device, self.use_hpip)
        if device is not None:
            parse_device(device)
        if device is not None or use_hpip is not None:
            warnings.warn(
                f"device and use_hpip have no effect: the server at {self._url} uses its own device",
                SodWarning,
                stacklevel=5,
            )
        return Placement()

    def _start_local_server(self) -> LocalServer:
        if self._model_dir is None:
            return LocalServer(self._placement, self.model)
        use_tensorrt = self._placement.profile == "gpu_high_performance"
        exported = export_once(self._model_dir, self._model_name, tensorrt=use_tensorrt, report=_report)
        self.model, self._model_dir = exported.name, None
        return LocalServer(self._placement, exported.name, exported.repository)

    def _find_served_model(self, transport: Transport, model_dir: str) -> str:
        """The name of the model on the server whose weights are those of `model_dir`.

        A model that is named after the content, as the local server names it, or as the file names it. A name of
        PaddleX's own models is not enough: the server has the weights of PaddleX under it.
        """
        ready = [model.name for model in transport.models()]
        name = self._model_name
        wanted = [name] if name is not None and name not in OFFICIAL else []
        if not wanted or Path(model_dir).is_dir():
            wanted.insert(0, served_name(model_dir, name))
        for candidate in wanted:
            if candidate in ready:
                return candidate
        raise InvalidConfigError(
            f"the server at {transport.url} does not serve model_dir {model_dir!r}, only "
            f"{', '.join(ready) or 'nothing'}: load it there (sod export --model_dir {model_dir} --name {wanted[0]} "
            "--load), or leave the address out, so that a local server serves it"
        )

    def _connect(self, url: str) -> None:
        transport = connect(
            url,
            timeout=self._timeout,
            retries=self._retries,
            max_requests=self.max_in_flight,
            api_key=self._api_key,
            verification=Verification(self._ca_file, insecure=self._insecure),
            is_forked=self._is_forked,
        )
        self._url, self._transport = transport.url, transport
        self._resources.insert(0, transport)


def _detect(transport: Transport, item: Item, options: RequestOptions) -> Result:
    """Detect an image; an error of one that is too large says what helps.

    Raises:
        SodError: the image cannot be read, or the server did not detect it.
    """
    source = item.source if isinstance(item, StretchedItem) else item
    path = source.path if isinstance(source, FileItem) else None
    if path is not None and is_file(path) and path.stat().st_size > MAX_SENT_BYTES:
        raise UnreadableFileError(
            f"the file has {path.stat().st_size / 2**20:,.0f} MiB, which is too large to be sent whole: {_WINDOWS}"
        )
    try:
        return transport.detect(item, options)
    except (ServerError, ConnectionFailedError, UnreadableFileError) as error:
        if path is None or options.slices is not None or not is_too_large(path):
            raise
        if isinstance(error, ServerError):
            error.hint = f"; {_WINDOWS}"
            raise
        # The server may close the connection before all of a large body was sent.
        raise UnreadableFileError(f"{error.sentence}; the image may be too large: {_WINDOWS}") from error


def _report(line: str) -> None:
    print(f"sod: {line}", file=sys.stderr, flush=True)


def check_count(name: str, value: int, least: int) -> int:
    """The value, if it is an integer from `least`.

    Raises:
        InvalidConfigError: it is not.
    """
    if type(value) is not int or value < least:
        raise InvalidConfigError(f"{name} must be a whole number from {least}, not {value!r}")
    return value


def _check_header_value(name: str, value: str | None) -> str | None:
    if value is not None and not (value.isascii() and value.isprintable()):
        raise InvalidConfigError(f"{name} has characters that an HTTP header cannot contain")
    return value


def _renew_sessions() -> None:
    for session in list(_SESSIONS):
        session.renew()


os.register_at_fork(after_in_child=_renew_sessions)


def _close(resources: list[_Closable]) -> None:
    for resource in resources:
        with suppress(Exception):
            resource.close()
    resources.clear()
