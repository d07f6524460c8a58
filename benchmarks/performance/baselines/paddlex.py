"""PaddleX's basic serving of the same Paddle model, in a virtual environment of its own."""

import importlib.util
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import yaml

from benchmarks.performance.errors import BenchmarkError
from benchmarks.servers import ProcessTree
from server.launching import StartError, free_ports, launched

ROOT = Path(__file__).parents[3]
VENV = ROOT / ".cache/paddlex"
# PaddleX 3.7.2 does not pin PaddlePaddle. Version 3.2.2 runs these models with oneDNN; 3.3.1 does not.
PINS = ("paddlepaddle==3.2.2", "paddlex[cv,serving]==3.7.2")
_PIPELINE = """\
pipeline_name: small_object_detection

SubModules:
  SmallObjectDetection:
    module_name: small_object_detection
    model_name: {name}
    model_dir: {folder}
    batch_size: 1
    threshold: 0.5
"""
_TIMEOUT_S = 5.0


@dataclass(frozen=True, slots=True)
class PaddleXServer(ProcessTree):
    """A running `paddlex --serve`.

    Attributes:
        url: its address.
    """

    url: str


def install(venv: Path = VENV) -> None:
    """Create the virtual environment and install PaddleX in it (1.8 GB), unless that has been done.

    Raises:
        BenchmarkError: pip failed.
    """
    python = venv / "bin/python"
    done = venv / ".installed"
    if done.is_file() and done.read_text() == " ".join(PINS):
        return
    print(f"installing {' '.join(PINS)} into {venv} (once; 1.8 GB)", file=sys.stderr, flush=True)
    pip = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *PINS]
    for command in ([sys.executable, "-m", "venv", str(venv)], pip):
        if subprocess.run(command, check=False).returncode:
            raise BenchmarkError(f"PaddleX could not be installed in {venv}: pip's messages are above")
    done.write_text(" ".join(PINS))


def find_model(folder: Path, name: str) -> Path:
    """The folder of the Paddle inference model `name`: `folder` itself, or the one of that name in it.

    Raises:
        BenchmarkError: neither contains a model.
    """
    for one in (folder / name, folder):
        if (one / "inference.yml").is_file():
            return one.absolute()
    raise BenchmarkError(
        f"{folder} contains no Paddle inference model (inference.yml), and neither does {folder / name}"
    )


def architecture(model: Path) -> str:
    """The architecture of a Paddle inference model; PaddleX refuses to load the model under another name.

    Raises:
        BenchmarkError: its `inference.yml` does not name it.
    """
    try:
        return str(yaml.safe_load((model / "inference.yml").read_text(encoding="utf-8"))["Global"]["model_name"])
    except (OSError, UnicodeDecodeError, yaml.YAMLError, KeyError, TypeError):
        raise BenchmarkError(f"{model / 'inference.yml'} has no Global.model_name, which PaddleX needs") from None


def environment(cache: Path) -> dict[str, str]:
    """Variables with which PaddleX runs without contacting other hosts.

    Args:
        cache: folder for what it downloads; `official_models` in it has models by their names.

    Raises:
        BenchmarkError: the package with the font for labels is not installed.
    """
    return {
        # Without a font of ours PaddleX downloads one.
        "PADDLE_PDX_LOCAL_FONT_FILE_PATH": str(_font()),
        # The check would contact the sites from which PaddleX downloads models.
        "PADDLE_PDX_DISABLE_MODEL_SOURCE_CHECK": "True",
        "PADDLE_PDX_CACHE_HOME": str(cache),
    }


@contextmanager
def started(model: Path, work: Path, venv: Path = VENV, cache: Path | None = None) -> Iterator[PaddleXServer]:
    """Serve a model by PaddleX on a free port; the server is stopped at exit.

    Args:
        model: folder of the Paddle inference model.
        work: folder for the pipeline file and the log.
        venv: virtual environment in which PaddleX is installed.
        cache: see `environment`; None is a folder in `venv`.

    Raises:
        BenchmarkError: PaddleX is not installed, or does not start.
    """
    program = venv / "bin/paddlex"
    if not program.is_file():
        raise BenchmarkError(f"PaddleX is not installed in {venv}: make bench-paddlex installs it")
    pipeline = work / "paddlex.yaml"
    pipeline.write_text(_PIPELINE.format(name=architecture(model), folder=model))
    (port,) = free_ports(1)
    command = [str(program), "--serve", "--pipeline", str(pipeline), "--device", "cpu"]
    command += ["--host", "127.0.0.1", "--port", str(port)]
    settings = environment(cache or venv / "paddlex")
    url = f"http://127.0.0.1:{port}"
    try:
        with launched(
            "PaddleX", command, lambda: _is_healthy(url), log=work / "paddlex.log", environ=settings
        ) as process:
            yield PaddleXServer("PaddleX", process.pid, url)
    except StartError as error:
        raise BenchmarkError(str(error)) from None


def _font() -> Path:
    spec = importlib.util.find_spec("noto_cjk_sans_otc")
    folders = spec.submodule_search_locations if spec else None
    fonts = [font for folder in folders or [] for font in sorted(Path(folder).rglob("*.ttc"))]
    if not fonts:
        raise BenchmarkError("the package noto-cjk-sans-otc is not installed; PaddleX draws labels with its font")
    return fonts[0]


def _is_healthy(url: str) -> bool:
    try:
        return httpx.get(f"{url}/health", timeout=_TIMEOUT_S).status_code == httpx.codes.OK
    except httpx.HTTPError:
        return False
