"""The allocator behind Arrow's buffers, chosen for threads that fill and threads that empty."""

from __future__ import annotations

import os

import pyarrow as pa


def use_thrifty_pool() -> None:
    """Take Arrow's buffers of this process from jemalloc from now on, where pyarrow was built with it.

    mimalloc, its default, keeps what one thread has allocated and another has freed for the first one: with 16 lanes
    that is a hundred megabytes more. Somebody's own choice
    (``ARROW_DEFAULT_MEMORY_POOL``) is kept.
    """
    if "ARROW_DEFAULT_MEMORY_POOL" in os.environ:
        return
    if "jemalloc" in pa.supported_memory_backends() and pa.default_memory_pool().backend_name == "mimalloc":
        pa.set_memory_pool(pa.jemalloc_memory_pool())
