"""uvicorn's HTTP/1.1 protocol with the bounds and the strictness that it lacks.

uvicorn keeps request headers and trailers of any size, and loses the body of a request that offers an upgrade: what
comes late is then answered as a second request (request smuggling). Here

- a request's head, its trailers and the framing of its chunks are bounded, before they are kept;
- `Upgrade` is ignored and the body is read (RFC 9110, 7.8);
- a request of HTTP/1.1 has exactly one `Host` (RFC 9112, 3.2);
- a client that has closed its sending side still gets its response.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any
from uuid import uuid4

import httptools
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

_PIECE = 16 * 1024  # bytes parsed at a time; a head is at most so much longer than its limit before it is refused
# Framing of a chunked body: small chunks have a few bytes for each one of content.
_FRAMING_RATIO = 8
_LINGER_S = 0.5  # for a client that still sends to read why it was refused
# A half-closed connection looks like a closed one until something is written: a closed one resets these.
_PROBES_S = (0.0, 0.25, 1.0)
_PROBE = b"HTTP/1.1 102 Processing\r\n\r\n"
_UPGRADE_HEADERS = (b"upgrade", b"connection", b"http2-settings")


@dataclass(frozen=True, slots=True)
class HeadLimits:
    """Bounds of what surrounds a request's body.

    Attributes:
        size: bytes of the request line and headers, of the trailers, and of the framing of a chunked body.
        count: headers of a request.
        refused: called with the kind of each refusal.
    """

    size: int = 64 * 1024
    count: int = 256
    refused: Callable[[str], None] = lambda _: None


class _RefusedError(Exception):
    """Stops the parser; the protocol answers."""

    def __init__(self, status: HTTPStatus, kind: str, message: str) -> None:
        super().__init__(message)
        self.status, self.kind, self.message = status, kind, message


class StrictHttpProtocol(HttpToolsProtocol):
    """One connection."""

    def __init__(self, *args: Any, head_limits: HeadLimits, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.parser = self._new_parser()
        self._head_limits = head_limits
        self._in_head = True
        self._head_size = 0  # of the parts that are complete
        self._unparsed = 0  # fed since the last part was complete
        self._body_size = 0
        self._framing = 0
        self._trailers = 0
        self._replaying = False
        self._upgrade_offered = False
        self._refusal: _RefusedError | None = None

    def data_received(self, data: bytes) -> None:
        """Parse what came, in pieces."""
        if self._refusal is not None:
            return
        self._unset_keepalive_if_required()
        view, position = memoryview(data), 0
        while position < len(view) and self._refusal is None and self.parser is not None:
            try:
                # The end of a body is unknown here, but a small piece of it would cost as much as a large one.
                position += self._feed(view[position : position + _PIECE] if self._in_head else view[position:])
            except _RefusedError as refusal:
                self._refuse(refusal)
            except httptools.HttpParserError as error:
                cause = error.__context__
                if not isinstance(cause, _RefusedError):
                    cause = _RefusedError(HTTPStatus.BAD_REQUEST, "http", "The request is not valid HTTP/1.1")
                self._refuse(cause)

    def _feed(self, piece: memoryview) -> int:
        """Parse a piece; returns how many bytes of it were parsed."""
        in_head, body_size, head_size = self._in_head, self._body_size, self._head_size
        try:
            self.parser.feed_data(piece)
        except httptools.HttpParserUpgrade as upgrade:
            self._ignore_upgrade()
            return int(upgrade.args[0])
        if self._in_head:
            self._unparsed = self._unparsed + len(piece) if in_head and self._head_size == head_size else 0
            self._check_head()
        elif not in_head and self._body_size >= body_size:
            self._framing += len(piece) - (self._body_size - body_size)
            if self._framing > self._head_limits.size + _FRAMING_RATIO * self._body_size:
                raise _RefusedError(
                    HTTPStatus.BAD_REQUEST,
                    "framing",
                    "The request body has too many bytes beside its content: send larger chunks without extensions",
                )
        return len(piece)

    def _check_head(self) -> None:
        size, count = self._head_limits.size, self._head_limits.count
        if self._head_size + self._unparsed > size:
            raise _too_large(f"The request's headers have more than {size:,} bytes: send fewer or shorter ones")
        if len(self.headers or ()) > count:
            raise _too_large(f"The request has more than {count:,} headers: send fewer")

    def _new_parser(self) -> Any:
        parser = httptools.HttpRequestParser(self)
        # As uvicorn's own: what follows a request with `Connection: close` does not harm its response.
        parser.set_dangerous_leniencies(lenient_data_after_close=True)
        return parser

    def _ignore_upgrade(self) -> None:
        """Read the body of a request that offers an upgrade: by a parser that is told nothing of the offer."""
        lines = [b"%s %s HTTP/%s" % (self.parser.get_method(), self.url, self.parser.get_http_version().encode())]
        lines += [b"%s: %s" % (name, value) for name, value in self.headers if name not in _UPGRADE_HEADERS]
        if not self.cycle.keep_alive:
            lines.append(b"connection: close")
        self.parser = self._new_parser()
        self._replaying, self._upgrade_offered = True, False
        self.parser.feed_data(b"\r\n".join(lines) + b"\r\n\r\n")
        self._replaying = False

    def on_message_begin(self) -> None:
        """Begin a head."""
        if self._replaying:
            return
        self._in_head = True
        self._head_size = self._unparsed = self._body_size = self._framing = self._trailers = 0
        super().on_message_begin()

    def on_url(self, url: bytes) -> None:
        """Count the request line."""
        if self._replaying:
            return
        self._head_size += len(url)
        self._check_head()
        super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        """Count a header; a trailer is counted and dropped."""
        if self._replaying:
            return
        size = len(name) + len(value) + 4
        if not self._in_head:
            self._trailers += size
            if self._trailers > self._head_limits.size:
                raise _too_large(f"The request's trailers have more than {self._head_limits.size:,} bytes")
            return
        self._head_size += size
        super().on_header(name, value)
        self._unparsed = 0
        self._check_head()

    def on_headers_complete(self) -> None:
        """Check the head as a whole."""
        if self._replaying:
            return
        self._in_head = False
        hosts = sum(name == b"host" for name, _ in self.headers)
        if hosts != 1 and (hosts > 1 or self.parser.get_http_version() == "1.1"):
            raise _RefusedError(
                HTTPStatus.BAD_REQUEST, "host", f"The request has {hosts} Host headers: HTTP/1.1 wants exactly one"
            )
        self._upgrade_offered = self.parser.should_upgrade()
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """Count what is content."""
        self._body_size += len(body)
        super().on_body(body)

    def on_message_complete(self) -> None:
        """The parser takes an offer of an upgrade for the end of the request; the body is still to come."""
        if not self._upgrade_offered:
            self._in_head = True  # the next one's
            self._head_size = self._unparsed = 0
            super().on_message_complete()

    def eof_received(self) -> bool | None:  # type: ignore[override]
        """The client sends no more; a request that is complete is still answered.

        Returns:
            Whether to keep the connection open for writing.
        """
        cycle = self.cycle
        if self.scheme == "https" or cycle is None or cycle.response_complete or cycle.more_body:
            return None
        cycle.keep_alive = False
        for delay in _PROBES_S:
            self.loop.call_later(delay, self._probe, cycle)
        return True

    def _probe(self, cycle: Any) -> None:
        if not (cycle.response_started or cycle.disconnected or self.transport.is_closing()):
            self.transport.write(_PROBE)

    def _refuse(self, refusal: _RefusedError) -> None:
        """Answer and close; a response that is under way is finished or cut instead."""
        self._refusal = refusal
        self._head_limits.refused(refusal.kind)
        cycle = self.cycle
        if cycle is not None and not cycle.response_complete:
            if self._in_head:  # another request's
                cycle.keep_alive = False
                return
            cycle.disconnected = True
            cycle.message_event.set()
            if cycle.response_started:
                self.transport.abort()
                return
        body = json.dumps({"logId": str(uuid4()), "errorCode": refusal.status, "errorMsg": refusal.message}).encode()
        self.transport.write(
            STATUS_LINE[refusal.status]
            + b"content-type: application/json\r\nconnection: close\r\ncontent-length: %d\r\n\r\n" % len(body)
            + body
        )
        self.loop.call_later(_LINGER_S, self.transport.close)


def _too_large(message: str) -> _RefusedError:
    return _RefusedError(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, "headers", message)
