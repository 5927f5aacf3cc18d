"""One habit of the allocator that a program of short-lived columns has to know."""

import numpy as np

_HINT_BYTES = 32 * 2**20 - 8192


def keep_the_heap() -> None:
    """Make the C library keep freed columns for the next ones, instead of faulting them in again page by page.

    glibc returns blocks to the system at once until it has seen one almost as large as its upper bound freed. The block
    is never written to, so this costs nothing; elsewhere it does nothing.
    """
    np.empty(_HINT_BYTES, np.uint8)
