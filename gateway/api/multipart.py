"""`multipart/form-data` to its parts, read as a stream and kept in memory: no file is made.

What bounds it: `BodyLimit` counts the bytes as they come, the number of parts is limited here, and their headers by the
parser.
"""

from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from python_multipart import MultipartParser
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import parse_options_header

from gateway.errors import InvalidRequestError

if TYPE_CHECKING:
    from python_multipart.multipart import MultipartCallbacks

_FORM_DATA = b"multipart/form-data"


@dataclass(slots=True)
class Part:
    """One part.

    Attributes:
        name: of the form's field.
        is_file: It has a file name, or a content type that is no text.
        content: Its bytes.
    """

    name: str = ""
    is_file: bool = False
    content: bytearray = field(default_factory=bytearray)


async def read_parts(content_type: str, body: AsyncIterator[bytes], *, max_parts: int) -> list[Part]:
    """Read the parts of a form.

    Args:
        content_type: The header, with the boundary.
        body: The chunks of the body.
        max_parts: More are refused as soon as they come.

    Raises:
        InvalidRequestError: it is not well-formed, ends early, or has too many parts.
    """
    boundary = parse_options_header(content_type)[1].get(b"boundary")
    if not boundary:
        raise _malformed("its Content-Type names no boundary")
    collector = _Collector(max_parts)
    try:
        parser = MultipartParser(boundary, collector.callbacks())
        async for chunk in body:
            if chunk:
                parser.write(chunk)
    except FormParserError as error:
        reason = str(error)
        raise _malformed(f"{reason[:1].lower()}{reason[1:]}") from None
    if not collector.ended:
        raise _malformed("it ends before its last boundary")
    return collector.parts


class _Collector:
    """What the parser calls."""

    def __init__(self, max_parts: int) -> None:
        self._max_parts = max_parts
        self._headers: dict[bytes, bytes] = {}
        self._name, self._value = bytearray(), bytearray()
        self.parts: list[Part] = []
        self.ended = False

    def callbacks(self) -> "MultipartCallbacks":
        return {
            "on_part_begin": self._begin_part,
            "on_header_field": lambda data, start, end: self._name.extend(data[start:end]),
            "on_header_value": lambda data, start, end: self._value.extend(data[start:end]),
            "on_header_end": self._end_header,
            "on_headers_finished": self._end_headers,
            "on_part_data": lambda data, start, end: self.parts[-1].content.extend(data[start:end]),
            "on_end": self._end,
        }

    def _begin_part(self) -> None:
        if len(self.parts) == self._max_parts:
            raise InvalidRequestError(
                [{"type": "too_many_parts", "loc": "body", "msg": f"The form has more than {self._max_parts} parts"}]
            )
        self.parts.append(Part())
        self._headers = {}

    def _end_header(self) -> None:
        self._headers[bytes(self._name).lower()] = bytes(self._value)
        self._name, self._value = bytearray(), bytearray()

    def _end_headers(self) -> None:
        options = parse_options_header(self._headers.get(b"content-disposition"))[1]
        if b"name" not in options:
            raise _malformed("a part has no Content-Disposition with a name")
        part = self.parts[-1]
        part.name = options[b"name"].decode("utf-8", "replace")
        kind = parse_options_header(self._headers.get(b"content-type"))[0]
        part.is_file = b"filename" in options or kind.startswith(b"image/") or kind == b"application/octet-stream"

    def _end(self) -> None:
        self.ended = True


def _malformed(reason: str) -> InvalidRequestError:
    message = f"The body is not well-formed multipart/form-data: {reason}"
    return InvalidRequestError([{"type": "multipart_invalid", "loc": "body", "msg": message}])
