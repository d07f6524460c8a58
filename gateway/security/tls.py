"""TLS: the certificate and its key, validated before anything starts, and read again when they change."""

import ssl
from dataclasses import dataclass, field
from pathlib import Path


class TlsError(Exception):
    """These files cannot be used for TLS; the text says why."""


@dataclass(frozen=True, slots=True)
class TlsFiles:
    """What a TLS server needs.

    Attributes:
        certificate: PEM file of the certificate chain.
        key: PEM file of the certificate's private key.
        password: Password of the key file; None if it is not encrypted.
    """

    certificate: Path
    key: Path
    password: str | None = field(default=None, repr=False)


def server_context(files: TlsFiles) -> ssl.SSLContext:
    """The context of a server that speaks TLS 1.2 and newer.

    Raises:
        TlsError: A file cannot be read or used, or the files do not belong together.
    """
    certificate, key, password = files.certificate, files.key, files.password
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
    encrypted = False

    def get_password() -> str:  # without a callback OpenSSL would prompt on the terminal
        nonlocal encrypted
        encrypted = True
        return password or ""

    try:
        context.load_cert_chain(certificate, key, get_password)
    except (ssl.SSLError, ValueError) as error:  # ValueError: the password is too long
        reason = getattr(error, "reason", None) or ""
        if reason == "KEY_VALUES_MISMATCH":
            raise TlsError(f"the TLS key {key} is not that of the certificate {certificate}") from None
        if encrypted:
            detail = (
                "another password than SOD_TLS_KEY_PASSWORD" if password else "a password: set SOD_TLS_KEY_PASSWORD"
            )
            raise TlsError(f"the TLS key {key} is encrypted with {detail}") from None
        if reason.endswith(("_TOO_SMALL", "_TOO_WEAK")):
            raise TlsError(f"the TLS certificate {certificate} is too weak for OpenSSL ({reason})") from None
        raise TlsError(f"the TLS key {key} has no private key in PEM form") from None
    return context


def reload_certificate(context: ssl.SSLContext, files: TlsFiles) -> None:
    """Let the context of a running server use the files as they are now; connections that exist keep theirs.

    Raises:
        TlsError: They cannot be used, and nothing has changed.
    """
    server_context(files)
    context.load_cert_chain(files.certificate, files.key, files.password)
