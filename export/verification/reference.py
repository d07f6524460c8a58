"""What Paddle Inference says of some images: kept on disk, so that a plan can be held to it where no Paddle is.

Needs NumPy only: it is read inside the Triton image.
"""

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from export.errors import ExportError

Raw = tuple[NDArray[np.float32], NDArray[np.float32]]  # boxes [N, A, 4], scores [N, C, A]
Detector = Callable[[NDArray[np.uint8]], Raw]  # from pixels uint8 [N, H, W, 3]


@dataclass(frozen=True, slots=True)
class Reference:
    """Images at the detector's size, and the raw outputs for each.

    Attributes:
        pixels: uint8 RGB [M, H, W, 3].
        boxes: float32 [M, A, 4].
        scores: float32 [M, C, A].
        made_by: what ran, in a few words.
    """

    pixels: NDArray[np.uint8]
    boxes: NDArray[np.float32]
    scores: NDArray[np.float32]
    made_by: str

    @property
    def raw(self) -> Raw:
        """Boxes and scores."""
        return self.boxes, self.scores

    def save(self, path: Path, artefacts: Mapping[str, Path]) -> None:
        """Write it with the digests of the files that it is the reference of.

        Raises:
            ExportError: it cannot be written.
        """
        about = {"made_by": self.made_by, "sha256": {name: digest(file) for name, file in artefacts.items()}}
        part = path.with_name(f".{path.name}.part")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with part.open("wb") as file:
                np.savez(file, pixels=self.pixels, boxes=self.boxes, scores=self.scores, about=json.dumps(about))
            part.replace(path)
        except OSError as error:
            raise ExportError(f"{path} cannot be written: {error.strerror}") from error
        finally:
            part.unlink(missing_ok=True)


def load_reference(path: Path, artefact: Path) -> Reference:
    """Read what `Reference.save` wrote, if it is the reference of this very file.

    Raises:
        ExportError: there is none, or it belongs to another file of that name.
    """
    try:
        with np.load(path, allow_pickle=False) as arrays:
            about = json.loads(str(arrays["about"]))
            reference = Reference(arrays["pixels"], arrays["boxes"], arrays["scores"], about["made_by"])
    except FileNotFoundError:
        raise ExportError(f"{path} is absent: make export TARGET=onnx writes it, where Paddle is installed") from None
    except (OSError, ValueError, KeyError) as error:
        raise ExportError(f"{path} cannot be read: {error}") from error
    if about["sha256"].get(artefact.name) != digest(artefact):
        raise ExportError(f"{path} is the reference of another {artefact.name}: make export TARGET=onnx again")
    return reference


def digest(path: Path) -> str:
    """SHA-256 of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def in_batches(detector: Detector, pixels: NDArray[np.uint8], batch: int) -> Raw:
    """Run a detector on [M, H, W, 3] in batches (the last may be smaller) and join what it gives."""
    parts = [detector(pixels[start : start + batch]) for start in range(0, len(pixels), batch)]
    return np.concatenate([boxes for boxes, _ in parts]), np.concatenate([scores for _, scores in parts])
