"""Every layout of the documentation is read with the right names, boxes and splits."""

import json

import numpy as np
import pytest

from sod.datasets.class_names import VISDRONE_CLASSES
from sod.datasets.errors import DatasetError
from sod.datasets.files import split_of
from sod.datasets.findings import Findings
from sod.datasets.reader import open_dataset, read_one_split
from tests.sod.datasets.layouts import (
    BOTH,
    CAR,
    NAMES,
    coco,
    objects,
    read,
    voc,
    write_coco,
    write_image,
    write_text,
    write_yolo,
)

TRAIN_AND_VAL = {"train": [("a", BOTH)], "val": [("b", BOTH)]}


def ultralytics(folder, yaml):
    for split, name in (("train", "a"), ("val", "b")):
        write_yolo(folder / "images" / split, folder / "labels" / split, name)
    write_text(folder / "data.yaml", yaml)


class TestYolo:
    @pytest.mark.parametrize(
        "yaml",
        [
            "train: images/train\nval: images/val\n",
            "path: .\ntrain: [images/train]\nval:\n  - images/val\n",
            "path: /nowhere\ntrain: ./images/train/\nval: images/val\ntest:\n",
            "train: ../images/train\nval: ../images/val\ntest: ../images/test\n",
            "train: images\\train\nval: images\\val\n",
            "",
        ],
    )
    def test_paths_of_data_yaml(self, tmp_path, yaml):
        ultralytics(tmp_path / "set", NAMES + yaml)
        data, findings, text = read(tmp_path / "set")
        assert objects(data) == TRAIN_AND_VAL
        assert text == ""
        assert objects(read(tmp_path / "set/data.yaml")[0]) == TRAIN_AND_VAL
        assert findings.errors == 0

    def test_path_is_the_root(self, tmp_path):
        ultralytics(tmp_path / "pictures", NAMES)
        write_text(tmp_path / "yaml/coco8.yaml", f"path: ../pictures\ntrain: images/train\nval: images/val\n{NAMES}")
        assert objects(read(tmp_path / "yaml")[0]) == TRAIN_AND_VAL

    def test_lists_of_images(self, tmp_path):
        ultralytics(tmp_path, f"train: train.txt\nval: lists/val.txt\n{NAMES}")
        write_text(tmp_path / "train.txt", "./images/train/a.jpg\n\n")
        write_text(tmp_path / "lists/val.txt", f"{tmp_path}/images/val/b.jpg\nimages/val/gone.jpg\n")
        data, findings, text = read(tmp_path)
        assert objects(data) == TRAIN_AND_VAL
        assert "error: missing image, 1 time:" in text
        assert "val.txt:2: " in text
        assert findings.errors == 1

    def test_roboflow(self, tmp_path):
        for split, name in (("train", "a"), ("valid", "b")):
            write_yolo(tmp_path / split / "images", tmp_path / split / "labels", name)
        write_text(
            tmp_path / "data.yaml", f"train: ../train/images\nval: ../valid/images\ntest: ../test/images\n{NAMES}"
        )
        assert objects(read(tmp_path)[0]) == TRAIN_AND_VAL
        # The class names hold in the folder of one split, too.
        assert objects(read(tmp_path / "valid")[0]) == {"all": [("b", BOTH)]}

    def test_images_and_labels_in_one_folder_with_classes_txt(self, tmp_path):
        write_yolo(tmp_path, tmp_path, "a")
        write_text(tmp_path / "classes.txt", "car\nvan\n")
        assert objects(read(tmp_path)[0]) == {"all": [("a", BOTH)]}

    def test_without_names(self, tmp_path):
        write_yolo(tmp_path / "images/sub", tmp_path / "labels/sub", "a", "11 0.5 0.5 0.5 0.5\n")
        data, findings, _ = read(tmp_path)
        assert data["all"].class_names is None
        assert data["all"].images[0].class_ids.tolist() == [11]
        assert findings.errors == 0

    def test_images_elsewhere(self, tmp_path):
        write_yolo(tmp_path / "photos", tmp_path / "set/labels", "a")
        write_text(tmp_path / "set/data.yaml", NAMES)
        assert objects(read(tmp_path / "set", images=tmp_path / "photos")[0]) == {"all": [("a", BOTH)]}

    def test_a_folder_that_data_yaml_names_must_exist(self, tmp_path):
        ultralytics(tmp_path, f"train: images/train\nval: images/evaluation\n{NAMES}")
        with pytest.raises(DatasetError, match=r"data\.yaml names images/evaluation, and there is no folder or file"):
            read(tmp_path)


