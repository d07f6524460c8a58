"""Train the twin: resumable, from the weights of an ONNX detector.

    python -m finetune.twin.train --data ../shared/data/train_open --start model.onnx

Processes of one thread each use two cores better than one process of two: `--processes 2`.
"""

import argparse
import copy
import datetime
import json
import math
import queue
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

import numpy as np
import torch
from torch import distributed, multiprocessing, nn

from benchmarks.evaluation.datasets import Sample
from finetune.crops import Crop, Habits, Stored, crop, store
from finetune.scenes.source import SCENES
from finetune.sources import AERIAL, STREET, THERMAL, Source
from finetune.twin.loss import Target, detection_loss
from finetune.twin.model import Detector
from finetune.twin.predict import figures, tensor
from finetune.twin.weights import load_onnx

_EMA = 0.996
_CLIP = 10.0
_WARM = 100  # steps


@dataclass(frozen=True, slots=True)
class Diet:
    """A source, its share of the pictures, and what may be done to them."""

    source: Source
    share: float
    habits: Habits


DIET = (
    Diet(THERMAL, 0.45, Habits(turn=True, negative=0.15)),
    Diet(AERIAL, 0.2, Habits(turn=True)),
    Diet(STREET, 0.07, Habits(turn=False)),
    Diet(SCENES, 0.28, Habits(turn=False, negative=0.05)),
)


class Pictures:
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

    def _fill(self, number: int) -> None:
        shares = np.array([diet.share for diet, _ in self._sets])
        while True:
            rng = np.random.default_rng((*self._seed, number))
            batch = []
            for kind in rng.choice(len(self._sets), self._batch, p=shares / shares.sum()):
                diet, pictures = self._sets[kind]
                picture = pictures[rng.integers(len(pictures))]
                batch.append((crop(picture, self._size, diet.habits, rng), diet.source))
            self._queue.put(batch)
            number += 1


class HeldOut:
    """Some held-out pictures of each source."""

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
        for name, (pictures, samples) in self._sets.items():
            classes = figures(model, pictures, samples).classes
            found[name] = {c.name: round(c.ap50, 3) for c in classes if c.labelled}
        return float(np.mean([np.mean(list(v.values())) for v in found.values()])), found


class Training:
    """The state that is kept: weights, their moving average, the optimiser, the step."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.work: Path = options.work
        self.model = Detector()
        self.averaged = copy.deepcopy(self.model)
        self.optimiser = torch.optim.AdamW(_groups(self.model), lr=options.rate, betas=(0.9, 0.99))
        self.step = 0
        self.best = 0.0

    def restore(self) -> bool:
        """Go on from the last checkpoint, if there is one."""
        path = self.work / "last.pt"
        if not path.exists():
            return False
        state = torch.load(path, weights_only=True)
        self.model.load_state_dict(state["model"])
        self.averaged.load_state_dict(state["averaged"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.step, self.best = state["step"], state["best"]
        return True

    def save(self) -> None:
        """Write the checkpoint whole or not at all."""
        self.work.mkdir(parents=True, exist_ok=True)
        state = {
            "model": self.model.state_dict(),
            "averaged": self.averaged.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "step": self.step,
            "best": self.best,
        }
        torch.save(state, self.work / "last.part")
        (self.work / "last.part").replace(self.work / "last.pt")

    @torch.no_grad()
    def average(self) -> None:
        """Draw the moving average after the weights; batch norms' statistics are averages already."""
        decay = min(_EMA, (1 + self.step) / (10 + self.step))
        slow, fast = list(self.averaged.parameters()), list(self.model.parameters())
        torch._foreach_lerp_(slow, fast, 1 - decay)
        for kept, new in zip(self.averaged.buffers(), self.model.buffers(), strict=True):
            kept.copy_(new)


def _groups(model: nn.Module) -> list[dict[str, object]]:
    parameters = list(model.parameters())
    return [
        {"params": [p for p in parameters if p.ndim > 1], "weight_decay": 0.02},
        {"params": [p for p in parameters if p.ndim <= 1], "weight_decay": 0.0},
    ]


def _rate(step: int, options: argparse.Namespace) -> float:
    """Constant after a short warm-up, then down a cosine over the last `--decay` steps before `--steps`."""
    left = (options.steps - step) / max(options.decay, 1)
    ending = 1.0 if left >= 1 else 0.02 + 0.98 * (1 - math.cos(math.pi * max(left, 0))) / 2
    return float(options.rate * min(1, (step + 1) / _WARM) * ending)


