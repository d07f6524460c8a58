"""The folder for this launcher's temporary files: writable, with room, and with a path that every program takes."""

import os
import re
import shutil
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from server.errors import ServerError
from server.process.leftovers import Claim, claim

# Triton's Python backend starts its stub by a line of shell without quotes.
_SAFE_PATH = re.compile(r"[A-Za-z0-9/._+@%-]+")
_ROOM_BYTES = 16 * 2**20


def is_safe(path: Path) -> bool:
    """Whether the path can stand in an unquoted line of shell: it has no space, quote or letter beyond ASCII."""
    return _SAFE_PATH.fullmatch(str(path)) is not None


@contextmanager
def work_folder(*, programs: bool, candidates: Sequence[Path] | None = None) -> Iterator[tuple[Path, Claim]]:
    """A folder that is removed at exit, in the first place that will do; what killed launchers left there is removed.

    Args:
        programs: programs and libraries will run from it.
        candidates: places to try; None is TMPDIR, /tmp, /var/tmp, the user's and the checkout's cache, /dev/shm.

    Raises:
        ServerError: no place will do; the text says why each will not.
    """
    problems = []
    with ExitStack() as stack:
        for place in _candidates() if candidates is None else candidates:
            if problem := _problem(place, programs=programs):
                problems.append(f"{place} {problem}")
                continue
            try:
                claimed = stack.enter_context(claim(place))
                folder = place / f"{claimed.prefix}run"
                folder.mkdir(mode=0o700)
            except OSError as error:
                problems.append(f"{place} cannot be used ({error.strerror})")
                continue
            yield folder, claimed
            return
    wanted = "that is writable, has 16 MB free and a path of ASCII letters and digits without spaces"
    wanted += ", and on which programs may run" if programs else ""
    raise ServerError(f"no folder for temporary files will do: {'; '.join(problems)}. Set TMPDIR to one {wanted}")


def _candidates() -> list[Path]:
    places = [
        os.environ.get("TMPDIR"),
        "/tmp",  # noqa: S108 — a directory with a random name is made in it
        "/var/tmp",  # noqa: S108
        os.environ.get("XDG_CACHE_HOME") or Path("~/.cache").expanduser(),
        Path(__file__).parents[2] / ".cache",
        "/dev/shm",  # noqa: S108
    ]
    return list(dict.fromkeys(Path(place).absolute() for place in places if place and not str(place).startswith("~")))


def _problem(place: Path, *, programs: bool) -> str:
    """Why temporary files cannot be there; empty if they can."""
    if not is_safe(place):
        return "has a space or a special letter in its path"
    if place.name == ".cache":  # ours to make, where the folder above is ours to write to
        with suppress(OSError):
            place.mkdir(exist_ok=True)
    try:
        flags = os.statvfs(place).f_flag
        free = shutil.disk_usage(place).free
    except OSError:
        return "is not there"
    problems = {
        "is not a folder": not place.is_dir(),
        "is read-only": flags & os.ST_RDONLY,
        "may not be written to": not os.access(place, os.W_OK | os.X_OK),
        "is mounted noexec": programs and flags & os.ST_NOEXEC,
        f"has {free / 1e6:.0f} MB free": free < _ROOM_BYTES,
    }
    return next((text for text, holds in problems.items() if holds), "")
