"""Allocators are settings of a whole process, so each is looked at in one of its own."""

from __future__ import annotations

import os
import platform
import subprocess
import sys

import pytest

_SHOW = """
import pyarrow as pa
from logferry.fetching.memory_pool import give_back_large_pieces, use_thrifty_pool

def resident():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * 4096

use_thrifty_pool()
give_back_large_pieces()
large = bytes(8 * 1024 * 1024)
del large  # glibc by itself would keep whatever is smaller than this from now on
before = resident()
pieces = [bytearray(b"x") * 1_000_000 for _ in range(60)]
del pieces[:-1]
print(pa.default_memory_pool().backend_name, (resident() - before) // 1_000_000)
"""


def shown(**environment: str) -> tuple[str, int]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("ARROW_", "MALLOC_"))}
    run = subprocess.run(
        [sys.executable, "-c", _SHOW], env=kept | environment, capture_output=True, text=True, check=True
    )
    name, size = run.stdout.split()
    return name, int(size)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc is told")
def test_large_pieces_are_given_back_though_a_later_one_is_still_there() -> None:
    name, kept = shown()
    assert name == "system"
    assert kept < 10


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc is told")
def test_a_pool_that_somebody_chose_is_kept() -> None:
    assert shown(ARROW_DEFAULT_MEMORY_POOL="mimalloc")[0] == "mimalloc"


_HEAPS = """
import ctypes, sys, threading
from logferry.fetching.memory_pool import use_thrifty_pool

if sys.argv[1] == "thrifty":
    use_thrifty_pool()
all_there = threading.Barrier(21)

def lane():
    piece = bytearray(100_000)
    all_there.wait()
    all_there.wait()

threads = [threading.Thread(target=lane, daemon=True) for _ in range(20)]
for thread in threads:
    thread.start()
all_there.wait()
libc = ctypes.CDLL(None)
libc.malloc_info(0, ctypes.c_void_p.in_dll(libc, "stdout"))
libc.fflush(None)
"""


def heaps(how: str) -> int:
    run = subprocess.run(
        [sys.executable, "-c", _HEAPS, how], capture_output=True, text=True, check=True, timeout=60
    )
    return run.stdout.count("<heap ")


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc has such heaps")
def test_lanes_share_a_few_heaps() -> None:
    assert heaps("as it is") > 4
    assert heaps("thrifty") <= 4
