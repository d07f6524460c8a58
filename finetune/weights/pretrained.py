"""Finds the pretrained weights that a training starts from: the bundled demo, an official model, or a file."""

import json
import os
from dataclasses import dataclass
from pathlib import Path

import httpx

from export.errors import DownloadError
from export.files import sha256
from export.hub.http_download import download, without_secrets
from export.hub.official_models import MIRROR_VARIABLE, default_cache_dir
from export.hub.pins import LOCK_NAME, Pin, read_pins, write_pin
from finetune.data.sources import CLASSES
from finetune.errors import FinetuneError
from finetune.variants import variant_of
from finetune.weights.pdparams import read_pdparams

# Source: PaddleX 3, docs/module_usage, "training model" of each small-object detector.
OFFICIAL_URL = "https://paddle-model-ecology.bj.bcebos.com/paddlex/official_pretrained_model/"
OFFICIAL = ("PP-YOLOE_plus_SOD-S", "PP-YOLOE_plus_SOD-L")
DEMO = Path(__file__).parents[2] / "model_repository/PP-YOLOE_plus_SOD-demo_detector/1/model.onnx"
_MAX_BYTES = 1 << 30  # of a download


@dataclass(frozen=True, slots=True)
class PretrainedWeights:
    """Weights to start from.

    Attributes:
        path: an .onnx or .pdparams file.
        variant: a key of `finetune.variants.VARIANTS`.
        names: the classes by id; None if they are not known.
    """

    path: Path
    variant: str
    names: tuple[str, ...] | None


def find_pretrained(base: str) -> PretrainedWeights:
    """Find the weights that the user named: "demo", an official model, or a .pdparams file.

    Raises:
        FinetuneError: the name is none of these, or the weights are of an architecture that cannot be trained here.
        DownloadError: an official model cannot be downloaded.
    """
    if base == "demo":
        return PretrainedWeights(DEMO, "demo", CLASSES)
    if base in OFFICIAL:
        return PretrainedWeights(_official(base), base, CLASSES)
    path = Path(base)
    if path.suffix != ".pdparams":
        msg = f"BASE is {base!r}, but must be demo, {', '.join(OFFICIAL)} or a file *.pdparams"
        raise FinetuneError(msg)
    variant = variant_of(read_pdparams(path))
    if variant is None:
        msg = f"{path} holds no weights of PP-YOLOE+ SOD for 640 px (demo, S or L)"
        raise FinetuneError(msg)
    return PretrainedWeights(path.resolve(), variant, _class_names(path))


def _class_names(path: Path) -> tuple[str, ...] | None:
    """The class names that an earlier training stored beside its weights; None if there are none."""
    file = path.with_suffix(".classes.json")
    return tuple(json.loads(file.read_text(encoding="utf-8"))) if file.is_file() else None


def _official(name: str) -> Path:
    """Path of an official model's trained parameters, downloaded once.

    The checksum of the first download is recorded; a file that differs from it is refused.
    """
    file = f"{name}_pretrained.pdparams"
    url = httpx.URL((os.environ.get(MIRROR_VARIABLE) or OFFICIAL_URL).rstrip("/") + f"/{file}")
    cache = default_cache_dir()
    cache.mkdir(parents=True, exist_ok=True)
    path, lock = cache / file, cache / LOCK_NAME
    pin = read_pins(lock).get(file)
    if not path.exists():
        part = path.with_suffix(".part")
        try:
            download(url, part, max_bytes=_MAX_BYTES, progress=True)
        except DownloadError as error:
            msg = (
                f"{name} cannot be downloaded: {error}; download {without_secrets(url)} by other means to {path}, or "
                "start with BASE=demo"
            )
            raise DownloadError(msg) from error
        if pin is None:
            write_pin(lock, file, Pin(without_secrets(url), part.stat().st_size, sha256(part), {}))
            pin = read_pins(lock)[file]
        if sha256(part) != pin.sha256:
            part.unlink()
            msg = (
                f"{without_secrets(url)} has changed: its checksum is not the one recorded in {lock}. Delete that "
                "entry to accept the new file"
            )
            raise FinetuneError(msg)
        part.replace(path)
    elif pin is not None and sha256(path) != pin.sha256:
        msg = f"{path} has changed: its checksum is not the one recorded in {lock}. Delete the file to download it anew"
        raise FinetuneError(msg)
    return path
