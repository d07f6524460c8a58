"""Start the launcher, ask it for one image, stop it; prints how many objects it found. Runs under special mounts.

python ask_once.py PORT OPTIONS-OF-THE-LAUNCHER …
"""

import base64
import json
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

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
        body = {"image": base64.b64encode(STREET.read_bytes()).decode(), "visualize": False}
        request = urllib.request.Request(f"{url}/small-object-detection", json.dumps(body).encode())
        found = json.load(urllib.request.urlopen(request, timeout=60))["result"]["detectedObjects"]
        print(f"found {len(found)}", flush=True)
        launcher.terminate()
        break
    return launcher.wait(60)


if __name__ == "__main__":
    sys.exit(main())
