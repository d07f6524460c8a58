"""Fine-tunes a detector on the user's data: check, train, evaluate, export.

python -m finetune --data my_data --base demo --name my_model
"""

import argparse
import hashlib
import math
import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

from export.cli import main as export_main
from export.errors import ExportError
from export.serving_options import ServingOptions
from export.triton.model_name import alias_note, served_name
from export.triton.model_spec import ModelSpec
from export.triton.repository import pending_files
from finetune import environment
from finetune.data import contact_sheet, dataset_checks, serialization
from finetune.data.dataset import TrainingDataset
from finetune.data.reader import read_dataset
from finetune.errors import STOPPED, FinetuneError, run
from finetune.training.outcome import outcome
from finetune.training.settings import Settings
from finetune.variants import INPUT_SIZE, STRIDES
from finetune.weights.pretrained import OFFICIAL, find_pretrained
from sod.datasets.findings import Findings

OUT = Path("output/finetune")


def main(arguments: list[str] | None = None, prog: str = "python -m finetune") -> int:
    """Run the command.

    Args:
        arguments: the command line; None for that of the process.
        prog: name of the command in its help.

    Returns:
        0, or 2 after printing what is wrong.

    Raises:
        SystemExit: with code 130, after a signal stopped the training.
    """
    options = _parser(prog).parse_args(arguments)
    return run(lambda: _run(options))


def _run(options: argparse.Namespace) -> None:
    if note := alias_note(options.name):
        print(f"note: {note}", file=sys.stderr)
    options.name = served_name(options.name)
    options.out = options.out or OUT / options.name
    earlier_place = Path(".cache/finetune") / options.name
    if earlier_place.is_dir() and not options.out.exists():
        print(
            f"note: {earlier_place} has a training of an earlier version; OUT={earlier_place} goes on with it",
            file=sys.stderr,
        )
    data = _read_and_check(options)
    _check_export(options, data.names)
    if options.check:
        return
    settings = _settings(options, data)
    settings_file = options.out / "settings.json"
    if settings_file.exists():
        earlier = Settings.read(settings_file)
        if differences := earlier.differences(settings):
            msg = (
                f"the training in {options.out} was started with other settings: {', '.join(differences)}. "
                "Choose another OUT, or delete that folder"
            )
            raise FinetuneError(msg)
        if settings.steps > earlier.steps:
            print(
                f"the training in {options.out} is prolonged from {earlier.steps:,} to {settings.steps:,} steps",
                file=sys.stderr,
            )
    (options.out / "data.json").write_text(serialization.dump(data), encoding="utf-8")
    settings.write(settings_file)
    python = environment.ensure(options.environment)
    _train(python, options.out)
    print(*outcome(options.out / "log.jsonl", settings.name, settings.rate), sep="\n")
    images = [str(image.image) for image in data.validation[: options.images]]
    inference = options.out / "inference"
    arguments = ["--model_dir", str(inference), "--images", *images, "--output_dir", str(options.output_dir)]
    if export_main([*arguments, *(["--overwrite"] if options.overwrite else [])], "sod export"):
        msg = f"the trained model is in {inference}, but its export failed"
        raise FinetuneError(msg)


def _read_and_check(options: argparse.Namespace) -> TrainingDataset:
    """Read the data, print the findings, and draw the contact sheet.

    Raises:
        DatasetError: the data have errors.
    """
    findings = Findings()
    try:
        data = read_dataset(options.data, findings)
        dataset_checks.check(data, findings)
        if not findings.errors:
            dataset_checks.check_images(data, findings)
        print(*dataset_checks.table(data), "", sep="\n", file=sys.stderr)
    finally:
        for line in findings.lines():
            print(line, file=sys.stderr)
    options.out.mkdir(parents=True, exist_ok=True)
    if data.train:
        sheet = options.out / "labels.jpg"
        contact_sheet.write(data.train, data.names, sheet)
        if sheet.exists():
            print(f"labelled images to check by eye: {sheet}", file=sys.stderr)
    findings.stop_at_errors(options.data)
    return data


