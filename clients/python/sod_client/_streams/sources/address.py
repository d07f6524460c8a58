"""What a source is, by its text; and its name without the password."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit, urlunsplit

Kind = Literal["file", "device", "url", "folder"]
SCHEMES = ("rtsp", "rtsps", "rtmp", "rtmps", "http", "https", "srt", "udp", "tcp", "rtp")
_ALWAYS_LIVE = ("rtsp", "rtsps", "rtmp", "rtmps", "srt", "udp", "rtp")


@dataclass(frozen=True)
class Address:
    """A source.

    Attributes:
        kind: what it is.
        target: what FFmpeg opens: a path or a URL, which may hold a password.
        name: what is shown and written: the text as given, with *** for the password.
    """

    kind: Kind
    target: str
    name: str

    @property
    def is_always_live(self) -> bool:
        """Whether it has no end; an http URL may be that of a file."""
        return self.kind == "device" or (self.kind == "url" and self.target.partition("://")[0].lower() in _ALWAYS_LIVE)

    @property
    def suffix(self) -> str:
        """The suffix of the file's name, in lower case."""
        try:
            return Path(urlsplit(self.target).path if self.kind == "url" else self.target).suffix.lower()
        except ValueError:  # such as http://[::1, which FFmpeg will refuse
            return ""


def parse(text: str) -> Address:
    """What a source is: the number of a camera, a device, a URL, a folder, or a file."""
    if text.isascii() and text.isdecimal():
        return Address("device", f"/dev/video{int(text)}", text)
    if re.fullmatch(r"/dev/video\d+", text):
        return Address("device", text, text)
    scheme = text.partition("://")[0].lower()
    if "://" in text and scheme in SCHEMES:
        return Address("url", text, masked(text))
    if text.startswith("file://"):
        text = text.removeprefix("file://")
    return Address("folder" if _is_folder(text) else "file", text, text)


def masked(url: str) -> str:
    """The URL with *** in place of its password."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return re.sub(r"(://[^/@:]*:)[^@]*@", r"\1***@", url)
    user, at, host = parts.netloc.rpartition("@")
    if not at or ":" not in user:
        return url
    return urlunsplit(parts._replace(netloc=f"{user.partition(':')[0]}:***@{host}"))


def _is_folder(text: str) -> bool:
    try:
        return Path(text).is_dir()
    except (OSError, ValueError):  # ValueError: the name contains a NUL character
        return False
