"""What one image gave, with PaddleX's names, and what gives it."""

import builtins
import functools
import io
import json
import mimetypes
import os
import re
import uuid
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, TypedDict
from urllib.parse import unquote, urlsplit

from PIL import Image

from sod_client._inputs.items import Item, open_image
from sod_client._inputs.sources import is_url
from sod_client._results import convert as _convert
from sod_client._results import draw as _draw
from sod_client.errors import InvalidInputError, NoImageError, SodError

if TYPE_CHECKING:
    import pandas
    import supervision

_JPEG = (".jpg", ".jpeg")


class Box(TypedDict):
    """One detected object."""

    cls_id: int
    label: str
    score: float
    coordinate: list[float]
    """x1, y1, x2, y2 in pixels of the image."""


@dataclass(frozen=True)
class Model:
    """A model that the server can be asked for.

    Attributes:
        name: for `model=`.
        labels: of its classes, by class id.
        input_size: height and width that images are resized to; None if the server does not say.
        default: whether calls that name no model get this one.
    """

    name: str
    labels: tuple[str, ...]
    input_size: tuple[int, int] | None
    default: bool

    def label(self, class_id: int) -> str:
        """The label of a class; its number if it has none."""
        return self.labels[class_id] if 0 <= class_id < len(self.labels) else str(class_id)


