"""Python code as the tutorial of PaddleX's pipeline has it, run with either package: python -P sdk_cases.py MODULE …

Runs in PaddleX's environment too, and so imports nothing of this repository. It writes to stdout one JSON object: the
observation of each case by its name, or `{"error": …}`.
"""

import importlib
import json
import shutil
import sys
import types
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np

IMAGE = "small_object_detection.jpg"  # the name in the tutorial
Case = Callable[[Any], Any]
CASES: dict[str, Case] = {}
ROWS: dict[str, str] = {}  # key of the row of the tables that lists a difference, by case


def case(name: str, row: str = "") -> Callable[[Case], Case]:
    """Add a case; `row` is that of docs/paddlex-compat.md if the two must differ."""

    def add(function: Case) -> Case:
        CASES[name] = function
        if row:
            ROWS[name] = row
        return function

    return add


def seen(result: Any) -> dict[str, Any]:
    """What a result has."""
    return {
        "input_path": result["input_path"],
        "page_index": result["page_index"],
        "boxes": plain(result["boxes"]),
        "json": sorted(result.json["res"]),
    }


def plain(value: Any) -> Any:
    """NumPy's numbers and arrays as Python's."""
    if isinstance(value, dict):
        return {key: plain(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [plain(entry) for entry in value]
    return value.tolist() if isinstance(value, np.ndarray | np.generic) else value


def files(folder: str) -> dict[str, Any]:
    """The files of a folder: JSON as such, images as their size."""
    found = {}
    for path in sorted(Path(folder).rglob("*")):
        if path.suffix == ".json":
            found[str(path)] = json.loads(path.read_text("utf-8"))
        elif path.is_file():
            image = cv2.imread(str(path))
            found[str(path)] = list(image.shape) if image is not None else path.stat().st_size
    return found


def array() -> Any:
    """The image as uint8 BGR [H, W, 3]."""
    return cv2.imread(IMAGE)


# Section 2.2: the quick start.


@case("tutorial: quick start")
def _(paddlex: Any) -> Any:
    pipeline = paddlex.create_pipeline(pipeline="small_object_detection")
    output = pipeline.predict(input=IMAGE, threshold=0.5)
    kind = isinstance(output, types.GeneratorType)
    results = []
    for res in output:
        res.print()
        res.save_to_img(save_path="./output/")
        res.save_to_json(save_path="./output/")
        results.append(seen(res))
    return [kind, results, files("output")]


@case("tutorial: device and use_hpip")
def _(paddlex: Any) -> Any:
    pipeline = paddlex.create_pipeline(pipeline="small_object_detection", device="cpu", use_hpip=False)
    return [seen(res) for res in pipeline.predict(IMAGE, threshold=None)]


@case("tutorial: pipeline file")
def _(paddlex: Any) -> Any:
    pipeline = paddlex.create_pipeline(pipeline="./my_path/small_object_detection.yaml")
    return [seen(res) for res in pipeline.predict(input=f"./{IMAGE}", threshold=0.5)]


@case("tutorial: pipeline file with model_dir")
def _(paddlex: Any) -> Any:
    pipeline = paddlex.create_pipeline(pipeline="./my_path/tuned.yaml")
    return [seen(res) for res in pipeline.predict(IMAGE, threshold=0.4)]


@case("tutorial: threshold of a pipeline file", "config.threshold")
def _(paddlex: Any) -> Any:
    pipeline = paddlex.create_pipeline(pipeline="./my_path/tuned.yaml")
    return [seen(res) for res in pipeline.predict(IMAGE)]


@case("tutorial: config", "config.threshold")
def _(paddlex: Any) -> Any:
    config = {
        "pipeline_name": "small_object_detection",
        "SubModules": {
            "SmallObjectDetection": {
                "module_name": "small_object_detection",
                "model_name": "PP-YOLOE_plus_SOD-L",
                "model_dir": None,
                "batch_size": 1,
                "threshold": {0: 0.3, 3: 0.7},
            }
        },
    }
    return [seen(res) for res in paddlex.create_pipeline(config=config).predict(IMAGE)]


@case("another pipeline file is missing")
def _(paddlex: Any) -> Any:
    return paddlex.create_pipeline(pipeline="./missing.yaml")


@case("another pipeline name")
def _(paddlex: Any) -> Any:
    return paddlex.create_pipeline(pipeline="tiny_object_detection")


# Inputs.


def predicted(made: Callable[[], Any], **arguments: Any) -> Case:
    """A case that predicts one input."""

    def run(paddlex: Any) -> Any:
        return [seen(res) for res in paddlex.pipeline.predict(made(), **arguments)]

    return run


INPUTS: dict[str, tuple[Callable[[], Any], str]] = {
    "path": (lambda: IMAGE, ""),
    "path with folder": (lambda: f"./images/{IMAGE}", ""),
    "list of paths": (lambda: [IMAGE, "images/grey16.png"], ""),
    "array": (array, ""),
    "list of arrays": (lambda: [array(), array()[::2, ::2]], ""),
    "list of both": (lambda: [array(), IMAGE], ""),
    "array that is not contiguous": (lambda: array()[:, ::-1], ""),
    "array of one pixel": (lambda: array()[:1, :1], ""),
    "list of folders": (lambda: ["images", "more"], ""),
    "folder": (lambda: "images", ""),
    "folder with a slash": (lambda: "images/", ""),
    "list of nothing": (list, ""),
    "empty folder": (lambda: "empty", ""),
    "missing file": (lambda: "missing.jpg", ""),
    "no image": (lambda: "broken.jpg", ""),
    "grey PNG": (lambda: "images/grey.png", ""),
    "16-bit PNG": (lambda: "images/bgr16.png", ""),
    "16-bit grey PNG": (lambda: "images/grey16.png", ""),
    "PNG with alpha": (lambda: "images/bgra.png", ""),
    "JPEG with EXIF": (lambda: "images/exif6.jpg", ""),
    "truncated JPEG": (lambda: "truncated.jpg", "image: a JPEG that ends too early"),
    "PDF": (lambda: "pages.pdf", ""),
    "TIFF": (lambda: "one.tif", ""),
    "TIFF of two frames": (lambda: "two.tif", ""),
    "TIFF of 16 bits": (lambda: "grey16.tif", "predict.input: TIFF"),
    "TIFF of float32": (lambda: "float.tif", "predict.input: TIFF"),
    "file without a suffix": (lambda: "image", "predict.input: another kind"),
    "text file": (lambda: "readme.txt", ""),
    "path object": (lambda: Path(IMAGE), "predict.input"),
    "tuple": (lambda: (IMAGE,), "predict.input"),
    "bytes": (lambda: Path(IMAGE).read_bytes(), "predict.input"),
    "None": (lambda: None, "predict.input: another kind"),
    "number": (lambda: 5, "predict.input: another kind"),
    "grey array": (lambda: array()[..., 0], ""),
    "grey array with an axis": (lambda: array()[..., :1], ""),
    "BGRA array": (lambda: np.dstack([array(), array()[..., 0]]), ""),
    "float32 array": (lambda: array().astype(np.float32), "predict.input: array"),
    "float64 array": (lambda: array().astype(np.float64), "predict.input: array"),
    "float array from 0 to 1": (lambda: (array() / 255).astype(np.float32), "predict.input: array"),
    "uint16 array": (lambda: array().astype(np.uint16) * 257, "predict.input: array"),
    "int64 array": (lambda: array().astype(np.int64), ""),
    "bool array": (lambda: array() > 128, ""),
    "empty array": (lambda: array()[:0], ""),
    "array of four axes": (lambda: array()[None], "predict.input: array"),
}
for _name, (_made, _row) in INPUTS.items():
    case(f"input: {_name}", _row)(predicted(_made))

THRESHOLDS: dict[str, tuple[Any, str]] = {
    "0.3": (0.3, ""),
    "0": (0, ""),
    "1": (1, "predict.threshold"),
    "None": (None, ""),
    "map": ({0: 0.3, 1: 0.35}, ""),
    "empty map": ({}, ""),
    "map of all": (dict.fromkeys(range(10), 0.6), ""),
    "1.5": (1.5, "predict.threshold"),
    "-1": (-1, "predict.threshold"),
    "unknown class": ({77: 0.3}, "predict.threshold"),
    "text": ("0.5", "predict.threshold"),
}
for _name, (_threshold, _row) in THRESHOLDS.items():
    case(f"threshold: {_name}", _row)(predicted(lambda: IMAGE, threshold=_threshold))

case("predict: batch_size", "")(predicted(lambda: [IMAGE, IMAGE], batch_size=2))
case("predict: device", "")(predicted(lambda: IMAGE, device="cpu"))
case("predict: unknown argument", "predict.batch_size")(predicted(lambda: IMAGE, treshold=0.3))


@case("predict: input as a keyword, called directly")
def _(paddlex: Any) -> Any:
    return [seen(res) for res in paddlex.pipeline(input=IMAGE, threshold=0.4)]


@case("pipeline: the threshold is set", "pipeline.threshold")
def _(paddlex: Any) -> Any:
    pipeline = paddlex.create_pipeline("small_object_detection")
    before, pipeline.threshold = pipeline.threshold, 0.2
    return [before, pipeline.threshold]


@case("pipeline: attributes")
def _(paddlex: Any) -> Any:
    pipeline = paddlex.create_pipeline("small_object_detection", device="cpu")
    return [pipeline.device, bool(pipeline.use_hpip)]


@case("pipeline: pp_option is set", "pipeline.threshold")
def _(paddlex: Any) -> Any:
    paddlex.create_pipeline("small_object_detection").pp_option = {}
    return "set"


# Results.


def of_a_result(name: str, row: str = "") -> Callable[[Callable[[Any], Any]], None]:
    def add(function: Callable[[Any], Any]) -> None:
        case(f"result: {name}", row)(lambda paddlex: function(next(iter(paddlex.pipeline.predict(IMAGE)))))

    return add


of_a_result("keys", "result.input_img")(sorted)
of_a_result("input_img")(lambda result: plain(result["input_img"][:2, :2]))
of_a_result("json")(lambda result: result.json)
of_a_result("str")(lambda result: plain(dict(result.str["res"])))
of_a_result("img")(lambda result: [list(result.img), result.img["res"].size, result.img["res"].mode])
of_a_result("box")(lambda result: sorted(result["boxes"][0]))
of_a_result("types")(
    lambda result: [type(v).__name__ in ("int", "str", "float", "list", "float32") for v in result["boxes"][0].values()]
)
of_a_result("is a dict")(lambda result: isinstance(result, dict))


def saving(name: str, call: Callable[[Any], Any], row: str = "") -> None:
    def run(result: Any) -> Any:
        shutil.rmtree("out", ignore_errors=True)
        returned = call(result)
        texts = {str(path): path.read_text("utf-8") for path in sorted(Path("out").rglob("*.json"))}
        # The layout of the text without its numbers, which have many digits.
        shape = {path: [len(text.splitlines()), text[:30], text.isascii()] for path, text in texts.items()}
        return [returned is None, files("out"), shape]

    of_a_result(f"saving: {name}", row)(run)


saving("JSON into a folder", lambda result: result.save_to_json("./out/"), "result.save_to_json")
saving("JSON into a file", lambda result: (result.save_to_json("./out/a.json"), None)[1])
saving("JSON into a folder, nothing returned", lambda result: (result.save_to_json("./out"), None)[1])
saving("JSON into a folder that is called .json", lambda result: (result.save_to_json("./out/x.json/"), None)[1])
saving("JSON with indent", lambda result: (result.save_to_json("./out/", indent=1), None)[1])
saving("JSON as ASCII", lambda result: (result.save_to_json("./out/a.json", ensure_ascii=True), None)[1])
saving("an image into a folder", lambda result: (result.save_to_img("./out/"), None)[1])
saving("an image into a file", lambda result: (result.save_to_img("./out/a.png"), None)[1])
saving("all", lambda result: (result.save_all("./out/"), None)[1])


@case("printing: JSON")
def _(paddlex: Any) -> Any:
    for result in paddlex.pipeline.predict(IMAGE):
        result.print(json_format=True, indent=2, ensure_ascii=True)
    return "printed"


@case("saving: an array")
def _(paddlex: Any) -> Any:
    for result in paddlex.pipeline.predict(array()):
        result.save_to_json("./array/a.json")
        result.save_to_img("./array/a.jpg")
    return files("array")


@case("saving: pages")
def _(paddlex: Any) -> Any:
    for result in paddlex.pipeline.predict("two.tif"):
        result.save_to_json("./pages/")
        result.save_to_img("./pages/")
    return files("pages")


class Package:
    """The package, and a pipeline that cases share."""

    def __init__(self, name: str) -> None:
        self.create_pipeline = importlib.import_module(name).create_pipeline
        self.pipeline = self.create_pipeline(pipeline="small_object_detection", device="cpu")


def main(module: str, target: str, only: str) -> None:
    """Run the cases whose name contains `only`, and write what was seen to the file `target`."""
    warnings.simplefilter("ignore")
    package = Package(module)
    observed = {}
    for name, function in CASES.items():
        if only in name:
            try:
                observed[name] = plain(function(package))
            except Exception as error:
                observed[name] = {"error": type(error).__name__, "text": str(error)}
    Path(target).write_text(json.dumps(observed, default=str), "utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:])