class TestCoco:
    def test_split_files_and_folders_of_coco_2017(self, tmp_path):
        for split, name in (("train", "a"), ("val", "b")):
            write_coco(tmp_path / f"annotations/instances_{split}2017.json", tmp_path / f"{split}2017", name)
            for other in ("captions", "person_keypoints", "stuff"):
                write_text(tmp_path / f"annotations/{other}_{split}2017.json", "{}")
        write_text(tmp_path / "annotations/image_info_test-dev2017.json", "{}")
        assert objects(read(tmp_path)[0]) == TRAIN_AND_VAL

    def test_roboflow_with_its_group_of_categories(self, tmp_path):
        groups = [
            {"id": 0, "name": "vehicles", "supercategory": "none"},
            {"id": 3, "name": "car", "supercategory": "vehicles"},
            {"id": 7, "name": "van", "supercategory": "vehicles"},
        ]
        for split, name in (("train", "a"), ("valid", "b"), ("test", "c")):
            file = tmp_path / split / "_annotations.coco.json"
            write_coco(file, tmp_path / split, name, categories=groups)
        data, _, text = read(tmp_path)
        assert objects(data) == {**TRAIN_AND_VAL, "test": [("c", BOTH)]}
        assert "note: vehicles: a group of categories without an object, left out" in text

    @pytest.mark.parametrize("name", ["latest", "contest", "retrain", "interval", "my_labels"])
    def test_a_part_of_a_word_is_no_split(self, tmp_path, name):
        write_coco(tmp_path / f"annotations/{name}.json", tmp_path / "images", "a")
        assert objects(read(tmp_path)[0]) == {"all": [("a", BOTH)]}

    def test_two_files_of_one_split_are_refused(self, tmp_path):
        for name in ("train_1", "train_2"):
            write_coco(tmp_path / f"annotations/{name}.json", tmp_path / "images", "a")
        with pytest.raises(DatasetError, match=r"train_1\.json, annotations/train_2\.json, and any .* boxes of train"):
            read(tmp_path)

    def test_a_single_file(self, tmp_path):
        write_coco(tmp_path / "annotations/instances_val.json", tmp_path / "images/val", "a")
        assert objects(read(tmp_path / "annotations/instances_val.json")[0]) == {"val": [("a", BOTH)]}
        write_coco(tmp_path / "x/labels.json", tmp_path / "elsewhere", "b")
        data = read(tmp_path / "x/labels.json", images=tmp_path / "elsewhere")[0]
        assert objects(data) == {"all": [("b", BOTH)]}

    def test_splits_are_matched_by_name(self, tmp_path):
        write_coco(tmp_path / "train.json", tmp_path / "images", "a")
        document = coco("b", categories=[{"id": 1, "name": "van"}, {"id": 2, "name": "car"}])
        for annotation in document["annotations"]:
            annotation["category_id"] = {3: 2, 7: 1}[annotation["category_id"]]
        write_image(tmp_path / "images/b.jpg")
        write_text(tmp_path / "val.json", json.dumps(document))
        assert objects(read(tmp_path)[0]) == TRAIN_AND_VAL

    def test_other_categories_are_named(self, tmp_path):
        write_coco(tmp_path / "train.json", tmp_path / "images", "a", categories=[{"id": 3, "name": "car"}])
        write_coco(tmp_path / "val.json", tmp_path / "images", "b")
        with pytest.raises(DatasetError, match=r"val\.json has the categories van, which train\.json does not have"):
            read(tmp_path)


