"""What is known of the models in Triton: its index and their configurations, read anew when they have aged.

With several Tritons a model is known if all of them have it. While its configuration is being changed on one after the
other, the one that most of them have holds, and only these are asked.
"""

import asyncio
import json
import logging
import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from time import monotonic
from typing import Any

import grpc
from tritonclient.grpc import service_pb2

from gateway.errors import DetectorUnavailableError, UnknownModelError
from gateway.inference.replicas.replica import Replica
from gateway.inference.single_flight import SingleFlight
from gateway.inference.triton_errors import is_not_loaded
from sod.interface import CLASS_AGNOSTIC, IOU_THRESHOLD, WEIGHTS_SHA256, pixel_entrance

PREFERENCE = (
    "PP-YOLOE_plus_SOD-L",
    "PP-YOLOE_plus_SOD-S",
    "PP-YOLOE_plus_SOD-largesize-L",
    "PP-YOLOE_plus_SOD-demo",
)

_log = logging.getLogger(__name__)
# An unknown name may be a model that was just loaded, so the list of models is refreshed if it is older than this.
_FRESH_S = 1.0
# Of several Tritons, one that lists its models so many seconds later than the first is left out.
_SLOWEST_S = 2.0
# With several Tritons, what has aged is used while it is read anew, up to this many times its age.
_AGED = 3
_SHA256 = re.compile(r"[0-9a-f]{64}")
_SERVER_FAILED = (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED, grpc.StatusCode.CANCELLED)


@dataclass(frozen=True, slots=True)
class ModelInfo:
    """A detector ensemble, from its Triton configuration.

    Attributes:
        name: Name of the ensemble.
        labels: Class labels by class id.
        input_size: (height, width) of the detector's input; None if the configuration does not state it.
        thresholds: Score thresholds of the model by class id; None for classes, or models, that use the gateway's.
        pixel_entrance: Name of the ensemble that takes pixels of `input_size`; empty if it is not loaded.
        nms_inputs: Whether a request may say how NMS is done; models that were exported before 0.3.0 do not allow that.
        sha256: Of the files with the weights, in hexadecimal digits; None if Triton tells none, or several differ.
            Models that differ in it alone are equal, because each machine's own TensorRT plan has another.
    """

    name: str
    labels: tuple[str, ...]
    input_size: tuple[int, int] | None = None
    thresholds: tuple[float | None, ...] | None = None
    pixel_entrance: str = ""
    nms_inputs: bool = False
    sha256: str | None = field(default=None, compare=False)


