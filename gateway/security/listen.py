"""How the gateway stands in the network: TLS, the proxies it believes, and a word where it is open to all."""

import logging
import ssl
from functools import partial
from ipaddress import ip_address
from typing import Any

from gateway.security.tls import server_context
from gateway.settings import Settings

_log = logging.getLogger(__name__)


def check(settings: Settings) -> None:
    """See that it can be served as the settings have it.

    Raises:
        TlsError: the certificate or its key will not do.
    """
    if settings.tls_certificate is not None:
        _tls_context(settings)


def uvicorn_options(settings: Settings) -> dict[str, Any]:
    """Uvicorn's options for it."""
    return {
        # Of its own accord uvicorn believes whatever comes from this machine.
        "proxy_headers": settings.forwarded_allow_ips is not None,
        "forwarded_allow_ips": settings.forwarded_allow_ips or [],
        "ssl_context_factory": None if settings.tls_certificate is None else partial(_tls_context, settings),
        "server_header": False,
    }


def warn_if_open(settings: Settings) -> None:
    """Log that whoever reaches the gateway may use it, if others than this machine may reach it."""
    if not settings.api_keys and not _is_loopback(settings.host):
        _log.warning("listening on %s without API keys: whoever reaches it may use it (SOD_API_KEYS)", settings.host)


def _tls_context(settings: Settings, *_: Any) -> ssl.SSLContext:
    certificate, key, password = settings.tls_certificate, settings.tls_key, settings.tls_key_password
    assert certificate is not None and key is not None  # noqa: S101, PT018 - the settings see to it
    return server_context(certificate, key, None if password is None else password.get_secret_value())


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
