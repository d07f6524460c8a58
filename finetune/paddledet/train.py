"""Fine-tune with ppdet: what `python -m finetune` starts in the environment of its own.

    python -m finetune.paddledet.train <work folder>

The work folder holds `data.json` (finetune.data.stored) and `settings.json` (Settings); checkpoint, log, curves and the
exported model go there. Run again, it goes on from the checkpoint.
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

from finetune.data.dataset import DataSet, Labelled
from finetune.data.sources import CLASSES
from finetune.data.stored import load as load_data
from finetune.errors import STOPPED, FinetuneError, run
from finetune.paddledet import export, model, predict, weights
from finetune.training import curves
from finetune.training.crops import Crop, Habits, Stored, crop, keep
from finetune.training.log import Log
from finetune.training.schedule import rate
from finetune.training.settings import Settings
from finetune.variants import SHAPES

_EMA = 0.998
_CLIP = 10.0
_DECAY = 0.02  # of weights
_KEPT_BYTES = 2 << 30  # of decoded images in memory; further ones are read each time

Batch = list[tuple[Crop, Labelled]]


@dataclass
class Stop:
    """Set by SIGINT and SIGTERM: the step under way is finished and kept."""

    asked: bool = False

    def __call__(self, _: int, __: FrameType | None) -> None:
        """A signal's handler."""
        self.asked = True


