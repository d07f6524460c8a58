"""The one or two measurements of an evaluation: which model, in which profile, whole or in slices."""

import argparse
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any

from sod_client._slices import SliceOptions
from sod_client.errors import InvalidConfigError

from benchmarks.evaluation import served
from benchmarks.evaluation.classes import align
from benchmarks.evaluation.errors import EvaluationError
from server.devices import PROFILES
from sod.datasets.dataset import Dataset
from sod.detections import Detections

WHOLE, SLICES = "whole", "slices"


@dataclass(slots=True)
class Run:
    """One measurement.

    Attributes:
        options: the command line.
        title: what differs from the other measurement; empty for the name of the model.
        profile: the profile of the server to start; None for the running one.
        name: of the model; None for the server's default.
        slices: the value of the request's field `slice`; None detects images whole.
        through_gateway: whether requests go to the gateway, else to Triton.
        model: the model, once it is found.
        detections: of each image, once they are measured.
    """

    options: argparse.Namespace
    title: str
    profile: str | None
    name: str | None
    slices: Any
    through_gateway: bool
    model: served.Model = field(init=False)
    detections: list[Detections] = field(init=False)

    def find(self, url: str) -> served.Model:
        """Find the model on the server at `url`."""
        self.model = served.find_model(url, self.name)
        self.title = self.title or self.model.name
        return self.model

    def measure(self, dataset: Dataset, url: str, grpc: str) -> None:
        """Detect the objects of every image on a running server."""
        model = self.find(url)
        options = self.options
        if not options.against or options.against in {*PROFILES, WHOLE, SLICES}:
            align(dataset, model.labels)
        predictor = (
            served.through_gateway(url, model, self.slices)
            if self.through_gateway
            else served.through_triton(grpc, model)
        )
        with predictor as predict:
            self.detections = served.detect_all(predict, dataset.images, options.concurrency, self.title)


def plan(options: argparse.Namespace) -> list[Run]:
    """The measurements that the command line asks for, the second one for `--against`.

    Raises:
        EvaluationError: the options of slices are invalid, or without effect.
    """
    against, model = options.against, options.model
    slices = _slices(options)
    in_slices = bool(options.slice_infer)
    if against == SLICES and in_slices:
        raise EvaluationError("both would be in slices: leave --slice_infer out, or compare with --against whole")
    if against == WHOLE and not in_slices:
        raise EvaluationError("both would be whole: compare with --against slices, or add --slice_infer")
    gateway = options.http or slices is not None
    first_title = {WHOLE: SLICES, SLICES: WHOLE}.get(against, "" if _compares_models(against) else options.profile)
    runs = [Run(options, first_title or "", options.profile, model, slices if in_slices else None, gateway)]
    if against in (WHOLE, SLICES):
        runs.append(Run(options, against, options.profile, model, None if in_slices else slices, gateway))
    elif against in PROFILES:
        runs.append(Run(options, against, against, model, slices, gateway))
    elif against:
        runs.append(Run(options, "", options.profile, against, slices, gateway))
    return runs


def detect(runs: Sequence[Run], dataset: Dataset) -> None:
    """Detect the objects of every image in every run, on a server that is started for it where there is a profile."""
    for (profile, name), of_server in groupby(runs, lambda run: (run.profile, run.name)):
        with ExitStack() as stack:
            options = runs[0].options
            url, grpc = options.url, options.grpc
            if profile:
                repository = ["--model-repository", str(options.model_repository)] if options.model_repository else []
                url, grpc = stack.enter_context(served.started(profile, name, repository))
            for run in of_server:
                run.measure(dataset, url, grpc)


def _compares_models(against: str | None) -> bool:
    return bool(against) and against not in {*PROFILES, WHOLE, SLICES}


def _slices(options: argparse.Namespace) -> Any:
    """The value of the field `slice`; None if nothing is to be sliced."""
    infer = options.slice_infer or (options.against == SLICES)
    chosen = SliceOptions(
        infer,
        options.slice_size,
        options.overlap_ratio,
        options.combine_method,
        options.match_metric,
        options.match_threshold,
    )
    try:
        return chosen.field()
    except InvalidConfigError as error:
        raise EvaluationError(str(error)) from None
