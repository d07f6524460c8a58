"""Listener configuration: TLS, trusted proxies, warning when unauthenticated."""

import logging
from dataclasses import dataclass
from ipaddress import ip_address

from gateway.security.tls import TlsFiles

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Listener:
    """Where the gateway listens, and for whom.

    Attributes:
        host: Address to listen on.
        port: Port to listen on; 0 takes a free one.
        trusted_proxies: Addresses and networks whose X-Forwarded-* headers are trusted, separated by commas, or `*`;
            None trusts nobody.
        tls: Certificate and key; None serves plain HTTP.
    """

    host: str
    port: int
    trusted_proxies: str | None = None
    tls: TlsFiles | None = None


def warn_if_unauthenticated(host: str, *, has_api_keys: bool) -> None:
    """Log a warning if other machines can reach the gateway and it requires no API key."""
    if not has_api_keys and not _is_loopback(host):
        _log.warning("listening on %s without API keys: everyone who can reach it may use it (SOD_API_KEYS)", host)


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
