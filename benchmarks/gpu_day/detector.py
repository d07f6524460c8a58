"""The step `detector`: the network alone in ONNX Runtime, by precision and batch."""

import json
import statistics
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import gpu
from benchmarks.gpu_day.options import BATCHES, FILES, Options
from benchmarks.gpu_day.timing import milliseconds
from sod.image import decode_image, to_pixels

_WARM_UP = 3


def measure(options: Options) -> dict[str, Any]:
    """Milliseconds of one run, transfers included, the median of as many as fit.

    Returns:
        By model and precision, such as "PP-YOLOE_plus_SOD-S, FP16": by batch size `ms` and `images_a_second`; or
        `missing`, a sentence. After each model the figures so far are also in `detector.json` of the folder.

    Raises:
        BenchmarkError: ONNX Runtime is absent, or does not start the provider.
    """
    ort = gpu.load_onnxruntime(options.provider)
    results: dict[str, Any] = {}
    for model in options.models:
        for precision, file in FILES.items():
            path = options.repository / f"{model}_detector" / "1" / file
            title = f"{model}, {precision}"
            results[title] = _of(ort, path, options) if path.is_file() else {"missing": f"{path.name} is absent"}
            (options.folder / "detector.json").write_text(json.dumps(results), encoding="utf-8")
    return results


def _of(ort: Any, path: Path, options: Options) -> dict[str, Any]:
    session = gpu.open_session(ort, str(path), options.provider)
    size = session.get_inputs()[0].shape[1:3]
    pixels = to_pixels(decode_image(options.image.read_bytes()), (size[0], size[1]))
    found = {}
    for batch in BATCHES:
        feed = {session.get_inputs()[0].name: np.ascontiguousarray(np.broadcast_to(pixels, (batch, *pixels.shape)))}
        for _ in range(1 if options.pretend else _WARM_UP):
            session.run(None, feed)
        times = milliseconds(partial(session.run, None, feed), options.seconds / 2)
        ms = statistics.median(times)
        found[str(batch)] = {"ms": round(ms, 3), "images_a_second": round(1e3 * batch / ms, 2), "runs": len(times)}
    return found