class Result(dict[str, Any]):
    """The objects of one image: a dict with `input_path`, `page_index` and `boxes`, as PaddleX's results are.

    >>> result = Result("street.jpg", [Box(cls_id=3, label="car", score=0.9, coordinate=[10.0, 20.0, 30.0, 40.0])])
    >>> result["boxes"][0]["label"]
    'car'
    >>> result.print()
    {'res': {'input_path': 'street.jpg', 'page_index': None, 'boxes': [{'cls_id': 3, 'label': 'car', 'score': 0.9, \
'coordinate': [10.0, 20.0, 30.0, 40.0]}]}}

    Attributes:
        image: the image with its boxes drawn in by the server, a JPEG; None if it sent none.
        log_id: the request's id in the server's log; None if the server named none.
    """

    def __init__(  # noqa: PLR0913 - parts of a reply, by name
        self,
        input_path: str | None,
        boxes: list[Box],
        *,
        page_index: int | None = None,
        image: bytes | None = None,
        log_id: str | None = None,
        source: Item | None = None,
    ) -> None:
        super().__init__(input_path=input_path, page_index=page_index, boxes=boxes)
        self.image = image
        self.log_id = log_id
        self._source = source

    @property
    def input_path(self) -> str | None:
        """The path or URL as it was given, or the file's below the folder that was; None for arrays and bytes."""
        path: str | None = self["input_path"]
        return path

    @property
    def page_index(self) -> int | None:
        """The page of a PDF or frame of a TIFF, from 0; None for other images."""
        index: int | None = self["page_index"]
        return index

    @property
    def boxes(self) -> list[Box]:
        """The objects in the server's order: by class id, then the best score first."""
        boxes: list[Box] = self["boxes"]
        return boxes

    @property
    def json(self) -> dict[str, dict[str, Any]]:
        """`{"res": {...}}`, plain types only."""
        return {"res": dict(self)}

    @property
    def str(self) -> dict[builtins.str, dict[builtins.str, Any]]:
        """PaddleX's name for what `print` shows: `{"res": {...}}`."""
        return self.json

    @property
    def img(self) -> dict[builtins.str, Image.Image]:
        """`{"res": image}`, RGB with the boxes drawn in: the server's drawing, or else our own on the source.

        Raises:
            NoImageError: the server sent no drawing, and the source is not at hand or cannot be read any more.
        """
        if self.image is not None:
            try:
                return {"res": open_image(self.image)}
            except SodError as error:
                raise NoImageError(f"the server's drawing is no image: {error}") from error
        return {"res": _draw.draw(self._open_source(), self.boxes)}

    @functools.cached_property
    def size(self) -> tuple[int, int]:
        """Width and height of the image in pixels.

        Raises:
            NoImageError: as of `img`.
        """
        if self.image is None:
            return self._open_source().size
        try:
            with Image.open(io.BytesIO(self.image)) as image:
                return image.size
        except OSError as error:
            raise NoImageError(f"the server's drawing is no image: {error}") from error

    def print(
        self,
        json_format: bool = False,
        indent: int | None = 4,
        ensure_ascii: bool = False,
        *,
        format_json: bool | None = None,
    ) -> None:
        """Write `{'res': {...}}` to stdout: as Python prints it on one line, or as JSON.

        Args:
            json_format: JSON rather than Python's notation.
            indent: of JSON; None is one line.
            ensure_ascii: write other characters of JSON as escapes.
            format_json: what PaddleX's documents call `json_format`.
        """
        as_json = json_format if format_json is None else format_json
        text = json.dumps(self.json, indent=indent, ensure_ascii=ensure_ascii) if as_json else repr(self.json)
        builtins.print(text)

    def save_to_json(
        self, save_path: builtins.str | os.PathLike[builtins.str], indent: int | None = 4, ensure_ascii: bool = False
    ) -> Path:
        """Write the result (without the "res" around it) to `save_path`, a `.json` file, or else a folder.

        Folders are made as needed; in a folder the file is `<name>_res.json`, of a PDF's page
        `<name>_<page>_res.json`. An old file is replaced.

        Returns:
            The file written.

        Raises:
            OSError: it cannot be written.
        """
        file = self._file(save_path, ".json", "_res", _is_json)
        file.write_text(json.dumps(dict(self), indent=indent, ensure_ascii=ensure_ascii), encoding="utf-8")
        return file

    def save_to_img(self, save_path: builtins.str | os.PathLike[builtins.str]) -> Path:
        """Write the image with its boxes to `save_path`, an image's file name, or else a folder.

        Folders are made as needed; in a folder the file is `<name>_res.<ext>` with the ending of the input (`.png` for
        arrays, bytes, PDFs and what Pillow cannot write), of a PDF's page `<name>_<page>_res.png`. An old file is
        replaced.

        Returns:
            The file written.

        Raises:
            NoImageError: as of `img`.
            InvalidInputError: Pillow cannot write that kind of image.
            OSError: it cannot be written.
        """
        path = self.input_path or ""
        own = Path(urlsplit(path).path if is_url(path) else path).suffix
        file = self._file(save_path, own if _is_writable(own) else ".png", "_res", _is_image)
        if not _is_writable(file.suffix):
            raise InvalidInputError(f"{os.fspath(file)!r}: a {file.suffix} cannot be written here, a .jpg or .png can")
        if self.image is not None and file.suffix.lower() in _JPEG:
            file.write_bytes(self.image)
        else:
            # As the server writes it: thin lines keep their colour without chroma subsampling.
            options: dict[builtins.str, Any] = {"quality": 90, "subsampling": 0} if file.suffix.lower() in _JPEG else {}
            self.img["res"].save(file, **options)
        return file

    def save_all(self, save_path: builtins.str | os.PathLike[builtins.str]) -> None:
        """Both `save_to_json` and `save_to_img`, in the folder `save_path`."""
        self.save_to_json(save_path)
        self.save_to_img(save_path)

    def to_csv(
        self, save_path: builtins.str | os.PathLike[builtins.str] | None = None, *, header: bool = True
    ) -> builtins.str:
        """The objects as CSV, a line each: input_path, page_index, cls_id, label, score, x1, y1, x2, y2.

        >>> print(Result("a.jpg", []).to_csv(), end="")
        input_path,page_index,cls_id,label,score,x1,y1,x2,y2

        Args:
            save_path: write it here too: a `.csv` file, or a folder, where it is `<name>_res.csv`.
            header: begin with the columns' names.
        """
        text = _convert.csv_text(_convert.rows(self.input_path, self.page_index, self.boxes), header=header)
        if save_path is not None:
            self._write(save_path, ".csv", "_res", text)
        return text

    def to_pandas(self) -> "pandas.DataFrame":
        """The objects as a table with the columns of `to_csv`.

        Raises:
            DependencyError: pandas is not installed.
        """
        return _convert.dataframe(_convert.rows(self.input_path, self.page_index, self.boxes))

    def to_supervision(self) -> "supervision.Detections":
        """The objects as `supervision.Detections`, the labels as their data's `class_name`.

        Raises:
            DependencyError: supervision is not installed.
        """
        return _convert.supervision_detections(self.boxes)

    def to_coco(self, image_id: int | builtins.str = 0, *, first_category_id: int = 0) -> list[dict[builtins.str, Any]]:
        """The objects as entries of a COCO results file: image_id, category_id, bbox (x, y, width, height), score.

        >>> box = Box(cls_id=3, label="car", score=0.9, coordinate=[10.0, 20.0, 30.0, 45.0])
        >>> Result("a.jpg", [box]).to_coco(image_id=7, first_category_id=1)
        [{'image_id': 7, 'category_id': 4, 'bbox': [10.0, 20.0, 20.0, 25.0], 'score': 0.9}]

        Args:
            image_id: of the image in the data set.
            first_category_id: of class 0; many data sets count from 1.
        """
        return _convert.coco(self.boxes, image_id, first_category_id)

    def to_yolo(
        self, save_path: builtins.str | os.PathLike[builtins.str] | None = None, *, scores: bool = False
    ) -> builtins.str:
        """The objects as YOLO's text, a line each: class, centre x and y, width, height, as shares of the image's.

        Args:
            save_path: write it here too: a `.txt` file, or a folder, where it is `<name>.txt` as YOLO wants it.
            scores: end each line with the score.

        Raises:
            NoImageError: as of `img`; the image's size is not known then.
        """
        text = _convert.yolo_text(self.boxes, *self.size, scores=scores)
        if save_path is not None:
            self._write(save_path, ".txt", "", text)
        return text

    def _open_source(self) -> Image.Image:
        if self._source is None:
            raise NoImageError("the reply holds no image: ask for it with visualize=True")
        try:
            return self._source.opened()
        except SodError as error:
            raise NoImageError(f"the reply holds no image, and its source: {error.sentence}") from error

    def _write(
        self, save_path: builtins.str | os.PathLike[builtins.str], suffix: builtins.str, ending: builtins.str, text: Any
    ) -> None:
        file = self._file(save_path, suffix, ending, lambda path: path.suffix.lower() == suffix)
        file.write_text(text, encoding="utf-8")

    def _file(
        self,
        save_path: builtins.str | os.PathLike[builtins.str],
        suffix: builtins.str,
        ending: builtins.str,
        is_file: Any,
    ) -> Path:
        path = Path(save_path)
        if path.is_dir() or not is_file(path):
            path /= f"{self._stem}{ending}{suffix}"
        path.parent.mkdir(parents=True, exist_ok=True)
        return path

    @functools.cached_property
    def _stem(self) -> builtins.str:
        page = "" if self.page_index is None else f"_{self.page_index}"
        path = self.input_path or ""
        if path and not is_url(path):
            return Path(path).stem + page
        name = PurePosixPath(unquote(urlsplit(path).path)).stem
        # A name from elsewhere: nothing a file system could take amiss.
        plain = re.sub(r"[^\w.-]+", "_", name or self.log_id or "").strip(".")[:100]
        return (plain or uuid.uuid4().hex) + page


def _is_json(path: Path) -> bool:
    return path.suffix.lower() == ".json"


def _is_image(path: Path) -> bool:
    return (mimetypes.guess_type(path.name)[0] or "").startswith("image/")


def _is_writable(suffix: str) -> bool:
    return Image.registered_extensions().get(suffix.lower()) in Image.SAVE and _is_image(Path(f"x{suffix}"))
