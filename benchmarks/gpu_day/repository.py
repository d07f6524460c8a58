"""A copy of the model repository in which the detectors run in ONNX Runtime, from a file of the wanted precision."""

import re
import shutil
from pathlib import Path

from benchmarks.gpu_day.options import FILES, Options
from benchmarks.performance.errors import BenchmarkError


def prepared(options: Options, model: str, precision: str) -> Path:
    """Copy one model with its stages.

    Args:
        options: of the run.
        model: name of the ensemble.
        precision: of `FILES`.

    Returns:
        The copy, a folder of `options.folder`.

    Raises:
        BenchmarkError: a file is absent.
    """
    source = options.repository
    detector = source / f"{model}_detector"
    config, weights = detector / "configs" / "gpu_regular.pbtxt", detector / "1" / FILES[precision]
    for file in (config, weights):
        if not file.is_file():
            raise BenchmarkError(f"{file.relative_to(source)} is absent: make export MODEL={model}")
    target = options.folder / f"models-{model}-{precision}"
    if target.exists():
        return target
    text = re.sub(r'(default_model_filename: )"[^"]*"', rf'\1"{FILES[precision]}"', config.read_text("utf-8"))
    if options.pretend:
        text = text.replace("KIND_GPU", "KIND_CPU")
    wanted = [model, f"{model}_pixels", *(path.name for path in source.glob("p*process*"))]
    for name in wanted:
        if (source / name).is_dir():
            shutil.copytree(source / name, target / name)
    own = target / detector.name
    (own / "configs").mkdir(parents=True)
    (own / "1").mkdir()
    shutil.copyfile(weights, own / "1" / weights.name)
    shutil.copyfile(detector / "config.pbtxt", own / "config.pbtxt")
    (own / "configs" / f"{options.profile}.pbtxt").write_text(text, encoding="utf-8")
    return target
