"""The message of an inference request: its tensors as gRPC sends them.

The bytes are joined here because `tritonclient.grpc.aio` copies an image of 1.2 MB so often that the event loop is
blocked for 3 ms, and protobuf's own message takes three times as long to build.
"""

import struct
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray
from tritonclient.grpc import service_pb2

from gateway.inference.postprocess import PostprocessOptions
from sod import interface
from sod.image import scale_factor, to_pixels

_LENGTH = struct.Struct("<I")  # precedes each element of a BYTES tensor
# In protobuf's wire format: the number of the field, and the wire type of length-delimited content.
_RAW_TAG = bytes((service_pb2.ModelInferRequest.RAW_INPUT_CONTENTS_FIELD_NUMBER << 3 | 2,))


@dataclass(frozen=True, slots=True)
class ResizedImage:
    """An image at the size of the detector's input, as the stage `preprocess` makes it.

    Attributes:
        pixels: uint8 [H, W, 3], RGB.
        scale_factor: float32 [2], (scale_y, scale_x), its size divided by the source's.
    """

    pixels: NDArray[np.uint8]
    scale_factor: NDArray[np.float32]

    @classmethod
    def of(cls, image: NDArray[np.uint8], size: tuple[int, int]) -> Self:
        """Resize an image, uint8 [H, W, 3], BGR, to the detector's (height, width)."""
        return cls(to_pixels(image, size), scale_factor(image, size))


def serialize_request(image: bytes | ResizedImage, options: PostprocessOptions, model: str) -> bytes:
    """Serialise a `ModelInferRequest`, copying the image once.

    Args:
        image: An encoded image, or pixels for the ensemble's second entrance.
        options: For the last stage.
        model: Name of the ensemble.
    """
    request = service_pb2.ModelInferRequest(model_name=model)
    contents: list[tuple[bytes | memoryview, ...]] = []

    def add(name: str, datatype: str, shape: tuple[int, ...], *content: bytes | memoryview) -> None:
        request.inputs.add(name=name, datatype=datatype, shape=[1, *shape])
        contents.append(content)

    if isinstance(image, bytes):
        add(interface.IMAGE, "BYTES", (1,), _LENGTH.pack(len(image)), image)
    else:
        add(interface.PIXELS, "UINT8", image.pixels.shape, image.pixels.data.cast("B"))
        add(interface.SCALE_FACTOR, "FP32", (2,), image.scale_factor.tobytes())
    add(interface.SCORE_THRESHOLD, "FP32", (len(options.thresholds),), options.thresholds.tobytes())
    if options.iou_threshold is not None:
        add(interface.IOU_THRESHOLD, "FP32", (1,), np.float32(options.iou_threshold).tobytes())
    if options.class_agnostic:
        add(interface.CLASS_AGNOSTIC, "BOOL", (1,), b"\x01")
    # Protobuf allows the fields in any order; repeated values of one field keep theirs.
    return b"".join((request.SerializeToString(), *(part for content in contents for part in _raw_input(content))))


def image_size(image: bytes | ResizedImage) -> int:
    """Bytes of the image as it is sent."""
    return len(image) if isinstance(image, bytes) else image.pixels.nbytes


def _raw_input(content: tuple[bytes | memoryview, ...]) -> tuple[bytes | memoryview, ...]:
    """The parts of one `raw_input_contents` field: tag, length as a varint, content."""
    length, varint = sum(map(len, content)), bytearray()
    while length > 0x7F:
        varint.append(length & 0x7F | 0x80)
        length >>= 7
    varint.append(length)
    return _RAW_TAG, bytes(varint), *content
