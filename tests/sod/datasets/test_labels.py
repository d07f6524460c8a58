"""Faulty labels: what is repaired, what is left out, and what stops. Each is named with its file and line."""

import io

import numpy as np
import pytest
from PIL import Image

from sod.datasets.errors import DatasetError
from tests.sod.datasets.layouts import (
    BOTH,
    CAR,
    NAMES,
    TWO_LINES,
    coco,
    objects,
    read,
    voc,
    write_coco,
    write_image,
    write_text,
    write_yolo,
)

CAR_LINE = TWO_LINES.splitlines()[0]


class TestYoloLines:
    def read(self, folder, line, yaml=NAMES):
        write_yolo(folder / "images", folder / "labels", "a", f"{CAR_LINE}\n{line}\n")
        write_text(folder / "data.yaml", yaml)
        return read(folder)

    @pytest.mark.parametrize(
        "line",
        [
            "1 0.5 0.5 0.7 0.5 0.7 0.9 0.5 0.9",  # four corners: an oriented box
            "1 0.6 0.5 0.7 0.7 0.6 0.9 0.5 0.7",  # turned by 45 degrees
            "1 0.5 0.5 0.7 0.6 0.6 0.9",  # three points
            "1 0.5 0.6 0.6 0.5 0.7 0.6 0.65 0.9 0.55 0.9",  # five points
        ],
    )
    def test_polygons_and_oriented_boxes_are_enclosed(self, tmp_path, line):
        data, findings, text = self.read(tmp_path, line)
        assert objects(data) == {"all": [("a", BOTH)]}
        assert "warning: polygon or oriented box, taken as its enclosing box, 1 time: " in text
        assert "labels/a.txt:2" in text
        assert findings.errors == 0

    def test_keypoints_are_left_out(self, tmp_path):
        data, _, text = self.read(tmp_path, "1 0.6 0.7 0.2 0.4 0.1 0.1 2 0.9 0.9 1", f"kpt_shape: [2, 3]\n{NAMES}")
        assert objects(data) == {"all": [("a", BOTH)]}
        assert text == ""

    @pytest.mark.parametrize(
        ("line", "message", "stops"),
        [
            ("1 0.6 0.7 0.0 0.4", "warning: box without an area, left out", False),
            ("1 0.6 0.7 -0.2 0.4", "warning: box of negative width or height, left out", False),
            ("1 0.5 0.5 0.7 0.5 0.6 0.5", "warning: box without an area, left out", False),
            (CAR_LINE, "warning: object labelled twice, counted once", False),
            ("1 1.6 0.7 0.2 0.4", "error: box outside its image", True),
            ("1 120 70 40 40", "error: box outside its image", True),
            ("1 nan 0.7 0.2 0.4", "error: box with a coordinate that is not a number", True),
            ("1 inf 0.7 0.2 0.4", "error: box with a coordinate that is not a number", True),
            ("2 0.6 0.7 0.2 0.4", "error: unknown class", True),
            ("-1 0.6 0.7 0.2 0.4", "error: unknown class", True),
            ("1.5 0.6 0.7 0.2 0.4", "error: line that is not “class x y w h”", True),
            ("van 0.6 0.7 0.2 0.4", "error: line that is not “class x y w h”", True),
            ("1 0.6 0.7 0.2 0.4 0.93", "error: line that is not “class x y w h”", True),
            ("1 0.6 0.7 0.2", "error: line that is not “class x y w h”", True),
        ],
    )
    def test_what_is_no_object_is_a_finding(self, tmp_path, line, message, stops):
        data, findings, text = self.read(tmp_path, line)
        assert objects(data) == {"all": [("a", BOTH[:1])]}
        assert f"{message}, 1 time: " in text
        assert "labels/a.txt:2" in text
        assert findings.errors == stops

    def test_a_box_over_the_edge_is_cut(self, tmp_path):
        data, findings, text = self.read(tmp_path, "1 0.95 0.5 0.2 0.2")
        assert data["all"].images[0].boxes[1].tolist() == pytest.approx([170, 40, 200, 60])
        assert "warning: box that exceeds its image, clipped, 1 time: " in text
        assert findings.errors == 0


