"""API keys: who may use the gateway.

A key is 256 random bits, so the settings can hold its plain SHA-256: there is nothing to guess that a salt or a slow
hash would protect.
"""

import hashlib
import hmac
import json
import re
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field
from http import HTTPStatus

from starlette.types import ASGIApp, Receive, Scope, Send

from gateway.error_responses import error_response

# What needs no key: probes, the demo page and the documentation with their files.
_OPEN_PATHS = frozenset({"/", "/health", "/docs", "/openapi.json"})
_OPEN_FOLDERS = ("/health/", "/static/")

# In the ASGI scope: the name of the key that the request came with.
KEY_NAME = "sod.api_key_name"

_NAME = re.compile(r"[A-Za-z0-9._-]{1,64}")
_DIGEST = re.compile(r"[0-9A-Fa-f]{64}")
_PREFIX = "sod_"  # so that scanners, and people, know a leaked key for what it is
_HOW_TO_MAKE = "`python -m gateway --new-api-key NAME` makes one"
_CHALLENGE = {"WWW-Authenticate": "Bearer"}


@dataclass(frozen=True, slots=True)
class ApiKey:
    """A key as the settings hold it.

    Attributes:
        name: Whose it is; several keys may share one, so that a new key can be handed out before the old one goes.
        digest: SHA-256 of the key, 32 bytes.
    """

    name: str
    digest: bytes = field(repr=False)


def new_api_key(name: str) -> tuple[str, str]:
    """A fresh key and its entry for the settings.

    Raises:
        ValueError: `name` cannot be a key's name; the text says why.
    """
    if not _NAME.fullmatch(name):
        raise ValueError("a key's name is 1 to 64 of the characters A-Z a-z 0-9 . _ -")
    key = _PREFIX + secrets.token_urlsafe(32)
    return key, f"{name}:{hashlib.sha256(key.encode()).hexdigest()}"


def parse_api_keys(value: object) -> object:
    """The setting's entries, `name:sha256hex`, from a comma-separated text or a JSON list.

    Anything but a text is left as it is.

    Raises:
        ValueError: an entry is malformed, or there is none. The text tells which by its place and never shows it: it
            may be a key that somebody put there by mistake.
    """
    if not isinstance(value, str):
        return value
    entries = _split(value)
    keys: list[ApiKey] = []
    for place, entry in enumerate(entries, 1):
        name, colon, digest = entry.partition(":")
        which = f"entry {place} of {len(entries)}"
        if not colon or not _NAME.fullmatch(name):
            raise ValueError(f"{which} is not `name:sha256hex`, the name of A-Z a-z 0-9 . _ -; {_HOW_TO_MAKE}")
        if not _DIGEST.fullmatch(digest):
            raise ValueError(
                f"{which}: what follows the colon is not a SHA-256 in 64 hexadecimal digits (the key itself does not "
                f"belong here); {_HOW_TO_MAKE}"
            )
        key = ApiKey(name, bytes.fromhex(digest))
        if any(key.digest == other.digest for other in keys):
            raise ValueError(f"{which} repeats the key of an earlier one")
        keys.append(key)
    return tuple(keys)


def is_open(path: str) -> bool:
    """Whether `path` is answered without a key."""
    return path in _OPEN_PATHS or path.startswith(_OPEN_FOLDERS)


class ApiKeys:
    """ASGI middleware: without a known key there is 401, except on open paths.

    The key comes as `Authorization: Bearer …` or `X-API-Key: …`. Its digest is compared with that of every entry, each
    in constant time, so that the time of an answer tells neither how near a guess is nor which entry it meets.
    """

    def __init__(self, app: ASGIApp, keys: Sequence[ApiKey]) -> None:
        self._app = app
        self._keys = tuple(keys)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Run the application with the key's name in its scope, or refuse."""
        if scope["type"] != "http" or is_open(scope["path"]):
            await self._app(scope, receive, send)
            return
        sent = _sent_keys(scope)
        if len(sent) == 1:
            name = self._owner(sent.pop())
            if name is not None:
                scope[KEY_NAME] = name  # in place: the log outside of this may want it
                await self._app(scope, receive, send)
                return
            problem = "The API key is not one that this server knows"
        elif sent:
            problem = "The request has several API keys: send one"
        else:
            problem = "This server asks for an API key: send `Authorization: Bearer <key>` or `X-API-Key: <key>`"
        await error_response(HTTPStatus.UNAUTHORIZED, problem, _CHALLENGE)(scope, receive, send)

    def _owner(self, sent: bytes) -> str | None:
        digest = hashlib.sha256(sent).digest()
        owner = None
        for key in self._keys:  # all of them, whichever matches
            if hmac.compare_digest(digest, key.digest):
                owner = key.name
        return owner


def _sent_keys(scope: Scope) -> set[bytes]:
    """The different keys of a request, as bytes: no header is malformed for them, only unknown."""
    found: set[bytes] = set()
    for name, value in scope["headers"]:
        if name == b"x-api-key":
            found.add(value.strip())
        elif name == b"authorization":
            # Another scheme is somebody else's, a proxy's perhaps.
            scheme, _, token = value.strip().partition(b" ")
            if scheme.lower() == b"bearer":
                found.add(token.strip())
    return found - {b""}


def _split(text: str) -> list[str]:
    if text.lstrip().startswith("["):
        try:
            document = json.loads(text)
        except ValueError:
            document = None
        if not isinstance(document, list) or not all(isinstance(entry, str) for entry in document):
            raise ValueError(f"it begins like a JSON list, and is not one of strings; {_HOW_TO_MAKE}")
        entries = [entry.strip() for entry in document]
    else:
        entries = [entry.strip() for entry in text.split(",")]
        if not entries[-1]:  # a comma at the end
            entries.pop()
    if not entries:
        raise ValueError(f"there is no entry in it; leave it unset to ask for no keys, or: {_HOW_TO_MAKE}")
    return entries
