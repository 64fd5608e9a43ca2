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
_LARGEST_BLOCK = 8 * 1024 * 1024
"""What a block of a large answer is at most, and the texts made of it on the way."""
_LARGEST_KEPT = 32 * 1024 * 1024
"""The largest that glibc takes for the size from which pieces are mapped one by one."""
_ARENAS = 4
"""Heaps of the C library, of which each lane would have one of its own, with what it keeps there. The interpreter lets
one thread at a time at them anyway."""
_KEPT_FREE_MS = 50
"""How long jemalloc keeps what is free, to give it out again. In the second that is pyarrow's own choice several
answers come and go, and what they leave adds up to nearly as much as is in use; to keep none costs page faults at
every one."""


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
        pa.jemalloc_set_decay_ms(_KEPT_FREE_MS)
        pa.set_memory_pool(pa.jemalloc_memory_pool())


@cache
def keep_blocks() -> None:
    """From now on keep what blocks of large answers leave, for the blocks that come next. Once for all, where answers
    are of many megabytes.

    Such answers are read a block at a time, one answer after the other, so that the same pieces of memory come and go,
    of at most _LARGEST_BLOCK each. mimalloc gives them out again, jemalloc asks the system for nearly all of them anew,
    and a page fault for every 4 KiB takes as long as half of the reading. The answers are ``body``'s matter.
    Somebody's own choice (``ARROW_DEFAULT_MEMORY_POOL``, ``MALLOC_MMAP_THRESHOLD_``, ``MALLOC_TRIM_THRESHOLD_``) is
    kept.
    """
    use_thrifty_pool()
    if "ARROW_DEFAULT_MEMORY_POOL" in os.environ or pa.default_memory_pool().backend_name == "system":
        return
    if "mimalloc" in pa.supported_memory_backends():
        pa.set_memory_pool(pa.mimalloc_memory_pool())
    if not _has_own_thresholds():
        _set_thresholds(_LARGEST_BLOCK, 2 * _LARGEST_BLOCK)


@cache
def give_back_large_pieces() -> None:
    """From now on return to the system what takes more than _LARGE bytes as soon as it is free. Once for all.

    Bodies and texts of megabytes come and go in several threads, and by themselves both glibc and Arrow's allocators
    keep what is free for each thread: some 200 MB with messages of 1 MB. It costs page faults, which ordinary rows are
    spared. Only where the C library has mallopt; somebody's own choice of Arrow's pool is kept.
    """
    if _set_thresholds(_LARGE, _SPARE) and "ARROW_DEFAULT_MEMORY_POOL" not in os.environ:
        pa.set_memory_pool(pa.system_memory_pool())


@cache
def keep_freed_pieces() -> None:
    """From now on let the C library keep what is freed for what comes next. Once for all, in a process that only reads
    one answer after the other.

    By itself it gives a body of megabytes back to the system as it is freed, and every page of the next one is a fault.
    The most that is in use at once stays the same. Somebody's own choice (``MALLOC_MMAP_THRESHOLD_``,
    ``MALLOC_TRIM_THRESHOLD_``) is kept.
    """
    if not _has_own_thresholds():
        _set_thresholds(_LARGEST_KEPT, 2 * _LARGEST_KEPT)


def _has_own_thresholds() -> bool:
    return "MALLOC_MMAP_THRESHOLD_" in os.environ or "MALLOC_TRIM_THRESHOLD_" in os.environ


def _set_thresholds(mapped_bytes: int, trimmed_bytes: int) -> bool:
    """From which size on the C library maps a piece by itself, and how much it keeps free at the end of a heap; False
    where it has no mallopt. To name them ends glibc's own way, which is to keep ever larger pieces."""
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):
        return False
    mallopt(_M_MMAP_THRESHOLD, mapped_bytes)
    mallopt(_M_TRIM_THRESHOLD, trimmed_bytes)
    return True
