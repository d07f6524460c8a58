"""Trains with ppdet; `python -m finetune` starts this program in ppdet's environment.

    python -m finetune.paddledet.train <work folder>

The work folder holds `data.json` (finetune.data.serialization) and `settings.json` (finetune.training.settings). The
program writes checkpoint, log, curves and the exported model there. Run again, it resumes from the checkpoint.
"""

import json
import random
import signal
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np
import paddle
from tqdm import tqdm

from finetune.data.dataset import TrainingDataset
from finetune.data.serialization import load as load_data
from finetune.data.sources import CLASSES
from finetune.errors import STOPPED, FinetuneError, run
from finetune.paddledet import evaluation, export, model, weights
from finetune.training import curves
from finetune.training.augmentation import Augmentation, CachedImage, Crop, load_image, random_crop
from finetune.training.log import Log
from finetune.training.schedule import learning_rate
from finetune.training.settings import Settings
from finetune.variants import VARIANTS
from finetune.weights.pdparams import read_pdparams
from sod.datasets.dataset import LabelledImage

_EMA = 0.998  # decay of the moving average of the weights
_CLIP = 10.0  # largest norm of the gradient
_WEIGHT_DECAY = 0.02
_CACHE_BYTES = 2 << 30  # of decoded images; images beyond that are decoded at each use

Batch = list[tuple[Crop, LabelledImage]]


@dataclass
class StopRequest:
    """Signal handler that asks the training to stop after the current step and to save its checkpoint."""

    received: bool = False

    def __call__(self, _: int, __: FrameType | None) -> None:
        """Handle SIGINT or SIGTERM."""
        self.received = True


