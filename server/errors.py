"""The exception that the launcher reports to the user."""


class ServerError(Exception):
    """The server cannot start; the text says why and what to do."""
