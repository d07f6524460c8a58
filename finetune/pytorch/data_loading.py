"""Loads the training and validation images of all sources."""

import queue
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from finetune.data.sources import AERIAL, SCENES, STREET, THERMAL, Source
from finetune.pytorch.evaluation import evaluate_model
from finetune.pytorch.hard_negatives import false_detections
from finetune.pytorch.model import Detector
from finetune.training.augmentation import Augmentation, CachedImage, Crop, load_image, random_crop, whole_image
from sod.datasets.dataset import LabelledImage


@dataclass(frozen=True, slots=True)
class SampledSource:
    """A source, the probability that an image is drawn from it, and the augmentation of its images.

    Attributes:
        source: the source.
        probability: of an image.
        augmentation: of its images.
        is_mined: whether crops of it contain false detections of the model more often (`hard_negatives`).
    """

    source: Source
    probability: float
    augmentation: Augmentation
    is_mined: bool = False


SAMPLED_SOURCES = (
    SampledSource(THERMAL, 0.14, Augmentation(turn=True, negative=0.15)),
    SampledSource(AERIAL, 0.26, Augmentation(turn=True, sliced=0.3), is_mined=True),
    SampledSource(STREET, 0.06, Augmentation(turn=False, sliced=0.4), is_mined=True),
    SampledSource(SCENES, 0.54, Augmentation(turn=False, negative=0.05)),
)
_BY_CLASS = 0.5
"""Share of the images of a source that are drawn by class: each class is equally likely, then each image with it."""


class TrainingImages:
    """Random crops of all sources, prepared in a background thread.

    Args:
        data: folder that holds the folders of the photographic sources; missing ones are skipped.
        scenes: folder of the drawn scenes.
        seed: seed of the training and rank of the process.
    """

    def __init__(self, data: Path, scenes: Path, seed: tuple[int, int]) -> None:
        self._seed = seed
        self._sources: list[tuple[SampledSource, list[CachedImage]]] = []
        for sampled in SAMPLED_SOURCES:
            folder = scenes.parent if sampled.source is SCENES else data
            if (folder / sampled.source.folder).is_dir():
                samples = sampled.source.samples(folder, "train")
                kept = {"largest_side": None} if sampled.augmentation.sliced else {}
                self._sources.append((sampled, [load_image(sample, **kept) for sample in samples]))
        self._by_class = [_images_by_class(images) for _, images in self._sources]
        self._queue: queue.Queue[list[tuple[Crop, Source]]] = queue.Queue(4)

    def batches(self, first: int, size: int, batch: int) -> Iterator[list[tuple[Crop, Source]]]:
        """Yield batches from number `first` on, without end; seed and number determine a batch.

        Args:
            first: number of the first one.
            size: width and height of the crops in px.
            batch: crops per batch.
        """
        threading.Thread(target=self._fill_queue, args=(first, size, batch), daemon=True).start()
        while True:
            yield self._queue.get()

    def whole_images(self, count: int) -> list[Crop]:
        """Random images as the server sees them; always the same ones."""
        rng = np.random.default_rng(self._seed)
        return [whole_image(self._random_image(rng)[1]) for _ in range(count)]

    def _random_image(self, rng: np.random.Generator) -> tuple[SampledSource, CachedImage]:
        weights = np.array([sampled.probability for sampled, _ in self._sources])
        number = int(rng.choice(len(self._sources), p=weights / weights.sum()))
        sampled, images = self._sources[number]
        by_class = self._by_class[number]
        if by_class and rng.random() < _BY_CLASS:
            of_class = by_class[rng.integers(len(by_class))]
            return sampled, images[of_class[rng.integers(len(of_class))]]
        return sampled, images[rng.integers(len(images))]

    def add_false_detections(self, model: Detector) -> None:
        """Find where the model detects objects that are not there, for later crops.

        Call it before `batches`.
        """
        for sampled, images in self._sources:
            if sampled.is_mined:
                for number, image in enumerate(images):
                    images[number] = replace(image, false_boxes=false_detections(model, image, sampled.source))

    def _fill_queue(self, number: int, size: int, count: int) -> None:
        while True:
            rng = np.random.default_rng((*self._seed, number))
            batch = []
            for _ in range(count):
                sampled, image = self._random_image(rng)
                batch.append((random_crop(image, size, sampled.augmentation, rng), sampled.source))
            self._queue.put(batch)
            number += 1


class ValidationImages:
    """Up to `count` validation images of each of three sources."""

    def __init__(self, data: Path, scenes: Path, count: int) -> None:
        self._sources: dict[str, tuple[list[CachedImage], list[LabelledImage]]] = {}
        for source in (THERMAL, AERIAL, SCENES):
            folder = scenes.parent if source is SCENES else data
            if (folder / source.folder).is_dir():
                samples = source.samples(folder, "validation")
                samples = samples[:: max(1, len(samples) // count)][:count]
                self._sources[source.folder] = ([load_image(sample) for sample in samples], samples)

    def evaluate(self, model: Detector) -> tuple[float, dict[str, dict[str, float]]]:
        """The mean AP50 over classes and sources, and the AP50 by source and class."""
        ap50: dict[str, dict[str, float]] = {}
        for name, (images, samples) in self._sources.items():
            classes = evaluate_model(model, images, samples).classes
            ap50[name] = {c.name: round(c.ap50, 3) for c in classes if c.labelled}
        return float(np.mean([np.mean(list(v.values())) for v in ap50.values()])), ap50


def _images_by_class(images: Sequence[CachedImage]) -> list[NDArray[np.int64]]:
    """For each class that occurs, the numbers of the images with it, int64 [n]."""
    classes = sorted({int(class_id) for image in images for class_id in image.class_ids})
    return [np.array([n for n, image in enumerate(images) if class_id in image.class_ids]) for class_id in classes]
