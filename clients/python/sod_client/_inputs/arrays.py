"""Converts arrays to the pixels that are sent: uint8 [H, W, 3] in BGR order."""

from typing import Any

from sod_client._inputs.stretch import Stretch, stretch_array
from sod_client.errors import InvalidArrayError

_WANTED = "the array of an image must be [H, W, 3] in BGR order, [H, W, 4] in BGRA order, [H, W] or [H, W, 1]"
_CHANNELS = (1, 3, 4)
_OVERSHOOT = 32  # cubic interpolation of floating-point images goes beyond 0 to 255 by so much


def to_bgr(array: Any, *, stretch: Stretch = "none") -> Any:
    """The pixels of an array, as OpenCV and PaddleX take them.

    Args:
        array: [H, W, 3] BGR, [H, W, 4] BGRA whose alpha is dropped, or grey [H, W] or [H, W, 1]; uint8, uint16, which
            keeps its upper byte, or floating-point numbers from 0 to 255, which are rounded.
        stretch: scale values that are not uint8 with `stretch_array` instead, unless it is `none`; any number is
            accepted then.

    Returns:
        uint8 [H, W, 3], BGR.

    Raises:
        InvalidArrayError: the array has another shape or type, or floating-point numbers of another range.
    """
    if array.ndim == 2:
        array = array[..., None]
    if array.ndim != 3 or array.shape[2] not in _CHANNELS or not array.size:
        hint = "; pass several images as a list" if array.ndim == 4 else ""
        raise InvalidArrayError(f"{_WANTED}, not {_describe(array)}{hint}")
    array = array[..., :3]
    if array.dtype != "uint8":
        is_scaled = stretch != "none" and array.dtype.kind in "iuf"
        array = stretch_array(array, stretch) if is_scaled else _to_8_bits(array)
    return array.repeat(3, axis=2) if array.shape[2] == 1 else array


def _to_8_bits(array: Any) -> Any:
    if array.dtype.newbyteorder("=") == "uint16":
        return (array >> 8).astype("uint8")
    if array.dtype.kind != "f":
        raise InvalidArrayError(
            f"the array of an image must be uint8, uint16 or floating-point numbers from 0 to 255, not "
            f"{_describe(array)}; stretch=True scales other integers"
        )
    low, high = array.min(), array.max()
    if not (low >= -_OVERSHOOT and high <= 255 + _OVERSHOOT):
        raise InvalidArrayError(
            f"floating-point numbers of an image must be from 0 to 255, not {low:g} to {high:g}: stretch=True scales "
            "them"
        )
    if 0 < high <= 1:
        raise InvalidArrayError(
            f"the largest number of the {array.dtype} array is {high:g}, which would be black: multiply it by 255, "
            "or scale it with stretch=True"
        )
    return array.clip(0, 255).round().astype("uint8")


def _describe(array: Any) -> str:
    return f"{array.dtype} [{', '.join(map(str, array.shape))}]"
