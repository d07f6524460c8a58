"""Whether the gateway on this machine answers an image: for the launcher, and for the image's health check."""

import argparse
import os
import ssl
import sys
import urllib.request
from collections.abc import Sequence
from http.client import HTTPException

_TIMEOUT_S = 60.0  # the gateway bounds the check; this is for one that does not answer at all


def main(arguments: Sequence[str] | None = None) -> int:
    """`python -m server.ready`: exit status 0 if an inference passes, 1 if not."""
    parser = argparse.ArgumentParser(prog="python -m server.ready", description=main.__doc__)
    parser.add_argument("--host", default="127.0.0.1", help="address of the gateway")
    parser.add_argument("--port", type=int, default=8080, help="port of the gateway")
    options = parser.parse_args(arguments)
    return 0 if is_ready(local_url(options.host, options.port)) else 1


def has_setting(name: str) -> bool:
    """Whether the gateway's setting is in the environment, in upper or lower case, and not empty."""
    return any(variable.upper() == f"SOD_{name.upper()}" and value for variable, value in os.environ.items())


def local_url(host: str, port: int) -> str:
    """The gateway's address as seen from this machine: https where it has a certificate."""
    scheme = "https" if has_setting("tls_certificate") else "http"
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104 — compared, not bound
    return f"{scheme}://[{host}]:{port}" if ":" in host else f"{scheme}://{host}:{port}"


def is_ready(url: str) -> bool:
    """Whether an inference passes in the gateway at `url`, its address on this machine."""
    # The certificate is for the name by which clients call the gateway, not for this machine's own address, and there
    # is nobody in between. Nor is a proxy asked.
    unverified = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    unverified.check_hostname = False
    unverified.verify_mode = ssl.CERT_NONE
    opener = urllib.request.build_opener(
        urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=unverified)
    )
    try:
        with opener.open(f"{url}/health/ready", timeout=_TIMEOUT_S) as answer:
            return bool(answer.status == 200)
    except (OSError, HTTPException):
        return False


if __name__ == "__main__":
    sys.exit(main())
