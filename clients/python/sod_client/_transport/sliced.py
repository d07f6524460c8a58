"""Sliced inference by the client: Triton itself takes images, not slices of them.

The slices, and the merging of their objects, are the gateway's: `_shared` links to the same modules.
"""

import io
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from PIL import Image

from sod_client._inputs.pixels import decode_image
from sod_client._results.data import Model
from sod_client._slices import OVERLAP
from sod_client.errors import InvalidConfigError

if TYPE_CHECKING:
    from sod_client._shared.merging import MergeOptions

# Slices of one image that are with Triton at once; the gateway has as many (SOD_SLICE_CONCURRENCY).
_CONCURRENCY = 4
Objects = tuple[Any, Any, Any]
"""Class ids int32 [N], scores float32 [N] and boxes float32 [N, 4] of one image."""


@dataclass(frozen=True)
class SliceRequest:
    """What the field `slice` of a request says, for one model.

    Attributes:
        input_size: (width, height) of the model's input.
        size: (width, height) of a slice.
        overlap: share of a slice that its neighbour covers too, (horizontal, vertical).
        only_if_larger: whether an image of up to 1.5 times the model's input is left whole.
        merging: how the objects are merged.
    """

    input_size: tuple[int, int]
    size: tuple[int, int]
    overlap: tuple[float, float]
    only_if_larger: bool
    merging: "MergeOptions"

    @classmethod
    def of(cls, field: bool | str | dict[str, Any], model: Model, *, agnostic_nms: bool = False) -> "SliceRequest":
        """Read the field.

        Args:
            field: its value.
            model: the model.
            agnostic_nms: whether objects of different classes are merged, too.

        Raises:
            InvalidConfigError: the model's configuration does not state its input size.
        """
        if model.input_size is None:
            raise InvalidConfigError(f"{model.name} does not state its input size: export it again to slice images")
        height, width = model.input_size
        given = field if isinstance(field, dict) else {}
        size, overlap = given.get("size", (width, height)), given.get("overlap", OVERLAP)
        return cls(
            (width, height),
            (size[0], size[1]),
            (overlap[0], overlap[1]),
            field == "auto",
            merge_options(field, agnostic_nms=agnostic_nms),
        )


def merge_options(field: bool | str | dict[str, Any] | None, *, agnostic_nms: bool) -> "MergeOptions":
    """How the objects of slices are merged.

    Args:
        field: the field `slice` of a request.
        agnostic_nms: whether objects of different classes are merged, too.
    """
    # Not at the top: it needs NumPy, which the client needs only where it slices.
    from sod_client._shared.merging import MergeOptions  # noqa: PLC0415

    given = field if isinstance(field, dict) else {}
    default = MergeOptions()
    return MergeOptions(
        given.get("combine", default.combine),
        given.get("matchMetric", default.metric),
        given.get("matchThreshold", default.threshold),
        class_agnostic=agnostic_nms,
    )


def detect_sliced(
    encoded: bytes, image_size: tuple[int, int], request: SliceRequest, detect: Callable[[bytes], Objects]
) -> Objects | None:
    """Detect the objects of all slices of an image and of the whole image, and merge them.

    Args:
        encoded: the encoded image.
        image_size: its (width, height).
        request: how it is sliced.
        detect: detects the objects of one encoded image; several threads call it at once.

    Returns:
        Boxes in pixels of the image; None if it is to be detected whole, because one slice would hold it.

    Raises:
        SodError: a slice failed; the others are left out.
    """
    from sod_client._shared.detections import Detections  # noqa: PLC0415 - see merge_options
    from sod_client._shared.merging import merge_slices  # noqa: PLC0415
    from sod_client._shared.slicing import Slice, is_large, slice_grid  # noqa: PLC0415

    if request.only_if_larger and not is_large(image_size, request.input_size):
        return None
    slices = slice_grid(image_size, request.size, request.overlap)
    if len(slices) == 1:
        return None
    pixels = decode_image(encoded)

    def detect_slice(one: Slice | None) -> Objects:
        if one is None:
            return detect(encoded)
        return detect(_encode(pixels.crop((one.x, one.y, one.x + one.width, one.y + one.height))))

    found = _in_threads(detect_slice, [*slices, None])
    merged = merge_slices(
        [Detections(boxes, scores, class_ids) for class_ids, scores, boxes in found],
        [*slices, Slice(0, 0, *image_size)],
        image_size,
        request.merging,
    )
    return merged.class_ids, merged.scores, merged.boxes


def _encode(image: Image.Image) -> bytes:
    """BMP: uncompressed, because compressing a slice as PNG takes longer than sending it."""
    buffer = io.BytesIO()
    image.save(buffer, "BMP")
    return buffer.getvalue()


def _in_threads(work: Callable[[Any], Objects], inputs: Sequence[Any]) -> list[Objects]:
    """The results in the inputs' order; the first error ends the others and is raised.

    The threads are daemons, so that Ctrl-C does not wait for the slices that are left.
    """
    results: dict[int, Objects] = {}
    errors: list[BaseException] = []
    pending = iter(enumerate(inputs))
    lock = threading.Lock()

    def run() -> None:
        while True:
            with lock:
                index, one = next(pending, (-1, None))
            if index < 0 or errors:
                return
            try:
                results[index] = work(one)
            except BaseException as error:
                errors.append(error)

    threads = [threading.Thread(target=run, name="slice", daemon=True) for _ in range(min(_CONCURRENCY, len(inputs)))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]
    return [results[index] for index in range(len(inputs))]
