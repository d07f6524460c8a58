"""The options of `Pipeline.watch`."""

from collections.abc import Callable
from typing import TypedDict

from sod_client._filters import Classes
from sod_client._slices import Pair, SliceInfer
from sod_client._streams.counting.shapes import Shapes


class WatchOptions(TypedDict, total=False):
    """The options of `Pipeline.watch`; all may be left out."""

    model: str | None
    """As of `Pipeline.predict`, as are the following up to `match_threshold`."""
    classes: Classes | None
    iou: float | None
    agnostic_nms: bool | None
    """By default only with a tracker: two boxes of one object, as a car and as a van, would count twice."""
    slice_infer: SliceInfer | None
    slice_size: Pair | None
    overlap_ratio: Pair | None
    combine_method: str | None
    match_metric: str | None
    match_threshold: float | None
    skip_still: bool
    """With `slice_infer` and a camera that does not move: send only slices that changed. Default False."""
    start: float
    """Seconds from the beginning that are left out."""
    duration: float | None
    """Seconds after `start` that are used; None is all."""
    every: int
    """Use every n-th frame."""
    max_fps: float | None
    """The most frames that are used for each second of the source; None is all."""
    once: bool
    """End with a stream that ends rather than connect again; of a folder, read only what is there. Default False."""
    stall_timeout: float
    """Seconds without data after which a stream is connected again; by default 5."""
    track: bool
    """Give each object a `track_id` that it keeps, and its `age` in seconds. Lines and zones track, too."""
    match_iou: float
    """A box continues a track if the IoU of both, expanded, is at least this; by default 0.2."""
    expand: float
    """Share of its size by which a box is expanded on every side before it is compared; by default 0.3."""
    lost_after: float
    """Seconds for which an object that is not seen keeps its id; by default 1.5."""
    lines: Shapes
    """Lines `(x1, y1, x2, y2)`, several in a list, or by name in a dict, whose crossings are counted."""
    zones: Shapes
    """Polygons `(x1, y1, x2, y2, x3, y3, …)`, as above, whose occupancy is counted."""
    on_note: Callable[[str], object] | None
    """Called, also from other threads, with a sentence about each interruption; None ignores them."""
