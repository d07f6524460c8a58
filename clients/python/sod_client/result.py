"""What one picture gave, with PaddleX's names, and what gives it."""

import builtins
import json
import mimetypes
import os
import re
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, TypedDict
from urllib.parse import unquote, urlsplit

from sod_client._inputs import is_url
from sod_client.errors import InvalidInputError, NoImageError


class Box(TypedDict):
    """One detected object."""

    cls_id: int
    label: str
    score: float
    coordinate: list[float]
    """x1, y1, x2, y2 in pixels of the picture."""


@dataclass(frozen=True)
class Model:
    """A model that the server can be asked for.

    Attributes:
        name: for `model=`.
        labels: of its classes, by class id.
        input_size: height and width that pictures are resized to; None if the server does not say.
        default: whether calls that name no model get this one.
    """

    name: str
    labels: tuple[str, ...]
    input_size: tuple[int, int] | None
    default: bool


class Result(dict[str, Any]):
    """The objects of one picture: a dict with `input_path`, `page_index` and `boxes`, as PaddleX's results are.

    Attributes:
        image: the picture with its boxes drawn in, a JPEG; None if the server sent none.
        log_id: the request's id in the server's log; None if the server named none.
    """

    def __init__(
        self,
        input_path: str | None,
        boxes: list[Box],
        *,
        image: bytes | None = None,
        log_id: str | None = None,
    ) -> None:
        super().__init__(input_path=input_path, page_index=None, boxes=boxes)
        self.image = image
        self.log_id = log_id

    @property
    def input_path(self) -> str | None:
        """The path or URL as it was given; None if bytes were."""
        path: str | None = self["input_path"]
        return path

    @property
    def boxes(self) -> list[Box]:
        """The objects in the server's order: by class id, then the best score first."""
        boxes: list[Box] = self["boxes"]
        return boxes

    @property
    def json(self) -> dict[str, dict[str, Any]]:
        """`{"res": {...}}`, plain types only."""
        return {"res": dict(self)}

    def print(self, json_format: bool = False, indent: int | None = 4, ensure_ascii: bool = False) -> None:
        """Write `{'res': {...}}` to stdout: as Python prints it on one line, or as JSON."""
        text = json.dumps(self.json, indent=indent, ensure_ascii=ensure_ascii) if json_format else str(self.json)
        builtins.print(text)

    def save_to_json(
        self, save_path: str | os.PathLike[str], indent: int | None = 4, ensure_ascii: bool = False
    ) -> Path:
        """Write the result (without the "res" around it) to `save_path`, a `.json` file, or else a folder.

        Folders are made as needed; in a folder the file is `<name of the input>_res.json`. An old file is replaced.

        Returns:
            The file written.

        Raises:
            OSError: it cannot be written.
        """
        file = self._file(save_path, (".json",))
        file.write_text(json.dumps(dict(self), indent=indent, ensure_ascii=ensure_ascii), encoding="utf-8")
        return file

    def save_to_img(self, save_path: str | os.PathLike[str]) -> Path:
        """Write the picture with its boxes to `save_path`, a `.jpg` or `.jpeg` file, or else a folder.

        Folders are made as needed; in a folder the file is `<name of the input>_res.jpg`. An old file is replaced.

        Returns:
            The file written.

        Raises:
            NoImageError: the server sent no picture.
            InvalidInputError: the name belongs to another kind of picture; the server draws JPEG.
            OSError: it cannot be written.
        """
        if self.image is None:
            raise NoImageError("the reply holds no picture: ask for it with visualize=True")
        file = self._file(save_path, (".jpg", ".jpeg"))
        file.write_bytes(self.image)
        return file

    def _file(self, save_path: str | os.PathLike[str], suffixes: tuple[str, ...]) -> Path:
        path = Path(save_path)
        if path.is_dir() or path.suffix.lower() not in suffixes:
            kind = mimetypes.guess_type(path.name)[0] or ""
            if kind.startswith("image/") and not path.is_dir():
                raise InvalidInputError(f"{os.fspath(path)!r}: the file is a {suffixes[0]}, name it so")
            path /= f"{self._stem()}_res{suffixes[0]}"
        path.parent.mkdir(parents=True, exist_ok=True)
        return path

    def _stem(self) -> str:
        if self.input_path is not None and not is_url(self.input_path):
            return Path(self.input_path).stem
        name = PurePosixPath(unquote(urlsplit(self.input_path).path)).stem if self.input_path else ""
        # A name from elsewhere: nothing a file system could take amiss.
        return re.sub(r"[^\w.-]+", "_", name or self.log_id or "").strip(".")[:100] or "image"
