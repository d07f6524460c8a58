"""Liveness and readiness of the gateway on this machine: for the launcher, and for a container's health check."""

import argparse
import os
import ssl
import sys
import urllib.error
import urllib.request
from collections.abc import Sequence
from http.client import HTTPException
from typing import Literal

_READY_TIMEOUT_S = 60.0  # the gateway bounds its check; this is for a gateway that does not answer at all
# By it the gateway can leave the launcher's own requests out of its access log.
USER_AGENT = "triton-sod-launcher"

Liveness = Literal["alive", "refused", "silent"]


def main(arguments: Sequence[str] | None = None) -> int:
    """`python -m server.ready`: exit status 0 if an inference passes, 1 if not."""
    parser = argparse.ArgumentParser(prog="python -m server.ready", description=main.__doc__)
    parser.add_argument("--host", default="127.0.0.1", help="address of the gateway")
    parser.add_argument("--port", type=int, default=8080, help="port of the gateway")
    options = parser.parse_args(arguments)
    return 0 if is_ready(local_url(options.host, options.port)) else 1


def setting(name: str) -> str:
    """The gateway's setting as the environment has it, in upper or lower case; empty if it is absent."""
    wanted = f"SOD_{name.upper()}"
    return next((value for variable, value in os.environ.items() if variable.upper() == wanted and value), "")


def local_url(host: str, port: int) -> str:
    """The gateway's address as seen from this machine: https where it has a certificate."""
    scheme = "https" if setting("tls_certificate") else "http"
    return f"{scheme}://{local_address(host, port)}"


def local_address(host: str, port: int) -> str:
    """`host:port` by which this machine reaches what listens on `host`, which may be all addresses."""
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104 — compared, not bound
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def is_ready(url: str) -> bool:
    """Whether an inference passes in the gateway at `url`, its address on this machine."""
    try:
        with _opener().open(_request(f"{url}/health/ready"), timeout=_READY_TIMEOUT_S) as response:
            return bool(response.status == 200)
    except (OSError, HTTPException):
        return False


def liveness(url: str, timeout_s: float) -> Liveness:
    """Whether the gateway process at `url` reacts: `refused` where nobody listens, `silent` if nothing comes in time.

    Any answer counts, an error and a closed connection too.
    """
    try:
        with _opener().open(_request(f"{url}/health/live"), timeout=timeout_s):
            return "alive"
    except urllib.error.HTTPError:
        return "alive"
    except (OSError, HTTPException) as error:
        reason = error.reason if isinstance(error, urllib.error.URLError) else error
        if isinstance(reason, ConnectionRefusedError):
            return "refused"
        return "silent" if isinstance(reason, TimeoutError) else "alive"


def _request(url: str) -> urllib.request.Request:
    return urllib.request.Request(url, headers={"User-Agent": USER_AGENT})  # noqa: S310 — our own address


def _opener() -> urllib.request.OpenerDirector:
    """Opens http and https on this machine, without a proxy."""
    # The certificate is for the name by which clients call the gateway, not for this machine's own address.
    unverified = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    unverified.check_hostname = False
    unverified.verify_mode = ssl.CERT_NONE
    return urllib.request.build_opener(urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=unverified))


if __name__ == "__main__":
    sys.exit(main())
