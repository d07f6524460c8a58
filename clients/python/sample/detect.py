"""Detects small objects in an image. Usage: python detect.py IMAGE [URL] [OUTPUT] [THRESHOLD] [MODEL]."""

import base64
import math
import os
import re
import sys
from pathlib import Path
from typing import Any

import requests

URL = "http://127.0.0.1:8080"
OUTPUT = "out.jpg"


def main(arguments: list[str]) -> int:
    """Print the objects of an image and save the image with their boxes; returns the exit code."""
    if not 1 <= len(arguments) <= 5:
        print("usage: python detect.py IMAGE [URL] [OUTPUT] [THRESHOLD] [MODEL]", file=sys.stderr)
        return 2
    path, url, output, threshold, model = arguments + [URL, OUTPUT, "", ""][len(arguments) - 1 :]
    try:
        lines, overlay = detect(path, url.rstrip("/") + "/small-object-detection", options(threshold, model))
        Path(output).write_bytes(overlay)
    except (OSError, RuntimeError) as error:
        print(f"detect: {error}", file=sys.stderr)
        return 1
    print(*lines, f"{len(lines)} objects, drawn in {output}", sep="\n")
    return 0


def options(threshold: str, model: str) -> dict[str, Any]:
    """The fields of the request for the threshold and the model, each absent if it is empty."""
    if threshold and not re.fullmatch(r"[0-9]*\.?[0-9]+", threshold):
        raise RuntimeError(f"the threshold is {threshold}: give a number from 0 to 1")
    return ({"threshold": float(threshold)} if threshold else {}) | ({"model": model} if model else {})


def detect(image: str, endpoint: str, fields: dict[str, Any]) -> tuple[list[str], bytes]:
    """Send the image to the server; returns a line for each object, and a JPEG of the image with their boxes."""
    body = {"image": base64.b64encode(Path(image).read_bytes()).decode(), "visualize": True, **fields}
    key = os.environ.get("SOD_API_KEY")
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    seconds = reply_seconds()
    try:
        response = requests.post(endpoint, json=body, headers=headers, timeout=(min(seconds, 5), seconds))
    except (requests.RequestException, UnicodeError) as error:
        raise RuntimeError(f"no answer from {endpoint}: {error}") from error
    try:
        reply = response.json()
        if reply["errorCode"] == 0:
            result = reply["result"]
            return [line(found) for found in result["detectedObjects"]], base64.b64decode(
                result["image"], validate=True
            )
        sentence = f"the server answered {reply['errorCode']}: {reply['errorMsg']} (logId {reply['logId']})"
    except (ValueError, KeyError, TypeError):
        sentence = f"{endpoint} answered HTTP {response.status_code} without detections: is it the right server?"
    raise RuntimeError(sentence)


def reply_seconds() -> int:
    """The timeout of a response in seconds: SOD_TIMEOUT, or 120."""
    text = os.environ.get("SOD_TIMEOUT") or "120"
    if not re.fullmatch("[1-9][0-9]{0,5}", text):
        raise RuntimeError(f"SOD_TIMEOUT is {text}: give whole seconds, 1 to 999999")
    return int(text)


def line(found: dict[str, Any]) -> str:
    """Format one object: class id, class name, score, [left, top, right, bottom]."""
    box = ", ".join(map(fixed, found["bbox"]))
    return f"{found['categoryId']} {found['categoryName']} {fixed(found['score'])} [{box}]"


def fixed(number: float) -> str:
    """Format a number with three decimals, rounded half up, as the samples in all languages do."""
    return f"{math.floor(number * 1000 + 0.5) / 1000:.3f}"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
