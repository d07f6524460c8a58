"""The result of one image, with PaddleX's attributes and methods."""

import builtins
import functools
import io
import itertools
import mimetypes
import os
import re
import uuid
import warnings
from collections.abc import Callable
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import unquote, urlsplit

from PIL import Image

from sod_client._inputs.items import Item
from sod_client._inputs.pixels import decode_image
from sod_client._inputs.sources import is_url
from sod_client._optional import require
from sod_client._results import convert
from sod_client._results.data import Box, Model
from sod_client._results.draw import draw
from sod_client._results.files import file_name, to_json, write_whole
from sod_client.errors import InvalidInputError, NoGeoreferenceError, NoImageError, SodError, SodWarning

if TYPE_CHECKING:
    import pandas
    import supervision

__all__ = ["Box", "Model", "Result"]

_JPEG = (".jpg", ".jpeg")
_NO_GEOREFERENCE = (
    "there is no GeoJSON or GeoPackage of this image: it has no coordinate reference system that was read; pass a "
    "GeoTIFF or another georeferenced file with --slice_infer, or slice_infer=True"
)
_Read = TypeVar("_Read")

SavedNames = dict[tuple[str, str], tuple[str | None, int | None]]
"""Folder and stem of the files that the results of one call were saved as, and whose they are: path and page."""


