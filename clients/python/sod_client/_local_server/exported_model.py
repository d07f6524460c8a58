"""Exports the `model_dir` of a pipeline file once, to a model repository of its own that a local server serves."""

import fcntl
import hashlib
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import entry_points
from pathlib import Path

import yaml

from sod_client._config import MODULE, PIPELINE
from sod_client._thresholds import ClassKey
from sod_client.errors import DependencyError, InvalidConfigError, LocalServerError, MissingFileError

# The models of PaddleX, whose weights a server may have under the same name as a fine-tuned model.
OFFICIAL = ("PP-YOLOE_plus_SOD-S", "PP-YOLOE_plus_SOD-L", "PP-YOLOE_plus_SOD-largesize-L")
_CACHE_VARIABLE = "SOD_CACHE"
_DIGITS = 12
_CHUNK_BYTES = 1 << 20
_FAILED = "export failed: "


@dataclass(frozen=True)
class ExportedModel:
    """A model that was exported from a Paddle inference model.

    Attributes:
        name: of the served model: that of the pipeline file and the first digits of the SHA-256 of the model's files.
        repository: the model repository, which contains nothing else.
    """

    name: str
    repository: Path


def served_name(model_dir: str, model_name: str | None) -> str:
    """The name under which a Paddle inference model is served; other content gives another name.

    Raises:
        MissingFileError: the folder does not exist.
        InvalidConfigError: it is not a folder, is empty, or a file in it cannot be read.
    """
    folder = Path(model_dir)
    digest = hashlib.sha256()
    try:
        files = sorted(path for path in folder.iterdir() if path.is_file() and not path.name.startswith("."))
        for file in files:
            digest.update(f"{file.name} {_sha256(file)}\n".encode("utf-8", "surrogateescape"))
    except FileNotFoundError as error:
        raise MissingFileError(
            f"model_dir {model_dir!r}: no such folder (the working directory is {Path.cwd()})"
        ) from error
    except OSError as error:
        raise InvalidConfigError(f"model_dir {model_dir!r} cannot be read: {error.strerror}") from error
    if not files:
        raise InvalidConfigError(f"model_dir {model_dir!r} contains no files; it must be a Paddle inference model")
    base = re.sub(r"[^A-Za-z0-9_.-]+", "_", model_name or "").strip("_.-") or "model"
    return f"{base}-{digest.hexdigest()[:_DIGITS]}"


def export_once(
    model_dir: str,
    model_name: str | None,
    *,
    tensorrt: bool,
    report: Callable[[str], None],
    threshold: float | dict[ClassKey, float] | None = None,
) -> ExportedModel:
    """Export a Paddle inference model, or find the result of an earlier export of the same content.

    The results are in `$SOD_CACHE/served`, or `~/.cache/triton-sod/served`. If several processes call this at once, one
    exports, and the others wait.

    Args:
        model_dir: the Paddle inference model.
        model_name: of the pipeline file; None names it `model`.
        tensorrt: whether to build a TensorRT plan, too, which the profile gpu_high_performance runs.
        report: receives each line of the export's progress.
        threshold: the model's default threshold, for all classes or by class id, which the server applies; None is its
            own (`inference.yml`).

    Raises:
        MissingFileError: the folder does not exist.
        InvalidConfigError: the folder cannot be read.
        DependencyError: triton-sod is not installed.
        LocalServerError: the export failed, or its result cannot be written.
    """
    name = served_name(model_dir, model_name)
    kind = "-tensorrt" * tensorrt
    if threshold is not None:
        kind += f"-{hashlib.sha256(repr(threshold).encode()).hexdigest()[:_DIGITS]}"
    repository = _cache() / "served" / f"{name}{kind}"
    try:
        repository.parent.mkdir(parents=True, exist_ok=True)
        with _lock(repository.with_name(f"{repository.name}.lock")):
            if not repository.is_dir():
                _export(model_dir, name, repository, tensorrt=tensorrt, report=report, threshold=threshold)
    except OSError as error:
        raise LocalServerError(
            f"the exported model cannot be written to {repository}: {error.strerror or error}; set {_CACHE_VARIABLE} "
            "to a folder with space"
        ) from error
    return ExportedModel(name, repository)


def _export(  # noqa: PLR0913 - the arguments of export_once
    model_dir: str,
    name: str,
    repository: Path,
    *,
    tensorrt: bool,
    report: Callable[[str], None],
    threshold: float | dict[ClassKey, float] | None,
) -> None:
    if not tuple(entry_points(group="sod.commands", name="export")):
        raise DependencyError(
            f"model_dir {model_dir!r} must be exported to be served, and triton-sod, which does that, is not installed "
            "here: pass the address of a server that has the model (url=, or SOD_URL)"
        )
    report(f"exporting {model_dir} as {name}; this is done once and takes a minute or more")
    with tempfile.TemporaryDirectory(dir=repository.parent, prefix=f".{name}.") as work:
        made = Path(work) / "models"
        source = ["--model_dir", model_dir]
        if threshold is not None:
            settings = {"model_name": name, "model_dir": str(Path(model_dir).absolute()), "threshold": threshold}
            pipeline = Path(work) / "pipeline.yaml"
            pipeline.write_text(yaml.safe_dump({"pipeline_name": PIPELINE, "SubModules": {MODULE: settings}}))
            source = ["--pipeline", str(pipeline)]
        for target in ("onnx", *(("tensorrt",) if tensorrt else ())):
            precision = "fp32" if target == "onnx" else "fp16"
            options = [*source, "--name", name, "--target", target, "--precision", precision]
            _run([*options, "--output_dir", str(made), "--cache_dir", str(Path(work) / "cache")], model_dir, report)
        made.rename(repository)


def _run(options: list[str], model_dir: str, report: Callable[[str], None]) -> None:
    environment = {**os.environ, "PYTHONSAFEPATH": "1"}  # the working directory may contain a module named `export`
    with subprocess.Popen(
        [sys.executable, "-m", "sod_client", "export", *options],
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
    ) as process:
        lines = []
        for line in process.stderr or ():
            if line.strip():
                lines.append(line.strip())
                report(line.strip())
    if process.returncode:
        failures = [line.removeprefix(_FAILED) for line in lines if line.startswith(_FAILED)] or lines[-3:]
        raise LocalServerError(
            f"model_dir {model_dir!r} cannot be served: {'; '.join(failures) or 'the export failed'}"
        )


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()


def _cache() -> Path:
    if value := os.environ.get(_CACHE_VARIABLE):
        return Path(value).absolute()
    try:
        return Path.home() / ".cache" / "triton-sod"
    except RuntimeError as error:
        raise LocalServerError(f"there is no home directory: set {_CACHE_VARIABLE} to a folder") from error


@contextmanager
def _lock(path: Path) -> Iterator[None]:
    with path.open("wb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
