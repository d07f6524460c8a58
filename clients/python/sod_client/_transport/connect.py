"""Selects the transport by the scheme of an address."""

from sod_client._transport import grpc, triton_http
from sod_client._transport.http import HttpTransport
from sod_client._transport.http_connection import HttpConnection
from sod_client._transport.tls import Verification, nobody_trusted
from sod_client._transport.transport import Transport
from sod_client.errors import ConnectionFailedError, InvalidConfigError

_SECURE = ("https", "triton+https", grpc.SECURE_SCHEME)


def connect(  # noqa: PLR0913 - the user's settings, by name
    url: str,
    *,
    timeout: float,
    retries: int,
    max_requests: int,
    api_key: str | None,
    verification: Verification,
    is_forked: bool,
) -> Transport:
    """The transport to a server; nothing is sent yet.

    Args:
        url: http(s)://… of a gateway; grpc(s)://… or triton+http(s)://… of Triton itself.
        timeout: seconds to wait for a response.
        retries: the most attempts after the first one.
        max_requests: the most requests at once.
        api_key: sent as a bearer token; None sends none.
        verification: how the server's certificate is verified.
        is_forked: whether this process was forked from one that used a transport.

    Raises:
        InvalidConfigError: the address is invalid, or TLS options are given for one without TLS.
        ConnectionFailedError: gRPC cannot be used in this process.
        DependencyError: a package is missing; the text names it.
    """
    scheme, _, rest = url.partition("://")
    scheme = scheme.lower()
    if (verification.ca_file is not None or verification.insecure) and scheme not in _SECURE:
        raise InvalidConfigError(f"ca_file and insecure need an address with TLS, such as https://, not {url!r}")
    if scheme in (grpc.SCHEME, grpc.SECURE_SCHEME):
        if is_forked:
            raise ConnectionFailedError(
                "a gRPC connection cannot be used in a process that was forked from one that has used gRPC: use "
                "multiprocessing's start method 'spawn' or 'forkserver', or an http:// or triton+http:// address"
            )
        return grpc.GrpcTransport(
            url,
            timeout=timeout,
            retries=retries,
            max_requests=max_requests,
            api_key=api_key,
            verification=verification,
        )
    is_triton = scheme in triton_http.SCHEMES
    connection = HttpConnection(
        f"{triton_http.SCHEMES[scheme]}://{rest}" if is_triton else url,
        name=url if is_triton else None,
        timeout=timeout,
        retries=retries,
        max_connections=max_requests,
        api_key=api_key,
        verify=verification.for_http() if scheme in _SECURE else nobody_trusted(),
    )
    return triton_http.TritonHttpTransport(connection) if is_triton else HttpTransport(connection)