class ModelCatalogue:
    """The detector ensembles that are ready. A method raises `grpc.RpcError` if Triton cannot be asked."""

    def __init__(
        self,
        replicas: Callable[[], Sequence[Replica]],
        *,
        silent: Callable[[Replica], None],
        default: str | None,
        ttl: float,
        timeout: float,
    ) -> None:
        """Set up; Triton is asked at the first use.

        Args:
            replicas: Returns the Tritons to ask.
            silent: Called with one of several that did not answer.
            default: Name of the default ensemble; None selects the first one in the order of `PREFERENCE`.
            ttl: Seconds for which what Triton has said is used.
            timeout: Deadline of one call in seconds.
        """
        self._replicas = replicas
        self._silent = silent
        self._default = default
        self._ttl = ttl
        self._timeout = timeout
        self._models: dict[str, ModelInfo] | None = None
        self._having: dict[str, frozenset[Replica]] = {}
        self._ready: tuple[str, ...] = ()
        self._read_at = 0.0
        self._refresh = SingleFlight(self._read)

    async def close(self) -> None:
        """Cancel a running refresh."""
        await self._refresh.close()

    def drop(self) -> None:
        """Ask Triton at the next use."""
        self._models = None

    def is_default(self, model: ModelInfo) -> bool:
        """Whether requests that name no model get this one, as far as is known."""
        return model.name == (self._default or next(iter(self._models or ()), None))

    async def all(self) -> list[ModelInfo]:
        """The models, ordered as candidates for the default."""
        return list((await self._known(min(_FRESH_S, self._ttl))).values())

    async def get(self, name: str | None) -> ModelInfo:
        """One model.

        Args:
            name: A client's word, which is looked up and never sent to Triton; None for the default model.

        Raises:
            UnknownModelError: No ensemble of that name is ready.
            DetectorUnavailableError: The default model is not ready.
        """
        wanted = self._default if name is None else name
        for max_age in (self._ttl, 0 if name is None else min(_FRESH_S, self._ttl)):
            models = await self._known(max_age, aged_will_do=max_age == self._ttl)
            found = next(iter(models.values()), None) if wanted is None else models.get(wanted)
            if found is not None:
                return found
        if name is not None:
            raise UnknownModelError(name, list(models))
        if wanted is None:
            raise DetectorUnavailableError("The inference server has no detector that is ready")
        if wanted in self._ready:
            raise DetectorUnavailableError(f"The model {wanted} is not an ensemble with class labels")
        raise DetectorUnavailableError(f"The model {wanted} is not loaded in the inference server; try again")

    def having(self, model: ModelInfo) -> frozenset[Replica]:
        """The Tritons that have the model as it is known."""
        return self._having.get(model.name, frozenset())

    async def read(self, replica: Replica) -> tuple[dict[str, ModelInfo], frozenset[str]]:
        """The ensembles of one Triton, and the names of everything that is ready there."""
        index = await replica.stub.RepositoryIndex(service_pb2.RepositoryIndexRequest(), timeout=self._timeout)
        ready = frozenset(model.name for model in index.models if model.state == "READY")
        infos = await asyncio.gather(*(self._query(replica, name) for name in sorted(ready, key=_preference)))
        models = {}
        for info in infos:
            if info is not None:
                entrance = pixel_entrance(info.name)
                models[info.name] = replace(info, pixel_entrance=entrance) if entrance in ready else info
        return models, ready

    def first(self, models: dict[str, ModelInfo]) -> ModelInfo | None:
        """The default model among those of one Triton."""
        return next(iter(models.values()), None) if self._default is None else models.get(self._default)

    async def _known(self, max_age: float, *, aged_will_do: bool = False) -> dict[str, ModelInfo]:
        age = monotonic() - self._read_at
        if self._models is not None and age < max_age:
            return self._models
        if self._models is not None and aged_will_do and age < _AGED * max_age and len(self._replicas()) > 1:
            self._refresh.start()  # a silent Triton would delay the request
            return self._models
        return await self._refresh()

    async def _read(self) -> dict[str, ModelInfo]:
        replicas = self._replicas()
        if len(replicas) == 1:
            self._models, ready = await self.read(replicas[0])
            self._having = dict.fromkeys(self._models, frozenset(replicas))
        else:
            self._models, ready = await self._read_several(replicas)
        self._ready, self._read_at = tuple(ready), monotonic()
        return self._models

    async def _read_several(self, replicas: Sequence[Replica]) -> tuple[dict[str, ModelInfo], frozenset[str]]:
        found = []
        for replica, answer in zip(replicas, await self._read_each(replicas), strict=True):
            if answer is None:
                self._silent(replica)
            else:
                found.append((replica, *answer))
        if not found:
            raise DetectorUnavailableError("No inference server can be reached; try again")
        self._having = {}
        models = {}
        for name in found[0][1]:
            infos = [one[name] for _, one, _ in found if name in one]
            if len(infos) == len(found):
                most = Counter(infos).most_common(1)[0][0]
                hashes = {info.sha256 for info in infos if info == most}
                models[name] = replace(most, sha256=hashes.pop() if len(hashes) == 1 else None)
                self._having[name] = frozenset(replica for replica, one, _ in found if one[name] == most)
        return models, frozenset.intersection(*(ready for _, _, ready in found))

    async def _read_each(self, replicas: Sequence[Replica]) -> list[tuple[dict[str, ModelInfo], frozenset[str]] | None]:
        """What each Triton has; None for one that fails, or is much slower than the first to answer."""
        tasks = [asyncio.create_task(self.read(replica)) for replica in replicas]
        pending = set(tasks)
        until: float | None = None
        try:
            while pending and (until is None or monotonic() < until):
                left = None if until is None else until - monotonic()
                done, pending = await asyncio.wait(pending, timeout=left, return_when=asyncio.FIRST_COMPLETED)
                if until is None and any(task.exception() is None for task in done):
                    until = monotonic() + _SLOWEST_S
        finally:
            for task in pending:
                task.cancel()
        answers: list[tuple[dict[str, ModelInfo], frozenset[str]] | None] = []
        for task in tasks:
            if task in pending or isinstance(task.exception(), grpc.RpcError):
                answers.append(None)
            else:
                answers.append(task.result())
        return answers

    async def _query(self, replica: Replica, name: str) -> ModelInfo | None:
        """The configuration of a detector ensemble; None for another kind of model."""
        request = service_pb2.ModelConfigRequest(name=name)
        try:
            config = (await replica.stub.ModelConfig(request, timeout=self._timeout)).config
        except grpc.RpcError as error:
            if is_not_loaded(error):  # unloaded since the index was read
                return None
            if error.code() in _SERVER_FAILED:
                raise
            _log.warning("the configuration of %s cannot be read: %s", name, error.details())
            return None
        return read_info(config) if config.platform == "ensemble" else None


def read_info(config: Any) -> ModelInfo | None:
    """Parse the parameters of an ensemble's configuration; None if it has no class labels."""
    labels = _json_parameter(config, "labels")
    if not isinstance(labels, list) or not labels or not all(isinstance(label, str) for label in labels):
        return None
    size = _json_parameter(config, "input_size")
    sha256 = _json_parameter(config, WEIGHTS_SHA256)
    has_size = isinstance(size, list) and len(size) == 2 and all(type(side) is int and side > 0 for side in size)
    return ModelInfo(
        name=config.name,
        # JSON can spell lone surrogates, UTF-8 cannot.
        labels=tuple(label.encode("utf-8", "replace").decode() for label in labels),
        input_size=(size[0], size[1]) if has_size else None,
        thresholds=_model_thresholds(_json_parameter(config, "default_threshold"), len(labels)),
        nms_inputs={IOU_THRESHOLD, CLASS_AGNOSTIC} <= {tensor.name for tensor in config.input},
        sha256=sha256 if isinstance(sha256, str) and _SHA256.fullmatch(sha256) else None,
    )


def _json_parameter(config: Any, key: str) -> Any:
    if key not in config.parameters:
        return None
    try:
        return json.loads(config.parameters[key].string_value)
    except (ValueError, RecursionError):
        return None


def _model_thresholds(value: object, classes: int) -> tuple[float | None, ...] | None:
    """The parameter `default_threshold`: a number, or an object of class id → number; None if it is neither."""
    if isinstance(value, dict):
        by_class = {str(class_id): score for class_id, score in value.items()}
        return tuple(by_class[str(i)] if _is_score(by_class.get(str(i))) else None for i in range(classes))
    return (float(value),) * classes if isinstance(value, int | float) and _is_score(value) else None


def _is_score(value: object) -> bool:
    return type(value) in (int, float) and 0 <= value <= 1  # type: ignore[operator]


def _preference(name: str) -> tuple[int, str]:
    return (PREFERENCE.index(name) if name in PREFERENCE else len(PREFERENCE), name)
