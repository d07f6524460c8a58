"""What takes part in a run: servers by profile, engine alones, PaddleX; each paused while it has no turn."""

import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.performance.baselines import engine_only
from benchmarks.performance.baselines.detector_config import DetectorConfig, class_count, read_detector
from benchmarks.performance.baselines.engine_only import EngineProcess
from benchmarks.performance.baselines.paddlex import PaddleXServer
from benchmarks.performance.baselines.paddlex import find_model as find_paddle_model
from benchmarks.performance.baselines.paddlex import started as start_paddlex
from benchmarks.performance.errors import BenchmarkError
from benchmarks.performance.loadgen.clients import Ensemble, Rest, rest
from benchmarks.performance.options import Options
from benchmarks.servers import Host, Server
from benchmarks.servers import started as start_server
from server.launching import StartError
from sod.detections import Detections
from sod.errors import SodError
from sod.frame import clip
from sod.image import decode_image, scale_factor, to_pixels
from sod.matching import matched_share
from sod.nms import multiclass_nms

# Shares of objects that must be the same before anything is measured.
_SAME_NUMBERS = 0.99  # two clients of one server
_SAME_NETWORK = 0.9  # Paddle's FP32 in PaddleX against ours; NMS keeps or drops by a rounding
_SAME_ENGINE = 0.97  # the engine alone against the ensemble: another number of streams rounds differently


@dataclass(frozen=True, slots=True)
class SampleImage:
    """An encoded image; width and height in pixels as shown."""

    name: str
    data: bytes
    width: int
    height: int

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {"name": self.name, "width": self.width, "height": self.height, "bytes": len(self.data)}


@dataclass(slots=True)
class Participants:
    """All that is measured of one model.

    Attributes:
        model: the ensemble's name.
        classes: how many it has.
        images: the first is the one of the targets.
        detectors: by profile.
        servers: by profile.
        bares: engine alones by profile.
        paddlex_server: PaddleX, if it takes part.
    """

    model: str
    classes: int
    images: tuple[SampleImage, ...]
    threshold: float
    detectors: dict[str, DetectorConfig] = field(default_factory=dict)
    servers: dict[str, Server] = field(default_factory=dict)
    engines_only: dict[str, EngineProcess] = field(default_factory=dict)
    paddlex_server: PaddleXServer | None = None

    def ensemble(self, profile: str, image: SampleImage | None = None) -> Ensemble:
        """A client of the ensemble, over gRPC."""
        data = (image or self.images[0]).data
        return Ensemble(self.servers[profile].grpc, self.model, self.classes, data, self.threshold)

    def gateway(self, profile: str, visualize: bool) -> Rest:
        """A client of the gateway, with base64 in JSON."""
        name = "gateway, overlay" if visualize else "gateway"
        image, url = self.images[0].data, self.servers[profile].url
        return rest(url, image, name=name, threshold=self.threshold, visualize=visualize, model=self.model)

    def paddlex(self, visualize: bool) -> Rest:
        """The same request to PaddleX."""
        if self.paddlex_server is None:
            raise BenchmarkError("PaddleX does not take part")
        name = "PaddleX, overlay" if visualize else "PaddleX"
        image, url = self.images[0].data, self.paddlex_server.url
        return rest(url, image, name=name, threshold=self.threshold, visualize=visualize)

    def pixels(self, profile: str) -> NDArray[np.uint8]:
        """The first image as the detector takes it: uint8 RGB [H, W, 3]."""
        return to_pixels(decode_image(self.images[0].data), self.detectors[profile].size)


@contextmanager
def on(host: Host) -> Iterator[None]:
    """Let a host run for the time of its turn."""
    host.resume()
    try:
        yield
    finally:
        host.pause()


def read_images(paths: Sequence[Path]) -> tuple[SampleImage, ...]:
    """Encoded images with their sizes.

    Raises:
        BenchmarkError: one cannot be read.
    """
    found = []
    for path in paths:
        try:
            data = path.read_bytes()
            height, width = decode_image(data).shape[:2]
        except OSError as error:
            raise BenchmarkError(f"the image {path} cannot be read: {error.strerror}") from None
        except SodError as error:
            raise BenchmarkError(f"{path}: {error}") from None
        found.append(SampleImage(path.name, data, width, height))
    return tuple(found)