class TestVoc:
    def test_annotations_jpegimages_and_imagesets(self, tmp_path):
        for name in "ab":
            write_image(tmp_path / f"JPEGImages/{name}.jpg")
            write_text(tmp_path / f"Annotations/{name}.xml", voc(name))
        assert objects(read(tmp_path)[0]) == {"all": [("a", BOTH), ("b", BOTH)]}
        write_text(tmp_path / "ImageSets/Main/train.txt", "a\n")
        write_text(tmp_path / "ImageSets/Main/val.txt", "b 1\n")
        assert objects(read(tmp_path)[0]) == TRAIN_AND_VAL

    def test_a_folder_for_each_split(self, tmp_path):
        for split, name in (("train", "a"), ("valid", "b")):
            write_image(tmp_path / split / f"{name}.jpg")
            write_text(tmp_path / split / f"{name}.xml", voc(name))
        assert objects(read(tmp_path)[0]) == TRAIN_AND_VAL

    def test_labels_beside_images_whose_names_changed(self, tmp_path):
        write_image(tmp_path / "renamed.png")
        write_text(tmp_path / "renamed.xml", voc("old"))
        write_text(tmp_path / "label_list.txt", "van\ncar\n")
        data = read(tmp_path)[0]
        assert data["all"].class_names == ("van", "car")
        assert objects(data) == {"all": [("renamed", BOTH)]}

    def test_difficult_objects_are_ignored_regions(self, tmp_path):
        write_image(tmp_path / "a.jpg")
        write_text(tmp_path / "a.xml", voc("a", difficult="1"))
        image = read(tmp_path)[0]["all"].images[0]
        assert image.boxes.tolist() == [list(CAR)]
        assert image.ignored.tolist() == [[100, 50, 140, 90]]

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ("<annotation>", "error: XML file that cannot be read, 1 time"),
            ("<kml/>", "error: XML file without VOC's annotation, 1 time"),
            (
                voc("a").replace("<xmin>10</xmin>", ""),
                "error: object without a bndbox of four numbers, 1 time",
            ),
            (voc("a", size=(400, 200)), "error: image of another size than its labels state, 1 time"),
        ],
    )
    def test_faults_are_named_with_the_file(self, tmp_path, text, message):
        write_image(tmp_path / "a.jpg")
        write_text(tmp_path / "a.xml", text)
        _, findings, lines = read(tmp_path, kind="voc")
        assert message in lines
        assert "a.xml" in lines
        assert findings.errors == 1


class TestVisDrone:
    ROWS = "10,20,40,20,1,4,0,0\n100,50,40,40,1,5,0,1,\n50,60,10,10,0,4,0,0\n0,0,20,20,1,0,0,0\n5,5,5,5,1,11,0,0,\n"

    def test_ignored_regions_and_others_are_no_objects(self, tmp_path):
        write_image(tmp_path / "images/a.jpg")
        write_text(tmp_path / "annotations/a.txt", self.ROWS)
        data, findings, _ = read(tmp_path)
        assert data["all"].class_names == VISDRONE_CLASSES
        assert objects(data) == {"all": [("a", BOTH)]}
        assert data["all"].images[0].ignored.tolist() == [[50, 60, 60, 70], [0, 0, 20, 20], [5, 5, 10, 10]]
        assert findings.errors == 0

    def test_the_folders_of_its_archives(self, tmp_path):
        for split, name in (("train", "a"), ("val", "b")):
            write_image(tmp_path / f"VisDrone2019-DET-{split}/images/{name}.jpg")
            write_text(tmp_path / f"VisDrone2019-DET-{split}/annotations/{name}.txt", self.ROWS)
        assert objects(read(tmp_path)[0]) == TRAIN_AND_VAL

    @pytest.mark.parametrize("line", ["1,2,3,4,1,4,0", "1,2,3,4,1,car,0,0", "1,2,3,4,1,4.5,0,0"])
    def test_a_wrong_line_is_named(self, tmp_path, line):
        write_image(tmp_path / "images/a.jpg")
        write_text(tmp_path / "annotations/a.txt", f"{self.ROWS}{line}\n")
        _, findings, text = read(tmp_path)
        assert "a.txt:6: " in text
        assert findings.errors == 1

    def test_an_unknown_category_is_named(self, tmp_path):
        write_image(tmp_path / "images/a.jpg")
        write_text(tmp_path / "annotations/a.txt", "1,2,30,40,1,12,0,0\n")
        assert "a.txt:1: class 11 of 10 (0 to 9)" in read(tmp_path)[2]

    def test_the_real_image(self, shared):
        image = read(shared / "data/real")[0]["all"].images[0]
        assert (image.width, image.height) == (1360, 765)
        assert len(image.boxes) > 90


