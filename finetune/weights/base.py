"""What a fine-tuning begins with: the bundled demo, an official model, or a file of parameters."""

import json
import os
from dataclasses import dataclass
from pathlib import Path

import httpx

from export.errors import DownloadError
from export.files import sha256
from export.hub.http_download import DEFAULT_RETRY, RetryPolicy, download, without_secrets
from export.hub.official_models import MIRROR_VARIABLE, default_cache_dir
from export.hub.pins import LOCK_NAME, Pin, read_pins, write_pin
from export.paddle.runtime import import_paddle
from finetune.data.sources import CLASSES
from finetune.errors import FinetuneError
from finetune.variants import variant_of

# Source: PaddleX 3, docs/module_usage, "training model" of each small-object detector.
OFFICIAL_BASE = "https://paddle-model-ecology.bj.bcebos.com/paddlex/official_pretrained_model/"
OFFICIAL = ("PP-YOLOE_plus_SOD-S", "PP-YOLOE_plus_SOD-L")
DEMO = Path(__file__).parents[2] / "model_repository/PP-YOLOE_plus_SOD-demo_detector/1/model.onnx"
_LARGEST = 1 << 30  # bytes of a download


@dataclass(frozen=True, slots=True)
class Base:
    """Weights to begin from: a file, its variant (`finetune.variants`), its classes by id where they are known."""

    path: Path
    variant: str
    names: tuple[str, ...] | None


def find(given: str) -> Base:
    """Resolve what the user named: "demo", an official model, or a .pdparams file.

    Raises:
        FinetuneError: it is none of these, or of an architecture that cannot be trained here.
        DownloadError: an official model cannot be had.
    """
    if given == "demo":
        return Base(DEMO, "demo", CLASSES)
    if given in OFFICIAL:
        return Base(_official(given), given, CLASSES)
    path = Path(given)
    if path.suffix != ".pdparams":
        msg = f"BASE is {given!r}, and can be demo, {', '.join(OFFICIAL)} or a file *.pdparams"
        raise FinetuneError(msg)
    import_paddle()
    from finetune.paddledet.weights import read_pdparams  # noqa: PLC0415 (paddle takes seconds to import)

    variant = variant_of(read_pdparams(path))
    if variant is None:
        msg = f"{path} holds no weights of PP-YOLOE+ SOD (demo, S or L for 640 px)"
        raise FinetuneError(msg)
    return Base(path.resolve(), variant, _names(path))


def _names(path: Path) -> tuple[str, ...] | None:
    """The classes that a training here wrote beside its weights."""
    file = path.with_suffix(".classes.json")
    return tuple(json.loads(file.read_text(encoding="utf-8"))) if file.is_file() else None


def _official(name: str, retry: RetryPolicy = DEFAULT_RETRY) -> Path:
    """An official model's trained parameters, fetched once; a later download must be the same."""
    file = f"{name}_pretrained.pdparams"
    url = httpx.URL((os.environ.get(MIRROR_VARIABLE) or OFFICIAL_BASE).rstrip("/") + f"/{file}")
    cache = default_cache_dir()
    cache.mkdir(parents=True, exist_ok=True)
    path, lock = cache / file, cache / LOCK_NAME
    pin = read_pins(lock).get(file)
    if not path.exists():
        part = path.with_suffix(".part")
        try:
            download(url, part, max_bytes=_LARGEST, retry=retry, progress=True)
        except DownloadError as error:
            msg = (
                f"{name} cannot be downloaded: {error}; get {without_secrets(url)} in another way and put it at "
                f"{path}, or begin with BASE=demo"
            )
            raise DownloadError(msg) from error
        if pin is None:
            write_pin(lock, file, Pin(without_secrets(url), part.stat().st_size, sha256(part), {}))
            pin = read_pins(lock)[file]
        if sha256(part) != pin.sha256:
            part.unlink()
            msg = f"{without_secrets(url)} is not what {lock} recorded: delete that entry if it may be"
            raise FinetuneError(msg)
        part.replace(path)
    elif pin is not None and sha256(path) != pin.sha256:
        msg = f"{path} is not the file that was recorded in {lock}: delete it, and it is downloaded anew"
        raise FinetuneError(msg)
    return path
