"""The section `cpu`: processor time of a frame in each stage of the client."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from sod_client._results.data import Box
from sod_client._streams.counting import shapes
from sod_client._streams.outputs.annotate import Annotator
from sod_client._streams.outputs.video import VideoWriter
from sod_client._streams.result import FrameResult
from sod_client._streams.sources.address import parse
from sod_client._streams.sources.container import Video
from sod_client._streams.sources.frame import Frame, VideoFrame
from sod_client._streams.tracking.byte_track import ByteTrack
from sod_client._streams.tracking.options import TrackOptions
from sod_client.result import Result

from benchmarks.watch.film import HEIGHT, RATE, WIDTH, Film, film
from benchmarks.watch.options import Options
from finetune.data.sources import CLASSES

_FRAMES = 50
_Value = TypeVar("_Value")


def measure(options: Options) -> dict[str, Any]:
    """Milliseconds of processor time a frame, of all threads.

    Returns:
        `size`, `objects` a frame, and `ms` by stage: `decode`, `convert` to RGB, `encode` as JPEG, `track`, `draw`, and
        `write` as H.264.
    """
    return stages(film(options.folder, options.seconds), options.folder)


def stages(made: Film, folder: Path) -> dict[str, Any]:
    """As `measure`, of a film.

    Args:
        made: the film.
        folder: for the annotated video, which is removed.
    """
    spent: dict[str, float] = {}

    def timed(name: str, work: Callable[[], _Value]) -> _Value:
        began = time.process_time()
        value = work()
        spent[name] = spent.get(name, 0.0) + time.process_time() - began
        return value

    tracker = ByteTrack(TrackOptions())
    annotator = Annotator(shapes.lines(made.line), [], [])
    out = folder / "annotated.mp4"
    writer = VideoWriter(out, None)
    video = Video(parse(str(made.path)), 5.0)
    frames = iter(video.frames())
    count = objects = 0
    for number in range(min(_FRAMES, len(made.ids))):
        picture = timed("decode", lambda: next(frames, None))
        if picture is None:
            break
        item = VideoFrame("film", number, 0, decoded_frame=picture[0])
        timed("convert", item.decoded)
        timed("encode", item.encoded)
        boxes, kinds = made.boxes[number], made.class_ids[number]
        scores, moment = np.full(len(boxes), 0.9), number / RATE
        found = timed("track", lambda b=boxes, s=scores, k=kinds, m=moment: tracker.update(b, s, k, s > 0.5, m))  # type: ignore[misc]
        shown = [
            Box(cls_id=int(kind), label=CLASSES[int(kind)], score=0.9, coordinate=box)
            for kind, box in zip(kinds, boxes.tolist(), strict=True)
        ]
        for box, track in zip(shown, found, strict=True):
            box["track_id"] = track.track_id or None if track is not None else None  # type: ignore[typeddict-unknown-key]
        result = FrameResult(Result("film", shown), Frame(item, number, moment, 0.0), dropped=0, lag=0.0)
        image = timed("draw", lambda r=result: annotator.draw(r))  # type: ignore[misc]
        timed("write", lambda i=image, m=moment: writer.write(i, m))  # type: ignore[misc]
        count, objects = count + 1, objects + len(boxes)
    timed("write", writer.close)
    video.close()
    out.unlink(missing_ok=True)
    return {
        "size": [WIDTH, HEIGHT],
        "frames": count,
        "objects": round(objects / max(1, count), 1),
        "ms": {name: round(1e3 * seconds / max(1, count), 2) for name, seconds in spent.items()},
    }
