"""Builds tar archives: a model as PaddleX packs it, and arbitrary entries."""

import io
import random
import tarfile
from collections.abc import Sequence

NAME = "PP-YOLOE_plus_SOD-S"
ARCHIVE = f"{NAME}_infer.tar"
FILES = {
    "inference.json": b'{"program": 1}',
    "inference.pdiparams": random.Random(0).randbytes(300_000),
    "inference.yml": b"mode: paddle\n",
}


def entry(
    name: str, content: bytes = b"", kind: bytes = tarfile.REGTYPE, link: str = ""
) -> tuple[tarfile.TarInfo, bytes]:
    info = tarfile.TarInfo(name)
    info.size, info.type, info.linkname, info.mode = len(content), kind, link, 0o644
    return info, content


def tar(entries: Sequence[tuple[tarfile.TarInfo, bytes]], mode: str = "w:") -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode=mode) as file:  # type: ignore[call-overload]
        for info, content in entries:
            file.addfile(info, io.BytesIO(content))
    return out.getvalue()


def model_tar(folder: str = f"{NAME}_infer/", **changes: bytes) -> bytes:
    """A model as PaddleX packs it; `changes` replaces the content of files, by suffix."""
    files = FILES | {f"inference.{key}": value for key, value in changes.items()}
    folders = [entry(folder.rstrip("/"), kind=tarfile.DIRTYPE)] if folder else []
    return tar([*folders, *(entry(folder + name, content) for name, content in files.items())])
