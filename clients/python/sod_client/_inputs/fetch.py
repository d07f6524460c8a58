"""Downloads what the server does not: PDFs and TIFFs, and all images for Triton."""

import functools

import httpx

from sod_client.errors import UnreadableFileError

MAX_BYTES = 2**28
_MAX_REDIRECTS = 5
_MAX_TIMEOUT_S = 60.0


class Fetcher:
    """An HTTP client for URLs in the input. It never sends the server's API key.

    Args:
        timeout: seconds without data after which a download fails; limited to a minute.
        max_bytes: the most bytes of a download.
    """

    def __init__(self, timeout: float, max_bytes: int = MAX_BYTES) -> None:
        self._max_bytes = max_bytes
        self._timeout = min(timeout, _MAX_TIMEOUT_S)

    @functools.cached_property
    def _client(self) -> httpx.Client:
        return httpx.Client(timeout=self._timeout, follow_redirects=True, max_redirects=_MAX_REDIRECTS)

    def __call__(self, url: str) -> bytes:
        """Download a URL.

        Raises:
            UnreadableFileError: the download fails, is empty, or is larger than `max_bytes`.
        """
        content = bytearray()
        try:
            with self._client.stream("GET", url) as response:
                if response.status_code != httpx.codes.OK:
                    raise UnreadableFileError(f"cannot be fetched: the host answered {response.status_code}")
                for chunk in response.iter_bytes():
                    content += chunk
                    if len(content) > self._max_bytes:
                        raise UnreadableFileError(f"cannot be fetched: it is larger than {self._max_bytes:,} bytes")
        except (httpx.HTTPError, httpx.InvalidURL, UnicodeError) as error:
            raise UnreadableFileError(f"cannot be fetched: {error or type(error).__name__}") from error
        if not content:
            raise UnreadableFileError("cannot be fetched: the response is empty")
        return bytes(content)

    def close(self) -> None:
        """Close the connections."""
        if "_client" in vars(self):
            self._client.close()
