"""Names of served models.

A name is a folder of the model repository and a part of Triton's URLs, so it consists of ASCII letters, digits and
`_ . + -`. A name in another script gets an alias.
"""

import hashlib
import re
import unicodedata

from export.errors import ExportError

_SERVED = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.+-]*")
_OTHERS = re.compile(r"[^A-Za-z0-9_.+-]+")


def served_name(name: str) -> str:
    """The name under which a model is served: the name itself, or an alias with a hash where it is not ASCII.

    The alias consists of the ASCII letters in the name, else `model`, and eight digits of its SHA-256: the same name
    gets the same alias, and two names do not share one.

    Raises:
        ExportError: the name is ASCII, but has other characters than the permitted ones.
    """
    if _SERVED.fullmatch(name):
        return name
    if name.isascii():
        raise ExportError(
            f"the model name {name!r} is not valid: choose one of letters, digits and _ . + - with --name"
        )
    folded = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode()
    stem = _OTHERS.sub("_", folded).strip("_.+-")
    digest = hashlib.sha256(unicodedata.normalize("NFC", name).encode("utf-8", "surrogatepass")).hexdigest()
    return f"{stem or 'model'}_{digest[:8]}"


def alias_note(name: str) -> str:
    """A sentence that states the alias of a name; empty if it has none."""
    served = served_name(name)
    return "" if served == name else f"the model {name} is served as {served}: names in Triton are ASCII"
