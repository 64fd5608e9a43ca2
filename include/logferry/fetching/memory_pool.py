"""The allocators: of Arrow's buffers for threads that fill and threads that empty, and of large pieces that must not
stay behind."""

from __future__ import annotations

import contextlib
import ctypes
import os
from functools import cache

import pyarrow as pa

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD, _M_ARENA_MAX = -1, -3, -8
"""https://man7.org/linux/man-pages/man3/mallopt.3.html"""
_LARGE = 512 * 1024
_SPARE = 8 * 1024 * 1024
_ARENAS = 4
"""Heaps of the C library, of which each lane would have one of its own, with what it keeps there. The interpreter lets
one thread at a time at them anyway."""


@cache
def use_thrifty_pool() -> None:
    """From now on share the C library's heaps among the threads of this process, and take Arrow's buffers from
    jemalloc, where pyarrow was built with it.

    mimalloc, its default, keeps what one thread has allocated and another has freed for the first one: with 16 lanes
    that is a hundred megabytes more. Somebody's own choice (``ARROW_DEFAULT_MEMORY_POOL``,
    ``MALLOC_ARENA_MAX``) is kept.
    """
    if "MALLOC_ARENA_MAX" not in os.environ:
        with contextlib.suppress(OSError, AttributeError):
            ctypes.CDLL(None).mallopt(_M_ARENA_MAX, _ARENAS)
    if "ARROW_DEFAULT_MEMORY_POOL" in os.environ:
        return
    if "jemalloc" in pa.supported_memory_backends() and pa.default_memory_pool().backend_name == "mimalloc":
        pa.set_memory_pool(pa.jemalloc_memory_pool())


@cache
def give_back_large_pieces() -> None:
    """From now on return to the system what takes more than _LARGE bytes as soon as it is free. Once for all.

    Bodies and texts of megabytes come and go in several threads, and by themselves both glibc and Arrow's allocators
    keep what is free for each thread: some 200 MB with messages of 1 MB. It costs page faults, which ordinary rows are
    spared. Only where the C library has mallopt; somebody's own choice of Arrow's pool is kept.
    """
    with contextlib.suppress(OSError, AttributeError):
        mallopt = ctypes.CDLL(None).mallopt
        # Naming one ends glibc's own way, which is to keep ever larger pieces.
        mallopt(_M_MMAP_THRESHOLD, _LARGE)
        mallopt(_M_TRIM_THRESHOLD, _SPARE)
        if "ARROW_DEFAULT_MEMORY_POOL" not in os.environ:
            pa.set_memory_pool(pa.system_memory_pool())
