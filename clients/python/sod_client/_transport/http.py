"""The transport to a gateway, or to PaddleX's own server: JSON over HTTP, with images in base64."""

import binascii
import json
from typing import Any

from sod_client._inputs.items import Item, URLItem
from sod_client._results.data import Model
from sod_client._transport.http_connection import HttpConnection
from sod_client._transport.response import parse_models, parse_result
from sod_client._transport.transport import RequestOptions
from sod_client.result import Result

_JSON = {"Content-Type": "application/json"}


class HttpTransport:
    """The requests to a gateway over a connection."""

    fetches_urls = True

    def __init__(self, connection: HttpConnection) -> None:
        self.url = connection.name
        self._connection = connection

    def detect(self, item: Item, options: RequestOptions) -> Result:
        """Detect the objects of one image."""
        body = _encode_body(item, options)
        return parse_result(self._connection.request("POST", "/small-object-detection", body, _JSON), item)

    def models(self) -> list[Model]:
        """The models that the server has ready."""
        return parse_models(self._connection.request("GET", "/models"))

    def close(self) -> None:
        """Close the connections; if requests are active, after the last of them."""
        self._connection.close()


def _encode_body(item: Item, options: RequestOptions) -> bytes:
    """The JSON body. The image is inserted as bytes: base64 needs no escaping, and json.dumps would copy it twice."""
    if isinstance(item, URLItem):
        image = json.dumps(item.url).encode()
    else:
        image = b'"' + binascii.b2a_base64(item.encoded(), newline=False) + b'"'
    fields: dict[str, Any] = {"threshold": options.threshold, "visualize": options.visualize}
    if options.model is not None:  # left out otherwise, because PaddleX's server has no such field
        fields["model"] = options.model
    if options.slices is not None:
        fields["slice"] = options.slices
    if options.classes is not None:
        fields["classes"] = options.classes
    if options.iou is not None:
        fields["iouThreshold"] = options.iou
    if options.agnostic_nms:
        fields["classAgnosticNms"] = True
    return b'{"image": ' + image + b", " + json.dumps(fields).encode()[1:]
