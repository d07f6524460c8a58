"""Decodes images in a process of its own: `python -m tests.hostile.decode_worker`.

Reads images from stdin, each after its length in four bytes, and answers each with a line of JSON: what came of it, and
the processor time it took. A crash or a lack of memory ends this process alone.
"""

import json
import resource
import struct
import sys
import time

from sod.errors import InvalidImageError
from sod.formats.image_structure import StructureLimits
from sod.image import decode_image

_MEMORY = 3 * 2**30
_LIMITS = StructureLimits(pixels=4_000_000)


def main() -> None:
    """Answer until stdin ends."""
    resource.setrlimit(resource.RLIMIT_AS, (_MEMORY, _MEMORY))
    while head := sys.stdin.buffer.read(4):
        data = sys.stdin.buffer.read(struct.unpack("<I", head)[0])
        before = time.process_time()
        try:
            pixels = decode_image(data, _LIMITS)
            outcome = {"pixels": pixels.shape[0] * pixels.shape[1]}
        except InvalidImageError as error:
            outcome = {"refused": str(error)}
        except BaseException as error:
            outcome = {"error": f"{type(error).__name__}: {error}"}
        outcome["seconds"] = time.process_time() - before
        print(json.dumps(outcome), flush=True)


if __name__ == "__main__":
    main()
