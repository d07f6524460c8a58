"""Security headers: browsers may load and run nothing from a response, except from the pages."""

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

_EDGE_FOLDER = "/edge/"
# The demo page, the documentation, and the files of both; and the web app. None has inline scripts or styles.
_PAGES = frozenset({"/", "/docs"})
_PAGE_FOLDERS = ("/static/", _EDGE_FOLDER)

_COMMON = {
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "x-frame-options": "DENY",
    "cross-origin-resource-policy": "same-origin",  # pages of other origins need CORS
}
_API = _COMMON | {
    "content-security-policy": "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
}
_PAGE = _COMMON | {
    # Images and the camera's stream are blob: and data: URLs; requests go to the gateway only.
    "content-security-policy": "default-src 'none'; script-src 'self'; style-src 'self'; font-src 'self'; "
    "img-src 'self' blob: data:; media-src 'self' blob:; connect-src 'self'; manifest-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "cross-origin-opener-policy": "same-origin",
    "permissions-policy": "camera=(self), microphone=(), geolocation=()",
}
# The web app compiles WebAssembly. Browsers give it threads only if it is isolated from other origins.
_EDGE = _PAGE | {
    "content-security-policy": "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; worker-src 'self'; "
    "style-src 'self'; img-src 'self' blob: data:; media-src 'self' blob:; connect-src 'self'; manifest-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "cross-origin-embedder-policy": "require-corp",
}
_HSTS = {"strict-transport-security": "max-age=31536000"}
# As a list of bytes, which the server sends without conversion.
_API_LIST = [(name.encode(), value.encode()) for name, value in {"cache-control": "no-store", **_API}.items()]
_HSTS_LIST = [(name.encode(), value.encode()) for name, value in _HSTS.items()]


def is_page(path: str) -> bool:
    """Whether `path` is a page or one of its files."""
    return path in _PAGES or path.startswith(_PAGE_FOLDERS)


def api_headers(scheme: str) -> list[tuple[bytes, bytes]]:
    """The headers that `SecurityHeaders` adds to a response that is no page."""
    return _API_LIST + _HSTS_LIST if scheme == "https" else _API_LIST


class SecurityHeaders:
    """ASGI middleware: sets the security headers of every response, and HSTS if it is sent over TLS."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Run the application."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        path = scope["path"]
        if is_page(path):
            policy, caching = (_EDGE if path.startswith(_EDGE_FOLDER) else _PAGE), "no-cache"
        else:
            policy, caching = _API, "no-store"

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers.setdefault("cache-control", caching)
                headers.update(policy)
                if scope.get("scheme") == "https":
                    headers.update(_HSTS)
            await send(message)

        await self._app(scope, receive, send_with_headers)
