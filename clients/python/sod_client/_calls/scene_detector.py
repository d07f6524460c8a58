"""Detects the scenes of a pipeline, one at a time, with threads of their own for the slices."""

import threading
from concurrent.futures import Future

from sod_client._calls.daemon_pool import DaemonPool
from sod_client._inputs.items import Item
from sod_client._inputs.scenes import SceneItem
from sod_client._results.data import Box
from sod_client._transport.transport import RequestOptions, Transport
from sod_client.result import Result


class SceneDetector:
    """One scene at a time, so that memory does not grow with the number of scenes.

    Args:
        max_in_flight: the most slices that are with the server at once.
    """

    def __init__(self, max_in_flight: int) -> None:
        self._max_in_flight = max_in_flight
        self._lock = threading.Lock()
        # Twice as many threads as requests: while some slices are with the server, others are encoded.
        self._pool = DaemonPool(2 * max_in_flight)

    def detect(self, item: SceneItem, transport: Transport, options: RequestOptions) -> Result:
        """Detect a scene.

        Raises:
            SodError: a window cannot be read, or a slice failed.
        """
        from sod_client._scenes.detection import detect_scene  # noqa: PLC0415 - it needs numpy and rasterio

        def submit(image: Item, request: RequestOptions) -> "Future[list[Box]]":
            return self._pool.submit(lambda: transport.detect(image, request).boxes)

        with self._lock:
            return detect_scene(item, transport, options, submit, self._max_in_flight)

    def close(self) -> None:
        """End the threads."""
        self._pool.close()
