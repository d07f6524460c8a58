"""The section `speed`: a 4K frame in slices, beside the engine alone and SAHI, in turns."""

import importlib.util
import sys
import tempfile
import time
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx

from benchmarks import servers
from benchmarks.performance.baselines import engine_only
from benchmarks.performance.baselines.detector_config import DetectorConfig, class_count, read_detector
from benchmarks.performance.baselines.engine_only import EngineProcess
from benchmarks.performance.errors import BenchmarkError
from benchmarks.performance.loadgen.clients import objects
from benchmarks.performance.participants import resumed
from benchmarks.slices.images import SCENE, encoded_scene
from benchmarks.slices.options import PATIENT, Options
from benchmarks.slices.requests import post, request_body
from sod.image import decode_image, to_pixels
from sod.matching import matched_share

if TYPE_CHECKING:
    from benchmarks.slices.sahi_detector import SahiDetector

FRAME = (3840, 2160)
SIDE = 640
THRESHOLD = 0.5
_TIMEOUT_S = 1800


@dataclass(slots=True)
class _Participant:
    """The server in a profile, its engine alone, and SAHI in the same engine; and what was measured of them."""

    server: servers.Server
    engine: EngineProcess
    sahi: "SahiDetector | None"
    precision: str
    answers_s: list[float] = field(default_factory=list)
    throughput: list[float] = field(default_factory=list)
    sahi_s: list[float] = field(default_factory=list)
    slices: int = 0
    same: float = 1.0


def measure(options: Options) -> dict[str, Any]:
    """Measure all profiles in turns: in each round the whole answer, the engine alone, and SAHI.

    Returns:
        `sahi`: its version, or why it is not measured; `profiles`: by profile `precision`, `slices`, `same_objects`,
        and a value a round: `answer_s`, `engine_throughput` in images a second, `sahi_s`.
    """
    missing = "" if importlib.util.find_spec("sahi") else "SAHI is not installed"
    detectors = {profile: _detector(options, profile) for profile in options.profiles}
    image, small = encoded_scene(*FRAME), encoded_scene(*SCENE)
    body, warm_up = (request_body(one, options.speed_model, THRESHOLD, SIDE) for one in (image, small))
    with tempfile.TemporaryDirectory(prefix="sod-slices-") as folder, ExitStack() as stack:
        files = Path(folder) / "frame.jpg", Path(folder) / "small.jpg"
        files[0].write_bytes(image)
        files[1].write_bytes(small)
        participants = {
            profile: _started(stack, options, profile, detector, image, sahi=not missing)
            for profile, detector in detectors.items()
        }
        for one in participants.values():
            _warm_up(one, warm_up, str(files[1]))
        for number in range(options.rounds):
            for profile, one in participants.items():
                print(f"speed: round {number + 1} of {options.rounds}, {profile}", file=sys.stderr, flush=True)
                _measure(one, body, str(files[0]), options.seconds)
    return {
        "sahi": missing or f"SAHI {importlib.import_module('sahi').__version__}",
        "model": options.speed_model,
        "profiles": {profile: _as_dict(one) for profile, one in participants.items()},
    }


def _detector(options: Options, profile: str) -> DetectorConfig:
    detector = read_detector(options.repository, options.speed_model, profile)
    if detector.backend != "openvino":
        raise BenchmarkError(f"speed is measured in profiles of OpenVINO, and {profile} uses {detector.backend}")
    return detector


def _started(  # noqa: PLR0913 - what is started, by name
    stack: ExitStack, options: Options, profile: str, detector: DetectorConfig, image: bytes, *, sahi: bool
) -> _Participant:
    arguments = ["--model-repository", str(options.repository), "--unready-restart", "3600"]
    server = stack.enter_context(servers.started(profile, [options.speed_model], arguments, None, **PATIENT))
    server.pause()
    tile = to_pixels(decode_image(image)[:SIDE, :SIDE], detector.size)
    engine = stack.enter_context(engine_only.started(detector, tile))
    engine.processes.pause()
    model = None
    if sahi:
        from benchmarks.slices.sahi_detector import SahiDetector  # noqa: PLC0415 - needs SAHI

        model = SahiDetector(detector, class_count(options.repository, options.speed_model), THRESHOLD)
    return _Participant(server, engine, model, detector.precision)


def _warm_up(one: _Participant, body: bytes, file: str) -> None:
    with resumed(one.server), httpx.Client(base_url=one.server.url, timeout=_TIMEOUT_S) as http:
        post(http, body)
    if one.sahi is not None:
        from benchmarks.slices.sahi_detector import detect  # noqa: PLC0415

        detect(one.sahi, file, SIDE)


def _measure(one: _Participant, body: bytes, file: str, seconds: float) -> None:
    with resumed(one.server), httpx.Client(base_url=one.server.url, timeout=_TIMEOUT_S) as http:
        began = time.perf_counter()
        response = post(http, body)
        one.answers_s.append(round(time.perf_counter() - began, 3))
    one.slices = int(response.headers["x-slices"])
    with resumed(one.engine.processes):
        one.engine.throughput(min(1.0, seconds))
        one.throughput.append(round(one.engine.throughput(seconds), 4))
    if one.sahi is None:
        return
    from benchmarks.slices.sahi_detector import detect  # noqa: PLC0415

    began = time.perf_counter()
    theirs = detect(one.sahi, file, SIDE)
    one.sahi_s.append(round(time.perf_counter() - began, 3))
    one.same = round(matched_share(objects(response.json()), theirs), 4)


def _as_dict(one: _Participant) -> dict[str, Any]:
    return {
        "precision": one.precision,
        "slices": one.slices,
        "same_objects": one.same,
        "answer_s": one.answers_s,
        "engine_throughput": one.throughput,
        "sahi_s": one.sahi_s,
    }
