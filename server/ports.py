"""Whether an address can be listened on."""

import errno
import ipaddress
import os
import socket
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class PortProblem:
    """Why nobody can listen there now.

    Attributes:
        text: what is wrong.
        is_taken: another process listens there; another port would do.
        is_host: the host is at fault; no port would do.
    """

    text: str
    is_taken: bool = False
    is_host: bool = False


def port_problem(host: str, port: int) -> PortProblem | None:
    """Why nobody can listen on `host`, a name or an address, at `port`; None if one can."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except (socket.gaierror, UnicodeError) as error:
        reason = error.strerror if isinstance(error, socket.gaierror) else str(error)
        return PortProblem(f"{host!r} cannot be resolved ({reason})", is_host=True)
    family, _, _, _, address = found[0]
    try:
        with socket.socket(family) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
            probe.listen(1)
    except OSError as error:
        if error.errno in (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT):
            return PortProblem(f"{host} is no address of this machine", is_host=True)
        text = error.strerror or os.strerror(error.errno or 0)
        return PortProblem(text, is_taken=error.errno == errno.EADDRINUSE)
    return None


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches what listens on `host`; a name other than localhost counts as reachable."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
