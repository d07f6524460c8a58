"""TLS: the certificate and its key, found usable before anything starts."""

import ssl
from pathlib import Path


class TlsError(Exception):
    """The gateway cannot speak TLS with these files; the text says why."""


def server_context(certificate: Path, key: Path, password: str | None = None) -> ssl.SSLContext:
    """What a server needs to speak TLS 1.2 or newer.

    Args:
        certificate: PEM file of the certificate, and of what links it to its authority.
        key: PEM file of its private key.
        password: The key's, if it is encrypted.

    Raises:
        TlsError: a file cannot be read or is none, or they do not belong together.
    """
    for what, path in (("certificate", certificate), ("key", key)):
        try:
            path.read_bytes()
        except OSError as error:
            raise TlsError(f"the TLS {what} {path} cannot be read: {error.strerror}") from None
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(certificate)
    except ssl.SSLError:
        raise TlsError(f"the TLS certificate {certificate} has no certificate in PEM form") from None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    asked = False

    def answer() -> str:  # without it OpenSSL would ask the terminal
        nonlocal asked
        asked = True
        return password or ""

    try:
        context.load_cert_chain(certificate, key, answer)
    except (ssl.SSLError, ValueError) as error:  # the latter for a password that OpenSSL cannot take
        reason = getattr(error, "reason", None) or ""
        if reason == "KEY_VALUES_MISMATCH":
            raise TlsError(f"the TLS key {key} is not that of the certificate {certificate}") from None
        if asked:
            wrong = "another password than SOD_TLS_KEY_PASSWORD" if password else "a password: set SOD_TLS_KEY_PASSWORD"
            raise TlsError(f"the TLS key {key} is encrypted with {wrong}") from None
        if reason.endswith(("_TOO_SMALL", "_TOO_WEAK")):
            raise TlsError(f"the TLS certificate {certificate} is too weak for OpenSSL ({reason})") from None
        raise TlsError(f"the TLS key {key} has no private key in PEM form") from None
    return context
