"""Start the launcher, send it one image, stop it; prints how many objects it found. Runs under special mounts.

python ask_once.py PORT OPTIONS-OF-THE-LAUNCHER …

With LARGE_IMAGE in the environment it sends that file before, and prints the status and text of the response.
"""

import base64
import json
import os
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

STREET = Path(__file__).parents[2] / "docs" / "street.jpg"


def main() -> int:
    """The launcher's exit status."""
    launcher = subprocess.Popen([sys.executable, "-m", "server", *sys.argv[2:]])
    url = f"http://127.0.0.1:{sys.argv[1]}"
    while launcher.poll() is None:
        time.sleep(0.2)
        try:
            urllib.request.urlopen(f"{url}/health/ready", timeout=30)
        except OSError:
            continue
        if large := os.environ.get("LARGE_IMAGE"):
            document = post(url, Path(large))
            print(f"large image: {document['errorCode']} {document['errorMsg']}", flush=True)
        print(f"found {len(post(url, STREET)['result']['detectedObjects'])}", flush=True)
        launcher.terminate()
        break
    return launcher.wait(60)


def post(url: str, image: Path) -> dict[str, Any]:
    """The response to an image, or the error."""
    body = {"image": base64.b64encode(image.read_bytes()).decode(), "visualize": False}
    request = urllib.request.Request(f"{url}/small-object-detection", json.dumps(body).encode())
    try:
        response = urllib.request.urlopen(request, timeout=60)
    except urllib.error.HTTPError as error:
        response = error
    document: dict[str, Any] = json.load(response)
    return document


if __name__ == "__main__":
    sys.exit(main())