def _target(crop_: Crop, source: Source) -> Target:
    return Target(
        torch.from_numpy(np.ascontiguousarray(crop_.boxes, np.float32)),
        torch.from_numpy(crop_.class_ids),
        torch.from_numpy(source.labelled()),
    )


def train(rank: int, options: argparse.Namespace) -> None:
    """Train until `--steps`, as process `rank` of `--processes`: each has batches of its own, gradients are averaged."""
    torch.set_num_threads(options.threads)
    torch.manual_seed(options.seed + rank)
    if options.processes > 1:
        store_ = distributed.FileStore(str(options.work / "meeting"), options.processes)
        patience = datetime.timedelta(days=2)  # a process that is stopped for a while is waited for
        distributed.init_process_group("gloo", store=store_, rank=rank, world_size=options.processes, timeout=patience)
    pictures = Pictures(options.data, options.scenes, options.size, options.batch, (options.seed, rank))
    held_out = HeldOut(options.data, options.scenes, options.held_out) if rank == 0 else None
    training = Training(options)
    batches = pictures.batches(training.step)
    if not training.restore():
        load_onnx(training.model, options.start, tensor([c for _ in range(4) for c, _ in next(batches)]))
        training.averaged.load_state_dict(training.model.state_dict())
    if options.processes > 1:
        for value in training.model.state_dict().values():
            distributed.broadcast(value, 0)
    training.model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    log = (options.work / "log.jsonl").open("a") if rank == 0 else None
    began, cpu, seen = time.monotonic(), time.process_time(), 0
    for batch in pictures.batches(training.step):
        if training.step >= options.steps:
            break
        training.model.train()
        rate = _rate(training.step, options)
        for group in training.optimiser.param_groups:
            group["lr"] = rate
        pixels = tensor([c for c, _ in batch]).to(memory_format=torch.channels_last)
        with torch.autocast("cpu", torch.bfloat16, enabled=options.bf16):
            raw = training.model(pixels)
        loss, parts = detection_loss(raw, [_target(c, s) for c, s in batch])
        training.optimiser.zero_grad()
        loss.backward()
        if options.processes > 1:
            _share(training.model)
        length = float(nn.utils.clip_grad_norm_(training.model.parameters(), _CLIP))
        if math.isfinite(length):
            training.optimiser.step()
        training.step += 1
        if log is None or held_out is None:
            continue
        training.average()
        seen += len(batch) * options.processes
        if training.step % options.report == 0:
            line = {"step": training.step, "rate": round(rate, 6), "gradient": round(length, 2), **parts}
            line["per_second"] = round(seen / (time.monotonic() - began), 2)
            line["per_cpu_second"] = round(seen / (time.process_time() - cpu), 2)
            _write(log, line)
            began, cpu, seen = time.monotonic(), time.process_time(), 0
        if training.step % options.save == 0:
            training.save()
        if training.step % options.evaluate == 0 or training.step == options.steps:
            score, found = held_out.report(training.averaged)
            _write(log, {"step": training.step, "score": round(score, 4), "ap50": found})
            if score > training.best:
                training.best = score
                torch.save(training.averaged.state_dict(), options.work / "best.pt")
            training.save()
            began, cpu, seen = time.monotonic(), time.process_time(), 0


def _share(model: nn.Module) -> None:
    """Replace gradients by their mean over the processes."""
    gradients = [p.grad for p in model.parameters() if p.grad is not None]
    flat = torch.cat([g.flatten() for g in gradients])
    distributed.all_reduce(flat)
    flat /= distributed.get_world_size()
    for gradient, part in zip(gradients, flat.split([g.numel() for g in gradients]), strict=True):
        gradient.copy_(part.view_as(gradient))


def _write(log: TextIO, line: dict[str, object]) -> None:
    text = json.dumps({k: round(v, 4) if isinstance(v, float) else v for k, v in line.items()})
    print(text, flush=True)
    log.write(text + "\n")
    log.flush()


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
    parser.add_argument("--report", type=int, default=20)
    parser.add_argument("--save", type=int, default=50)
    parser.add_argument("--evaluate", type=int, default=300)
    parser.add_argument("--held-out", type=int, default=24, help="pictures of each source that are looked at")
    parser.add_argument("--processes", type=int, default=1)
    options = parser.parse_args(arguments)
    options.work.mkdir(parents=True, exist_ok=True)
    (options.work / "meeting").unlink(missing_ok=True)
    if options.processes > 1:
        multiprocessing.spawn(train, (options,), options.processes)  # type: ignore[no-untyped-call]
    else:
        train(0, options)
    return 0


if __name__ == "__main__":
    sys.exit(main())
