"""What the samples of a TIFF are, for those that cannot be converted to 8 bits.

Samples of 8 bits are used as they are, and samples of 16 bits keep their upper byte (value // 256), as in OpenCV and
PaddleX. All others have no fixed black and white. Source: TIFF 6.0.
"""

import struct

_BITS, _PHOTOMETRIC, _SAMPLES, _SAMPLE_FORMAT = 258, 262, 277, 339
_UNSIGNED = 1
_FORMATS = {2: "signed integer", 3: "floating-point", 5: "complex integer", 6: "complex"}
_COLOUR = (2, 3, 5, 6, 8)  # RGB, palette, CMYK, YCbCr, Lab


def is_signed(data: bytes) -> bool:
    """Whether an image is a TIFF of signed integers, which OpenCV would read as unsigned ones: black as white."""
    return data[:2] in (b"II", b"MM") and _tags(data).get(_SAMPLE_FORMAT, _UNSIGNED) == 2


def describe_problem(data: bytes) -> str | None:
    """Why the samples or bands of a TIFF cannot be read, and what to do; None if they are not the reason."""
    if data[:2] not in (b"II", b"MM"):
        return None
    tags = _tags(data)
    bands, bits = tags.get(_SAMPLES, 1), tags.get(_BITS, 8)
    kind = _FORMATS.get(tags.get(_SAMPLE_FORMAT, _UNSIGNED), "unsigned integer")
    if bands > 4 or (bands in (2, 4) and tags.get(_PHOTOMETRIC) not in _COLOUR):
        return (
            f"the TIFF image has {bands} bands, and one (grey), three (red, green, blue) or four (with an alpha that "
            "is dropped) are read: write the three to use to a file of their own, for example with "
            "`gdal_translate -b 3 -b 2 -b 1 -colorinterp red,green,blue in.tif out.tif`"
        )
    if bits > 16 or kind != "unsigned integer":
        return (
            f"the TIFF image has {bits}-bit {kind} samples, which have no fixed black and white: scale them with "
            "`sod predict --stretch`, or save the image with 8 or 16 bits"
        )
    return None


def _tags(data: bytes) -> dict[int, int]:
    """The first value of each tag of the first directory whose type is SHORT or LONG."""
    order = "<" if data[:2] == b"II" else ">"
    found: dict[int, int] = {}
    try:
        (version,) = struct.unpack_from(f"{order}H", data, 2)
        big = version == 43
        pointer, inline = ("Q", 8) if big else ("I", 4)
        (start,) = struct.unpack_from(f"{order}{pointer}", data, 8 if big else 4)
        (count,) = struct.unpack_from(f"{order}{'Q' if big else 'H'}", data, start)
        position = start + (8 if big else 2)
        for _ in range(min(count, 4096)):
            tag, kind, length = struct.unpack_from(f"{order}HH{pointer}", data, position)
            value_at = position + 4 + inline
            if kind in (3, 4):
                if length * (2 if kind == 3 else 4) > inline:
                    (value_at,) = struct.unpack_from(f"{order}{pointer}", data, value_at)
                found.setdefault(tag, struct.unpack_from(f"{order}{'H' if kind == 3 else 'I'}", data, value_at)[0])
            position += 4 + 2 * inline
    except (struct.error, OverflowError):  # it ends early, or BigTIFF gives an offset of more than 63 bits
        pass
    return found
