"""Send every request to both servers and judge the answers."""

import base64
import io
import json
import re
from collections.abc import Iterator
from typing import Any

import httpx
from PIL import Image

from tests.paddlex import images
from tests.paddlex.difference import difference
from tests.paddlex.image_host import serving
from tests.paddlex.rest_cases import Case, all_cases
from tests.paddlex.servers import Contestants
from tests.paddlex.table import Row, read_rows
from tests.paddlex.verdict import Verdict, judge

_UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f-]{27}")
_TIMEOUT_S = 120


def compare(contestants: Contestants, only: str = "") -> Iterator[Verdict]:
    """One verdict a case whose name contains `only`."""
    rows = read_rows("REST")
    readable = images.readable_images()
    with (
        serving(readable) as host,
        httpx.Client(base_url=contestants.paddlex_url, timeout=_TIMEOUT_S) as paddlex,
        httpx.Client(base_url=contestants.url, timeout=_TIMEOUT_S) as sod,
    ):
        for case in all_cases(readable, host):
            if only in case.name:
                yield _verdict(case, observe(paddlex, case), observe(sod, case), rows)


def _verdict(case: Case, paddlex: dict[str, Any], sod: dict[str, Any], rows: dict[str, Row]) -> Verdict:
    row = rows.get(case.row or "")
    if row and not row.is_the_same:
        seen = (paddlex["status"], sod["status"])
        if seen[0] not in row.paddlex_statuses or seen[1] not in row.statuses:
            text = f"the row {row.key!r} says {row.paddlex_statuses} and {row.statuses}, seen were {seen}"
            return Verdict(f"REST: {case.name}", text, row.key, is_listed=False)
    return judge(f"REST: {case.name}", difference(paddlex, sod), case.row, rows)


def observe(client: httpx.Client, case: Case) -> dict[str, Any]:
    """What a client sees of an answer: the status, and the parts of the body that clients use."""
    # PaddleX's server closes the connection after a 500 without saying so.
    headers = {**case.headers, "Connection": "close"}
    reply = client.request(case.method, case.path, content=case.body, headers=headers)
    if not reply.headers.get("content-type", "").startswith("application/json"):
        return {"status": reply.status_code, "type": reply.headers.get("content-type")}
    body = reply.json()
    if case.path == "/openapi.json":
        return {"status": reply.status_code, "has paths": "paths" in body}
    log_id = body.pop("logId", None)
    body["logId"] = "a UUID" if _UUID.fullmatch(str(log_id)) else log_id
    if reply.status_code == httpx.codes.OK and body.get("result"):
        body["result"] = _result(body["result"])
    elif reply.status_code == httpx.codes.UNPROCESSABLE_ENTITY:
        body["errorMsg"] = _errors(body["errorMsg"])
    return {"status": reply.status_code, **body}


def _result(result: dict[str, Any]) -> dict[str, Any]:
    """The image of a result as its format and size; objects sorted so that equal scores do not matter."""
    if result.get("image") is not None:
        with Image.open(io.BytesIO(base64.b64decode(result["image"]))) as image:
            result["image"] = [image.format, *image.size]
    result["detectedObjects"].sort(key=lambda one: (one["categoryId"], -round(one["score"], 3), one["bbox"]))
    return result


def _errors(message: str) -> Any:
    """The places and kinds of pydantic's errors; other messages as they are."""
    try:
        return sorted((one["loc"], one["type"]) for one in json.loads(message))
    except (ValueError, TypeError, KeyError):
        return message
