"""Gets what is at a URL, where the server does not: PDFs and TIFFs, and all images for Triton."""

import httpx

from sod_client.errors import UnreadableFileError

LIMIT_BYTES = 2**28
_REDIRECTS = 5


class Fetcher:
    """A client of the world, which has none of the server's credentials.

    Args:
        timeout: seconds that a host may stay silent.
    """

    def __init__(self, timeout: float) -> None:
        self._client = httpx.Client(timeout=min(timeout, 60.0), follow_redirects=True, max_redirects=_REDIRECTS)

    def __call__(self, url: str) -> bytes:
        """What is there.

        Raises:
            UnreadableFileError: it cannot be had, or is larger than `LIMIT_BYTES`.
        """
        content = bytearray()
        try:
            with self._client.stream("GET", url) as response:
                if response.status_code != httpx.codes.OK:
                    raise UnreadableFileError(f"cannot be fetched: the host answered {response.status_code}")
                for chunk in response.iter_bytes():
                    content += chunk
                    if len(content) > LIMIT_BYTES:
                        raise UnreadableFileError(f"cannot be fetched: it is larger than {LIMIT_BYTES >> 20} MiB")
        except (httpx.HTTPError, httpx.InvalidURL, UnicodeError) as error:
            raise UnreadableFileError(f"cannot be fetched: {error or type(error).__name__}") from error
        if not content:
            raise UnreadableFileError("cannot be fetched: there is nothing in it")
        return bytes(content)

    def close(self) -> None:
        """Close the connections."""
        self._client.close()
