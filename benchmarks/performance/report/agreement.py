"""How far two detectors find the same objects: see `sod.matching`."""

from sod.matching import matched_share as matched

__all__ = ["matched"]