class TestDataYaml:
    def read(self, folder, yaml):
        write_yolo(folder / "images", folder / "labels", "a")
        write_text(folder / "data.yaml", yaml)
        return read(folder)

    @pytest.mark.parametrize(
        "names",
        [
            "{'0': car, '1': van, '2': c, '10': k, '3': d, '4': e, '5': f, '6': g, '7': h, '8': i, '9': j}",
            "{0: car, '1': van, 2: c, '10': k, 3: d, '4': e, 5: f, 6: g, '7': h, 8: i, 9: j}",
        ],
    )
    def test_quoted_and_mixed_keys_are_in_numeric_order(self, tmp_path, names):
        data = self.read(tmp_path, f"names: {names}\n")[0]["all"]
        assert data.class_names == ("car", "van", "c", "d", "e", "f", "g", "h", "i", "j", "k")

    def test_names_that_yaml_takes_for_other_things(self, tmp_path):
        data = self.read(tmp_path, "names:\n- no\n- 007\n- 1e3\n- 2026-01-01\n")[0]["all"]
        assert data.class_names == ("no", "007", "1e3", "2026-01-01")

    @pytest.mark.parametrize(
        ("yaml", "message"),
        [
            ("names: {0: car, 2: van}\n", "names has no class 1: name every id from 0 on"),
            ("names: {0: car, one: van}\n", "'one' is not a number"),
            ("names: {0: car, '00': van}\n", "names gives a class id more than once"),
            ("names:\n  0: car\n  '0': van\n", r"data\.yaml:3 gives '0' more than once"),
            ("names: [car, van]\nval: a\nval: b\n", r"data\.yaml:3 gives 'val' more than once"),
            ("names: {-1: car, 0: van}\n", "has the class id -1"),
            ("nc: 3\nnames: [car, van]\n", "nc is 3, but names has 2 classes"),
            ("nc: 2\n", "has no names"),
            ("names: []\n", "has no names"),
            ("names: [car, [van]]\n", "each name must be a text"),
            ("names: [car\nval: x\n", r"data\.yaml:\d is not valid YAML"),
            ("- car\n", "must be a mapping with the keys names"),
            ("names: [car, van]\ntrain: {a: b}\n", "train must be a text or a list of texts"),
        ],
    )
    def test_what_cannot_be_meant_is_refused(self, tmp_path, yaml, message):
        with pytest.raises(DatasetError, match=message):
            self.read(tmp_path, yaml)

    def test_gbk_is_named(self, tmp_path):
        write_yolo(tmp_path / "images", tmp_path / "labels", "a")
        (tmp_path / "data.yaml").write_bytes("# 数据\nnames: [car, van]\n".encode("gbk"))
        with pytest.raises(DatasetError, match=r"data\.yaml:1 is not UTF-8 text"):
            read(tmp_path)

    @pytest.mark.parametrize(
        ("names", "message"),
        [
            ("[car, '']", "class without a name"),
            ("[car, '  ']", "class without a name"),
            ("[car, car]", "class name given more than once"),
            ('[car, "a\\nb"]', "class name with a control character"),
        ],
    )
    def test_names_that_cannot_be_used(self, tmp_path, names, message):
        _, findings, text = self.read(tmp_path, f"names: {names}\n")
        assert f"error: {message}, 1 time: " in text
        assert findings.errors == 1