def _check_export(options: argparse.Namespace, names: tuple[str, ...]) -> None:
    """Check before the training that the model can be installed after it.

    Raises:
        ExportError: the name is reserved, a model of this name has other classes, or the repository is not writable.
    """
    anchors = sum((INPUT_SIZE // stride) ** 2 for stride in STRIDES)
    serving = ServingOptions(overwrite=options.overwrite)
    spec = ModelSpec(options.name, names, INPUT_SIZE, INPUT_SIZE, anchors, options=serving)
    pending_files(spec, options.output_dir)
    try:
        options.output_dir.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=options.output_dir):
            pass
    except OSError as error:
        raise ExportError(f"{options.output_dir} cannot be written to: {error.strerror}") from None


def _settings(options: argparse.Namespace, data: TrainingDataset) -> Settings:
    weights = find_pretrained(options.base)
    if not 64 <= options.size <= INPUT_SIZE or options.size % 32:
        msg = f"SIZE is {options.size}, but must be a multiple of 32 from 64 to {INPUT_SIZE}"
        raise FinetuneError(msg)
    if min(options.batch, options.epochs) < 1 or options.rate <= 0:
        msg = "BATCH, EPOCHS and RATE must be positive"
        raise FinetuneError(msg)
    steps = options.steps or options.epochs * math.ceil(len(data.train) / options.batch)
    return Settings(
        name=options.name,
        variant=weights.variant,
        base=str(weights.path),
        base_names=weights.names,
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
        data=hashlib.sha256(serialization.dump(data).encode()).hexdigest(),
    )


def _train(python: Path, out: Path) -> None:
    """Run the training program in ppdet's environment; on a signal it saves its checkpoint and stops."""
    root = str(Path(__file__).parents[1])
    paths = {"PYTHONPATH": os.pathsep.join(filter(None, [root, os.environ.get("PYTHONPATH")]))}
    process = subprocess.Popen([python, "-m", "finetune.paddledet.train", out], env=os.environ | paths)
    # The terminal sends Ctrl-C to both processes. Ignore it here, and wait for the training to finish its step.
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
        msg = f"the training failed with exit code {code}; its last checkpoint is in {out}"
        raise FinetuneError(msg)


def _parser(prog: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=prog,
        description="Fine-tune a detector: check the data, train with PaddleDetection, evaluate, export and install. "
        "An interrupted training resumes from its last checkpoint when the same command is run again.",
    )
    add = parser.add_argument
    add("--data", type=Path, required=True, help="folder of a data set, or its JSON or YAML file (docs/datasets.md)")
    add("--base", default="demo",
        help=f"weights to start from: demo, {', '.join(OFFICIAL)} or a file *.pdparams (default: demo)")  # fmt: skip
    add("--name", default="finetuned", help="name of the trained model (default: %(default)s)")
    add("--out", type=Path, help="folder for checkpoints, log, curves and model (default: output/finetune/NAME)")
    add("--epochs", type=int, default=30,
        help="passes over the training images; a larger number prolongs a training (default: %(default)s)")  # fmt: skip
    add("--steps", type=int, help="number of training steps; replaces --epochs")
    add("--batch", type=int, default=8, help="images per step (default: %(default)s)")
    add("--size", type=int, default=INPUT_SIZE,
        help="width and height of the training crops in px, a multiple of 32; 416 halves the time "
        "(default: %(default)s)")  # fmt: skip
    add("--rate", type=float, default=5e-4, help="peak learning rate (default: %(default)s)")
    add("--turn", action="store_true",
        help="also flip crops vertically and transpose them; for images taken from straight above")  # fmt: skip
    add("--plain", action="store_true",
        help="train without scaling, flips and colour changes; shows whether the network can overfit")  # fmt: skip
    add("--seed", type=int, default=1, help="seed of all random choices (default: %(default)s)")
    add("--check", action="store_true", help="check the data and stop")
    add("--images", type=int, default=8,
        help="number of validation images on which the export is verified (default: %(default)s)")  # fmt: skip
    add("--output_dir", type=Path, default=Path("model_repository"),
        help="model repository to install into (default: %(default)s)")  # fmt: skip
    add("--overwrite", action="store_true", help="replace an installed model of this name that has other classes")
    add("--environment", type=Path,
        help="folder of ppdet's environment (default: finetune/ in the running environment)")  # fmt: skip
    return parser
