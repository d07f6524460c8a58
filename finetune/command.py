"""Fine-tune a detector on data of your own: check, train, measure, export.

python -m finetune --data my_data --base demo --name my_model
"""

import argparse
import hashlib
import json
import math
import os
import signal
import subprocess
import sys
from pathlib import Path

from export.cli import main as export_main
from finetune import environment
from finetune.data import checks, contact_sheet, dataset, stored
from finetune.data.dataset import DataSet
from finetune.data.findings import Findings
from finetune.errors import STOPPED, FinetuneError, run
from finetune.training.settings import Settings
from finetune.weights.base import OFFICIAL, find


def main(arguments: list[str] | None = None, prog: str = "python -m finetune") -> int:
    """The command; 0, or 2 with a sentence if it cannot be done. SystemExit(130) if a signal stopped it."""
    options = _parser(prog).parse_args(arguments)
    options.out = options.out or Path(".cache/finetune") / options.name
    return run(lambda: _run(options))


def _run(options: argparse.Namespace) -> None:
    data = _checked(options)
    if options.check:
        return
    settings = _settings(options, data)
    kept = options.out / "settings.json"
    if kept.exists():
        began = Settings.read(kept)
        if differences := began.differences(settings):
            changed = ", ".join(differences)
            msg = (
                f"the training in {options.out} was begun otherwise: {changed}. Give another OUT, or delete that folder"
            )
            raise FinetuneError(msg)
    (options.out / "data.json").write_text(stored.dump(data), encoding="utf-8")
    settings.write(kept)
    python = environment.ensure(options.environment)
    _train(python, options.out)
    _say_figures(options.out / "log.jsonl", settings.name)
    images = [str(p.image) for p in data.held_out[: options.images]]
    to = ["--output_dir", str(options.output_dir)] if options.output_dir else []
    if export_main(["--model_dir", str(options.out / "inference"), "--images", *images, *to], "sod export"):
        msg = f"the model is trained ({options.out / 'inference'}) and not exported"
        raise FinetuneError(msg)


def _checked(options: argparse.Namespace) -> DataSet:
    """The data, after saying what is wrong with them."""
    findings = Findings()
    try:
        data = dataset.read(options.data, findings)
        checks.check(data, findings)
        print(*checks.table(data), "", sep="\n", file=sys.stderr)
    finally:
        for line in findings.lines():
            print(line, file=sys.stderr)
    options.out.mkdir(parents=True, exist_ok=True)
    if data.train:
        sheet = options.out / "labels.jpg"
        contact_sheet.write(data.train, data.names, sheet)
        print(f"labels to look at: {sheet}", file=sys.stderr)
    if findings.errors:
        msg = f"{findings.errors:,} errors in {options.data}: mend them, and run again"
        raise FinetuneError(msg)
    return data


def _settings(options: argparse.Namespace, data: DataSet) -> Settings:
    base = find(options.base)
    if not 64 <= options.size <= checks.SERVED or options.size % 32:
        msg = f"SIZE is {options.size}, and must be a multiple of 32 from 64 to {checks.SERVED}"
        raise FinetuneError(msg)
    if min(options.batch, options.epochs) < 1 or options.rate <= 0:
        msg = "BATCH, EPOCHS and RATE must be positive"
        raise FinetuneError(msg)
    steps = options.steps or options.epochs * math.ceil(len(data.train) / options.batch)
    return Settings(
        name=options.name,
        variant=base.variant,
        base=str(base.path),
        base_names=base.names,
        size=options.size,
        batch=options.batch,
        steps=steps,
        rate=options.rate,
        turn=options.turn,
        plain=options.plain,
        report=max(1, min(20, steps // 20)),
        evaluate=max(1, steps // 10),
        save=max(1, min(50, steps // 4)),
        seed=options.seed,
        data=hashlib.sha256(stored.dump(data).encode()).hexdigest(),
    )


def _train(python: Path, out: Path) -> None:
    """Run the training in ppdet's environment; a signal reaches it as well, and it keeps what it has."""
    root = str(Path(__file__).parents[1])
    paths = {"PYTHONPATH": os.pathsep.join(filter(None, [root, os.environ.get("PYTHONPATH")]))}
    process = subprocess.Popen([python, "-m", "finetune.paddledet.train", out], env=os.environ | paths)
    # Ctrl-C reaches both of us, and the other finishes its step.
    handlers = {
        signal.SIGINT: signal.signal(signal.SIGINT, lambda *_: None),
        signal.SIGTERM: signal.signal(signal.SIGTERM, lambda *_: process.terminate()),
    }
    try:
        code = process.wait()
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
    if code == STOPPED:
        sys.exit(STOPPED)
    if code:
        msg = f"the training ended with {code}; what it learnt so far is kept in {out}"
        raise FinetuneError(msg)


def _say_figures(log: Path, name: str) -> None:
    looks = [line for line in map(json.loads, log.read_text(encoding="utf-8").splitlines()) if "ap50" in line]
    best = max(looks, key=lambda line: line["ap50"])
    print(f"{name} on held-out images: AP {best['ap']:.3f}, AP50 {best['ap50']:.3f} (step {best['step']})")
    print("AP50 by class: " + ", ".join(f"{c} {value:.3f}" for c, value in best["classes"].items()))


def _parser(prog: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=prog,
        description="Fine-tune a detector: check the data, train with PaddleDetection, measure, export, install. "
        "Run again after an end of any kind, it goes on from the last checkpoint.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument("--data", type=Path, required=True, help="folder in COCO's or YOLO's form (docs/finetuning.md)")
    parser.add_argument("--base", default="demo", help=f"demo, {', '.join(OFFICIAL)}, or a file *.pdparams")
    parser.add_argument("--name", default="finetuned", help="of the model that comes out")
    parser.add_argument("--out", type=Path, help="checkpoint, log, curves, model (default: .cache/finetune/NAME)")
    parser.add_argument("--epochs", type=int, default=30, help="rounds through the images")
    parser.add_argument("--steps", type=int, help="instead of rounds")
    parser.add_argument("--batch", type=int, default=8, help="images of a step")
    parser.add_argument("--size", type=int, default=640, help="px of the crops; 640 is what is served, 416 is faster")
    parser.add_argument("--rate", type=float, default=5e-4, help="learning rate at its peak")
    parser.add_argument("--turn", action="store_true", help="images from straight above: turn them every way")
    parser.add_argument("--plain", action="store_true", help="only cut crops out: to see whether it learns by heart")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--check", action="store_true", help="look at the data only")
    parser.add_argument("--images", type=int, default=8, help="held-out images that the export is checked on")
    parser.add_argument("--output_dir", type=Path, help="model repository to install into (default: the server's)")
    parser.add_argument("--environment", type=Path, help="folder of ppdet's environment (default: beside this one)")
    return parser
