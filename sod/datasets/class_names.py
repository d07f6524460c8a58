"""Class names: those of VisDrone, and which of two models or data sets are the same."""

from collections.abc import Sequence

from sod.datasets.findings import Findings

VISDRONE_CLASSES = (
    "pedestrian", "people", "bicycle", "car", "van", "truck", "tricycle", "awning-tricycle", "bus", "motorcycle",
)  # fmt: skip
"""VisDrone's ten classes by id, under the names of the pretrained models."""

_ALIASES = {"motor": "motorcycle"}  # the name in VisDrone's toolkit → the name in the models


def canonical(name: str) -> str:
    """A name in the form in which names are compared: without case, with spaces for `-` and `_`, aliases resolved."""
    plain = " ".join(name.casefold().replace("-", " ").replace("_", " ").split())
    return _ALIASES.get(plain, plain)


def check_names(names: Sequence[str], source: str, findings: Findings) -> None:
    """Report class names that are empty, cannot be printed on one line, or are given twice.

    Args:
        names: by class id.
        source: the file that states them, for the messages.
        findings: receives errors.
    """
    first: dict[str, int] = {}
    for class_id, name in enumerate(names):
        if not name.strip():
            findings.error("class without a name", f"{source}: class {class_id}")
        elif not name.isprintable():
            findings.error("class name with a control character", f"{source}: class {class_id}, {name!r}")
        elif name in first:
            where = f"{source}: {name} is class {first[name]} and class {class_id}"
            findings.error("class name given more than once", where)
        first.setdefault(name, class_id)
