"""Command lines, for `paddlex` and `sod`."""

import shlex
from dataclasses import dataclass

from tests.paddlex.sdk_cases import IMAGE

_START = "--pipeline small_object_detection"


@dataclass(frozen=True)
class Line:
    """One command line without the program.

    Attributes:
        words: the options.
        row: key of the row of docs/paddlex-compat.md that lists a difference.
    """

    words: str
    row: str | None = None

    @property
    def arguments(self) -> list[str]:
        """As a shell passes them."""
        return shlex.split(self.words)


LINES = (
    # Sections 2.2.1, 2.2.2 and 4.2 of the tutorial; without a GPU, see below.
    Line(f"{_START} --input {IMAGE} --threshold 0.5 --save_path ./output --device cpu"),
    Line("--get_pipeline_config small_object_detection --save_path ./written", "paddlex --get_pipeline_config"),
    Line(f"--pipeline ./my_path/small_object_detection.yaml --input {IMAGE} --save_path ./output"),
    Line(f"--pipeline ./my_path/tuned.yaml --input {IMAGE} --threshold 0.4 --save_path ./output"),
    Line(f"{_START} --input {IMAGE} --device gpu:0 --threshold 0.5"),
    Line(f"{_START} --input {IMAGE} --device npu:0", "paddlex --device"),
    # What users type besides.
    Line(f"{_START} --input images --save_path ./output"),
    Line(f"{_START} --input clash --save_path ./output", "save_to_json.save_path"),
    Line(f"{_START} --input more --save_path ./output", "save_to_json.save_path"),
    Line(f"{_START} --input images/grey16.png --threshold '{{0: 0.3, 3: 0.7}}'"),
    Line(f"{_START} --input two.tif --save_path ./output"),
    Line(f"{_START} --input {IMAGE} --save ./out --thr 0.6"),
    Line(f"{_START} --input {IMAGE} --threshold None"),
    Line(f"{_START} --input {IMAGE} --threshold high"),
    Line(f"{_START} --input missing.jpg"),
    Line(f"{_START} --input broken.jpg --save_path ./output"),
    Line(f"{_START} --input {IMAGE} --engine paddle"),
    Line(f"{_START} --input {IMAGE} --use_hpip", "paddlex --use_hpip"),
    Line(f"{_START} --input {IMAGE} --unknown 5"),
    Line(f"--pipeline tiny_object_detection --input {IMAGE}"),
    Line(f"--input {IMAGE}", "paddlex --pipeline"),
    Line(_START, "paddlex --input"),
    Line(""),
    Line("--paddle2onnx"),
)
