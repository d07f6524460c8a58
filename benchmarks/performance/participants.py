"""What a run measures of one model: servers by profile, the engine alone, PaddleX; each paused while it is idle."""

import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.performance.baselines import engine_only, paddlex
from benchmarks.performance.baselines.detector_config import DetectorConfig, class_count, read_detector
from benchmarks.performance.baselines.engine_only import EngineProcess
from benchmarks.performance.baselines.paddlex import PaddleXServer
from benchmarks.performance.errors import BenchmarkError
from benchmarks.performance.loadgen.clients import EnsembleClient, RestClient, rest_client
from benchmarks.performance.options import Options
from benchmarks.servers import ProcessTree, Server
from benchmarks.servers import started as started_server
from server.launching import StartError
from sod.detections import Detections
from sod.errors import SodError
from sod.frame import clip
from sod.image import decode_image, scale_factor, to_pixels
from sod.matching import matched_share
from sod.nms import multiclass_nms

# The least shares of objects that two participants must have in common before anything is measured.
_MIN_SHARE_SAME_SERVER = 0.99  # two clients of one server
_MIN_SHARE_SAME_ENGINE = 0.97  # the engine alone and the ensemble: another number of streams rounds differently
_MIN_SHARE_SAME_NETWORK = 0.9  # PaddleX and our FP32: NMS keeps or drops an object by a rounding error


@dataclass(frozen=True, slots=True)
class SampleImage:
    """An encoded image.

    Attributes:
        name: of its file.
        data: the encoded bytes.
        width: in pixels, after the EXIF orientation is applied.
        height: likewise.
    """

    name: str
    data: bytes
    width: int
    height: int

    def as_dict(self) -> dict[str, Any]:
        """Name, size in pixels and number of bytes, for JSON."""
        return {"name": self.name, "width": self.width, "height": self.height, "bytes": len(self.data)}


@dataclass(slots=True)
class Participants:
    """All that is measured of one model.

    Attributes:
        model: name of the ensemble.
        classes: number of its classes.
        images: the targets refer to the first.
        threshold: score threshold of every class.
        detectors: configuration of the detector by profile.
        servers: by profile.
        engines: the detector's engine alone, by profile.
        paddlex_server: None if PaddleX is not measured.
    """

    model: str
    classes: int
    images: tuple[SampleImage, ...]
    threshold: float
    detectors: dict[str, DetectorConfig] = field(default_factory=dict)
    servers: dict[str, Server] = field(default_factory=dict)
    engines: dict[str, EngineProcess] = field(default_factory=dict)
    paddlex_server: PaddleXServer | None = None

    def ensemble(self, profile: str) -> EnsembleClient:
        """A client of the ensemble over gRPC."""
        image, address = self.images[0].data, self.servers[profile].grpc
        return EnsembleClient(address, self.model, self.classes, image, self.threshold)

    def gateway(self, profile: str, visualize: bool) -> RestClient:
        """A client of the gateway, which sends base64 in JSON."""
        name = "gateway, overlay" if visualize else "gateway"
        image, url = self.images[0].data, self.servers[profile].url
        return rest_client(url, image, name=name, threshold=self.threshold, visualize=visualize, model=self.model)

    def paddlex(self, visualize: bool) -> RestClient:
        """A client of PaddleX, which sends the same request.

        Raises:
            BenchmarkError: PaddleX is not measured.
        """
        if self.paddlex_server is None:
            raise BenchmarkError("PaddleX is not measured in this run")
        name = "PaddleX, overlay" if visualize else "PaddleX"
        image, url = self.images[0].data, self.paddlex_server.url
        return rest_client(url, image, name=name, threshold=self.threshold, visualize=visualize)

    def pixels(self, profile: str) -> NDArray[np.uint8]:
        """The first image as the detector's input: uint8 RGB [H, W, 3]."""
        return to_pixels(decode_image(self.images[0].data), self.detectors[profile].size)


@contextmanager
def resumed(processes: ProcessTree) -> Iterator[None]:
    """Let paused processes run inside the context."""
    processes.resume()
    try:
        yield
    finally:
        processes.pause()


