"""Train the twin: resumable, from the weights of an ONNX detector.

    python -m finetune.pytorch.train --data ../shared/data/train_open --start model.onnx

Processes of one thread each use two cores better than one process of two: `--processes 2`.
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
from finetune.pytorch.images import HeldOut, Images
from finetune.pytorch.loss import Target, detection_loss
from finetune.pytorch.model import Detector
from finetune.pytorch.predict import tensor
from finetune.pytorch.weights import load_onnx
from finetune.training.crops import Crop
from finetune.training.log import Log
from finetune.training.schedule import rate

_EMA = 0.996
_CLIP = 10.0
_SETTLING = 96  # images, for the statistics of batch norms
_SETTLING_BATCH = 8

Batch = list[tuple[Crop, Source]]


class Training:
    """The state that is kept: weights, their moving average, the optimiser, the step."""

    def __init__(self, options: argparse.Namespace) -> None:
        self._options = options
        self.model = Detector()
        self.averaged = copy.deepcopy(self.model)
        self.optimiser = torch.optim.AdamW(_groups(self.model), lr=options.rate, betas=(0.9, 0.99))
        self.step = 0
        self.best = 0.0
        self.frozen = False

    def restore(self) -> bool:
        """Go on from the last checkpoint, if there is one."""
        path = self._options.work / "last.pt"
        if not path.exists():
            return False
        state = torch.load(path, weights_only=True)
        self.model.load_state_dict(state["model"])
        self.averaged.load_state_dict(state["averaged"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.step, self.best, self.frozen = state["step"], state["best"], state.get("frozen", False)
        return True

    def begin(self, batch: Batch) -> None:
        """Take the weights to begin from; `batch` is what batch norms are measured on."""
        load_onnx(self.model, self._options.start, tensor([c for c, _ in batch]))
        self.averaged.load_state_dict(self.model.state_dict())

    def save(self) -> None:
        """Write the checkpoint whole or not at all."""
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

    def learn(self, batch: Batch) -> dict[str, float]:
        """One step; returns the parts of the loss, the rate and the gradient's length."""
        self.model.train()
        if self.frozen:
            for norm in _norms(self.model):
                norm.eval()
        options = self._options
        factor = rate(self.step, options.rate, options.steps, options.decay)
        for group in self.optimiser.param_groups:
            group["lr"] = factor
        pixels = tensor([c for c, _ in batch]).to(memory_format=torch.channels_last)
        with torch.autocast("cpu", torch.bfloat16, enabled=self._options.bf16):
            raw = self.model(pixels)
        loss, parts = detection_loss(raw, [_target(c, s) for c, s in batch])
        self.optimiser.zero_grad()
        loss.backward()
        if self._options.processes > 1:
            _share(self.model)
        length = float(nn.utils.clip_grad_norm_(self.model.parameters(), _CLIP))
        if math.isfinite(length):
            self.optimiser.step()
        self.step += 1
        return {"rate": factor, "gradient": length, **parts}

    @torch.no_grad()
    def average(self) -> None:
        """Draw the moving average after the weights and the batch norms' statistics."""
        decay = min(_EMA, (1 + self.step) / (10 + self.step))
        slow, fast = self.averaged.state_dict(), self.model.state_dict()
        floating = [name for name, value in slow.items() if value.is_floating_point()]
        torch._foreach_lerp_([slow[name] for name in floating], [fast[name] for name in floating], 1 - decay)

    @torch.no_grad()
    def settled(self, crops: Sequence[Crop]) -> Detector:
        """The averaged weights, with batch norms' statistics measured anew unless they are frozen: what is kept."""
        model = copy.deepcopy(self.averaged)
        if self.frozen:
            return model.eval()
        for norm in _norms(model):
            norm.reset_running_stats()
            norm.momentum = None  # the plain mean over what follows
        model.train()
        for i in range(0, len(crops), _SETTLING_BATCH):
            model(tensor(crops[i : i + _SETTLING_BATCH]))
        return model.eval()

    def freeze(self, crops: Sequence[Crop]) -> None:
        """Go on from the averaged weights, with batch norms that keep the statistics of whole images.

        What is learnt from then on is learnt as it is served, and a batch may be small.
        """
        if not self.frozen:
            state = self.settled(crops).state_dict()
            self.model.load_state_dict(state)
            self.averaged.load_state_dict(state)
            self.frozen = True


