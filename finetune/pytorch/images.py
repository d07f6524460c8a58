"""What the twin is trained and looked at on."""

import queue
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.evaluation.datasets import Sample
from finetune.data.sources import AERIAL, STREET, THERMAL, Source
from finetune.pytorch.model import Detector
from finetune.pytorch.predict import figures
from finetune.scenes.source import SCENES
from finetune.training.crops import Crop, Habits, Stored, crop, store, whole


@dataclass(frozen=True, slots=True)
class Diet:
    """A source, its share of the images, and what may be done to them."""

    source: Source
    share: float
    habits: Habits


DIET = (
    Diet(THERMAL, 0.24, Habits(turn=True, negative=0.15)),
    Diet(AERIAL, 0.11, Habits(turn=True)),
    Diet(STREET, 0.05, Habits(turn=False)),
    Diet(SCENES, 0.60, Habits(turn=False, negative=0.05)),
)


class Images:
    """Crops of all sources, drawn by their shares, made in a thread of their own."""

    def __init__(self, data: Path, scenes: Path, size: int, batch: int, seed: tuple[int, int]) -> None:
        self._size = size
        self._batch = batch
        self._seed = seed
        self._sets: list[tuple[Diet, list[Stored]]] = []
        for diet in DIET:
            folder = scenes.parent if diet.source is SCENES else data
            if (folder / diet.source.folder).is_dir():
                self._sets.append((diet, [store(s) for s in diet.source.samples(folder, "train")]))
        self._queue: queue.Queue[list[tuple[Crop, Source]]] = queue.Queue(4)

    def batches(self, first: int) -> Iterator[list[tuple[Crop, Source]]]:
        """Batches from number `first` on; the same number gives the same batch."""
        threading.Thread(target=self._fill, args=(first,), daemon=True).start()
        while True:
            yield self._queue.get()

    def whole(self, count: int) -> list[Crop]:
        """Whole images as they are served, drawn by the shares; always the same."""
        rng = np.random.default_rng(self._seed)
        return [whole(self._drawn(rng)[1]) for _ in range(count)]

    def _drawn(self, rng: np.random.Generator) -> tuple[Diet, Stored]:
        shares = np.array([diet.share for diet, _ in self._sets])
        diet, images = self._sets[rng.choice(len(self._sets), p=shares / shares.sum())]
        return diet, images[rng.integers(len(images))]

    def _fill(self, number: int) -> None:
        while True:
            rng = np.random.default_rng((*self._seed, number))
            batch = []
            for _ in range(self._batch):
                diet, image = self._drawn(rng)
                batch.append((crop(image, self._size, diet.habits, rng), diet.source))
            self._queue.put(batch)
            number += 1


class HeldOut:
    """Some held-out images of each source."""

    def __init__(self, data: Path, scenes: Path, count: int) -> None:
        self._sets: dict[str, tuple[list[Stored], list[Sample]]] = {}
        for source in (THERMAL, AERIAL, SCENES):
            folder = scenes.parent if source is SCENES else data
            if (folder / source.folder).is_dir():
                samples = source.samples(folder, "held out")
                samples = samples[:: max(1, len(samples) // count)][:count]
                self._sets[source.folder] = ([store(s) for s in samples], samples)

    def report(self, model: Detector) -> tuple[float, dict[str, dict[str, float]]]:
        """Mean AP50 over what is looked at, and AP50 by source and class."""
        found: dict[str, dict[str, float]] = {}
        for name, (images, samples) in self._sets.items():
            classes = figures(model, images, samples).classes
            found[name] = {c.name: round(c.ap50, 3) for c in classes if c.labelled}
        return float(np.mean([np.mean(list(v.values())) for v in found.values()])), found
