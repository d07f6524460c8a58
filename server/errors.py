"""The launcher's one exception."""


class ServerError(Exception):
    """The server cannot start; the text says why and what to do."""
