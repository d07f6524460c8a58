"""Giving memory back."""

import ctypes

# glibc's names for the two, from malloc.h.
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3
_MIB = 1024 * 1024


def give_large_blocks_back() -> None:
    """Have malloc give blocks of 4 MiB and more back to the system when they are freed.

    By itself glibc raises that limit to 32 MiB and keeps what lies between the blocks that are in use: after a rush of
    large images most of it would stay with the process. Smaller blocks stay, since getting them anew takes time.
    Without glibc nothing happens.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError):
        return
    mallopt(_M_MMAP_THRESHOLD, 4 * _MIB)
    mallopt(_M_TRIM_THRESHOLD, 64 * _MIB)
