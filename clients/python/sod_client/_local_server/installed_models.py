"""Reads the models of the installed model repository, for `sod models` without a server."""

import json
from collections.abc import Iterator, Sequence
from importlib.metadata import entry_points
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from sod_client._optional import require
from sod_client._results.data import Model
from sod_client.errors import DependencyError, LocalServerError

_FEATURE = "reading the model repository"


def find_repository() -> Path:
    """The model repository that `sod serve` reads, which lies beside the server's packages.

    Raises:
        DependencyError: triton-sod is not installed.
    """
    for entry in entry_points(group="sod.commands", name="serve"):
        spec = find_spec(entry.module.partition(".")[0])
        if spec is not None and spec.origin is not None:
            return Path(spec.origin).parents[1] / "model_repository"
    raise DependencyError(
        "no server address is given (--url, or SOD_URL), no server runs here, and triton-sod is not installed"
    )


def read_models(repository: Path, preference: Sequence[str]) -> list[Model]:
    """The models of a repository whose files are all there, the default first.

    Args:
        repository: folder of model folders.
        preference: the first of these that is there is the default; other models follow, sorted by name.

    Raises:
        DependencyError: tritonclient is not installed.
        LocalServerError: there is no such folder.
    """
    if not repository.is_dir():
        raise LocalServerError(f"there is no model repository at {repository}")
    order = {name: place for place, name in enumerate(preference)}
    found = sorted(_read(repository), key=lambda model: (order.get(model[0], len(order)), model[0]))
    return [
        Model(name, tuple(labels), tuple(size) if size else None, default=not number)
        for number, (name, labels, size) in enumerate(found)
    ]


def _read(repository: Path) -> Iterator[tuple[str, list[str], Any]]:
    text_format = require("google.protobuf.text_format", _FEATURE, "'tritonclient[grpc]'")
    model_config = require("tritonclient.grpc.model_config_pb2", _FEATURE, "'tritonclient[grpc]'")
    for path in repository.glob("*/config.pbtxt"):
        try:
            config = text_format.Parse(path.read_text(encoding="utf-8"), model_config.ModelConfig())
            values = {key: json.loads(each.string_value) for key, each in config.parameters.items()}
        except (text_format.ParseError, OSError, ValueError):
            continue  # `sod doctor` says what is wrong with it
        stages = [step.model_name for step in config.ensemble_scheduling.step]
        if config.platform == "ensemble" and "labels" in values and all(_has_files(repository / s) for s in stages):
            yield path.parent.name, values["labels"], values.get("input_size")


def _has_files(model: Path) -> bool:
    return any(not file.name.startswith(".") for file in model.glob("[0-9]*/*"))
