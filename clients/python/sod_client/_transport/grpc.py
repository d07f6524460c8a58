"""The transport to Triton over gRPC: the encoded image without base64 and without a gateway."""

import ssl
import threading
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any
from urllib.parse import urlsplit

from sod_client._optional import require
from sod_client._transport.retry import RetryableError, RetryPolicy
from sod_client._transport.tls import Verification, certificate_error, is_certificate_error, presented_certificate
from sod_client._transport.triton import INVALID_INPUT, ModelConfig, TritonTransport, readable
from sod_client.errors import ConnectionFailedError, InvalidConfigError, ServerError, SodError

SCHEME, SECURE_SCHEME = "grpc", "grpcs"
_CONNECT_TIMEOUT_S = 5.0
_CHANNEL: list[tuple[str, int | str]] = [
    ("grpc.max_send_message_length", -1),
    ("grpc.max_receive_message_length", -1),
    ("grpc.initial_reconnect_backoff_ms", 200),
    ("grpc.max_reconnect_backoff_ms", 1000),
    ("grpc.enable_http_proxy", 0),
]


class GrpcTransport(TritonTransport):
    """A connection to Triton over gRPC.

    Args:
        url: grpc://host:port, or grpcs://host:port with TLS.
        timeout: seconds to wait for a response.
        retries: the most attempts after the first one, while Triton cannot be reached.
        max_requests: the most inferences at once.
        api_key: sent as a bearer token; None sends none.
        verification: how the server's certificate is verified.
    """

    def __init__(  # noqa: PLR0913 - the user's settings, by name
        self,
        url: str,
        *,
        timeout: float,
        retries: int,
        max_requests: int,
        api_key: str | None,
        verification: Verification,
    ) -> None:
        library = require("tritonclient.grpc", "a grpc:// address", "'tritonclient[grpc]'")
        super().__init__(library, url.rstrip("/"))
        self._error: type[Exception] = require("tritonclient.utils", "a grpc:// address", "").InferenceServerException
        self._address = _address(url)
        self._timeout = timeout
        self._slots = threading.Semaphore(max_requests)
        self._retry = RetryPolicy(retries)
        self._headers = {"authorization": f"Bearer {api_key}"} if api_key else {}
        self._verification = verification if urlsplit(url).scheme == SECURE_SCHEME else None
        self._authorities = None if self._verification is None else self._verification.for_grpc()
        self._lock = threading.Lock()
        self._connected: Any = None

    def close(self) -> None:
        """Close the connection."""
        self._retry.close()
        with self._lock:
            if self._connected is not None:
                self._connected.close()

    def _client(self) -> Any:
        """The gRPC client. It is made by the first call, because without verification that needs a connection."""
        with self._lock:
            if self._connected is None:
                self._connected = self._library.InferenceServerClient(self._address, **self._channel())
            return self._connected

    def _channel(self) -> dict[str, Any]:
        if self._verification is None:
            return {"channel_args": _CHANNEL}
        authorities, options = self._authorities, list(_CHANNEL)
        if self._verification.insecure:
            # gRPC always verifies: let it trust the certificate that the server presents.
            parts, timeout = urlsplit(f"//{self._address}"), min(self._timeout, _CONNECT_TIMEOUT_S)
            try:
                authorities, name = presented_certificate(str(parts.hostname), parts.port or 0, timeout)
            except ssl.SSLCertVerificationError as error:
                raise ConnectionFailedError(
                    f"{self.url}: the server's certificate is not valid, and gRPC cannot skip this check: {error}"
                ) from error
            except OSError as error:
                failure = ConnectionFailedError(f"cannot reach {self.url}: {error}")
                failure.__cause__ = error
                raise RetryableError(failure) from None
            options += [("grpc.ssl_target_name_override", name)] if name else []
        library = require("grpc", "a grpcs:// address", "'tritonclient[grpc]'")
        return {"channel_args": options, "creds": library.ssl_channel_credentials(authorities)}

    def _ready_models(self) -> set[str]:
        index = self._call("get_model_repository_index")
        return {model.name for model in index.models if model.state == "READY"}

    def _config(self, name: str) -> ModelConfig:
        config = self._call("get_model_config", name).config
        return ModelConfig(
            name, config.platform, {key: config.parameters[key].string_value for key in config.parameters}
        )

    def _send(self, model: str, inputs: Sequence[Any]) -> Any:
        return self._call("infer", model, inputs, slots=self._slots)

    def _call(self, method: str, *arguments: Any, slots: AbstractContextManager[object] | None = None) -> Any:
        def attempt() -> Any:
            try:
                client = self._client()
                with slots or nullcontext():
                    return getattr(client, method)(*arguments, headers=self._headers, client_timeout=self._timeout)
            except (self._error, ValueError) as error:  # ValueError: the channel was closed
                raise self._failure(error) from error

        return self._retry.run(attempt)

    def _failure(self, error: Exception) -> Exception:
        """The error to raise for an error of the gRPC client."""
        status = getattr(error, "status", lambda: None)()
        text = " ".join(str(getattr(error, "message", lambda: error)()).split())[:500]
        failure: SodError
        if is_certificate_error(text):
            failure = certificate_error(self.url, text)
        elif status == "StatusCode.UNAVAILABLE":
            failure = ConnectionFailedError(f"cannot reach {self.url}: {text}")
            failure.__cause__ = error
            return RetryableError(failure)
        elif status == "StatusCode.DEADLINE_EXCEEDED":
            failure = ConnectionFailedError(f"{self.url} did not respond in time")
        elif status is None:  # an error of the gRPC library: the channel was closed
            failure = ConnectionFailedError(f"the connection to {self.url} is closed: {text}")
        else:
            code = INVALID_INPUT if status == "StatusCode.INVALID_ARGUMENT" else 500
            failure = ServerError(code, code, readable(text))
        failure.__cause__ = error
        return failure


def _address(url: str) -> str:
    parts = urlsplit(url)
    try:
        port = parts.port
    except ValueError:
        port = None
    if not parts.hostname or port is None or parts.path.strip("/"):
        raise InvalidConfigError(f"{url!r} is not an address of Triton; it should look like grpc://127.0.0.1:8001")
    return parts.netloc
