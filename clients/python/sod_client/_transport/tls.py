"""How the certificate of a server is verified, over HTTP and over gRPC."""

import os
import socket
import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from sod_client.errors import ConnectionFailedError, InvalidConfigError

_VARIABLES = ("SOD_CA_FILE", "SSL_CERT_FILE")
# Of Python's ssl, and of gRPC for a certificate of another host.
_CERTIFICATE_ERRORS = ("CERTIFICATE_VERIFY_FAILED", "Hostname Verification Check failed")


@dataclass(frozen=True)
class Verification:
    """How the certificate of a server is verified.

    Attributes:
        ca_file: a PEM file of authorities that are trusted beside the public ones; None is that of SOD_CA_FILE or
            SSL_CERT_FILE, also for loopback addresses, or only the public ones.
        insecure: verify nothing.
    """

    ca_file: str | None = None
    insecure: bool = False

    def for_http(self) -> ssl.SSLContext | bool:
        """The `verify` of an httpx client.

        Raises:
            InvalidConfigError: the file cannot be read, or contains no certificate.
        """
        if self.insecure:
            return False
        return self._own_authorities() or True

    def for_grpc(self) -> bytes | None:
        """The authorities in PEM format for gRPC; None is gRPC's own list of public ones.

        Raises:
            InvalidConfigError: the file cannot be read, or contains no certificate.
        """
        if self.insecure or (context := self._own_authorities()) is None:
            return None
        public = "".join(map(ssl.DER_cert_to_PEM_cert, context.get_ca_certs(binary_form=True)))
        return public.encode() + Path(self._file()[1]).read_bytes()  # also what is no authority by its own extensions

    def _file(self) -> tuple[str, str]:
        """Where the file is named, and its path, which is empty without one."""
        if self.ca_file is not None:
            return "ca_file", self.ca_file
        return next(((name, path) for name in _VARIABLES if (path := os.environ.get(name))), ("", ""))

    def _own_authorities(self) -> ssl.SSLContext | None:
        name, path = self._file()
        if not name:
            return None
        context = httpx.create_ssl_context(trust_env=False)
        try:
            context.load_verify_locations(path)
        except ssl.SSLError as error:
            raise InvalidConfigError(f"{name} {path!r} contains no certificate in PEM format") from error
        except OSError as error:
            raise InvalidConfigError(f"{name} {path!r} cannot be read: {error.strerror}") from error
        return context


def nobody_trusted() -> ssl.SSLContext:
    """Of a connection without TLS: to read the public authorities takes 20 ms of processor time."""
    return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)


def is_certificate_error(text: str) -> bool:
    """Whether this error of a connection says that the server's certificate was refused."""
    return any(phrase in text for phrase in _CERTIFICATE_ERRORS)


def certificate_error(url: str, text: str) -> ConnectionFailedError:
    """The error of a certificate that was refused, with what the user can do."""
    return ConnectionFailedError(
        f"{url}: the server's certificate cannot be verified ({text}): name the file of its authority with --ca, "
        "ca_file= or SOD_CA_FILE, or skip the check with --insecure or insecure=True"
    )


def presented_certificate(host: str, port: int, timeout: float) -> tuple[bytes, str | None]:
    """The certificate that a server presents, unverified, in PEM format, and a name that it is valid for.

    Raises:
        OSError: the server cannot be reached, does not speak TLS, or its certificate has expired.
    """
    unverified = ssl.create_default_context()
    unverified.check_hostname, unverified.verify_mode = False, ssl.CERT_NONE
    with (
        socket.create_connection((host, port), timeout) as connection,
        unverified.wrap_socket(connection, server_hostname=host) as secured,
    ):
        pem = ssl.DER_cert_to_PEM_cert(secured.getpeercert(binary_form=True) or b"")
    # Python parses only a certificate that it has verified: verify it by itself.
    by_itself = ssl.create_default_context(cadata=pem)
    by_itself.check_hostname = False
    by_itself.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    with (
        socket.create_connection((host, port), timeout) as connection,
        by_itself.wrap_socket(connection, server_hostname=host) as secured,
    ):
        certificate: dict[str, Any] = dict(secured.getpeercert() or {})
    names = [name for _, name in certificate.get("subjectAltName", ())]
    names += [name for ((key, name),) in certificate.get("subject", ()) if key == "commonName"]
    return pem.encode(), names[0].replace("*", "any") if names else None
