"""The exceptions of the export. Each text is one sentence for the person at the terminal."""


class ExportError(Exception):
    """The export cannot be done; the text says why and, where possible, what to do."""


class CheckFailedError(ExportError):
    """An artefact differs from Paddle Inference by more than its limits, or cannot be compiled; it is not installed."""


class DownloadError(ExportError):
    """A file cannot be downloaded; the text says why."""


class ChildCrashedError(ExportError):
    """The process that did one step of the export died.

    Attributes:
        cause: the signal or the exit status.
    """

    def __init__(self, cause: str, output: str = "") -> None:
        super().__init__(f"a step of the export crashed with {cause}{': ' if output else ''}{output}")
        self.cause = cause


def first_line(error: Exception) -> str:
    """The first line of an exception's text that is not blank, else the exception's type."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0] if lines else type(error).__name__
