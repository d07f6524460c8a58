"""What a run detects, and how; the part of it that the rows depend on."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sod_client._filters import Classes
from sod_client._inputs.stretch import Stretch
from sod_client._slices import SliceOptions
from sod_client._thresholds import Threshold
from sod_client.errors import InvalidConfigError

_NAMES = {
    "model": "the model",
    "model_sha256": "a model file with the SHA-256",
    "labels": "the classes",
    "profile": "the server's profile",
    "thresholds": "the threshold",
    "classes": "--classes",
    "iou": "--iou",
    "agnostic_nms": "--agnostic_nms",
    "slices": "slices",
    "stretch": "--stretch",
    "bands": "--bands",
}


class OtherRunError(InvalidConfigError):
    """The dataset holds the rows of a run with other settings."""


@dataclass(frozen=True)
class Detection:
    """How images are detected; the fields are the arguments of `Pipeline.predict`."""

    model: str | None = None
    threshold: Threshold | None = None
    classes: Classes | None = None
    iou: float | None = None
    agnostic_nms: bool = False
    stretch: Stretch = "none"
    slices: SliceOptions = field(default_factory=SliceOptions)
    bands: Sequence[int] | None = None


@dataclass(frozen=True)
class Server:
    """Which servers detect; the fields but `urls` are arguments of `create_pipeline`.

    Without URLs a local server is started.
    """

    urls: Sequence[str] = ()
    pipeline: str | None = "small_object_detection"
    max_in_flight: int = 8
    timeout: float = 300.0
    retries: int = 6
    ca_file: str | None = None
    insecure: bool = False
    device: str | None = None
    use_hpip: bool | None = None
    api_key: str | None = field(default=None, repr=False)


def check_same(output: str, before: Mapping[str, Any], now: Mapping[str, Any]) -> None:
    """Check that a dataset's rows were made with the same settings. A hash that is null on one side is not known.

    Raises:
        OtherRunError: they were not.
    """
    for key, name in _NAMES.items():
        old, new = before.get(key), now.get(key)
        if old != new and not (key == "model_sha256" and None in (old, new)):
            raise OtherRunError(
                f"{output} was made with {name} {_shown(old, 'at its default')}, and this run has "
                f"{_shown(new, 'its default')}: choose another OUTPUT, "
                "or pass --restart, which removes its rows and detects every image again"
            )


def _shown(value: object, default: str) -> str:
    if value is None or value == "null":
        return default
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 80 else f"{text[:79]}…"
