"""Loads the training and validation images of all sources."""

import queue
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from finetune.data.sources import AERIAL, SCENES, STREET, THERMAL, Source
from finetune.pytorch.evaluation import evaluate_model
from finetune.pytorch.model import Detector
from finetune.training.augmentation import Augmentation, CachedImage, Crop, load_image, random_crop, whole_image
from sod.datasets.dataset import LabelledImage


@dataclass(frozen=True, slots=True)
class SampledSource:
    """A source, the probability that an image is drawn from it, and the augmentation of its images."""

    source: Source
    probability: float
    augmentation: Augmentation


SAMPLED_SOURCES = (
    SampledSource(THERMAL, 0.24, Augmentation(turn=True, negative=0.15)),
    SampledSource(AERIAL, 0.11, Augmentation(turn=True)),
    SampledSource(STREET, 0.05, Augmentation(turn=False)),
    SampledSource(SCENES, 0.60, Augmentation(turn=False, negative=0.05)),
)


class TrainingImages:
    """Random crops of all sources, prepared in a background thread.

    Args:
        data: folder that holds the folders of the photographic sources; missing ones are skipped.
        scenes: folder of the drawn scenes.
        size: width and height of the crops in px.
        batch: crops per batch.
        seed: seed of the training and rank of the process.
    """

    def __init__(self, data: Path, scenes: Path, size: int, batch: int, seed: tuple[int, int]) -> None:
        self._size = size
        self._batch = batch
        self._seed = seed
        self._sources: list[tuple[SampledSource, list[CachedImage]]] = []
        for sampled in SAMPLED_SOURCES:
            folder = scenes.parent if sampled.source is SCENES else data
            if (folder / sampled.source.folder).is_dir():
                samples = sampled.source.samples(folder, "train")
                self._sources.append((sampled, [load_image(sample) for sample in samples]))
        self._queue: queue.Queue[list[tuple[Crop, Source]]] = queue.Queue(4)

    def batches(self, first: int) -> Iterator[list[tuple[Crop, Source]]]:
        """Yield batches from number `first` on, without end; seed and number determine a batch."""
        threading.Thread(target=self._fill_queue, args=(first,), daemon=True).start()
        while True:
            yield self._queue.get()

    def whole_images(self, count: int) -> list[Crop]:
        """Random images as the server sees them; always the same ones."""
        rng = np.random.default_rng(self._seed)
        return [whole_image(self._random_image(rng)[1]) for _ in range(count)]

    def _random_image(self, rng: np.random.Generator) -> tuple[SampledSource, CachedImage]:
        weights = np.array([sampled.probability for sampled, _ in self._sources])
        sampled, images = self._sources[rng.choice(len(self._sources), p=weights / weights.sum())]
        return sampled, images[rng.integers(len(images))]

    def _fill_queue(self, number: int) -> None:
        while True:
            rng = np.random.default_rng((*self._seed, number))
            batch = []
            for _ in range(self._batch):
                sampled, image = self._random_image(rng)
                batch.append((random_crop(image, self._size, sampled.augmentation, rng), sampled.source))
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
