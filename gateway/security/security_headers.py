"""Headers that tell browsers what an answer may do: nothing, but for the pages."""

from starlette.types import ASGIApp, Message, Receive, Scope, Send

# The demo page, the documentation, and the files of both. Neither has inline script or style.
_PAGES = frozenset({"/", "/docs"})
_PAGE_FOLDERS = ("/static/",)

_COMMON = {
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "x-frame-options": "DENY",
    "cross-origin-resource-policy": "same-origin",  # a page of another origin reads by CORS or not at all
}
_API = _COMMON | {
    "content-security-policy": "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
}
_PAGE = _COMMON | {
    # Images and the camera's stream are shown as blob: and data: URLs; whatever is sent goes to the gateway.
    "content-security-policy": "default-src 'none'; script-src 'self'; style-src 'self'; font-src 'self'; "
    "img-src 'self' blob: data:; media-src 'self' blob:; connect-src 'self'; manifest-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "cross-origin-opener-policy": "same-origin",
    "permissions-policy": "camera=(self), microphone=(), geolocation=()",
}
_HSTS = (b"strict-transport-security", b"max-age=31536000")

_Lines = tuple[tuple[bytes, bytes], ...]


def _lines(headers: dict[str, str]) -> _Lines:
    return tuple((name.encode(), value.encode()) for name, value in headers.items())


# By whether it is a page: headers that are set, and how long to keep the answer where it does not say.
_POLICIES: dict[bool, tuple[_Lines, tuple[bytes, bytes]]] = {
    False: (_lines(_API), (b"cache-control", b"no-store")),
    True: (_lines(_PAGE), (b"cache-control", b"no-cache")),
}


def is_page(path: str) -> bool:
    """Whether `path` is a page or one of its files."""
    return path in _PAGES or path.startswith(_PAGE_FOLDERS)


class SecurityHeaders:
    """ASGI middleware: sets the headers on every answer, and HSTS on those that go out by TLS."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Run the application."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        policy, caching = _POLICIES[is_page(scope["path"])]
        names = frozenset(name for name, _ in policy)

        async def secured(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = [line for line in message.get("headers", ()) if line[0].lower() not in names]
                if not any(name.lower() == caching[0] for name, _ in headers):
                    headers.append(caching)
                if scope.get("scheme") == "https":
                    headers.append(_HSTS)
                message = {**message, "headers": [*headers, *policy]}
            await send(message)

        await self._app(scope, receive, secured)
