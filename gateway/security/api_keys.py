"""API keys: who may use the gateway.

The settings hold the plain SHA-256 of each key. A key is 256 random bits, so it cannot be guessed, and neither a salt
nor a slow hash would add protection.
"""

import hashlib
import hmac
import json
import re
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from pathlib import Path

from starlette.types import ASGIApp, Receive, Scope, Send

from gateway.error_responses import error_response
from gateway.observability import metrics

# Paths without a key: probes, the demo page, the web app and the documentation with their files.
_OPEN_PATHS = frozenset({"/", "/health", "/docs", "/openapi.json", "/edge"})
_OPEN_FOLDERS = ("/health/", "/static/", "/edge/")

# Key of the ASGI scope that holds the name of the request's API key.
KEY_NAME = "sod.api_key_name"

_NAME = re.compile(r"[A-Za-z0-9._-]{1,64}")
_DIGEST = re.compile(r"[0-9A-Fa-f]{64}")
_PREFIX = "sod_"  # lets secret scanners recognise a leaked key
_HOW_TO_MAKE = "`python -m gateway --new-api-key NAME` makes one"
_CHALLENGE = {"WWW-Authenticate": "Bearer"}


@dataclass(frozen=True, slots=True)
class ApiKey:
    """A key in the settings.

    Attributes:
        name: Name of its owner; several keys may share it, so that a key can be replaced without downtime.
        digest: SHA-256 of the key, 32 bytes.
    """

    name: str
    digest: bytes = field(repr=False)


def new_api_key(name: str) -> tuple[str, str]:
    """Generate a key and its entry for the settings.

    Raises:
        ValueError: `name` is not a valid name; the text says what is.
    """
    if not _NAME.fullmatch(name):
        raise ValueError("a key's name is 1 to 64 of the characters A-Z a-z 0-9 . _ -")
    key = _PREFIX + secrets.token_urlsafe(32)
    return key, f"{name}:{hashlib.sha256(key.encode()).hexdigest()}"


def parse_api_keys(value: object) -> object:
    """Parse entries `name:sha256hex` from a comma-separated string or a JSON list.

    Other types are returned unchanged.

    Raises:
        ValueError: An entry is malformed, or there is none. The text gives the entry's position and never its content,
            which may be a key that was put there by mistake.
    """
    if not isinstance(value, str):
        return value
    return _parse(_split(value))


def _parse(entries: Sequence[str]) -> tuple[ApiKey, ...]:
    if not entries:
        raise ValueError(f"it has no entries; leave it unset to require no keys, or: {_HOW_TO_MAKE}")
    keys: list[ApiKey] = []
    for position, entry in enumerate(entries, 1):
        name, colon, digest = entry.partition(":")
        which = f"entry {position} of {len(entries)}"
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


class KnownKeys:
    """The keys of the settings, and those of a file, which can be read again.

    Attributes:
        entries: All of them.
    """

    def __init__(self, keys: Sequence[ApiKey], file: Path | None = None) -> None:
        """Read the file, if there is one.

        Raises:
            ValueError: See `read_api_keys`.
        """
        self._own = tuple(keys)
        self._file = file
        self.entries: tuple[ApiKey, ...] = ()
        self.read()

    def read(self) -> None:
        """Read the file as it is now.

        Raises:
            ValueError: See `read_api_keys`; the entries stay as they are.
        """
        self.entries = self._own if self._file is None else (*self._own, *read_api_keys(self._file))


def read_api_keys(file: Path) -> tuple[ApiKey, ...]:
    """Read a file with an entry a line, `name:sha256hex`; empty lines and those that begin with # are skipped.

    Raises:
        ValueError: It cannot be read, or has no entry or a malformed one; the text gives its position.
    """
    try:
        lines = [line.strip() for line in file.read_text("utf-8").splitlines()]
        return _parse([line for line in lines if line and not line.startswith("#")])
    except OSError as error:
        raise ValueError(f"the file of API keys {file} cannot be read: {error.strerror}") from None
    except ValueError as error:
        problem = "it is not UTF-8" if isinstance(error, UnicodeDecodeError) else error
        raise ValueError(f"the file of API keys {file}: {problem}") from None


def is_open(path: str) -> bool:
    """Whether `path` needs no key."""
    return path in _OPEN_PATHS or path.startswith(_OPEN_FOLDERS)


class ApiKeys:
    """ASGI middleware: responds 401 to requests without a known key, except on open paths.

    Clients send the key as `Authorization: Bearer …` or `X-API-Key: …`. Its digest is compared with every entry, each
    in constant time, so that the response time reveals neither how close a guess is nor which entry matches.
    """

    def __init__(self, app: ASGIApp, keys: KnownKeys) -> None:
        self._app = app
        self._keys = keys

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Run the application with the key's name in its scope, or reject the request."""
        if scope["type"] != "http" or is_open(scope["path"]):
            await self._app(scope, receive, send)
            return
        keys = _keys_of(scope)
        if len(keys) == 1:
            name = self._owner(keys.pop())
            if name is not None:
                scope[KEY_NAME] = name
                await self._app(scope, receive, send)
                return
            problem = "The API key is not one that this server knows"
        elif keys:
            problem = "The request has several API keys: send one"
        else:
            problem = "This server requires an API key: send `Authorization: Bearer <key>` or `X-API-Key: <key>`"
        metrics.record_rejection("key")
        await error_response(HTTPStatus.UNAUTHORIZED, problem, _CHALLENGE)(scope, receive, send)

    def _owner(self, secret: bytes) -> str | None:
        digest = hashlib.sha256(secret).digest()
        owner = None
        for key in self._keys.entries:  # no early exit, for a constant time
            if hmac.compare_digest(digest, key.digest):
                owner = key.name
        return owner


def _keys_of(scope: Scope) -> set[bytes]:
    """The distinct keys in the headers of a request, as bytes: any header value is at most an unknown key."""
    found: set[bytes] = set()
    for name, value in scope["headers"]:
        if name == b"x-api-key":
            found.add(value.strip())
        elif name == b"authorization":
            # Other schemes may be meant for a proxy.
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
            raise ValueError(f"it begins like a JSON list, but is not a list of strings; {_HOW_TO_MAKE}")
        entries = [entry.strip() for entry in document]
    else:
        entries = [entry.strip() for entry in text.split(",")]
        if not entries[-1]:  # trailing comma
            entries.pop()
    return entries
