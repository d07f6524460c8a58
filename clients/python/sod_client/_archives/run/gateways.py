"""The servers of a run: each image goes to the one with the fewest requests."""

import json
import threading
import time
from collections.abc import Sequence
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeoutError
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import httpx

from sod_client._archives.dataset.schema import Constants
from sod_client._archives.run.settings import Detection, OtherRunError, Server
from sod_client._filters import Filters
from sod_client._inputs.items import Item
from sod_client._inputs.scenes import SceneOptions, check_bands
from sod_client._results.data import Model
from sod_client._transport.transport import RequestOptions
from sod_client.errors import ConnectionFailedError, InvalidConfigError, ServerBusyError, ServerError, SodError
from sod_client.pipeline import Pipeline
from sod_client.result import Result

REST_S = 10.0
"""Seconds for which a server gets no image after it did not respond, if there are others."""
ASKED_S = 5.0
"""Seconds within which a server that is asked for the hash of its weights must say it, or counts as unchanged."""


@dataclass
class _Gateway:
    pipeline: Pipeline
    sha256: str | None = None
    asked: "Future[Model | None] | None" = None
    outstanding: int = 0
    rests_until: float = 0.0


class Gateways:
    """Connections to the servers. Several threads may use them at once.

    Args:
        server: their addresses and limits.
        detection: how images are detected.

    Raises:
        SodError: an address is invalid, a server does not respond, or they serve different models.
    """

    def __init__(self, server: Server, detection: Detection) -> None:
        self._gateways: list[_Gateway] = []
        self._condition = threading.Condition()
        self._most = server.max_in_flight
        self._detection = detection
        try:
            for url in server.urls or (None,):
                self._gateways.append(_Gateway(_pipeline(url, server, detection)))
            self._resolve()
        except BaseException:
            self.close()
            raise

    def __len__(self) -> int:
        return len(self._gateways)

    def detect(self, item: Item) -> Result:
        """Detect an image on the least busy server; waits while all have their most requests.

        Raises:
            SodError: as of `Pipeline.predict`; a server that does not respond is replaced by the others.
        """
        failed: SodError | None = None
        for _ in range(2 * len(self._gateways)):
            gateway = self._take(failed)
            try:
                return gateway.pipeline._session.submit(item, self._options, {}).result()
            except (ConnectionFailedError, ServerBusyError) as error:
                failed = error
                gateway.rests_until = time.monotonic() + REST_S
            finally:
                with self._condition:
                    gateway.outstanding -= 1
                    self._condition.notify()
        assert failed is not None  # noqa: S101 - the loop returns otherwise
        raise failed

    def check_weights(self) -> None:
        """Check that no server has loaded other weights since the run began, as far as they tell it.

        Raises:
            OtherRunError: one has.
        """
        name = self.constants.model
        known = [gateway for gateway in self._gateways if gateway.sha256 is not None]
        for gateway in known:
            if gateway.asked is None or gateway.asked.done():
                gateway.asked = gateway.pipeline._session._pool.submit(partial(_model, gateway.pipeline, name))
        until = time.monotonic() + ASKED_S
        for gateway in known:
            model = None
            with suppress(SodError, FutureTimeoutError):
                if gateway.asked is not None:
                    model = gateway.asked.result(max(0.0, until - time.monotonic()))
            if model is not None and model.sha256 not in (None, gateway.sha256):
                raise OtherRunError(
                    f"{gateway.pipeline.url} has loaded other weights of {name} while this run worked: a model file "
                    f"with the SHA-256 {model.sha256}, before {gateway.sha256}. The dataset holds what was detected "
                    "before, except for the last seconds: choose another OUTPUT, or pass --restart"
                )

    def close(self) -> None:
        """Close the connections, and stop a local server."""
        for gateway in self._gateways:
            gateway.pipeline.close()

    def _take(self, failed: SodError | None) -> _Gateway:
        with self._condition:
            while True:
                now = time.monotonic()
                awake = [one for one in self._gateways if one.rests_until <= now]
                if not awake:
                    if failed is not None:
                        raise failed
                    awake = self._gateways
                chosen = min(awake, key=lambda one: one.outstanding)
                if chosen.outstanding < self._most:
                    chosen.outstanding += 1
                    return chosen
                self._condition.wait(1.0)

    def _resolve(self) -> None:
        """Look up the model, and the ids of classes that are given by label."""
        detection = self._detection
        sessions = [gateway.pipeline._session for gateway in self._gateways]
        models = [_model(gateway.pipeline, detection.model) for gateway in self._gateways]
        for gateway, model in zip(self._gateways, models, strict=True):
            if _shape(model) != _shape(models[0]):
                raise InvalidConfigError(
                    f"the servers have different models: {self._gateways[0].pipeline.url} has {_name(models[0])}, and "
                    f"{gateway.pipeline.url} has {_name(model)}: name one that all have with --model"
                )
            gateway.sha256 = None if model is None else model.sha256
        _check_weights(self._gateways, models[0])
        hashes = {gateway.sha256 for gateway in self._gateways}
        session, model = sessions[0], models[0]
        threshold = session.threshold if detection.threshold is None else detection.threshold
        filters = Filters.of(threshold, detection.classes, detection.iou, detection.agnostic_nms)
        name = None if model is None else model.name

        def labels() -> Sequence[str]:
            return session.labels(name)

        slices = detection.slices.over(session.slices)
        self._options = RequestOptions(
            threshold=filters.threshold_by_id(labels),
            visualize=False,
            model=name or session.model,
            slices=slices.field(),
            classes=filters.class_ids(labels),
            iou=filters.iou,
            agnostic_nms=filters.agnostic_nms,
        )
        if detection.bands is not None and not slices.infer:
            raise InvalidConfigError("--bands has an effect only with --slice_infer")
        self.slices_all = bool(slices.infer)
        self.scenes = SceneOptions(
            slices if slices.infer else replace(slices, infer=True), check_bands(detection.bands), detection.stretch
        )
        thresholds = self._options.threshold
        self.constants = Constants(
            name or session.model or "default",
            hashes.pop() if len(hashes) == 1 else None,  # else one server does not tell it
            session._placement.profile,
            json.dumps(thresholds, sort_keys=True),
        )
        self.described: dict[str, Any] = {
            "format": 1,
            "model": self.constants.model,
            "model_sha256": self.constants.model_sha256,
            "profile": self.constants.profile,
            "labels": None if model is None else list(model.labels),
            "thresholds": self.constants.thresholds,
            "classes": None if self._options.classes is None else list(self._options.classes),
            "iou": filters.iou,
            "agnostic_nms": filters.agnostic_nms,
            "slices": self._options.slices,
            "stretch": detection.stretch,
            "bands": None if detection.bands is None else list(detection.bands),
        }


