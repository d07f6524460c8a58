"""Checks and statistics of a data set as a whole."""

import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from finetune.data.dataset import TrainingDataset
from finetune.variants import INPUT_SIZE
from sod.datasets.dataset import LabelledImage
from sod.datasets.findings import Findings
from sod.errors import InvalidImageError
from sod.image import decode_image

_SMALLEST = 2.0  # px of a side at the input size; smaller objects can hardly be detected


def check(data: TrainingDataset, findings: Findings) -> None:
    """Check classes, unlabelled classes and splits; report to `findings`."""
    for split, images in (("training", data.train), ("validation", data.validation)):
        if not any(len(image.boxes) for image in images):
            findings.error(f"no object in the {split} images", f"{len(images):,} images")
    _check_classes(data, findings)
    in_both = {p.image.resolve() for p in data.train} & {p.image.resolve() for p in data.validation}
    for path in sorted(in_both):
        findings.warning("image in both splits, so that the accuracy will say nothing about unseen images", path.name)
    small = sum(_count_small(image) for image in data.train)
    if small:
        findings.note(
            f"{small:,} objects are narrower than {_SMALLEST:g} px at {INPUT_SIZE} by {INPUT_SIZE} and can hardly be "
            "detected"
        )


def _check_classes(data: TrainingDataset, findings: Findings) -> None:
    counts = np.zeros(len(data.names), int)
    for image in data.train:
        np.add.at(counts, image.class_ids, 1)
    for i, name in enumerate(data.names):
        masked = all(i in image.unlabelled for image in data.train)
        if masked and counts[i]:
            # The labels give positive examples, but no place counts as a negative one.
            findings.warning("class marked as unlabelled in every image, so that it has no negative examples", name)
        elif not counts[i]:
            kind = "class without a label" + (", marked as unlabelled" if masked else "")
            findings.warning(f"{kind}: it will not be detected", name)


def check_images(data: TrainingDataset, findings: Findings) -> None:
    """Decode every image once, with a progress bar on stderr: a damaged one must not stop the training hours later."""
    paths = list(dict.fromkeys(image.image for image in (*data.train, *data.validation)))
    with ThreadPoolExecutor() as pool:
        results = pool.map(_decoding_error, paths)
        for path, error in zip(
            paths, tqdm(results, "decoding", len(paths), unit="image", file=sys.stderr), strict=True
        ):
            if error:
                findings.error("image that cannot be decoded", f"{path}: {error}")


def _decoding_error(path: Path) -> str:
    try:
        decode_image(path.read_bytes())
    except (OSError, InvalidImageError) as error:
        return str(error)
    return ""


def _sides(image: LabelledImage) -> NDArray[np.float64]:
    """Widths and heights of the objects in px at the input size, [n, 2]."""
    return np.asarray((image.boxes[:, 2:] - image.boxes[:, :2]) * INPUT_SIZE / (image.width, image.height), np.float64)


def _count_small(image: LabelledImage) -> int:
    return int((_sides(image).min(1, initial=np.inf) < _SMALLEST).sum())


def table(data: TrainingDataset) -> list[str]:
    """Lines of a table: objects and images by class and split, and the median object size at the input size."""
    width = max(len("class"), *map(len, data.names))
    lines = [f"{'class':{width}}  {'train':>8}  {'validation':>10}  {f'median px at {INPUT_SIZE}':>16}"]
    for i, name in enumerate(data.names):
        by_image = [np.sqrt(_sides(image).prod(1))[image.class_ids == i] for image in data.train]
        sizes = np.concatenate(by_image) if by_image else np.zeros(0)
        validation = sum(int((image.class_ids == i).sum()) for image in data.validation)
        median = f"{np.median(sizes):.0f}" if len(sizes) else "-"
        lines.append(f"{name:{width}}  {len(sizes):8,}  {validation:10,}  {median:>16}")
    lines.append(f"{'images':{width}}  {len(data.train):8,}  {len(data.validation):10,}")
    return lines
