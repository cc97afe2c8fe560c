"""Memory that a process frees and at once asks for again stays its own.

A slice's arrays are just large enough for glibc to return each to the system when it is freed.
Getting it back, page by page, took more time than all arithmetic of the feed.
"""

import ctypes

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3
"""Of glibc's malloc.h."""
KEPT_BYTES = 2**28
"""So much may lie unused at the end of the heap."""
HEAP_BYTES = 2**25
"""Arrays up to this come from the heap: glibc's own maximum."""


def keep_freed_memory() -> None:
    """For this process, from now on; does nothing where the C library is not glibc."""
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):
        return
    mallopt(M_MMAP_THRESHOLD, HEAP_BYTES)
    mallopt(M_TRIM_THRESHOLD, KEPT_BYTES)
