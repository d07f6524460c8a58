"""PaddleX and triton-sod, serving the same Paddle model."""

import shutil
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import yaml
from sod_client._local_server.exported_model import served_name

from benchmarks.performance.baselines import paddlex
from export.paddle.inference_model import find_model
from export.paddle_export import export_detector
from export.verification.images import synthetic_image
from server.launching import free_ports
from tests.e2e.started_server import REPOSITORY, serve

NAME = "PP-YOLOE_plus_SOD-L"  # the model of PaddleX's pipeline file, so that lines without a model work
MAX_IMAGE_BYTES = 8_000_000


@dataclass(frozen=True)
class Contestants:
    """Both servers, and what is needed to run PaddleX's command.

    Attributes:
        paddlex_url: of `paddlex --serve`.
        url: of triton-sod's gateway.
        model: folder of the Paddle model.
        environ: variables for PaddleX's command and SDK.
        work: folder for files of the comparison.
    """

    paddlex_url: str
    url: str
    model: Path
    environ: dict[str, str]
    work: Path


def named_l(model: Path, folder: Path) -> Path:
    """A copy of a Paddle model that is called PP-YOLOE_plus_SOD-L, as PaddleX wants it for its default pipeline."""
    copy = folder / NAME
    shutil.copytree(model, copy)
    file = copy / "inference.yml"
    described = yaml.safe_load(file.read_text("utf-8"))
    described["Global"]["model_name"] = NAME
    file.chmod(0o644)
    file.write_text(yaml.safe_dump(described, allow_unicode=True, sort_keys=False), "utf-8")
    return copy


@contextmanager
def both(model: Path, work: Path) -> Iterator[Contestants]:
    """Start both servers; triton-sod in the profile cpu_regular, which runs Paddle Inference too.

    Args:
        model: of `named_l`.
        work: folder for the model repository, PaddleX's cache and the logs.

    Raises:
        BenchmarkError: PaddleX does not start.
        StartError: triton-sod does not start.
    """
    ignored = shutil.ignore_patterns("inference.*", "*.plan", "model.onnx")
    repository = shutil.copytree(REPOSITORY, work / "models", ignore=ignored)
    # Pipeline files that name the model's folder are answered by the model that is named after its content.
    names = (NAME, served_name(str(model), NAME))
    for name in names:
        export_detector(find_model(model, name), repository, [synthetic_image()])
    # In PaddleX's cache the model is that of the pipeline's name, which would otherwise be downloaded.
    environ = paddlex.environment(work / "cache")
    shutil.copytree(model, work / "cache" / "official_models" / NAME)
    settings = {"SOD_MAX_IMAGE_BYTES": str(MAX_IMAGE_BYTES), "SOD_MAX_BODY_BYTES": str(2 * MAX_IMAGE_BYTES)}
    options = ["--profile", "cpu_regular", *(word for name in names for word in ("--model", name))]
    with ExitStack() as stack:
        theirs = stack.enter_context(paddlex.started(model, work, cache=work / "cache"))
        ours = stack.enter_context(serve(repository, work / "sod.log", free_ports(4), *options, **settings))
        yield Contestants(theirs.url, ours.url, model, environ, work)
