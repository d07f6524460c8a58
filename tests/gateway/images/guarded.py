"""Requests to a gateway whose fetches are restricted to public addresses, and its error messages."""

import asyncio
import ssl
from typing import Any
from urllib.parse import urlsplit

import httpx

PATH = "/small-object-detection"
ADDRESS = "The image URL leads to an address that is not public; only public addresses are fetched from"
NAME = (
    "The image URL's host is not known, or not all of its addresses are public; only public addresses are fetched from"
)
SPELLING = "is no host name; addresses are written as 192.0.2.1"
TRUST = ssl.create_default_context()


async def post(client: httpx.AsyncClient, url: str) -> httpx.Response:
    async with asyncio.timeout(60):
        return await client.post(PATH, json={"image": url, "logId": "mine", "visualize": False})


async def refused(client: httpx.AsyncClient, url: str) -> str:
    response = await post(client, url)
    assert response.status_code == 422, response.text
    document = response.json()
    assert set(document) == {"logId", "errorCode", "errorMsg"}
    assert (document["logId"], document["errorCode"]) == ("mine", 422)
    message: str = document["errorMsg"]
    assert len(message) < 300
    return message


def port_of(web: Any) -> int:
    port = urlsplit(web.url).port
    assert port is not None
    return port
