"""Run the same Python code with PaddleX and with sod_client."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import yaml
from PIL import Image

from benchmarks.performance.baselines.paddlex import VENV
from tests.paddlex import images, sdk_cases
from tests.paddlex.difference import difference
from tests.paddlex.servers import NAME, Contestants
from tests.paddlex.table import read_rows
from tests.paddlex.verdict import Verdict, judge

_SCRIPT = Path(__file__).with_name("sdk_cases.py")
_SITE = Path(__file__).parents[2]


def compare(contestants: Contestants, only: str = "") -> Iterator[Verdict]:
    """One verdict a case whose name contains `only`."""
    rows = read_rows("Python") | read_rows("REST")
    python = VENV / "bin/python"
    paddlex = _observed(contestants, [str(python)], "paddlex", only, contestants.environ)
    ours = _observed(contestants, [sys.executable], "sod_client", only, environment(contestants))
    for name, seen in paddlex.items():
        found = difference(_plain(seen), _plain(ours[name]))
        texts = [one["text"] for one in (seen, ours[name]) if isinstance(one, dict) and "error" in one]
        if found and texts:
            found = f"{found} ({' | '.join(texts)})"
        yield judge(f"Python: {name}", found, sdk_cases.ROWS.get(name), rows)


def environment(contestants: Contestants) -> dict[str, str]:
    """Variables for sod_client and `sod`: the server, and this checkout's packages."""
    return {"SOD_URL": contestants.url, "PYTHONPATH": f"{_SITE}:{_SITE / 'clients/python'}"}


def make_files(folder: Path, model: Path) -> Path:
    """The working folder of the code and command lines: images, pipeline files, and what is no image.

    Args:
        folder: is created.
        model: the Paddle model, which `tuned.yaml` names.
    """
    readable = images.readable_images()
    for name in ("images", "more/below", "clash", "empty", "my_path"):
        (folder / name).mkdir(parents=True)
    for name in ("grey.png", "grey16.png", "bgr16.png", "bgra.png", "exif6.jpg", "lossless.webp", "cmyk.jpg"):
        (folder / "images" / name).write_bytes(readable[name])
    for name in ("bgr.webp", "bgr.bmp"):
        (folder / "clash" / name).write_bytes(readable[name])
    (folder / "more" / "hit-uav.jpg").write_bytes(readable["hit-uav.jpg"])
    (folder / "more/below" / "grey.bmp").write_bytes(readable["grey.bmp"])
    (folder / sdk_cases.IMAGE).write_bytes(readable["bgr.jpg"])
    (folder / "images" / sdk_cases.IMAGE).write_bytes(readable["bgr.jpg"])
    (folder / "image").write_bytes(readable["bgr.jpg"])
    (folder / "truncated.jpg").write_bytes(images.truncated_jpeg())
    (folder / "broken.jpg").write_bytes(b"not an image")
    (folder / "readme.txt").write_text("no image", "utf-8")
    pillow = Image.fromarray(images.photograph()[..., ::-1])
    pillow.save(folder / "one.tif")
    pillow.save(folder / "two.tif", save_all=True, append_images=[pillow.rotate(180)])
    pillow.save(folder / "pages.pdf", save_all=True, append_images=[pillow.rotate(180)], resolution=200)
    grey = cv2.cvtColor(images.photograph(), cv2.COLOR_BGR2GRAY)
    cv2.imwrite(str(folder / "grey16.tif"), grey.astype(np.uint16) * 257)
    cv2.imwrite(str(folder / "float.tif"), grey.astype(np.float32) / 255)
    for name, model_dir, threshold in (("small_object_detection", None, 0.5), ("tuned", str(model), 0.4)):
        module = {"module_name": "small_object_detection", "model_name": NAME, "model_dir": model_dir}
        module |= {"batch_size": 1, "threshold": threshold}
        pipeline = {"pipeline_name": "small_object_detection", "SubModules": {"SmallObjectDetection": module}}
        (folder / "my_path" / f"{name}.yaml").write_text(yaml.safe_dump(pipeline), "utf-8")
    return folder


def _observed(
    contestants: Contestants, command: list[str], module: str, only: str, environ: Mapping[str, str]
) -> dict[str, Any]:
    folder = make_files(contestants.work / f"sdk-{module}", contestants.model)
    target = folder / "observed.json"
    done = subprocess.run(
        [*command, "-P", str(_SCRIPT), module, str(target), only],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": "", **environ},
        capture_output=True,
        text=True,
        check=False,
    )
    if not target.is_file():
        raise RuntimeError(f"{module}: {done.stdout[-1000:]}{done.stderr[-3000:]}")
    observed: dict[str, Any] = json.loads(target.read_text("utf-8"))
    shutil.rmtree(folder)
    return observed


def _plain(seen: Any) -> Any:
    """All errors are alike: PaddleX's have no types of their own."""
    return "an error" if isinstance(seen, dict) and "error" in seen else seen
