"""Detection in a pipeline of Ray Data.

>>> import ray
>>> from sod_client.ray import detect
>>> images = ray.data.read_parquet("s3://bucket/list.parquet")  # doctest: +SKIP
>>> detect(images, url="http://gpu1:8080").write_parquet("s3://bucket/objects")  # doctest: +SKIP
>>> detect(images, actors=4, num_cpus=16).write_parquet("s3://bucket/objects")  # doctest: +SKIP
"""

import os
from collections.abc import Sequence
from typing import Any

from sod_client._archives import packages
from sod_client._archives.cluster.dataset import TableDetector
from sod_client._archives.run.settings import Detection, Server
from sod_client._filters import Classes
from sod_client._slices import SliceInfer, SliceOptions
from sod_client._thresholds import Threshold

__all__ = ["detect"]


def detect(  # noqa: PLR0913 - the user's settings, by name
    dataset: Any,
    *,
    url: str | Sequence[str] | None = None,
    path: str = "path",
    content: str | None = None,
    actors: int | tuple[int, int] = 1,
    batch_size: int = 32,
    num_cpus: float = 1,
    num_gpus: float = 0,
    device: str | None = None,
    model: str | None = None,
    threshold: Threshold | None = None,
    classes: Classes | None = None,
    iou: float | None = None,
    agnostic_nms: bool = False,
    slice_infer: SliceInfer | None = None,
    max_in_flight: int = 8,
    api_key: str | None = None,
) -> Any:
    """Detect the images of a dataset.

    A failed image is a row with the status `failed`. Ray Data repeats the batch of an actor that dies.

    Args:
        dataset: a `ray.data.Dataset` with a row per file.
        url: the address of a server, or of several, each of which every node reaches; None is that of the environment
            variable SOD_URL, or else each actor starts a server of its own, which takes tens of seconds.
        path: the column with paths or URLs, which each node reads.
        content: the column with encoded images; None has the nodes read them.
        actors: their number, or the least and the greatest.
        batch_size: rows of a batch.
        num_cpus: logical CPUs of an actor, and of its server. With the number of a node, each node has one server.
        num_gpus: GPUs of an actor, for a server on `device="gpu"`.
        device: of the actors' servers, as of `create_pipeline`.
        model: as of `create_pipeline`, as are `max_in_flight` (of an actor, to each server) and `api_key`.
        threshold: as of `Pipeline.predict`, as are the following.
        classes: the wanted classes.
        iou: the IoU of the NMS.
        agnostic_nms: whether objects of other classes suppress one another.
        slice_infer: whether images are sliced.
        max_in_flight: see `model`.
        api_key: see `model`.

    Returns:
        A `ray.data.Dataset` with the columns of `sod batch` (docs/archives.md), one row per image.

    Raises:
        DependencyError: Ray or pyarrow is not installed.
    """
    packages.arrow()
    data = packages.ray("ray.data")
    least, most = (actors, actors) if isinstance(actors, int) else actors
    url = url or os.environ.get("SOD_URL") or ()
    urls = (url,) if isinstance(url, str) else tuple(url)
    api_key = api_key or os.environ.get("SOD_API_KEY") or None  # the nodes' own environment is another
    detection = Detection(model, threshold, classes, iou, agnostic_nms, slices=SliceOptions(slice_infer))
    return dataset.map_batches(
        TableDetector,
        fn_constructor_kwargs={
            "server": Server(urls, max_in_flight=max_in_flight, api_key=api_key, device=device),
            "detection": detection,
            "path": path,
            "content": content,
        },
        batch_format="pyarrow",
        batch_size=batch_size,
        num_cpus=num_cpus,
        num_gpus=num_gpus or None,
        compute=data.ActorPoolStrategy(min_size=least, max_size=most),
    )