@contextmanager
def gathered(options: Options, model: str, images: tuple[SampleImage, ...]) -> Iterator[Participants]:
    """Start all of one model, see that they agree, and pause them; all are stopped at exit.

    Raises:
        BenchmarkError: one does not start, or answers differently from the others.
    """
    participants = Participants(model, class_count(options.repository, model), images, options.threshold)
    with ExitStack() as stack:
        for profile in options.profiles:
            try:
                detector = read_detector(options.repository, model, profile)
            except BenchmarkError as error:
                _say(f"{model}, {profile}: left out: {error}")
                continue
            participants.detectors[profile] = detector
            _say(f"{model}, {profile}: starting the server, and the engine alone ({detector.backend})")
            arguments = ["--model-repository", str(options.repository), "--unready-restart", "3600"]
            log = options.out / f"server-{model}-{profile}.log"
            try:
                server = stack.enter_context(
                    start_server(profile, [model], arguments, log, SOD_FETCH_ALLOW="127.0.0.1")
                )
            except StartError as error:
                raise BenchmarkError(str(error)) from None
            participants.servers[profile] = server
            server.pause()
            alone = stack.enter_context(engine_only.started(detector, participants.pixels(profile)))
            alone.host.pause()
            participants.engines_only[profile] = alone
        if not participants.servers:
            raise BenchmarkError(f"{model} can be served in none of {', '.join(options.profiles)}")
        if options.paddlex is not None:
            _say(f"{model}: starting PaddleX")
            folder = find_paddle_model(options.paddlex, model)
            participants.paddlex_server = stack.enter_context(start_paddlex(folder, options.out))
            participants.paddlex_server.pause()
        check(participants)
        yield participants


def check(participants: Participants) -> None:
    """Check that all clients get the same objects, and the engine alone gives them too.

    Raises:
        BenchmarkError: they do not; a speed of wrong answers is of no interest.
    """
    image = participants.images[0]
    fp32 = None
    for profile, server in participants.servers.items():
        with on(server):
            found = clip(participants.ensemble(profile).detect(), image.width, image.height)
            for visualize in (False, True):
                client = participants.gateway(profile, visualize)
                _require(
                    matched_share(found, client.detect()),
                    _SAME_NUMBERS,
                    f"{profile}: {client.name} against the ensemble",
                )
        with on(participants.engines_only[profile].host):
            _require(
                matched_share(found, _engine_only_objects(participants, profile)),
                _SAME_ENGINE,
                f"{profile}: the engine alone",
            )
        if not len(found):
            raise BenchmarkError(
                f"{profile} finds nothing in {image.name} over {participants.threshold:g}: choose another image, "
                "or a lower --threshold"
            )
        if participants.detectors[profile].precision == "FP32":
            fp32 = found
    if participants.paddlex_server is not None and fp32 is not None:
        with on(participants.paddlex_server):
            for visualize in (False, True):
                client = participants.paddlex(visualize)
                _require(matched_share(fp32, client.detect()), _SAME_NETWORK, f"{client.name} against our FP32")


def _engine_only_objects(participants: Participants, profile: str) -> Detections:
    """What the engine alone's raw output says, in pixels of the image."""
    image = participants.images[0]
    pixels = decode_image(image.data)
    boxes, scores = participants.engines_only[profile].infer()
    threshold = np.full(participants.classes, participants.threshold, np.float32)
    factor = scale_factor(pixels, participants.detectors[profile].size)
    return clip(multiclass_nms(boxes[0], scores[0], threshold, factor), image.width, image.height)


def _require(share: float, least: float, what: str) -> None:
    if share < least:
        raise BenchmarkError(f"{what}: {share:.1%} of the objects are the same, and {least:.0%} at least must be")


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
