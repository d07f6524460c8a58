"""Reads a training data set, in any format of `sod.datasets`, and sets validation images aside where it has none.

The validation split is `val`, else `test`, else the last tenth of the images by name: neighbouring frames stay
together.

An image may leave some classes unlabelled. COCO: `not_exhaustive_category_ids` of an image (as in LVIS, Gupta et al.
2019, arXiv:1908.03195). YOLO: `unlabelled: [names]` in data.yaml, for all images. Such classes are excluded from the
class loss of the image, except where another object is labelled.
"""

from pathlib import Path

from finetune.data.dataset import TrainingDataset
from sod.datasets.class_names import VISDRONE_CLASSES
from sod.datasets.dataset import LabelledImage
from sod.datasets.errors import DatasetError
from sod.datasets.files import ALL
from sod.datasets.findings import Findings
from sod.datasets.reader import open_dataset, read_splits


def read_dataset(path: Path, findings: Findings) -> TrainingDataset:
    """Read a data set; labels and images with errors are left out and reported to `findings`.

    Args:
        path: a folder, a COCO JSON file, or a data.yaml.
        findings: receives what is wrong.

    Raises:
        DatasetError: there is no data set that can be read.
    """
    source = open_dataset(path)
    train = next((split for split in ("train", ALL) if split in source.splits), None)
    if train is None:
        raise DatasetError(f"{path} has no training split, only {', '.join(source.splits)}: name one train")
    validation = next((split for split in ("val", "test") if split in source.splits), None)
    if unused := [split for split in source.splits if split not in (train, validation)]:
        findings.note(f"the split {', '.join(unused)} is not used")
    if validation == "test":
        findings.note("no split val: the split test is used for validation")
    data = read_splits(source, [train, validation] if validation else [train], findings)
    images = data[train].images
    if validation:
        chosen = data[validation].images
    else:
        images, chosen = _set_aside(path, images, findings)
    names = data[train].class_names
    # Labels without class names have the ids of the pretrained models: VisDrone's.
    return TrainingDataset(_visdrone_names(images + chosen) if names is None else names, images, chosen)


def _set_aside(
    path: Path, images: tuple[LabelledImage, ...], findings: Findings
) -> tuple[tuple[LabelledImage, ...], tuple[LabelledImage, ...]]:
    """The images without the last tenth by name, and that tenth: at least one image."""
    if len(images) < 2:
        raise DatasetError(
            f"{path} has no validation split (val), and {len(images)} image(s) are too few to set some aside: "
            "add a val part; for a first try it may hold the same images"
        )
    ordered = sorted(images, key=lambda labelled: labelled.image.name)
    count = max(1, len(ordered) // 10)
    findings.note(
        f"no validation split: the last {count} of {len(ordered)} images by name "
        f"{'is' if count == 1 else 'are'} used for validation"
    )
    return tuple(ordered[:-count]), tuple(ordered[-count:])


def _visdrone_names(images: tuple[LabelledImage, ...]) -> tuple[str, ...]:
    highest = max((int(image.class_ids.max(initial=-1)) for image in images), default=-1)
    if highest >= len(VISDRONE_CLASSES):
        raise DatasetError(
            f"the labels use class {highest}, and neither a data.yaml nor a classes.txt names the classes"
        )
    return VISDRONE_CLASSES
