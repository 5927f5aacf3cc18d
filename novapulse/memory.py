"""One habit of the C library's allocator that a program of short-lived columns has to change."""

import ctypes
import functools

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3
_KEPT_BYTES = 256 * 2**20
_MMAP_BYTES = 32 * 2**20


@functools.cache
def keep_the_heap() -> None:
    """Make glibc keep freed columns for the next ones, instead of returning them and faulting them in page by page.

    That would cost a backtest a quarter of its time. At most 256 MB are kept; only glibc has this habit.
    """
    set_option = getattr(ctypes.CDLL(None), "mallopt", None)
    if set_option is not None:
        set_option(_MMAP_THRESHOLD, _MMAP_BYTES)
        set_option(_TRIM_THRESHOLD, _KEPT_BYTES)