class TestStrangersFiles:
    def test_macos_and_jupyter_leave_files_that_are_not_read(self, tmp_path):
        ultralytics(tmp_path, f"train: images/train\nval: images/val\n{NAMES}")
        (tmp_path / "images/train/._a.jpg").write_bytes(b"\0\5\x16\7")
        (tmp_path / "labels/train/._a.txt").write_bytes(b"\0\5\x16\7\xff")
        write_image(tmp_path / "images/train/.ipynb_checkpoints/a-checkpoint.jpg")
        write_image(tmp_path / "images/val/__MACOSX/b.jpg")
        data, _, text = read(tmp_path)
        assert objects(data) == TRAIN_AND_VAL
        assert text == ""

    def test_beside_coco_files(self, tmp_path):
        write_coco(tmp_path / "annotations/train.json", tmp_path / "images", "a")
        write_coco(tmp_path / "annotations/val.json", tmp_path / "images", "b")
        (tmp_path / "annotations/._train.json").write_bytes(b"\0\5\x16\7")
        write_text(tmp_path / "annotations/.ipynb_checkpoints/train-checkpoint.json", "{}")
        assert objects(read(tmp_path)[0]) == TRAIN_AND_VAL

    def test_a_label_file_in_another_encoding_is_named(self, tmp_path):
        ultralytics(tmp_path, f"train: images/train\nval: images/val\n{NAMES}")
        (tmp_path / "labels/val/b.txt").write_bytes("0 0.5 0.5 0.1 0.1\n# 汽车\n".encode("gbk"))
        _, findings, text = read(tmp_path)
        assert "b.txt:2 is not UTF-8 text: save the file as UTF-8" in text
        assert findings.errors == 1

    def test_a_byte_order_mark_is_skipped(self, tmp_path):
        ultralytics(tmp_path, NAMES)
        for file in ("data.yaml", "labels/val/b.txt"):
            (tmp_path / file).write_bytes(b"\xef\xbb\xbf" + (tmp_path / file).read_bytes())
        assert objects(read(tmp_path)[0]) == TRAIN_AND_VAL


def test_the_split_for_a_measurement(tmp_path):
    ultralytics(tmp_path, NAMES)
    findings = Findings()
    source = open_dataset(tmp_path)
    assert read_one_split(source, findings).images[0].image.stem == "b"
    assert findings.lines() == ["note: measured on the split val (the data set has train, val)"]
    assert read_one_split(source, findings, "train").images[0].image.stem == "a"
    with pytest.raises(DatasetError, match="there is no split test: the data set has train, val"):
        read_one_split(source, findings, "test")


def test_what_is_no_data_set_is_refused(tmp_path):
    with pytest.raises(DatasetError, match="does not exist"):
        read(tmp_path / "absent")
    write_image(tmp_path / "outer/inner/a.jpg")
    write_text(tmp_path / "outer/inner/notes.txt", "nothing")
    with pytest.raises(DatasetError, match=r"holds no labelled images: .*; did you mean .*inner\?"):
        read(tmp_path / "outer")
    write_text(tmp_path / "a.txt", "")
    with pytest.raises(DatasetError, match="holds no labelled images"):
        read(tmp_path / "a.txt")
    with pytest.raises(DatasetError, match="is not a folder of images"):
        read(tmp_path, images=tmp_path / "gone")


@pytest.mark.parametrize(
    ("name", "split"),
    [
        ("instances_train2017", "train"),
        ("VisDrone2019-DET-val", "val"),
        ("valid", "val"),
        ("TestImages", "test"),
        ("TRAIN", "train"),
        ("latest", None),
        ("trains", None),
        ("", None),
    ],
)
def test_splits_are_whole_words(name, split):
    assert split_of(name) == split


def test_boxes_are_float32_of_the_image_as_shown(tmp_path):
    ultralytics(tmp_path, NAMES)
    image = read(tmp_path)[0]["val"].images[0]
    assert (image.boxes.dtype, image.class_ids.dtype) == (np.float32, np.int64)
    assert (image.width, image.height) == (200, 100)
