"""Decodes images with Pillow to the pixels that the server sees (`sod/image.py`): 8 bits, RGB, upright.

Samples of 16 bits keep their upper byte (value // 256), as in OpenCV and PaddleX. Samples of 32 bits and floating-point
numbers have no fixed black and white, so they are refused; `stretch` scales them.
"""

import io
import warnings
from importlib import import_module

from PIL import Image, ImageOps, UnidentifiedImageError

from sod_client._inputs.exif import QUARTER_TURNS, orientation_of
from sod_client._inputs.headers import tiff_pages
from sod_client.errors import SodWarning, UnreadableFileError

# JPEG, PNG, WebP, BMP, TIFF and BigTIFF: what the server reads.
_SERVER_SIGNATURES = (b"\xff\xd8", b"\x89PNG\r\n\x1a\n", b"RIFF", b"BM", b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_CONVERTED_FORMATS = ("PPM", "SUN", "DIB", "GIF", "JPEG2000", "AVIF")
_HEIC_BRANDS = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1")
_UNREADABLE = (OSError, ValueError, SyntaxError, EOFError, Image.DecompressionBombError)
_PHOTOMETRIC, _MIN_IS_WHITE = 262, 0
# The largest value of an image with 16 bits whose upper bytes are so few that it looks black: that of 14 bits.
_DARK = 64
_MANY_PIXELS = 2**26
# By EXIF orientation. Pillow turns a TIFF by itself.
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


def decode_image(content: bytes, frame: int = 0) -> Image.Image:
    """Decode an image to RGB and apply its EXIF orientation, as the server does.

    Args:
        content: the encoded image.
        frame: of a TIFF that has several, from 0.

    Raises:
        UnreadableFileError: Pillow cannot decode it, or its samples are neither 8 nor 16 bits.
    """
    try:
        with Image.open(io.BytesIO(content)) as image:
            image.seek(frame)
            image.info.pop("xmp", None)  # Pillow would turn a TIFF by it, which the server does not
            turn = _TURNS.get(orientation_of(content))
            decoded = to_rgb(image)
            return decoded if turn is None else decoded.transpose(turn)
    except UnreadableFileError:
        raise
    except _UNREADABLE as error:
        raise _unreadable(error) from error


def decoded_size(content: bytes) -> tuple[int, int]:
    """Width and height of `decode_image`, read from the header alone.

    Raises:
        UnreadableFileError: Pillow cannot read the header.
    """
    try:
        with Image.open(io.BytesIO(content)) as image:
            is_turned = orientation_of(content) in QUARTER_TURNS
            return (image.height, image.width) if is_turned else (image.width, image.height)
    except _UNREADABLE as error:
        raise _unreadable(error) from error


def to_png(image: Image.Image) -> bytes:
    """Encode an image as PNG, with the fastest compression."""
    buffer = io.BytesIO()
    image.save(buffer, "PNG", compress_level=1)
    return buffer.getvalue()


def to_sendable(content: bytes) -> bytes:
    """An image in a format that the server reads: itself, or the first frame of another format as PNG.

    Other formats are PPM, PGM, PBM, PNM, Sun raster, DIB, GIF, JPEG 2000, AVIF, and HEIC if pillow-heif is installed.

    Raises:
        UnreadableFileError: the format is HEIC, and pillow-heif is not installed; or the image is damaged.
    """
    if content.startswith(_SERVER_SIGNATURES):
        return content
    is_heic = content[4:8] == b"ftyp" and content[8:12] in _HEIC_BRANDS
    if is_heic:
        try:
            import_module("pillow_heif").register_heif_opener()
        except ImportError as error:
            raise UnreadableFileError(
                "reading HEIC requires pillow-heif: pip install pillow-heif, or save the image as JPEG"
            ) from error
    try:
        with Image.open(io.BytesIO(content), formats=_CONVERTED_FORMATS + (("HEIF",) if is_heic else ())) as image:
            if image.format == "AVIF":
                return to_png(ImageOps.exif_transpose(image.convert("RGB")))
            return to_png(to_rgb(image))
    except UnidentifiedImageError:
        return content  # the server says what is wrong with it
    except UnreadableFileError:
        raise
    except _UNREADABLE as error:
        raise _unreadable(error) from error


def warn_if_dark(name: str, content: bytes, frame: int = 0) -> None:
    """Warn of an image with 16 bits that uses so few of them, 12 for example, that its upper bytes are almost black."""
    is_16_bit_png = content.startswith(b"\x89PNG") and content[24:25] == b"\x10"
    pages = tiff_pages(io.BytesIO(content))
    # Pillow warns of images that are far over the server's limit; the server refuses them with a sentence.
    if not (is_16_bit_png or pages) or any(page.size[0] * page.size[1] > _MANY_PIXELS for page in pages):
        return
    try:
        with Image.open(io.BytesIO(content)) as image:
            image.seek(frame)
            if bits_of(image, content) != 16:
                return
            brightest = max(high for _, high in to_rgb(image).getextrema())  # type: ignore[misc]
    except _UNREADABLE:
        return  # the server says what is wrong with it
    if brightest < _DARK:
        warnings.warn(
            f"{name}: the image has 16 bits but no value above {256 * brightest + 255}, so it looks almost black: "
            "pass --stretch, or stretch=True, to scale its values",
            SodWarning,
            stacklevel=2,
        )


def bits_of(image: Image.Image, content: bytes) -> int:
    """Bits of a sample, by the header; 8 if it does not say."""
    if image.format == "PNG":
        return content[24]  # the first chunk, IHDR: length, kind, width, height, bits
    tags = getattr(image, "tag_v2", None)
    bits = None if tags is None else tags.get(258)
    return int(bits[0]) if bits else 8


def is_negative(image: Image.Image) -> bool:
    """Whether 0 stands for white in a TIFF's samples."""
    tags = getattr(image, "tag_v2", None)
    return tags is not None and tags.get(_PHOTOMETRIC) == _MIN_IS_WHITE


def to_rgb(image: Image.Image) -> Image.Image:
    """8 bits and three channels: 16 bits keep their upper byte, an alpha is dropped.

    Raises:
        UnreadableFileError: the samples are 32-bit integers or floating-point numbers.
    """
    is_16_bit = image.mode.startswith("I;16") or (image.mode == "I" and image.format == "PPM")
    if not is_16_bit:
        if image.mode in ("I", "F"):
            kind = "floating-point" if image.mode == "F" else "integer"
            raise UnreadableFileError(
                f"the image has 32-bit {kind} samples, which have no fixed black and white: pass --stretch, or "
                "stretch=True, to scale them, or save it with 8 or 16 bits"
            )
        return image.convert("RGB")
    scale, offset = (-1 / 256, 65535 / 256) if is_negative(image) else (1 / 256, 0.0)
    return image.convert("I").point(lambda value: value * scale + offset).convert("L").convert("RGB")


def _unreadable(error: Exception) -> UnreadableFileError:
    detail = "" if isinstance(error, UnidentifiedImageError) else f": {error}"
    return UnreadableFileError(f"the image cannot be decoded{detail}")
