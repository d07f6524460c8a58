"""PDF pages as images, by pypdfium2, with PaddleX's scale.

A document is opened for every page anew, so that nothing stays open between two results; PDFium reads no more of it
than it needs.
"""

import math
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from PIL import Image

from sod_client._optional import need
from sod_client.errors import EncryptedPDFError, UnreadablePDFError

SCALE = 2.0  # pixels a point, as PaddleX has it: 144 dpi
MAX_PIXELS = 2**26  # what the server takes by default; a larger page is rendered smaller
_PASSWORD_ERROR = 4  # FPDF_ERR_PASSWORD
_lock = threading.Lock()  # PDFium is not safe to use from two threads


def page_count(source: Path | bytes) -> int:
    """How many pages a document has.

    Raises:
        UnreadablePDFError: it is damaged, or none.
        EncryptedPDFError: it wants a password.
        DependencyError: pypdfium2 is not installed.
    """
    with _opened(source) as document:
        return len(document)


def render(source: Path | bytes, index: int) -> Image.Image:
    """One page, from 0, as an RGB image of `SCALE` pixels a point, or fewer so as to have `MAX_PIXELS` at most.

    Raises:
        UnreadablePDFError: the document or the page is damaged.
        EncryptedPDFError: it wants a password.
        DependencyError: pypdfium2 is not installed.
    """
    with _opened(source) as document:
        document.init_forms()
        page = document[index]
        width, height = page.get_size()
        scale = min(SCALE, math.sqrt(MAX_PIXELS / (width * height)))
        while math.ceil(width * scale) * math.ceil(height * scale) > MAX_PIXELS:
            scale *= 0.999
        image: Image.Image = page.render(scale=scale).to_pil()
        return image.convert("RGB")


@contextmanager
def _opened(source: Path | bytes) -> Iterator[Any]:
    pdfium = need("pypdfium2", "reading a PDF", "'sod-client[pdf]'")
    with _lock:
        try:
            document = pdfium.PdfDocument(source)
            try:
                yield document
            finally:
                document.close()
        except pdfium.PdfiumError as error:
            if error.err_code == _PASSWORD_ERROR:
                raise EncryptedPDFError("the PDF is encrypted: save it without its password first") from error
            raise UnreadablePDFError(f"not a PDF that can be read: {error}") from error