def train(rank: int, options: argparse.Namespace) -> None:
    """Train until `--steps`, as process `rank` of `--processes`.

    Each process has batches of its own; gradients are averaged over them. The first is the command itself: it keeps
    the moving average, looks at held-out images, and writes. The others wait for it, so stopping it stops all.
    """
    torch.set_num_threads(options.threads)
    torch.manual_seed(options.seed + rank)
    if options.processes > 1:
        _meet(rank, options)
    images = Images(options.data, options.scenes, options.size, options.batch, (options.seed, rank))
    training = Training(options)
    if not training.restore():
        batches = images.batches(0)
        training.begin([pair for _ in range(4) for pair in next(batches)])
    if options.freeze:
        training.freeze(images.whole(_SETTLING) if rank == 0 else [])
    if options.processes > 1:
        for value in training.model.state_dict().values():
            distributed.broadcast(value, 0)
    training.model.to(memory_format=torch.channels_last)
    if rank == 0:
        held_out = HeldOut(options.data, options.scenes, options.held_out)
        _lead(training, images, held_out, Log(options.work, options.report), options)
    else:
        batches = images.batches(training.step)
        while training.step < options.steps:
            training.learn(next(batches))


def _lead(training: Training, images: Images, held_out: HeldOut, log: Log, options: argparse.Namespace) -> None:
    batches = images.batches(training.step)
    while training.step < options.steps:
        batch = next(batches)
        values = training.learn(batch)
        training.average()
        log.learnt(training.step, len(batch) * options.processes, values)
        if training.step % options.save == 0:
            training.save()
        if training.step % options.evaluate == 0 or training.step == options.steps:
            model = training.settled(images.whole(_SETTLING))
            score, found = held_out.report(model)
            log.write({"step": training.step, "score": score, "ap50": found})
            if score > training.best:
                training.best = score
                torch.save(model.state_dict(), options.work / "best.pt")
            torch.save(model.state_dict(), options.work / "settled.pt")
            training.save()


def _meet(rank: int, options: argparse.Namespace) -> None:
    patience = datetime.timedelta(days=2)  # a process that is stopped for a while is waited for
    meeting = distributed.FileStore(str(options.work / "meeting"), options.processes)
    distributed.init_process_group("gloo", store=meeting, rank=rank, world_size=options.processes, timeout=patience)


def _share(model: nn.Module) -> None:
    """Replace gradients by their mean over the processes."""
    gradients = [p.grad for p in model.parameters() if p.grad is not None]
    flat = torch.cat([g.flatten() for g in gradients])
    distributed.all_reduce(flat)
    flat /= distributed.get_world_size()
    for gradient, part in zip(gradients, flat.split([g.numel() for g in gradients]), strict=True):
        gradient.copy_(part.view_as(gradient))


def _groups(model: nn.Module) -> list[dict[str, object]]:
    parameters = list(model.parameters())
    return [
        {"params": [p for p in parameters if p.ndim > 1], "weight_decay": 0.02},
        {"params": [p for p in parameters if p.ndim <= 1], "weight_decay": 0.0},
    ]


def _norms(model: nn.Module) -> list[nn.BatchNorm2d]:
    return [layer for layer in model.modules() if isinstance(layer, nn.BatchNorm2d)]


def _target(image: Crop, source: Source) -> Target:
    return Target(torch.from_numpy(image.boxes), torch.from_numpy(image.class_ids), torch.from_numpy(source.labelled()))


def main(arguments: list[str] | None = None) -> int:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder of the three sets")
    parser.add_argument("--scenes", type=Path, default=Path(".cache/scenes/scenes"), help="folder of drawn scenes")
    parser.add_argument("--start", type=Path, required=True, help="ONNX to begin from where there is no checkpoint")
    parser.add_argument("--work", type=Path, default=Path(".cache/training"), help="checkpoints and log")
    parser.add_argument("--size", type=int, default=416, help="px of a side of a crop, a multiple of 32, at most 640")
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--rate", type=float, default=1e-3)
    parser.add_argument("--steps", type=int, default=100000)
    parser.add_argument("--decay", type=int, default=0, help="of them with a falling rate, the last ones")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--bf16", action="store_true")
    parser.add_argument("--freeze", action="store_true", help="from here on: batch norms as they are served")
    parser.add_argument("--report", type=int, default=20)
    parser.add_argument("--save", type=int, default=50)
    parser.add_argument("--evaluate", type=int, default=300)
    parser.add_argument("--held-out", type=int, default=24, help="images of each source that are looked at")
    parser.add_argument("--processes", type=int, default=1)
    options = parser.parse_args(arguments)
    options.work.mkdir(parents=True, exist_ok=True)
    (options.work / "meeting").unlink(missing_ok=True)
    if options.processes > 1:
        multiprocessing.spawn(_follow, (options,), options.processes - 1, join=False)  # type: ignore[no-untyped-call]
    train(0, options)
    return 0


def _follow(number: int, options: argparse.Namespace) -> None:
    train(number + 1, options)


if __name__ == "__main__":
    sys.exit(main())
