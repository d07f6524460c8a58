"""Draws scenes and writes them to a folder with labels in YOLO's format.

python -m finetune.scenes .cache/scenes --count 600
"""

import argparse
import sys
from pathlib import Path

import cv2
import numpy as np
from tqdm import tqdm

from finetune.scenes.render import Scene, render


def write(scene: Scene, folder: Path, name: str) -> None:
    """Write images/NAME.jpg and labels/NAME.txt into the folder."""
    height, width = scene.pixels.shape[:2]
    size = np.array([width, height], np.float32)
    lines = []
    for class_id, box in zip(scene.class_ids, scene.boxes, strict=True):
        centre, sides = (box[:2] + box[2:]) / 2 / size, (box[2:] - box[:2]) / size
        lines.append(" ".join([str(class_id), *(f"{v:.6f}" for v in (*centre, *sides))]))
    for kind in ("images", "labels"):
        (folder / kind).mkdir(parents=True, exist_ok=True)
    (folder / "labels" / f"{name}.txt").write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    _, encoded = cv2.imencode(".jpg", scene.pixels[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 92])
    (folder / "images" / f"{name}.jpg").write_bytes(encoded.tobytes())


def main(arguments: list[str] | None = None) -> int:
    """Run the command; scenes that the folder already holds are not drawn again. Returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="folder to write to")
    parser.add_argument("--count", type=int, default=600, help="number of scenes (default: 600)")
    parser.add_argument("--first", type=int, default=0, help="seed of the first scene (default: 0)")
    options = parser.parse_args(arguments)
    for seed in tqdm(range(options.first, options.first + options.count), unit="scene"):
        name = f"{seed:05d}"
        if not (options.folder / "images" / f"{name}.jpg").exists():
            write(render(seed), options.folder, name)
    return 0


if __name__ == "__main__":
    sys.exit(main())