class Images:
    """Labelled images in memory, as far as they fit."""

    def __init__(self, images: tuple[Labelled, ...]) -> None:
        self._images = images
        self._kept: dict[int, Stored] = {}
        self._bytes = 0

    def __len__(self) -> int:
        return len(self._images)

    def __getitem__(self, index: int) -> tuple[Labelled, Stored]:
        labelled = self._images[index]
        stored = self._kept.get(index)
        if stored is None:
            stored = keep(labelled.image, labelled.width, labelled.height, labelled.boxes, labelled.class_ids)
            if self._bytes < _KEPT_BYTES:
                self._kept[index] = stored
                self._bytes += stored.pixels.nbytes
        return labelled, stored

    def batches(self, settings: Settings, first: int) -> Iterator[Batch]:
        """Batches from number `first` on; the same number gives the same batch."""
        habits = Habits(turn=settings.turn, plain=settings.plain)
        per_round = -(-len(self) // settings.batch)
        number = first
        while True:
            order = np.random.default_rng((settings.seed, number // per_round)).permutation(len(self))
            order = np.resize(order, per_round * settings.batch)
            place = number % per_round * settings.batch
            rng = np.random.default_rng((settings.seed, number, 1))
            chosen = [self[int(i)] for i in order[place : place + settings.batch]]
            yield [(crop(stored, settings.size, habits, rng), labelled) for labelled, stored in chosen]
            number += 1


class Training:
    """The state that is kept: weights, their moving average, the optimiser, the step."""

    def __init__(self, work: Path, settings: Settings, data: DataSet, train: Images) -> None:
        self._path = work / "last.pdparams"
        self._settings = settings
        self.model = model.build(SHAPES[settings.variant], len(data.names))
        self.averaged = model.build(SHAPES[settings.variant], len(data.names))
        self.optimiser = paddle.optimizer.AdamW(
            settings.rate,
            beta2=0.99,
            parameters=self.model.parameters(),
            weight_decay=_DECAY,
            apply_decay_param_fun={p.name for p in self.model.parameters() if p.ndim > 1}.__contains__,
            grad_clip=paddle.nn.ClipGradByGlobalNorm(_CLIP),
        )
        self.step, self.best = 0, -1.0
        if self._path.exists():
            self._restore()
        else:
            self._begin(data, train)

    def _begin(self, data: DataSet, train: Images) -> None:
        base = Path(self._settings.base)
        if base.suffix == ".onnx":
            batch = next(train.batches(self._settings, 0))
            origin = model.build(SHAPES[self._settings.variant], len(CLASSES))
            state = weights.from_onnx(origin, base, _pixels(batch))
        else:
            state = weights.read_pdparams(base)
        new = weights.load(self.model, state, self._settings.base_names, data.names)
        if new:
            print(f"the base does not know {', '.join(new)}: learnt from nothing", file=sys.stderr)
        self.averaged.set_state_dict(self.model.state_dict())

    def _restore(self) -> None:
        try:
            state = paddle.load(str(self._path))
            self.model.set_state_dict(state["model"])
            self.averaged.set_state_dict(state["averaged"])
            self.optimiser.set_state_dict(state["optimiser"])
            self.step, self.best = int(state["step"]), float(state["best"])
        except Exception as error:  # a file that a full disk cut short fails anywhere
            msg = f"the checkpoint {self._path} cannot be read: delete it to begin anew ({error})"
            raise FinetuneError(msg) from error

    def save(self) -> None:
        """Write the checkpoint whole or not at all."""
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

    def learn(self, batch: Batch) -> dict[str, float]:
        """One step; returns the parts of the loss and the rate."""
        settings = self._settings
        self.model.train()
        value = rate(self.step, settings.rate, settings.steps, settings.steps)
        self.optimiser.set_lr(value)
        losses = self.model(_inputs(batch, len(self.model.yolo_head.pred_cls[0].bias)))
        losses["loss"].backward()
        self.optimiser.step()
        self.optimiser.clear_grad()
        self.step += 1
        self._average()
        parts = {"loss": "loss", "class": "loss_cls", "iou": "loss_iou", "dfl": "loss_dfl"}
        found = {name: float(losses[key]) for name, key in parts.items()}
        if not np.isfinite(found["loss"]):
            msg = f"the loss is {found['loss']} at step {self.step}: run again with a smaller RATE, in another OUT"
            raise FinetuneError(msg)
        return {"rate": value, **found}

    def _average(self) -> None:
        decay = min(_EMA, (1 + self.step) / (10 + self.step))
        with paddle.no_grad():
            slow = self.averaged.state_dict()
            for name, fast in self.model.state_dict().items():
                slow[name].set_value(slow[name] * decay + fast * (1 - decay))


def _pixels(batch: Batch) -> Any:
    """Float32 [N, 3, S, S], 0..1."""
    return np.stack([image.pixels for image, _ in batch]).transpose(0, 3, 1, 2).astype(np.float32) / 255


def _inputs(batch: Batch, classes: int) -> dict[str, Any]:
    """What the model takes in training: objects padded to the same number."""
    most = max(1, *(len(image.boxes) for image, _ in batch))
    boxes = np.zeros((len(batch), most, 4), np.float32)
    ids = np.zeros((len(batch), most, 1), np.int64)
    real = np.zeros((len(batch), most, 1), np.float32)
    labelled = np.ones((len(batch), 1, classes), np.float32)
    for i, (image, source) in enumerate(batch):
        count = len(image.boxes)
        boxes[i, :count], ids[i, :count, 0], real[i, :count] = image.boxes, image.class_ids, 1
        labelled[i, 0, list(source.unlabelled)] = 0
    arrays = {"image": _pixels(batch), "gt_bbox": boxes, "gt_class": ids, "pad_gt_mask": real, "labelled": labelled}
    return {name: paddle.to_tensor(value) for name, value in arrays.items()} | {"epoch_id": 0}


def train(work: Path) -> None:
    """Train until the settings' number of steps, measure, export. SystemExit(130) if a signal stopped it.

    Raises:
        FinetuneError: something does not fit together.
    """
    settings = Settings.read(work / "settings.json")
    data = load_data(work / "data.json")
    _seed(settings.seed)
    stop = Stop()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, stop)
    images, held_out = Images(data.train), Images(data.held_out)
    training = Training(work, settings, data, images)
    log = Log(work, settings.report, echo=False)
    if training.step == 0:
        _measure(training, held_out, data, log, work)
        training.save()
    batches = images.batches(settings, training.step)
    with tqdm(total=settings.steps, initial=training.step, unit="step", dynamic_ncols=True) as bar:
        while training.step < settings.steps and not stop.asked:
            batch = next(batches)
            values = training.learn(batch)
            bar.update()
            bar.set_postfix(loss=f"{values['loss']:.2f}", AP50=f"{training.best:.3f}")
            log.learnt(training.step, len(batch), values)
            if training.step % settings.evaluate == 0 or training.step == settings.steps:
                _measure(training, held_out, data, log, work)
            if training.step % settings.save == 0 or training.step == settings.steps:
                training.save()
    if stop.asked:
        training.save()
        print(f"stopped and kept at step {training.step} of {settings.steps}: run again to go on", file=sys.stderr)
        sys.exit(STOPPED)
    best = weights.read_pdparams(work / "best.pdparams")
    weights.load(training.averaged, best, data.names, data.names)
    export.write(training.averaged, settings.name, data.names, work / "inference")


def _measure(training: Training, held_out: Images, data: DataSet, log: Log, work: Path) -> None:
    found = predict.figures(training.averaged, [held_out[i] for i in range(len(held_out))], data.names)
    classes = {c.name: round(c.ap50, 4) for c in found.classes if c.labelled}
    log.write(
        {"step": training.step, "ap": found.ap, "ap50": found.ap50, "ap_small": found.ap_small, "classes": classes}
    )
    if found.ap50 >= training.best:
        training.best = found.ap50
        paddle.save(training.averaged.state_dict(), str(work / "best.pdparams"))
        names = json.dumps(list(data.names), ensure_ascii=False)
        (work / "best.classes.json").write_text(names, encoding="utf-8")
    curves.draw(work / "log.jsonl", work / "curves.png")


def _seed(seed: int) -> None:
    random.seed(seed)
    np.random.seed(seed)  # ppdet draws from it
    paddle.seed(seed)


if __name__ == "__main__":
    paddle.set_device("gpu" if paddle.is_compiled_with_cuda() else "cpu")
    sys.exit(run(lambda: train(Path(sys.argv[1]))))
