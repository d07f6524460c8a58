"""Whether a port can be listened on."""

import os
import socket


def port_problem(address: str, port: int) -> str:
    """Why nobody can listen there now; empty if one can."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((address, port))
        except OSError as error:
            return error.strerror or os.strerror(error.errno or 0)
    return ""
