"""The section `cpu`: processor time of a frame in each stage of the client."""

import itertools
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from PIL import Image
from sod_client._results.data import Box
from sod_client._streams.counting import shapes
from sod_client._streams.counting.counter import Counter
from sod_client._streams.objects import Objects
from sod_client._streams.outputs.annotate import Annotator
from sod_client._streams.outputs.video import VideoWriter
from sod_client._streams.result import FrameResult
from sod_client._streams.sources.address import parse
from sod_client._streams.sources.container import Video
from sod_client._streams.sources.frame import Frame, VideoFrame
from sod_client._streams.tracking.options import LOST_S, TrackOptions
from sod_client.result import Result

from benchmarks.watch.film import HEIGHT, RATE, WIDTH, Film, film
from benchmarks.watch.options import Options
from finetune.data.sources import CLASSES

_FRAMES = 50
_DECODED = 250  # the first ones cost more: opening, a key frame, and threads that decode ahead


def measure(options: Options) -> dict[str, Any]:
    """Milliseconds of processor time a frame, of all threads.

    Returns:
        `size`, `objects` a frame, and `ms` by stage: `decode`, `convert` to RGB, `encode` as JPEG, `track` and
        count, `draw`, and `write` as H.264.
    """
    return stages(film(options.folder, options.seconds, options.film_seed), options.folder)


def stages(made: Film, folder: Path) -> dict[str, Any]:
    """As `measure`, of a film.

    Args:
        made: the film.
        folder: for the annotated video, which is removed.
    """
    count = min(_FRAMES, len(made.ids))
    out = folder / "annotated.mp4"
    writer = VideoWriter(out, None)
    spent: dict[str, float] = {}

    def timed(name: str, work: Iterable[object]) -> None:
        # A stage of all frames at once: FFmpeg's threads also work between two calls, which would add to other stages.
        # Its values are not kept, as in `sod watch`: fresh memory for each would add some milliseconds.
        began = time.process_time()
        count = sum(1 for _ in work)
        spent[name] = (time.process_time() - began) / max(1, count)

    timed("decode", _decoded(made.path, _DECODED))
    shots = list(_decoded(made.path, count))
    timed("convert", (VideoFrame("film", 0, 0, decoded_frame=shot).decoded() for shot in shots))
    items = [VideoFrame("film", number, 0, decoded_frame=shot) for number, shot in enumerate(shots)]
    for item in items:
        item.decoded()  # which keeps the image
    timed("encode", (item.encoded() for item in items))
    results = [_result(made, number, item) for number, item in enumerate(items)]
    timed("track", _tracked(made, results))
    annotator = Annotator(shapes.lines(made.line), [], [])
    timed("draw", (annotator.draw(result) for result in results))
    images = [annotator.draw(result) for result in results]
    timed("write", _written(writer, images))
    out.unlink(missing_ok=True)
    count, objects = len(items), sum(map(len, made.boxes[: len(items)]))
    return {
        "size": [WIDTH, HEIGHT],
        "frames": count,
        "objects": round(objects / max(1, count), 1),
        "ms": {name: round(1e3 * seconds, 2) for name, seconds in spent.items()},
    }


def _decoded(path: Path, count: int) -> Iterator[Any]:
    video = Video(parse(str(path)), 5.0)
    yield from (shot for shot, _ in itertools.islice(video.frames(), count))
    video.close()  # waits for the threads, which decode some frames more


def _result(made: Film, number: int, item: VideoFrame) -> FrameResult:
    boxes = [
        Box(cls_id=int(kind), label=CLASSES[int(kind)], score=0.9, coordinate=box)
        for kind, box in zip(made.class_ids[number], made.boxes[number].tolist(), strict=True)
    ]
    return FrameResult(Result("film", boxes), Frame(item, number, number / RATE, 0.0), dropped=0, lag=0.0)


def _tracked(made: Film, results: list[FrameResult]) -> Iterator[None]:
    objects, counter = Objects(None, TrackOptions()), Counter(shapes.lines(made.line), [], LOST_S)
    for result in results:
        objects.update(result)
        counter.update(result)
        yield


def _written(writer: VideoWriter, images: list[Image.Image]) -> Iterator[None]:
    for number, image in enumerate(images):
        writer.write(image, number / RATE)
        yield
    writer.close()
