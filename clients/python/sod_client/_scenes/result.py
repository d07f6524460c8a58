"""The result of a scene: as any other, and its objects on a map."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from PIL import Image, ImageDraw

from sod_client._inputs.pixels import decode_image
from sod_client._inputs.rasters.georeference import Georeference
from sod_client._inputs.scenes import OVERVIEW_SIDE, SceneItem
from sod_client._results.data import Box
from sod_client._results.draw import draw
from sod_client._results.files import is_encodable, replacing
from sod_client._results.palette import class_colour
from sod_client._scenes import geojson, geopackage
from sod_client.errors import NoGeoreferenceError
from sod_client.result import Result

_MAX_LABELS = 500  # placing a label takes time that grows with the number of boxes
_NO_CRS = "it has no coordinate reference system"
_LEAST_SIDE = 5  # of a drawn box in pixels, so that it is seen


class SceneResult(Result):
    """The objects of a scene, in its pixels. Drawings are reduced to at most 4096 pixels on the longest side.

    Args:
        item: the scene.
        boxes: its objects.
        size: its width and height.
        georeference: its place on a map; None if it has none.
        overview: a JPEG of the reduced image; None reads it when it is drawn.
        journal: the file of what each slice gave; None if there is none.
    """

    def __init__(  # noqa: PLR0913 - its parts, by name
        self,
        item: SceneItem,
        boxes: list[Box],
        *,
        size: tuple[int, int],
        georeference: Georeference | None,
        overview: bytes | None,
        journal: Path | None,
    ) -> None:
        super().__init__(item.input_path, boxes, page_index=item.page_index, source=item)
        self.size = size
        self._georeference = georeference
        self._overview = overview
        self._journal = journal

    @property
    def img(self) -> dict[str, Image.Image]:
        """`{"res": image}`, RGB: the reduced scene with the boxes.

        Raises:
            NoImageError: the file can no longer be read.
        """
        image = self._decode_source() if self._overview is None else decode_image(self._overview)
        horizontal, vertical = image.width / self.size[0], image.height / self.size[1]
        boxes = [_visible(box, horizontal, vertical) for box in self.boxes]
        if len(boxes) <= _MAX_LABELS:
            return {"res": draw(image, boxes)}
        pen = ImageDraw.Draw(image)
        line = 2 if max(image.size) >= OVERVIEW_SIDE // 2 else 1
        for box in boxes:
            x1, y1, x2, y2 = box["coordinate"]
            pen.rectangle((x1 - line, y1 - line, x2 + line, y2 + line), outline=class_colour(box["cls_id"]), width=line)
        return {"res": image}

    def save_to_img(self, save_path: str | os.PathLike[str]) -> Path:
        """Write the reduced scene with its boxes to `save_path`, a file name, or else a folder for `<name>_res.jpg`.

        Returns:
            The path of the file.

        Raises:
            NoImageError: the file of the scene can no longer be read.
            InvalidInputError: Pillow cannot write this format.
            OSError: the file cannot be written.
        """
        return self._save_image(save_path, ".jpg")

    def _write_json(self, file: Path, indent: int | None, ensure_ascii: bool) -> None:
        """Write in parts, since the text of a million objects has 300 MB."""
        texts = [self.input_path or "", *{box["label"] for box in self.boxes}]
        encoder = json.JSONEncoder(indent=indent, ensure_ascii=ensure_ascii or not all(map(is_encodable, texts)))
        with replacing(file) as temporary, temporary.open("w", encoding="utf-8", newline="\n") as output:
            for part in encoder.iterencode(dict(self)):
                output.write(part)

    def save_to_geojson(self, save_path: str | os.PathLike[str]) -> Path:
        """As `Result.save_to_geojson`."""
        return self._save_map(save_path, ".geojson", (".geojson", ".json"), geojson.write)

    def save_to_geopackage(self, save_path: str | os.PathLike[str]) -> Path:
        """As `Result.save_to_geopackage`."""
        return self._save_map(save_path, ".gpkg", (".gpkg",), geopackage.write)

    _is_scene = True

    @property
    def _no_place(self) -> str | None:
        if self._georeference is None:
            return _NO_CRS
        try:
            self._georeference.to_wgs84(self._georeference.corners([[0, 0, 1, 1]]))
        except NoGeoreferenceError as error:
            return error.sentence
        return None

    def _forget_journal(self) -> None:
        if self._journal is not None:
            self._journal.unlink(missing_ok=True)

    def _save_map(
        self,
        save_path: str | os.PathLike[str],
        suffix: str,
        suffixes: tuple[str, ...],
        write: Callable[[Path, list[Box], Georeference], Any],
    ) -> Path:
        if self._georeference is None:
            raise NoGeoreferenceError(f"{_NO_CRS}: `gdal_edit.py -a_srs EPSG:... FILE` gives it one")
        file = self._file(save_path, suffix, "_res", lambda path: path.suffix.lower() in suffixes)
        write(file, self.boxes, self._georeference)
        return file


def _visible(box: Box, horizontal: float, vertical: float) -> Box:
    x1, y1, x2, y2 = box["coordinate"]
    x1, y1, x2, y2 = x1 * horizontal, y1 * vertical, x2 * horizontal, y2 * vertical
    wider, higher = max(0.0, _LEAST_SIDE - (x2 - x1)) / 2, max(0.0, _LEAST_SIDE - (y2 - y1)) / 2
    return Box(
        cls_id=box["cls_id"],
        label=box["label"],
        score=box["score"],
        coordinate=[x1 - wider, y1 - higher, x2 + wider, y2 + higher],
    )