class ImageCache:
    """Labelled images, decoded on first use and kept in memory up to 2 GiB."""

    def __init__(self, images: tuple[LabelledImage, ...]) -> None:
        self._images = images
        self._cache: dict[int, CachedImage] = {}
        self._bytes = 0

    def __len__(self) -> int:
        return len(self._images)

    def __getitem__(self, index: int) -> tuple[LabelledImage, CachedImage]:
        labelled = self._images[index]
        cached = self._cache.get(index)
        if cached is None:
            cached = load_image(labelled)
            if self._bytes < _CACHE_BYTES:
                self._cache[index] = cached
                self._bytes += cached.pixels.nbytes
        return labelled, cached

    def batches(self, settings: Settings, first: int) -> Iterator[Batch]:
        """Yield batches from number `first` on, without end.

        The seed and the number determine a batch, so that a resumed training sees the same ones.
        """
        augmentation = Augmentation(turn=settings.turn, plain=settings.plain)
        per_epoch = -(-len(self) // settings.batch)
        number = first
        while True:
            order = np.random.default_rng((settings.seed, number // per_epoch)).permutation(len(self))
            order = np.resize(order, per_epoch * settings.batch)
            start = number % per_epoch * settings.batch
            rng = np.random.default_rng((settings.seed, number, 1))
            chosen = [self[int(i)] for i in order[start : start + settings.batch]]
            yield [(random_crop(cached, settings.size, augmentation, rng), labelled) for labelled, cached in chosen]
            number += 1


class Training:
    """The state in a checkpoint: weights, their moving average, the optimiser, the step, the best AP50."""

    def __init__(self, work: Path, settings: Settings, data: TrainingDataset, train: ImageCache) -> None:
        self._path = work / "last.pdparams"
        self._settings = settings
        self.model = model.build(VARIANTS[settings.variant], len(data.names))
        self.averaged = model.build(VARIANTS[settings.variant], len(data.names))
        self.optimiser = paddle.optimizer.AdamW(
            settings.rate,
            beta2=0.99,
            parameters=self.model.parameters(),
            weight_decay=_WEIGHT_DECAY,
            apply_decay_param_fun={p.name for p in self.model.parameters() if p.ndim > 1}.__contains__,
            grad_clip=paddle.nn.ClipGradByGlobalNorm(_CLIP),
        )
        self.step, self.best = 0, -1.0
        if self._path.exists():
            self._restore()
        else:
            self._load_pretrained(data, train)

    def _load_pretrained(self, data: TrainingDataset, train: ImageCache) -> None:
        base = Path(self._settings.base)
        if base.suffix == ".onnx":
            batch = next(train.batches(self._settings, 0))
            pretrained = model.build(VARIANTS[self._settings.variant], len(CLASSES))
            state = weights.from_onnx(pretrained, base, _pixels(batch))
        else:
            state = read_pdparams(base)
        new = weights.load(self.model, state, self._settings.base_names, data.names)
        if new:
            print(
                f"the pretrained weights have no class {', '.join(new)}: its class weights start at random",
                file=sys.stderr,
            )
        self.averaged.set_state_dict(self.model.state_dict())

    def _restore(self) -> None:
        try:
            state = paddle.load(str(self._path))
            self.model.set_state_dict(state["model"])
            self.averaged.set_state_dict(state["averaged"])
            self.optimiser.set_state_dict(state["optimiser"])
            self.step, self.best = int(state["step"]), float(state["best"])
        except Exception as error:  # a file truncated by a full disk can raise anything
            msg = f"the checkpoint {self._path} cannot be read: delete it to start anew ({error})"
            raise FinetuneError(msg) from error

    def save(self) -> None:
        """Write the checkpoint atomically."""
        state = {
            "model": self.model.state_dict(),
            "averaged": self.averaged.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "step": self.step,
            "best": self.best,
        }
        part = self._path.with_suffix(".part")
        paddle.save(state, str(part))
        part.replace(self._path)

    def train_step(self, batch: Batch) -> dict[str, float]:
        """Run one step; return the parts of the loss and the learning rate.

        Raises:
            FinetuneError: the loss is not finite.
        """
        settings = self._settings
        self.model.train()
        rate = learning_rate(self.step, settings.rate, settings.steps, settings.steps)
        self.optimiser.set_lr(rate)
        losses = self.model(training_inputs(batch, len(self.model.yolo_head.pred_cls[0].bias)))
        losses["loss"].backward()
        self.optimiser.step()
        self.optimiser.clear_grad()
        self.step += 1
        self._average()
        parts = {"loss": "loss", "class": "loss_cls", "iou": "loss_iou", "dfl": "loss_dfl"}
        values = {name: float(losses[key]) for name, key in parts.items()}
        if not np.isfinite(values["loss"]):
            msg = f"the loss is {values['loss']} at step {self.step}: run again with a smaller RATE and another OUT"
            raise FinetuneError(msg)
        return {"rate": rate, **values}

    def _average(self) -> None:
        decay = min(_EMA, (1 + self.step) / (10 + self.step))
        with paddle.no_grad():
            averaged = self.averaged.state_dict()
            for name, value in self.model.state_dict().items():
                averaged[name].set_value(averaged[name] * decay + value * (1 - decay))


def _pixels(batch: Batch) -> Any:
    """The crops' pixels, float32 [N, 3, S, S], 0..1."""
    return np.stack([image.pixels for image, _ in batch]).transpose(0, 3, 1, 2).astype(np.float32) / 255


def training_inputs(batch: Batch, classes: int) -> dict[str, Any]:
    """The model's inputs in training as Paddle tensors; images with fewer objects are padded.

    Args:
        batch: N crops of S px, and the images that they were cut from.
        classes: number of classes, C.

    Returns:
        image float32 [N, 3, S, S] 0..1, gt_bbox float32 [N, M, 4] xyxy, gt_class int64 [N, M, 1], pad_gt_mask float32
        [N, M, 1] (1 for objects, 0 for padding), labelled float32 [N, 1, C], and epoch_id 0.
    """
    most = max(1, *(len(image.boxes) for image, _ in batch))
    boxes = np.zeros((len(batch), most, 4), np.float32)
    ids = np.zeros((len(batch), most, 1), np.int64)
    mask = np.zeros((len(batch), most, 1), np.float32)
    labelled = np.ones((len(batch), 1, classes), np.float32)
    for i, (image, source) in enumerate(batch):
        count = len(image.boxes)
        boxes[i, :count], ids[i, :count, 0], mask[i, :count] = image.boxes, image.class_ids, 1
        labelled[i, 0, list(source.unlabelled)] = 0
    arrays = {"image": _pixels(batch), "gt_bbox": boxes, "gt_class": ids, "pad_gt_mask": mask, "labelled": labelled}
    return {name: paddle.to_tensor(value) for name, value in arrays.items()} | {"epoch_id": 0}


def train(work: Path) -> None:
    """Train for the number of steps in the settings, evaluate, and export the best weights.

    Raises:
        FinetuneError: the settings, the data, the weights or the checkpoint cannot be used.
        SystemExit: with code 130, after a signal and a checkpoint.
    """
    settings = Settings.read(work / "settings.json")
    data = load_data(work / "data.json")
    _seed(settings.seed)
    stop = StopRequest()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, stop)
    images, validation = ImageCache(data.train), ImageCache(data.validation)
    training = Training(work, settings, data, images)
    log = Log(work, settings.report, echo=False)
    if training.step == 0:
        _evaluate(training, validation, data, log, work)
        training.save()
    batches = images.batches(settings, training.step)
    with tqdm(total=settings.steps, initial=training.step, unit="step", dynamic_ncols=True) as bar:
        while training.step < settings.steps and not stop.received:
            batch = next(batches)
            values = training.train_step(batch)
            bar.update()
            bar.set_postfix(loss=f"{values['loss']:.2f}", AP50=f"{training.best:.3f}")
            log.record_step(training.step, len(batch), values)
            if training.step % settings.evaluate == 0 or training.step == settings.steps:
                _evaluate(training, validation, data, log, work)
            if training.step % settings.save == 0 or training.step == settings.steps:
                training.save()
    if stop.received:
        training.save()
        print(
            f"stopped at step {training.step} of {settings.steps}, checkpoint saved: run again to resume",
            file=sys.stderr,
        )
        sys.exit(STOPPED)
    best = read_pdparams(work / "best.pdparams")
    weights.load(training.averaged, best, data.names, data.names)
    export.write(training.averaged, settings.name, data.names, work / "inference")


def _evaluate(training: Training, validation: ImageCache, data: TrainingDataset, log: Log, work: Path) -> None:
    """Evaluate the averaged weights, log and draw the result, and keep the weights if they are the best so far."""
    images = [validation[i] for i in range(len(validation))]
    metrics = evaluation.evaluate_model(training.averaged, images, data.names)
    classes = {c.name: round(c.ap50, 4) for c in metrics.classes if c.labelled}
    values = {"ap": metrics.ap, "ap50": metrics.ap50, "ap_small": metrics.ap_small}
    log.write({"step": training.step, **values, "classes": classes})
    if metrics.ap50 >= training.best:
        training.best = metrics.ap50
        paddle.save(training.averaged.state_dict(), str(work / "best.pdparams"))
        names = json.dumps(list(data.names), ensure_ascii=False)
        (work / "best.classes.json").write_text(names, encoding="utf-8")
    curves.draw(work / "log.jsonl", work / "curves.png")


def _seed(seed: int) -> None:
    random.seed(seed)
    np.random.seed(seed)  # ppdet uses NumPy's global generator
    paddle.seed(seed)


if __name__ == "__main__":
    paddle.set_device("gpu" if paddle.is_compiled_with_cuda() else "cpu")
    sys.exit(run(lambda: train(Path(sys.argv[1]))))
