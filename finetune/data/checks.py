"""What must hold of a data set as a whole before a training on it can be worth its time."""

from collections import Counter

import numpy as np

from finetune.data.dataset import DataSet, Labelled
from finetune.data.findings import Findings

SERVED = 640
_TINY = 2.0  # px of a side at 640 by 640


def check(data: DataSet, findings: Findings) -> None:
    """Look at classes, masks, and the two parts."""
    for part, images in (("to train on", data.train), ("to measure on", data.held_out)):
        if not any(len(p.boxes) for p in images):
            findings.error(f"no object in the images {part}", f"{len(images):,} images")
    _classes(data, findings)
    shared = {p.image.resolve() for p in data.train} & {p.image.resolve() for p in data.held_out}
    if shared:
        text = "image both trained on and measured on: the figures will say nothing of other images"
        for path in sorted(shared):
            findings.warning(text, path.name)
    tiny = sum(_tiny(p) for p in data.train)
    if tiny:
        findings.note(
            f"{tiny:,} objects are narrower than {_TINY:g} px at {SERVED} by {SERVED}, and hardly to be found"
        )


def _classes(data: DataSet, findings: Findings) -> None:
    for name, count in Counter(data.names).items():
        if count > 1:
            findings.error("class name that is not alone", name)
    counts = np.zeros(len(data.names), int)
    for image in data.train:
        np.add.at(counts, image.class_ids, 1)
    for i, name in enumerate(data.names):
        masked = all(i in p.unlabelled for p in data.train)
        if masked and counts[i]:
            # Found where it is labelled, never learnt where it is not.
            findings.warning("class marked unlabelled in every image: what is none of it is never learnt", name)
        elif not counts[i]:
            kind = "class of which nothing is labelled" + (", as its mask says" if masked else "")
            findings.warning(f"{kind}: it will not be found", name)


def _tiny(image: Labelled) -> int:
    sides = (image.boxes[:, 2:] - image.boxes[:, :2]) * SERVED / (image.width, image.height)
    return int((sides.min(1, initial=np.inf) < _TINY).sum()) if len(sides) else 0


def table(data: DataSet) -> list[str]:
    """Lines of a table: objects and images by class and part, and how large the objects are at 640 by 640."""
    width = max(len("class"), *map(len, data.names))
    lines = [f"{'class':{width}}  {'train':>8}  {'held out':>8}  {'median px at 640':>16}"]
    for i, name in enumerate(data.names):
        sizes = [_sizes(p)[p.class_ids == i] for p in data.train]
        values = np.concatenate(sizes) if sizes else np.zeros(0)
        held = sum(int((p.class_ids == i).sum()) for p in data.held_out)
        median = f"{np.median(values):.0f}" if len(values) else "-"
        lines.append(f"{name:{width}}  {len(values):8,}  {held:8,}  {median:>16}")
    lines.append(f"{'images':{width}}  {len(data.train):8,}  {len(data.held_out):8,}")
    return lines


def _sizes(image: Labelled) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    sides = (image.boxes[:, 2:] - image.boxes[:, :2]) * SERVED / (image.width, image.height)
    return np.sqrt(sides.prod(1))  # type: ignore[no-any-return]
