"""The exceptions of the export; each text is one sentence for the person at the terminal."""


class ExportError(Exception):
    """The export cannot be done; the text says why and, where there is something, what would do."""


class CheckFailedError(ExportError):
    """The exported detector differs from Paddle Inference by more than the limits; nothing was written."""


class DownloadError(ExportError):
    """A file cannot be had from its server; the text says why."""


class ChildCrashedError(ExportError):
    """A process that was to do part of the work died.

    Attributes:
        how: by what signal or exit status.
    """

    def __init__(self, how: str, said: str = "") -> None:
        super().__init__(f"a step of the export died with {how}{': ' if said else ''}{said}")
        self.how = how
