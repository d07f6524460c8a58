"""Reference outputs of Paddle Inference, kept on disk so that a plan can be checked where Paddle is not installed.

Needs only NumPy: it is read inside the Triton image.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from export.errors import ExportError
from export.files import replacing, sha256

RawOutputs = tuple[NDArray[np.float32], NDArray[np.float32]]  # boxes [N, A, 4], scores [N, C, A]
Detector = Callable[[NDArray[np.uint8]], RawOutputs]  # takes RGB pixels, uint8 [N, H, W, 3]


@dataclass(frozen=True, slots=True)
class Reference:
    """Images at the size of the detector's input, and the raw outputs for each.

    Attributes:
        pixels: uint8 RGB [M, H, W, 3].
        boxes: float32 [M, A, 4], xyxy in pixels of the input.
        scores: float32 [M, C, A], 0..1.
        made_by: the engine and its settings, in a few words.
    """

    pixels: NDArray[np.uint8]
    boxes: NDArray[np.float32]
    scores: NDArray[np.float32]
    made_by: str

    @property
    def outputs(self) -> RawOutputs:
        """Boxes and scores."""
        return self.boxes, self.scores

    def save(self, path: Path, artefacts: Mapping[str, Path]) -> None:
        """Write the reference, with the digests of the artefacts that it belongs to.

        Raises:
            ExportError: it cannot be written.
        """
        about = {"made_by": self.made_by, "sha256": {name: sha256(file) for name, file in artefacts.items()}}
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with replacing(path) as temporary, temporary.open("wb") as file:
                np.savez(file, pixels=self.pixels, boxes=self.boxes, scores=self.scores, about=json.dumps(about))
        except OSError as error:
            raise ExportError(f"{path} cannot be written: {error.strerror}") from error


def load_reference(path: Path, artefact: Path) -> Reference:
    """Read what `Reference.save` wrote.

    Args:
        path: the reference.
        artefact: the file whose reference it must be, by digest.

    Raises:
        ExportError: there is no reference, it cannot be read, or it belongs to another artefact.
    """
    try:
        with np.load(path, allow_pickle=False) as arrays:
            about = json.loads(str(arrays["about"]))
            reference = Reference(arrays["pixels"], arrays["boxes"], arrays["scores"], about["made_by"])
    except FileNotFoundError:
        raise ExportError(f"{path} is missing: run `make export TARGET=onnx` where Paddle is installed") from None
    except (OSError, ValueError, KeyError) as error:
        raise ExportError(f"{path} cannot be read: {error}") from error
    if about["sha256"].get(artefact.name) != sha256(artefact):
        raise ExportError(f"{path} is the reference of another {artefact.name}: run `make export TARGET=onnx` again")
    return reference


def run_in_batches(detector: Detector, pixels: NDArray[np.uint8], batch: int) -> RawOutputs:
    """Run a detector on uint8 [M, H, W, 3] in batches, of which the last may be smaller, and join the outputs."""
    parts = [detector(pixels[start : start + batch]) for start in range(0, len(pixels), batch)]
    return np.concatenate([boxes for boxes, _ in parts]), np.concatenate([scores for _, scores in parts])