class TestCoco:
    def read(self, folder, **changes):
        write_coco(folder / "annotations/val.json", folder / "images", "a", **changes)
        return read(folder)

    def test_ids_may_be_texts(self, tmp_path):
        document = coco("a")
        for annotation in document["annotations"]:
            annotation["image_id"] = 77
            annotation["category_id"] = str(annotation["category_id"])
        document["images"][0]["id"] = "77"
        data, findings, text = self.read(tmp_path, **document)
        assert objects(data) == {"val": [("a", BOTH)]}
        assert "val.json: image ids are texts" in text
        assert findings.errors == 0

    @pytest.mark.parametrize(
        ("changed", "message"),
        [
            ({"bbox": None}, "annotation without a box"),
            ({"bbox": []}, "annotation without a box"),
            ({"bbox": [1, 2, 3]}, "box that is not four numbers x, y, w, h"),
            ({"bbox": [1, 2, 3, "wide"]}, "box that is not four numbers x, y, w, h"),
            ({"bbox": [1, 2, 3, None]}, "box that is not four numbers x, y, w, h"),
            ({"category_id": 9}, "unknown class"),
            ({"category_id": None}, "unknown class"),
            ({"image_id": 9}, "label of no image"),
            ({"bbox": [300, 20, 10, 10]}, "box outside its image"),
            ({"bbox": [float("nan"), 20, 10, 10]}, "box with a coordinate that is not a number"),
        ],
    )
    def test_a_faulty_annotation_is_named(self, tmp_path, changed, message):
        document = coco("a")
        document["annotations"][1].update(changed)
        data, findings, text = self.read(tmp_path, **document)
        assert objects(data) == {"val": [("a", BOTH[:1])]}
        assert f"error: {message}, 1 time: " in text
        assert "annotations/val.json: annotation 1" in text
        assert findings.errors == 1

    def test_an_outline_replaces_a_missing_box(self, tmp_path):
        document = coco("a")
        del document["annotations"][1]["bbox"]
        document["annotations"][1]["segmentation"] = [[100, 50, 140, 50, 120, 70], [100, 90, 110, 80, 105, 85]]
        data, findings, text = self.read(tmp_path, **document)
        assert objects(data) == {"val": [("a", BOTH)]}
        assert "warning: annotation without a box, taken as the enclosing box of its outline, 1 time: " in text
        assert findings.errors == 0

    def test_crowds_are_ignored_regions(self, tmp_path):
        document = coco("a")
        document["annotations"][1]["iscrowd"] = 1
        image = self.read(tmp_path, **document)[0]["val"].images[0]
        assert image.boxes.tolist() == [list(CAR)]
        assert image.ignored.tolist() == [[100, 50, 140, 90]]

    @pytest.mark.parametrize(
        ("images", "message"),
        [
            ([(0, "a.jpg"), (0, "b.jpg")], "error: image id given more than once, 1 time: "),
            ([(0, "a.jpg"), (1, "a.jpg")], "error: image listed more than once, 1 time: "),
        ],
    )
    def test_duplicates_of_images_are_named(self, tmp_path, images, message):
        write_image(tmp_path / "images/b.jpg")
        _, findings, text = self.read(tmp_path, images=[{"id": i, "file_name": n} for i, n in images])
        assert f"{message}{tmp_path}/annotations/val.json: " in text
        assert findings.errors == 1

    def test_duplicates_of_other_ids_are_named(self, tmp_path):
        document = coco("a")
        document["annotations"][1]["id"] = 0
        document["categories"].append({"id": 7, "name": "van"})
        _, findings, text = self.read(tmp_path, **document)
        assert "warning: annotation id given more than once, 1 time: " in text
        assert "error: category id given more than once, 1 time: " in text
        assert findings.errors == 1

    @pytest.mark.parametrize(
        "text", ["{", "[]", '{"images": []}', '{"images": [{}], "categories": [], "annotations": []}', "\0"]
    )
    def test_another_json_is_refused(self, tmp_path, text):
        write_text(tmp_path / "a.json", text)
        with pytest.raises(DatasetError, match="is not a COCO JSON file with boxes"):
            read(tmp_path / "a.json")

    def test_missing_and_broken_images_are_named(self, tmp_path):
        write_coco(tmp_path / "val.json", tmp_path / "images", "a", "b")
        (tmp_path / "images/a.jpg").unlink()
        (tmp_path / "images/b.jpg").write_bytes(b"no image")
        _, findings, text = read(tmp_path)
        assert f"error: missing image, 1 time: {tmp_path}/val.json: {tmp_path}/images/a.jpg" in text
        assert "error: image that cannot be read, 1 time: " in text
        assert findings.errors == 2


class TestSizes:
    """Boxes are drawn on an image of a certain size: the labels' is compared with the file's."""

    def test_a_resized_image(self, tmp_path):
        write_coco(tmp_path / "val.json", tmp_path / "images", "a")
        write_image(tmp_path / "images/a.jpg", 400, 200)
        _, findings, text = read(tmp_path)
        assert "error: image of another size than its labels state, 1 time: " in text
        assert "a.jpg: 400 by 200, but labelled as 200 by 100" in text
        assert findings.errors == 1

    @pytest.mark.parametrize(("orientation", "errors"), [(1, 0), (3, 0), (6, 1), (8, 1)])
    def test_an_image_that_its_exif_orientation_turns(self, tmp_path, orientation, errors):
        write_coco(tmp_path / "val.json", tmp_path / "images", "a")
        exif = Image.Exif()
        exif[0x0112] = orientation
        stored = io.BytesIO()
        Image.fromarray(np.full((100, 200, 3), 90, np.uint8)).save(stored, "JPEG", exif=exif)
        (tmp_path / "images/a.jpg").write_bytes(stored.getvalue())
        _, findings, text = read(tmp_path)
        assert findings.errors == errors
        assert ("labels of the image before the turn" in text) == bool(errors)

    @pytest.mark.parametrize("size", [{}, {"width": 0, "height": 0}, {"width": None, "height": None}])
    def test_a_size_that_is_not_stated_is_not_compared(self, tmp_path, size):
        write_coco(tmp_path / "val.json", tmp_path / "images", "a", images=[{"id": 0, "file_name": "a.jpg", **size}])
        assert read(tmp_path)[1].errors == 0

    def test_of_voc(self, tmp_path):
        write_image(tmp_path / "a.jpg", 100, 200)
        write_text(tmp_path / "a.xml", voc("a"))
        assert "a.jpg: 100 by 200, but labelled as 200 by 100" in read(tmp_path)[2]


def test_labels_of_a_large_set_are_read_once(tmp_path):
    """A fault in a split that is used twice is reported once."""
    write_yolo(tmp_path / "images", tmp_path / "labels", "a", "9 0.5 0.5 0.1 0.1\n")
    write_text(tmp_path / "data.yaml", f"train: images\nval: images\n{NAMES}")
    assert read(tmp_path)[1].errors == 1
