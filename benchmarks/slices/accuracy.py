"""The sections `accuracy` and `scenes`: AP of whole images and of slices."""

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks import servers
from benchmarks.evaluation import served
from benchmarks.evaluation.classes import align
from benchmarks.evaluation.datasets import read_dataset
from benchmarks.evaluation.metrics import Figures, evaluate
from benchmarks.performance.errors import BenchmarkError
from benchmarks.slices.images import SCENE, write_scenes
from benchmarks.slices.options import PATIENT, Options, slice_field
from sod.datasets.dataset import Dataset

_CONCURRENCY = 2
_MAX_DETECTIONS = 500  # of an image and class: a mosaic has sixteen scenes
_WHOLE = "whole"


def measure_labelled(options: Options) -> dict[str, Any]:
    """AP of one class on labelled images, whole and in slices of each size, in each profile.

    Returns:
        `images`; `profiles`: by profile and `whole` or the size: `ap`, `ap50` and `labelled` of the class, `ap_small`
        of all classes.

    Raises:
        BenchmarkError: no object of the class is labelled.
    """
    dataset = read_dataset(options.labels or Path(), None, options.images)
    labelled = {int(class_id) for image in dataset.images for class_id in image.class_ids}
    names = dataset.class_names or ()
    if names and options.class_name not in {names[class_id] for class_id in labelled}:
        raise BenchmarkError(
            f"no {options.class_name} is labelled in {options.labels}: --class-name may be "
            f"{', '.join(names[class_id] for class_id in sorted(labelled))}"
        )
    by_size: dict[str, Any] = {_WHOLE: None}
    by_size |= {f"{side} x {side}": slice_field(side, side) for side in options.sizes}
    profiles: dict[str, Any] = {}
    for profile in options.profiles:
        found = _figures(options, profile, {size: (dataset, field) for size, field in by_size.items()})
        profiles[profile] = {size: _of_class(figures, options.class_name) for size, figures in found.items()}
    return {"images": len(dataset.images), "class": options.class_name, "profiles": profiles}


def measure_scenes(options: Options) -> dict[str, Any]:
    """AP of drawn scenes, each alone and in mosaics of 4 x 4 that are detected in slices.

    Returns:
        `scenes`, `mosaics`; `profiles`: by profile and how they are detected, `ap` and `ap50`.
    """
    profiles: dict[str, Any] = {}
    with tempfile.TemporaryDirectory(prefix="sod-scenes-") as folder:
        single, tiled = write_scenes(Path(folder), options.mosaics)
        runs: dict[str, tuple[Dataset, Any]] = {"single scenes": (single, None), "mosaics, whole": (tiled, None)}
        # The control: slices that are the scenes themselves.
        runs["mosaics, slices are the scenes"] = (tiled, slice_field(*SCENE) | {"overlap": 0, "fullImage": False})
        for width, height in (SCENE, *((side, side) for side in options.sizes)):
            runs[f"mosaics, slices of {width} x {height}"] = (tiled, slice_field(width, height))
        for profile in options.profiles:
            found = _figures(options, profile, runs)
            profiles[profile] = {how: {"ap": one.ap, "ap50": one.ap50} for how, one in found.items()}
    return {"scenes": len(single.images), "mosaics": len(tiled.images), "profiles": profiles}


def _figures(options: Options, profile: str, runs: Mapping[str, tuple[Dataset, Any]]) -> dict[str, Figures]:
    """The metrics of each run, on one server."""
    found = {}
    arguments = ["--model-repository", str(options.repository)]
    with servers.started(profile, [options.model], arguments, None, **PATIENT) as server:
        model = served.find_model(server.url, options.model)
        for how, (dataset, field) in runs.items():
            labels = align(dataset, model.labels)
            with served.through_gateway(server.url, model, field) as predict:
                objects = served.detect_all(predict, dataset.images, _CONCURRENCY, f"{profile}, {how}")
            found[how] = evaluate(labels, objects, model.labels, _MAX_DETECTIONS)
    return found


def _of_class(figures: Figures, name: str) -> dict[str, float]:
    one = next((one for one in figures.classes if one.name == name), None)
    if one is None:
        raise BenchmarkError(f"the model has no class {name}: {', '.join(one.name for one in figures.classes)}")
    return {"ap": one.ap, "ap50": one.ap50, "ap_small": figures.ap_small, "labelled": one.labelled}
