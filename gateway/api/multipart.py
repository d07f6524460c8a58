"""`multipart/form-data` parsed as a stream into parts that stay in memory; no temporary file is written.

`BodyLimit` bounds the bytes, `read_parts` the number of parts, and the parser the size of their headers.
"""

from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from python_multipart import MultipartParser
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import parse_options_header

from gateway.api.validation import InvalidRequestError

if TYPE_CHECKING:
    from python_multipart.multipart import MultipartCallbacks


@dataclass(slots=True)
class Part:
    """One part of a form.

    Attributes:
        name: Name of the form field.
        is_file: Whether it has a file name, or the content type of an image or of binary data.
        content: The bytes of the part.
    """

    name: str = ""
    is_file: bool = False
    content: bytearray = field(default_factory=bytearray)


async def read_parts(content_type: str, body: AsyncIterator[bytes], *, max_parts: int) -> list[Part]:
    """Read the parts of a form.

    Args:
        content_type: The request's header, which names the boundary.
        body: The chunks of the body.
        max_parts: A form with more parts is refused while it is read.

    Raises:
        InvalidRequestError: The form is malformed, ends early, or has too many parts.
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
    """Collects parts from the parser's callbacks."""

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
            message = f"The form has more than {self._max_parts} parts"
            raise InvalidRequestError.single("too_many_parts", "body", message)
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
    return InvalidRequestError.single("multipart_invalid", "body", message)
