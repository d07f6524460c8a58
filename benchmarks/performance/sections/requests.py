"""The section `requests`: every body format of the REST API, with and without overlay, and images of several sizes."""

import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, get_args

from tqdm import tqdm

from benchmarks.performance.loadgen.clients import BodyFormat, rest_client
from benchmarks.performance.options import LOAD_CLIENTS, Options
from benchmarks.performance.participants import Participants, SampleImage, resumed
from benchmarks.performance.sections.load import measure_load


def measure(participants: Participants, options: Options) -> dict[str, Any]:
    """Measure at concurrency 8, in the first profile that is served.

    Returns:
        `profile`, and `turns`: a list of dicts with `image`, `form` (the body format), `visualize`, and `rounds`, a
        result of `measure_load` a round.
    """
    profile, server = next(iter(participants.servers.items()))
    first, *others = participants.images
    cases: list[tuple[SampleImage, BodyFormat, bool]] = [
        (first, body_format, visualize) for body_format in get_args(BodyFormat) for visualize in (False, True)
    ]
    cases += [(image, "base64", visualize) for image in others for visualize in (False, True)]
    results: list[dict[str, Any]] = [
        {"image": image.as_dict(), "form": body_format, "visualize": visualize, "rounds": []}
        for image, body_format, visualize in cases
    ]
    with _image_server(participants.images) as url, resumed(server):
        order = [index for _ in range(options.rounds) for index in range(len(cases))]
        for index in tqdm(order, f"{participants.model}, requests", unit="turn", file=sys.stderr):
            image, body_format, visualize = cases[index]
            client = rest_client(
                server.url,
                image.data,
                name=body_format,
                threshold=participants.threshold,
                visualize=visualize,
                body_format=body_format,
                model=participants.model,
                image_url=f"{url}/{participants.images.index(image)}",
            )
            results[index]["rounds"].append(measure_load(server, client, LOAD_CLIENTS, options.seconds))
    return {"profile": profile, "turns": results}


@contextmanager
def _image_server(images: tuple[SampleImage, ...]) -> Iterator[str]:
    """Serve the images over HTTP, each at the path of its index; yields the address."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            data = images[int(self.path.strip("/"))].data
            self.send_response(200)
            self.send_header("Content-Type", "application/octet-stream")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()
