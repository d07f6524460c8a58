"""How the certificate of an https:// server is verified."""

import os
import ssl

import httpx

from sod_client.errors import InvalidConfigError

_VARIABLES = ("SOD_CA_FILE", "SSL_CERT_FILE")


def server_verification(ca_file: str | None, *, insecure: bool) -> ssl.SSLContext | bool:
    """The `verify` of an httpx client.

    Args:
        ca_file: a PEM file of authorities that are trusted beside the public ones; None is that of SOD_CA_FILE or
            SSL_CERT_FILE, also for loopback addresses, or only the public ones.
        insecure: verify nothing.

    Raises:
        InvalidConfigError: the file cannot be read, or contains no certificate.
    """
    if insecure:
        return False
    name, path = "ca_file", ca_file
    for variable in _VARIABLES:
        if path is None and os.environ.get(variable):
            name, path = variable, os.environ[variable]
    if path is None:
        return True
    context = httpx.create_ssl_context(trust_env=False)
    try:
        context.load_verify_locations(path)
    except ssl.SSLError as error:
        raise InvalidConfigError(f"{name} {path!r} contains no certificate in PEM format") from error
    except OSError as error:
        raise InvalidConfigError(f"{name} {path!r} cannot be read: {error.strerror}") from error
    return context