class Result(dict[str, Any]):
    """The objects of one image: a dict with `input_path`, `page_index` and `boxes`, like PaddleX's results.

    >>> result = Result("street.jpg", [Box(cls_id=3, label="car", score=0.9, coordinate=[10.0, 20.0, 30.0, 40.0])])
    >>> result["boxes"][0]["label"]
    'car'
    >>> result.print()
    {'res': {'input_path': 'street.jpg', 'page_index': None, 'boxes': [{'cls_id': 3, 'label': 'car', 'score': 0.9, \
'coordinate': [10.0, 20.0, 30.0, 40.0]}]}}

    Attributes:
        image: the image with the boxes that the server drew, a JPEG; None if the server sent none.
        log_id: the request's id in the server's log; None if the server sent none.
    """

    def __init__(  # noqa: PLR0913 - the parts of a response, by name
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
        self._subfolder = ""
        self._saved_names: SavedNames | None = None
        self._is_renamed = False
        self._seconds: float | None = None

    @property
    def input_path(self) -> str | None:
        """The path or URL as passed, or the path of a file in a folder that was passed; None for arrays and bytes."""
        path: str | None = self["input_path"]
        return path

    @property
    def page_index(self) -> int | None:
        """The page of a PDF or the frame of a TIFF, from 0; None for other images."""
        index: int | None = self["page_index"]
        return index

    @property
    def boxes(self) -> list[Box]:
        """The objects in the server's order: by class id, and within a class by descending score."""
        boxes: list[Box] = self["boxes"]
        return boxes

    @property
    def json(self) -> dict[str, dict[str, Any]]:
        """`{"res": {...}}`, of Python's own types only."""
        return {"res": dict(self)}

    @property
    def str(self) -> dict[builtins.str, dict[builtins.str, Any]]:
        """PaddleX's attribute for the output of `print`: `{"res": {...}}`."""
        return self.json

    @property
    def img(self) -> dict[builtins.str, Image.Image]:
        """`{"res": image}`, RGB with the boxes: the server's drawing, or else a drawing of the client on the source.

        Raises:
            NoImageError: the server sent no drawing, and the source image is not available or can no longer be read.
        """
        if self.image is not None:
            try:
                return {"res": decode_image(self.image)}
            except SodError as error:
                raise NoImageError(f"the server's drawing is not an image: {error}") from error
        return {"res": draw(self._decode_source(), self.boxes)}

    def __missing__(self, key: builtins.str) -> Any:
        """PaddleX's `result["input_img"]`, uint8 [H, W, 3] in BGR order; read from the source when it is asked for.

        Raises:
            KeyError: another key; or the source is not available, or numpy is not installed.
        """
        if key != "input_img":
            raise KeyError(key)
        try:
            numpy = require("numpy", "input_img", "numpy")
            return numpy.ascontiguousarray(numpy.asarray(self._decode_source())[..., ::-1])
        except SodError as error:
            raise KeyError(f"input_img: {error.sentence}") from error

    @functools.cached_property
    def size(self) -> tuple[int, int]:
        """Width and height of the image in pixels.

        Raises:
            NoImageError: in the same cases as `img`.
        """
        if self.image is None:
            return self._read_source(lambda source: source.size())
        try:
            with Image.open(io.BytesIO(self.image)) as image:
                return image.size
        except OSError as error:
            raise NoImageError(f"the server's drawing is not an image: {error}") from error

    def print(
        self,
        json_format: bool = False,
        indent: int | None = 4,
        ensure_ascii: bool = False,
        *,
        format_json: bool | None = None,
    ) -> None:
        """Write `{'res': {...}}` to stdout: in Python's notation on one line, or as JSON.

        Args:
            json_format: whether to write JSON rather than Python's notation.
            indent: spaces per level of the JSON; None writes one line.
            ensure_ascii: whether to write characters beyond ASCII as escapes in JSON.
            format_json: the name that PaddleX's documentation uses for `json_format`.
        """
        as_json = json_format if format_json is None else format_json
        text = to_json(self.json, indent=indent, ensure_ascii=ensure_ascii) if as_json else repr(self.json)
        builtins.print(text)

    def save_to_json(
        self, save_path: builtins.str | os.PathLike[builtins.str], indent: int | None = 4, ensure_ascii: bool = False
    ) -> Path:
        """Write the result, without the enclosing "res", to `save_path`, which is a `.json` file or else a folder.

        Missing folders are created. In a folder, the file is `<name>_res.json`, or `<name>_<page>_res.json` for the
        page of a PDF. The subfolders of a folder that was the input are mirrored. An existing file is replaced, whole
        or not at all; if it belongs to another image of the same call, `_2` is added to the name, with a warning.

        Returns:
            The path of the file.

        Raises:
            OSError: the file cannot be written.
        """
        file = self._file(save_path, ".json", "_res", _is_json)
        self._write_json(file, indent, ensure_ascii)
        return file

    def _write_json(self, file: Path, indent: int | None, ensure_ascii: bool) -> None:
        write_whole(file, to_json(dict(self), indent=indent, ensure_ascii=ensure_ascii).encode())

    def save_to_img(self, save_path: builtins.str | os.PathLike[builtins.str]) -> Path:
        """Write the image with its boxes to `save_path`, which is the file name of an image or else a folder.

        Missing folders are created. In a folder, the file is `<name>_res.<ext>` with the suffix of the input (`.png`
        for arrays, bytes, PDFs, and formats that Pillow cannot write), or `<name>_<page>_res.png` for the page of a
        PDF. An existing file is replaced.

        Returns:
            The path of the file.

        Raises:
            NoImageError: in the same cases as `img`.
            InvalidInputError: Pillow cannot write this format.
            OSError: the file cannot be written.
        """
        path = self.input_path or ""
        own = Path(urlsplit(path).path if is_url(path) else path).suffix
        return self._save_image(save_path, own if _is_writable(own) else ".png")

    def _save_image(self, save_path: builtins.str | os.PathLike[builtins.str], suffix: builtins.str) -> Path:
        file = self._file(save_path, suffix, "_res", _is_image)
        if not _is_writable(file.suffix):
            raise InvalidInputError(f"{os.fspath(file)!r}: a {file.suffix} file cannot be written; use .jpg or .png")
        if self.image is not None and file.suffix.lower() in _JPEG:
            write_whole(file, self.image)
        else:
            # The server's options: without chroma subsampling, thin lines keep their colour.
            options: dict[builtins.str, Any] = {"quality": 90, "subsampling": 0} if file.suffix.lower() in _JPEG else {}
            buffer = io.BytesIO()
            self.img["res"].save(buffer, Image.registered_extensions()[file.suffix.lower()], **options)
            write_whole(file, buffer.getvalue())
        return file

    def save_to_geojson(self, save_path: builtins.str | os.PathLike[builtins.str]) -> Path:  # noqa: ARG002 - SceneResult's
        """Write the objects of a georeferenced image as GeoJSON (RFC 7946) to a `.geojson` file or a folder.

        Each object is the polygon of its box in WGS 84. Its properties are class, class_id, score, bbox (x1, y1, x2, y2
        in pixels), crs, and crs_coordinates, the polygon in the image's own coordinate reference system.

        Raises:
            NoGeoreferenceError: the image is not georeferenced, or was not read in windows (`slice_infer=True`).
            OSError: the file cannot be written.
        """
        raise NoGeoreferenceError(_NO_GEOREFERENCE)

    def save_to_geopackage(self, save_path: builtins.str | os.PathLike[builtins.str]) -> Path:  # noqa: ARG002 - as above
        """As `save_to_geojson`, as GeoPackage to a `.gpkg` file, in the image's coordinate reference system."""
        raise NoGeoreferenceError(_NO_GEOREFERENCE)

    def save_all(self, save_path: builtins.str | os.PathLike[builtins.str]) -> None:
        """Call `save_to_json` and `save_to_img` with the folder `save_path`."""
        self.save_to_json(save_path)
        self.save_to_img(save_path)

    def to_csv(
        self, save_path: builtins.str | os.PathLike[builtins.str] | None = None, *, header: bool = True
    ) -> builtins.str:
        """The objects as CSV, one line each: input_path, page_index, cls_id, label, score, x1, y1, x2, y2.

        >>> print(Result("a.jpg", []).to_csv(), end="")
        input_path,page_index,cls_id,label,score,x1,y1,x2,y2

        Args:
            save_path: a file to write the CSV to, too: a `.csv` file, or a folder for `<name>_res.csv`.
            header: whether to begin with the columns' names.
        """
        text = convert.to_csv(convert.to_rows(self.input_path, self.page_index, self.boxes), header=header)
        if save_path is not None:
            self._write(save_path, ".csv", "_res", text)
        return text

    def to_pandas(self) -> "pandas.DataFrame":
        """The objects as a table with the columns of `to_csv`.

        Raises:
            DependencyError: pandas is not installed.
        """
        return convert.to_dataframe(convert.to_rows(self.input_path, self.page_index, self.boxes))

    def to_supervision(self) -> "supervision.Detections":
        """The objects as `supervision.Detections`, with the labels in `data["class_name"]`.

        Raises:
            DependencyError: supervision is not installed.
        """
        return convert.to_supervision(self.boxes)

    def to_coco(self, image_id: int | builtins.str = 0, *, first_category_id: int = 0) -> list[dict[builtins.str, Any]]:
        """The objects as entries of a COCO results file: image_id, category_id, bbox (x, y, width, height), score.

        >>> box = Box(cls_id=3, label="car", score=0.9, coordinate=[10.0, 20.0, 30.0, 45.0])
        >>> Result("a.jpg", [box]).to_coco(image_id=7, first_category_id=1)
        [{'image_id': 7, 'category_id': 4, 'bbox': [10.0, 20.0, 20.0, 25.0], 'score': 0.9}]

        Args:
            image_id: id of the image in the data set.
            first_category_id: category id of class 0; many data sets count from 1.
        """
        return convert.to_coco(self.boxes, image_id, first_category_id)

    def to_yolo(
        self, save_path: builtins.str | os.PathLike[builtins.str] | None = None, *, scores: bool = False
    ) -> builtins.str:
        """The objects in YOLO's format, one line each: class, centre x, centre y, width, height.

        Coordinates are fractions of the image's width and height.

        Args:
            save_path: a file to write the text to, too: a `.txt` file, or a folder for `<name>.txt`.
            scores: whether to end each line with the score.

        Raises:
            NoImageError: the image's size is not known, in the same cases as `img`.
        """
        text = convert.to_yolo(self.boxes, *self.size, scores=scores)
        if save_path is not None:
            self._write(save_path, ".txt", "", text)
        return text

    _is_scene = False

    @property
    def _no_place(self) -> builtins.str | None:
        """Why the objects have no place on a map; None if they have one."""
        return "it was not read in windows"

    def _forget_journal(self) -> None:
        """Remove the journal of the image's slices, when everything was saved that it was detected for."""

    def _decode_source(self) -> Image.Image:
        return self._read_source(lambda source: source.decoded())

    def _read_source(self, read: Callable[[Item], _Read]) -> _Read:
        if self._source is None:
            raise NoImageError("the image was not kept: pass a path, or request the drawing with visualize=True")
        try:
            return read(self._source)
        except SodError as error:
            raise NoImageError(
                f"the response contains no image, and the source cannot be read: {error.sentence}"
            ) from error

    def _write(
        self, save_path: builtins.str | os.PathLike[builtins.str], suffix: builtins.str, ending: builtins.str, text: Any
    ) -> None:
        file = self._file(save_path, suffix, ending, lambda path: path.suffix.lower() == suffix)
        write_whole(file, text.encode())

    def _file(
        self,
        save_path: builtins.str | os.PathLike[builtins.str],
        suffix: builtins.str,
        ending: builtins.str,
        is_file: Any,
    ) -> Path:
        path = Path(save_path)
        if os.fspath(save_path).endswith("/") or path.is_dir() or not is_file(path):
            folder = path / self._subfolder
            path = folder / file_name(self._own_stem(folder), f"{ending}{suffix}")
        path.parent.mkdir(parents=True, exist_ok=True)
        return path

    def _own_stem(self, folder: Path) -> builtins.str:
        """The stem of this result's files in a folder, which no other image of the call has."""
        if self._saved_names is None or self.input_path is None:
            return self._stem
        own, stem = (self.input_path, self.page_index), self._stem
        place = os.path.abspath(folder)  # noqa: PTH100 - Path.resolve would follow links
        for number in itertools.count(2):
            owner = self._saved_names.setdefault((place, stem), own)
            if owner == own:
                break
            stem = f"{self._stem}_{number}"
        if stem != self._stem and not self._is_renamed:
            self._is_renamed = True
            other = self._saved_names[place, self._stem][0]
            warnings.warn(
                f"{self.input_path}: saved as {stem}, because {other} has the same name", SodWarning, stacklevel=4
            )
        return stem

    def _set_context(self, subfolder: builtins.str, saved_names: SavedNames, seconds: float) -> None:
        """Set what the call knows: the subfolder in the folder that was the input, others' files, and the duration."""
        self._subfolder, self._saved_names, self._seconds = subfolder, saved_names, seconds

    @functools.cached_property
    def _stem(self) -> builtins.str:
        page = "" if self.page_index is None else f"_{self.page_index}"
        path = self.input_path or ""
        if path and not is_url(path):
            return Path(path).stem + page
        name = PurePosixPath(unquote(urlsplit(path).path)).stem
        # The name comes from a URL or the server: keep only characters that are safe in file names.
        safe = re.sub(r"[^\w.-]+", "_", name or self.log_id or "").strip(".")[:100]
        return (safe or uuid.uuid4().hex) + page


def _is_json(path: Path) -> bool:
    return path.suffix.lower() == ".json"


def _is_image(path: Path) -> bool:
    return (mimetypes.guess_type(path.name)[0] or "").startswith("image/")


def _is_writable(suffix: str) -> bool:
    return Image.registered_extensions().get(suffix.lower()) in Image.SAVE and _is_image(Path(f"x{suffix}"))
