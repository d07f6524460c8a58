"""The forms of a request: base64, URL, form and raw body, with and without overlay, images of several sizes."""

import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, get_args

from tqdm import tqdm

from benchmarks.performance.loadgen.clients import Form, rest
from benchmarks.performance.options import LOADED, Options
from benchmarks.performance.participants import Participants, SampleImage, on
from benchmarks.performance.sections.load import measure_turn


def measure(participants: Participants, options: Options) -> dict[str, Any]:
    """Concurrency 8, in the first profile that is served.

    Returns:
        `profile`; `turns`: a list of dicts: `image`, `form`, `visualize`, and `rounds` as of `measure_turn`.
    """
    profile, server = next(iter(participants.servers.items()))
    first, *others = participants.images
    cases: list[tuple[SampleImage, Form, bool]] = [
        (first, form, visualize) for form in get_args(Form) for visualize in (False, True)
    ]
    cases += [(image, "base64", visualize) for image in others for visualize in (False, True)]
    results: list[dict[str, Any]] = [
        {"image": image.as_dict(), "form": form, "visualize": visualize, "rounds": []}
        for image, form, visualize in cases
    ]
    laps = [number for number in range(options.rounds) for _ in cases]
    with _served(participants.images) as url, on(server):
        for index in tqdm(range(len(laps)), f"{participants.model}, requests", unit="turn", file=sys.stderr):
            position = index % len(cases)
            image, form, visualize = cases[position]
            ask = partial(
                rest, server.url, image.data, name=form, threshold=participants.threshold, model=participants.model
            )
            client = ask(visualize=visualize, form=form, image_url=f"{url}/{participants.images.index(image)}")
            results[position]["rounds"].append(measure_turn(server, client, LOADED, options.seconds))
    return {"profile": profile, "turns": results}


@contextmanager
def _served(images: tuple[SampleImage, ...]) -> Iterator[str]:
    """A web server that has the images, by number; yields its address."""

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
