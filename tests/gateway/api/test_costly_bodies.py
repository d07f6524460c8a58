"""Small bodies whose parsing or whose response would be large."""

import json

import httpx
import pytest

PATH = "/small-object-detection"


@pytest.mark.parametrize(
    "body",
    [
        b'{"image": "aGk=", "more": [' + b"[]," * 100_000 + b"[]]}",
        b'{"image": "aGk=", "more": ' + b"[" * 100_000 + b"]" * 100_000 + b"}",
        b'{"image": "aGk=", "threshold": {' + b",".join(b'"a%d":0' % n for n in range(100_000)) + b"}}",
    ],
    ids=["wide", "deep", "keys"],
)
async def test_a_document_of_too_many_values_is_not_parsed(gateway: httpx.AsyncClient, body: bytes) -> None:
    response = await gateway.post(PATH, content=body)
    assert response.status_code == 422
    (issue,) = json.loads(response.json()["errorMsg"])
    assert (issue["type"], issue["loc"]) == ("too_many_values", "body")


async def test_at_most_twenty_issues_are_shown(gateway: httpx.AsyncClient) -> None:
    threshold = {f"a{n}": 0 for n in range(1000)}
    shown_total = 1000 + 1  # each key is no class id; and the whole is no number
    response = await gateway.post(PATH, json={"image": "aGk=", "threshold": threshold})
    issues = json.loads(response.json()["errorMsg"])
    assert len(issues) == 21
    assert issues[-1]["type"] == "more_issues"
    assert issues[-1]["msg"] == f"{shown_total - 20:,} more issues are not shown"


async def test_a_path_with_a_trailing_slash_is_unknown(gateway: httpx.AsyncClient) -> None:
    response = await gateway.post(f"{PATH}/", json={"image": "aGk="})
    assert response.status_code == 404
    assert response.json()["errorCode"] == 404
