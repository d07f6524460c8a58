"""Renders PDF pages with pypdfium2, at the same scale as PaddleX.

The document is opened anew for every page, so that no file stays open between two results. PDFium reads only the parts
of the file that it needs.
"""

import math
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from PIL import Image

from sod_client._optional import require
from sod_client.errors import EncryptedPDFError, UnreadablePDFError

SCALE = 2.0  # pixels per point, as in PaddleX; 144 dpi
MAX_PIXELS = 2**26  # the server's default limit
_PASSWORD_ERROR = 4  # FPDF_ERR_PASSWORD
_lock = threading.Lock()  # PDFium is not thread-safe


def page_count(source: Path | bytes) -> int:
    """Number of pages of a document.

    Raises:
        UnreadablePDFError: the document is damaged or not a PDF.
        EncryptedPDFError: the document requires a password.
        DependencyError: pypdfium2 is not installed.
    """
    with _opened(source) as document:
        return len(document)


def render_page(source: Path | bytes, index: int, max_pixels: int = MAX_PIXELS) -> Image.Image:
    """Render one page in RGB, at `SCALE`.

    Args:
        source: the document's path or content.
        index: the page, from 0.
        max_pixels: the most pixels of the image; a larger page is rendered at a smaller scale.

    Raises:
        UnreadablePDFError: the document or the page is damaged.
        EncryptedPDFError: the document requires a password.
        DependencyError: pypdfium2 is not installed.
    """
    with _opened(source) as document:
        document.init_forms()
        page = document[index]
        width, height = page.get_size()
        scale = min(SCALE, math.sqrt(max_pixels / (width * height)))
        while math.ceil(width * scale) * math.ceil(height * scale) > max_pixels:
            scale *= 0.999
        image: Image.Image = page.render(scale=scale).to_pil()
        return image.convert("RGB")


@contextmanager
def _opened(source: Path | bytes) -> Iterator[Any]:
    pdfium = require("pypdfium2", "reading a PDF", "pypdfium2")
    with _lock:
        try:
            document = pdfium.PdfDocument(source)
            try:
                yield document
            finally:
                document.close()
        except pdfium.PdfiumError as error:
            if error.err_code == _PASSWORD_ERROR:
                raise EncryptedPDFError("the PDF is encrypted: save it without a password first") from error
            raise UnreadablePDFError(f"the PDF cannot be read: {error}") from error
