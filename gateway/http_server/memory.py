"""Return freed memory to the operating system."""

import ctypes

# glibc's constants, from malloc.h.
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3
_MIB = 1024 * 1024


def release_large_blocks() -> None:
    """Make malloc return blocks of 4 MiB and more to the operating system when they are freed.

    By default glibc raises this threshold to 32 MiB and keeps freed blocks between blocks in use, so after a burst of
    large images most of their memory would stay with the process. Smaller blocks are kept, because allocating them
    anew takes time. Without glibc this does nothing.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError):
        return
    mallopt(_M_MMAP_THRESHOLD, 4 * _MIB)
    mallopt(_M_TRIM_THRESHOLD, 64 * _MIB)