def read_images(paths: Sequence[Path]) -> tuple[SampleImage, ...]:
    """Read encoded images and their sizes.

    Raises:
        BenchmarkError: a file cannot be read, or is not an image.
    """
    images = []
    for path in paths:
        try:
            data = path.read_bytes()
            height, width = decode_image(data).shape[:2]
        except OSError as error:
            raise BenchmarkError(f"the image {path} cannot be read: {error.strerror}") from None
        except SodError as error:
            raise BenchmarkError(f"{path}: {error}") from None
        images.append(SampleImage(path.name, data, width, height))
    return tuple(images)


@contextmanager
def started_participants(options: Options, model: str, images: tuple[SampleImage, ...]) -> Iterator[Participants]:
    """Start everything that is measured of one model, check its results, and pause it; all is stopped at exit.

    Raises:
        BenchmarkError: something does not start, or returns other objects than the rest.
    """
    participants = Participants(model, class_count(options.repository, model), images, options.threshold)
    with ExitStack() as stack:
        for profile in options.profiles:
            try:
                detector = read_detector(options.repository, model, profile)
            except BenchmarkError as error:
                _print(f"{model}, {profile}: skipped: {error}")
                continue
            participants.detectors[profile] = detector
            _print(f"{model}, {profile}: starting the server and the engine alone ({detector.backend})")
            arguments = ["--model-repository", str(options.repository), "--unready-restart", "3600"]
            log = options.out / f"server-{model}-{profile}.log"
            try:
                server = stack.enter_context(
                    started_server(profile, [model], arguments, log, SOD_FETCH_ALLOW="127.0.0.1")
                )
            except StartError as error:
                raise BenchmarkError(str(error)) from None
            participants.servers[profile] = server
            server.pause()
            engine = stack.enter_context(engine_only.started(detector, participants.pixels(profile)))
            engine.processes.pause()
            participants.engines[profile] = engine
        if not participants.servers:
            raise BenchmarkError(f"{model} cannot be served in any of the profiles {', '.join(options.profiles)}")
        if options.paddlex is not None:
            _print(f"{model}: starting PaddleX")
            folder = paddlex.find_model(options.paddlex, model)
            participants.paddlex_server = stack.enter_context(paddlex.started(folder, options.out))
            participants.paddlex_server.pause()
        check(participants)
        yield participants


def check(participants: Participants) -> None:
    """Check that every client receives the same objects, and that the engine alone finds them too.

    Raises:
        BenchmarkError: they differ, or there are none; the speed of wrong results is of no interest.
    """
    image = participants.images[0]
    fp32 = None
    for profile, server in participants.servers.items():
        with resumed(server):
            found = clip(participants.ensemble(profile).detect(), image.width, image.height)
            for visualize in (False, True):
                client = participants.gateway(profile, visualize)
                share = matched_share(found, client.detect())
                _require(share, _MIN_SHARE_SAME_SERVER, f"{profile}: {client.name} and the ensemble")
        with resumed(participants.engines[profile].processes):
            share = matched_share(found, _engine_objects(participants, profile))
            _require(share, _MIN_SHARE_SAME_ENGINE, f"{profile}: the engine alone and the ensemble")
        if not len(found):
            raise BenchmarkError(
                f"{profile} finds nothing in {image.name} over {participants.threshold:g}: choose another image, "
                "or a lower --threshold"
            )
        if participants.detectors[profile].precision == "FP32":
            fp32 = found
    if participants.paddlex_server is not None and fp32 is not None:
        with resumed(participants.paddlex_server):
            for visualize in (False, True):
                client = participants.paddlex(visualize)
                share = matched_share(fp32, client.detect())
                _require(share, _MIN_SHARE_SAME_NETWORK, f"{client.name} and our FP32")


def _engine_objects(participants: Participants, profile: str) -> Detections:
    """The objects that the engine alone finds, after NMS, in pixels of the image."""
    image = participants.images[0]
    pixels = decode_image(image.data)
    boxes, scores = participants.engines[profile].infer()
    threshold = np.full(participants.classes, participants.threshold, np.float32)
    factor = scale_factor(pixels, participants.detectors[profile].size)
    return clip(multiclass_nms(boxes[0], scores[0], threshold, factor), image.width, image.height)


def _require(share: float, minimum: float, pair: str) -> None:
    if share < minimum:
        raise BenchmarkError(f"{pair} have only {share:.1%} of their objects in common; {minimum:.0%} are required")


def _print(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