def _pipeline(url: str | None, server: Server, detection: Detection) -> Pipeline:
    return Pipeline(
        server.pipeline,
        url=url,
        model=detection.model,
        device=server.device,
        use_hpip=server.use_hpip,
        api_key=server.api_key,
        timeout=server.timeout,
        retries=server.retries,
        max_in_flight=server.max_in_flight,
        ca_file=server.ca_file,
        insecure=server.insecure,
    ).open()


def _model(pipeline: Pipeline, name: str | None) -> Model | None:
    """The model that will be used; None if the server does not list its models, as PaddleX's own.

    Raises:
        InvalidConfigError: it has no such model.
    """
    try:
        models = pipeline.models()
    except ServerError as error:
        if error.status != httpx.codes.NOT_FOUND:
            raise
        return None
    wanted = name or pipeline.model
    for model in models:
        if model.default if wanted is None else model.name == wanted:
            return model
    ready = ", ".join(model.name for model in models)
    raise InvalidConfigError(f"{pipeline.url} has no model {wanted}; these are ready: {ready}")


def _check_weights(gateways: Sequence[_Gateway], model: Model | None) -> None:
    """Check that all servers that tell their weights have the same.

    Raises:
        InvalidConfigError: two have others.
    """
    known = [gateway for gateway in gateways if gateway.sha256 is not None]
    for gateway in known:
        if gateway.sha256 != known[0].sha256:
            raise InvalidConfigError(
                f"the servers have different weights of {_name(model)}: {known[0].pipeline.url} has a model file with "
                f"the SHA-256 {known[0].sha256}, and {gateway.pipeline.url} one with {gateway.sha256}: serve the same "
                "file on all, or give one of them"
            )


def _shape(model: Model | None) -> object:
    return None if model is None else (model.name, model.labels, model.input_size)


def _name(model: Model | None) -> str:
    return "one that it does not name" if model is None else model.name
