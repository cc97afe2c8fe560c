"""Memory that a process frees and at once asks for again stays its own.

glibc returns large arrays to the system when they are freed, and small ones once enough lies
unused. Getting them back, page by page, took more time than all arithmetic of the feed, and a tenth
to a fifth of a training step.
"""

import ctypes

M_TRIM_THRESHOLD, M_MMAP_MAX = -1, -4
"""Of glibc's malloc.h."""
KEPT_BYTES = 2**31 - 1
"""So much may lie unused at the end of the heap: as much as mallopt takes."""


def keep_freed_memory() -> None:
    """For this process, from now on; does nothing where the C library is not glibc.

    Arrays of any size come from the heap (raising glibc's threshold for those that do not stops at
    32 MB, which activations exceed), but for the largest ones of threads other than the main one.
    What a step needs at most is held until the process ends.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):
        return
    mallopt(M_MMAP_MAX, 0)
    mallopt(M_TRIM_THRESHOLD, KEPT_BYTES)
