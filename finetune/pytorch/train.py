"""Trains the PyTorch detector, starting from an ONNX detector; run again, it resumes from the last checkpoint.

    python -m finetune.pytorch.train --data my_data --start model.onnx

Two processes of one thread each use two CPU cores better than one process of two threads: `--processes 2`.
"""

import argparse
import copy
import datetime
import math
import sys
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import distributed, multiprocessing, nn

from finetune.data.sources import Source
from finetune.pytorch.batch_norms import CALIBRATION_IMAGES, batch_norms, calibrate
from finetune.pytorch.data_loading import TrainingImages, ValidationImages
from finetune.pytorch.evaluation import to_tensor
from finetune.pytorch.loss import Target, detection_loss
from finetune.pytorch.model import Detector
from finetune.pytorch.weights import load_onnx
from finetune.training.augmentation import Crop
from finetune.training.log import Log
from finetune.training.schedule import learning_rate

_EMA = 0.996  # decay of the moving average of the weights
_CLIP = 10.0  # largest norm of the gradient
_WEIGHT_DECAY = 0.02
_RENDEZVOUS = "process_group"  # file in the work folder through which the processes find each other

Batch = list[tuple[Crop, Source]]


class Training:
    """The state in a checkpoint: weights, their moving average, the optimiser, the step, the best score."""

    def __init__(self, options: argparse.Namespace) -> None:
        self._options = options
        self.model = Detector()
        self.averaged = copy.deepcopy(self.model)
        self.optimiser = torch.optim.AdamW(_parameter_groups(self.model), lr=options.rate, betas=(0.9, 0.99))
        self.step = 0
        self.best = 0.0
        self.frozen = False

    def restore(self) -> bool:
        """Load the last checkpoint; return whether there is one."""
        path = self._options.work / "last.pt"
        if not path.exists():
            return False
        state = torch.load(path, weights_only=True)
        self.model.load_state_dict(state["model"])
        self.averaged.load_state_dict(state["averaged"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.step, self.best, self.frozen = state["step"], state["best"], state.get("frozen", False)
        return True

    def load_pretrained(self, batch: Batch) -> None:
        """Load the ONNX detector; the batch norms are calibrated on `batch`."""
        load_onnx(self.model, self._options.start, to_tensor([crop for crop, _ in batch]))
        self.averaged.load_state_dict(self.model.state_dict())

    def save(self) -> None:
        """Write the checkpoint atomically."""
        state = {
            "model": self.model.state_dict(),
            "averaged": self.averaged.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "step": self.step,
            "best": self.best,
            "frozen": self.frozen,
        }
        part = self._options.work / "last.part"
        torch.save(state, part)
        part.replace(part.with_suffix(".pt"))

    def train_step(self, batch: Batch) -> dict[str, float]:
        """Run one step; return the parts of the loss, the learning rate and the gradient's norm."""
        self.model.train()
        if self.frozen:
            for norm in batch_norms(self.model):
                norm.eval()
        options = self._options
        rate = learning_rate(self.step, options.rate, options.steps, options.decay)
        for group in self.optimiser.param_groups:
            group["lr"] = rate
        pixels = to_tensor([crop for crop, _ in batch]).to(memory_format=torch.channels_last)
        with torch.autocast("cpu", torch.bfloat16, enabled=options.bf16):
            output = self.model(pixels)
        loss, parts = detection_loss(output, [_target(crop, source) for crop, source in batch])
        self.optimiser.zero_grad()
        loss.backward()
        if options.processes > 1:
            _average_gradients(self.model)
        gradient_norm = float(nn.utils.clip_grad_norm_(self.model.parameters(), _CLIP))
        if math.isfinite(gradient_norm):
            self.optimiser.step()
        self.step += 1
        return {"rate": rate, "gradient": gradient_norm, **parts}

    @torch.no_grad()
    def update_average(self) -> None:
        """Move the averaged weights and batch-norm statistics towards the current ones."""
        decay = min(_EMA, (1 + self.step) / (10 + self.step))
        averaged, current = self.averaged.state_dict(), self.model.state_dict()
        floating = [name for name, value in averaged.items() if value.is_floating_point()]
        torch._foreach_lerp_([averaged[name] for name in floating], [current[name] for name in floating], 1 - decay)

    def calibrated(self, crops: Sequence[Crop]) -> Detector:
        """The averaged weights with batch-norm statistics measured on `crops`, or unchanged ones if they are frozen."""
        model = copy.deepcopy(self.averaged).eval()
        if not self.frozen:
            calibrate(model, crops)
        return model

    def freeze_batch_norms(self, crops: Sequence[Crop]) -> None:
        """Continue from the averaged weights, with batch norms fixed to the statistics of whole images.

        The network is then trained with the statistics that it is served with, and batches may be small.
        """
        if not self.frozen:
            state = self.calibrated(crops).state_dict()
            self.model.load_state_dict(state)
            self.averaged.load_state_dict(state)
            self.frozen = True


def train(rank: int, options: argparse.Namespace) -> None:
    """Train until step `--steps` as process `rank` of `--processes`.

    Each process has its own batches; gradients are averaged over the processes. Process 0 is the command itself: it
    also keeps the moving average, evaluates, and writes files. The others wait for it in each step, so stopping it
    stops them all.
    """
    torch.set_num_threads(options.threads)
    torch.manual_seed(options.seed + rank)
    if options.processes > 1:
        _join_process_group(rank, options)
    images = TrainingImages(options.data, options.scenes, (options.seed, rank))
    training = Training(options)
    if not training.restore():
        batches = images.batches(0, options.size, options.batch)
        training.load_pretrained([pair for _ in range(4) for pair in next(batches)])
        if rank == 0:
            torch.save(training.model.state_dict(), options.work / "start.pt")
    if options.mine:
        images.add_false_detections(training.averaged.eval())
    if options.freeze:
        training.freeze_batch_norms(images.whole_images(CALIBRATION_IMAGES) if rank == 0 else [])
    if options.processes > 1:
        for value in training.model.state_dict().values():
            distributed.broadcast(value, 0)
    training.model.to(memory_format=torch.channels_last)
    if rank == 0:
        validation = ValidationImages(options.data, options.scenes, options.validation_images)
        _train_and_evaluate(training, images, validation, Log(options.work, options.report), options)
    else:
        batches = images.batches(training.step, options.size, options.batch)
        while training.step < options.steps:
            training.train_step(next(batches))


def _train_and_evaluate(
    training: Training, images: TrainingImages, validation: ValidationImages, log: Log, options: argparse.Namespace
) -> None:
    """The loop of process 0."""
    batches = images.batches(training.step, options.size, options.batch)
    while training.step < options.steps:
        batch = next(batches)
        values = training.train_step(batch)
        training.update_average()
        log.record_step(training.step, len(batch) * options.processes, values)
        if training.step % options.save == 0:
            training.save()
        if training.step % options.evaluate == 0 or training.step == options.steps:
            model = training.calibrated(images.whole_images(CALIBRATION_IMAGES))
            score, ap50 = validation.evaluate(model)
            log.write({"step": training.step, "score": score, "ap50": ap50})
            if score > training.best:
                training.best = score
                torch.save(model.state_dict(), options.work / "best.pt")
            torch.save(model.state_dict(), options.work / "latest.pt")
            training.save()


def _join_process_group(rank: int, options: argparse.Namespace) -> None:
    timeout = datetime.timedelta(days=2)  # a process may be suspended for a while
    store = distributed.FileStore(str(options.work / _RENDEZVOUS), options.processes)
    distributed.init_process_group("gloo", store=store, rank=rank, world_size=options.processes, timeout=timeout)


def _average_gradients(model: nn.Module) -> None:
    """Replace the gradients by their mean over all processes."""
    gradients = [p.grad for p in model.parameters() if p.grad is not None]
    flat = torch.cat([g.flatten() for g in gradients])
    distributed.all_reduce(flat)
    flat /= distributed.get_world_size()
    for gradient, part in zip(gradients, flat.split([g.numel() for g in gradients]), strict=True):
        gradient.copy_(part.view_as(gradient))


def _parameter_groups(model: nn.Module) -> list[dict[str, object]]:
    """Kernels and matrices with weight decay; biases, scales and shifts without."""
    parameters = list(model.parameters())
    return [
        {"params": [p for p in parameters if p.ndim > 1], "weight_decay": _WEIGHT_DECAY},
        {"params": [p for p in parameters if p.ndim <= 1], "weight_decay": 0.0},
    ]


def _target(crop: Crop, source: Source) -> Target:
    return Target(torch.from_numpy(crop.boxes), torch.from_numpy(crop.class_ids), torch.from_numpy(source.labelled()))


def main(arguments: list[str] | None = None) -> int:
    """Run the command; return its exit code."""
    options = _parser().parse_args(arguments)
    options.work.mkdir(parents=True, exist_ok=True)
    (options.work / _RENDEZVOUS).unlink(missing_ok=True)
    if options.processes > 1:
        multiprocessing.spawn(_worker, (options,), options.processes - 1, join=False)  # type: ignore[no-untyped-call]
    train(0, options)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--data", type=Path, required=True, help="folder that holds the folders of the three photographic sources")
    add("--scenes", type=Path, default=Path(".cache/scenes/scenes"),
        help="folder of drawn scenes (default: %(default)s)")  # fmt: skip
    add("--start", type=Path, required=True, help="ONNX detector to start from; not used when resuming")
    add("--work", type=Path, default=Path("output/finetune/pytorch"),
        help="folder for checkpoints and log (default: %(default)s)")  # fmt: skip
    add("--size", type=int, default=416,
        help="width and height of a crop in px, a multiple of 32, at most 640 (default: %(default)s)")  # fmt: skip
    add("--batch", type=int, default=8, help="images per step and process (default: %(default)s)")
    add("--rate", type=float, default=1e-3, help="peak learning rate (default: %(default)s)")
    add("--steps", type=int, default=100000, help="step at which the training ends (default: %(default)s)")
    add("--decay", type=int, default=0,
        help="number of steps before the end over which the rate falls (default: %(default)s)")  # fmt: skip
    add("--threads", type=int, default=1, help="threads per process (default: %(default)s)")
    add("--seed", type=int, default=7, help="seed of all random choices (default: %(default)s)")
    add("--bf16", action="store_true", help="compute in BF16")
    add("--mine", action="store_true", help="find false detections first, and train on crops with them more often")
    add("--freeze", action="store_true", help="fix the batch norms to the statistics of whole images from now on")
    add("--report", type=int, default=20, help="steps between two lines of the log (default: %(default)s)")
    add("--save", type=int, default=50, help="steps between two checkpoints (default: %(default)s)")
    add("--evaluate", type=int, default=300, help="steps between two evaluations (default: %(default)s)")
    add("--validation-images", type=int, default=24,
        help="images of each source to evaluate on (default: %(default)s)")  # fmt: skip
    add("--processes", type=int, default=1, help="number of training processes (default: %(default)s)")
    return parser


def _worker(number: int, options: argparse.Namespace) -> None:
    train(number + 1, options)


if __name__ == "__main__":
    sys.exit(main())
