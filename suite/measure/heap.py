"""The C library's heap, kept between the passes of a training step."""

import torch

# Just less than the most that glibc lets its threshold grow to (mallopt(3), M_MMAP_THRESHOLD: 32 MiB).
LARGEST_BYTES = 31 << 20


def keep_freed_memory() -> None:
    """Have glibc keep what is freed, up to 62 MiB, and not hand it back to be taken anew page by page.

    A training pass frees all that it held, and each next one then meets thousands of page faults: 8 of 109 ms of an
    update of 98,624 parameters. glibc learns from the largest block that is freed: it keeps twice as much. This one is
    never written to, so that it costs nothing, and another C library does not mind it.
    """
    torch.empty(LARGEST_BYTES, dtype=torch.uint8)
