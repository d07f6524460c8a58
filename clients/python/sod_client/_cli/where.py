"""Which server a command asks: one rule for all."""

import argparse
import os

import httpx

from sod_client._cli import console

DEFAULT_URL = "http://127.0.0.1:8080"
RULE = f"""\
where it runs: at --url; else at the environment's SOD_URL; else, unless --device or --use_hpip asks for a local
server, at {DEFAULT_URL} if one answers there; else in a local server, started for the time of the command.
"""
_PROBE_S = 3.0


def url_of(arguments: argparse.Namespace) -> str | None:
    """The server's address; None starts a local one."""
    given: str | None = arguments.url
    if given is None:
        given = os.environ.get("SOD_URL") or None
    if given is not None:
        return given
    if arguments.device is None and not arguments.use_hpip and _answers(DEFAULT_URL):
        console.note(f"asking the server at {DEFAULT_URL}")
        return DEFAULT_URL
    console.note("starting a local server; --url asks a running one")
    return None


def _answers(url: str) -> bool:
    """Whether it is PaddleX's server or ours; anything may listen on such a port."""
    try:
        with httpx.Client(trust_env=False, timeout=_PROBE_S) as client:
            reply = client.get(f"{url}/health").json()
    except (httpx.HTTPError, ValueError):
        return False
    return isinstance(reply, dict) and "errorCode" in reply
