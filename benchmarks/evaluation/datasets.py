"""Read the labels that a model is measured against, and print what is wrong with them."""

import sys
from pathlib import Path

from benchmarks.evaluation.errors import EvaluationError
from sod.datasets.dataset import Dataset
from sod.datasets.errors import DatasetError
from sod.datasets.findings import Findings
from sod.datasets.reader import Format, Split, open_dataset, read_one_split


def read_dataset(
    path: Path, kind: Format | None = None, images: Path | None = None, split: Split | None = None
) -> Dataset:
    """Read labelled images, and print the findings about them to stderr.

    Args:
        path: the folder of a data set, a COCO JSON file, or a data.yaml.
        kind: format of the labels; None recognises it.
        images: folder of the images; None looks for it beside the labels.
        split: train, val or test; None takes the first of val, test and train that the data set has.

    Raises:
        EvaluationError: the labels cannot be read, have errors, or contain no object.
    """
    findings = Findings()
    try:
        try:
            dataset = read_one_split(open_dataset(path, kind, images), findings, split)
        finally:
            for line in findings.lines():
                print(line, file=sys.stderr)
        findings.stop_at_errors(path)
    except DatasetError as error:
        raise EvaluationError(str(error)) from None
    if not any(len(image.boxes) for image in dataset.images):
        raise EvaluationError(f"{path} contains no labelled object, so there is nothing to measure")
    return dataset
