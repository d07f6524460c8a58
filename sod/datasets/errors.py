"""The error of a data set that cannot be read at all; faults of single labels are `Findings`."""

from sod.errors import SodError


class DatasetError(SodError):
    """The data set cannot be used; the text names the file and says what would be right."""
