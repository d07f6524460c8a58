"""The exceptions of the export; each text is one sentence for the person at the terminal."""


class ExportError(Exception):
    """The export cannot be done; the text says why and, where there is something, what would do."""


class CheckFailedError(ExportError):
    """The exported detector differs from Paddle Inference by more than the limits; nothing was written."""


class DownloadError(ExportError):
    """A file cannot be had from its server; the text says why."""
