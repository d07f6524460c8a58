"""The transport to Triton over HTTP: the tensors in binary form, as tritonclient.http writes and reads them."""

from collections.abc import Callable, Sequence
from typing import Any, TypeVar
from urllib.parse import quote

import httpx

from sod_client._optional import require
from sod_client._transport.http_connection import HttpConnection
from sod_client._transport.response import FORMAT_ERRORS, excerpt, parse_error
from sod_client._transport.triton import INVALID_INPUT, ModelConfig, TritonTransport, readable
from sod_client.errors import BadReplyError

SCHEMES = {"triton+http": "http", "triton+https": "https"}

_Parsed = TypeVar("_Parsed")
_INDEX = "/v2/repository/index"
_HEADER_LENGTH = "Inference-Header-Content-Length"


class TritonHttpTransport(TritonTransport):
    """The requests to Triton over a connection.

    tritonclient's own connections belong to one thread; this one serves all, with the TLS options of a gateway's.

    Raises:
        DependencyError: tritonclient, or what it needs for HTTP, is not installed.
    """

    def __init__(self, connection: HttpConnection) -> None:
        library = require("tritonclient.http", "a triton+http:// address", "'tritonclient[http]'")
        super().__init__(library, connection.name)
        self._connection = connection

    def close(self) -> None:
        """Close the connections; if requests are active, after the last of them."""
        self._connection.close()

    def _ready_models(self) -> set[str]:
        index = self._request("POST", _INDEX, b"{}")
        return self._parse(index, lambda reply: {model["name"] for model in reply if model.get("state") == "READY"})

    def _config(self, name: str) -> ModelConfig:
        config = self._request("GET", f"/v2/models/{quote(name, safe='')}/config")
        return self._parse(
            config,
            lambda reply: ModelConfig(
                name,
                str(reply.get("platform", "")),
                {key: str(value["string_value"]) for key, value in reply.get("parameters", {}).items()},
            ),
        )

    def _send(self, model: str, inputs: Sequence[Any]) -> Any:
        client = self._library.InferenceServerClient
        body, header_length = client.generate_request_body(inputs)
        headers = {"Content-Type": "application/octet-stream", _HEADER_LENGTH: str(header_length)}
        response = self._request("POST", f"/v2/models/{quote(model, safe='')}/infer", body, headers)
        length = response.headers.get(_HEADER_LENGTH)
        return self._parse(
            response, lambda _: client.parse_response_body(response.content, header_length=length), is_json=False
        )

    def _request(
        self, method: str, path: str, body: bytes | None = None, headers: dict[str, str] | None = None
    ) -> httpx.Response:
        response = self._connection.request(method, path, body, headers)
        status = response.status_code
        if status == httpx.codes.NOT_FOUND and path == _INDEX:
            raise BadReplyError(f"{self.url} is not Triton's HTTP port: it answered 404 to {path}")
        if status >= httpx.codes.BAD_REQUEST:
            error = parse_error(response)
            code = INVALID_INPUT if status == httpx.codes.BAD_REQUEST else status
            raise type(error)(code, code, readable(error.error_msg))
        return response

    def _parse(self, response: httpx.Response, parse: Callable[[Any], _Parsed], *, is_json: bool = True) -> _Parsed:
        try:
            if response.status_code != httpx.codes.OK:
                raise ValueError("the status is neither 200 nor an error")
            return parse(response.json() if is_json else None)
        except FORMAT_ERRORS as error:
            raise BadReplyError(
                f"{response.url} answered {response.status_code}, but not in the format of Triton: {excerpt(response)}"
            ) from error
