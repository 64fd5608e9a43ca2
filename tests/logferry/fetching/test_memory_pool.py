"""Allocators are settings of a whole process, so each is looked at in one of its own."""

from __future__ import annotations

import os
import platform
import subprocess
import sys

import pyarrow as pa
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


def heaps(how: str, **environment: str) -> int:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("GLIBC_", "MALLOC_"))}
    run = subprocess.run(
        [sys.executable, "-c", _HEAPS, how],
        env=kept | environment,
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    return run.stdout.count("<heap ")


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc has such heaps")
def test_lanes_share_a_few_heaps() -> None:
    assert heaps("as it is") > 4
    assert heaps("thrifty") <= 4


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc has such heaps")
@pytest.mark.parametrize("most", [2, 10])
def test_a_number_of_heaps_that_somebody_chose_is_kept(most: int) -> None:
    assert heaps("thrifty", MALLOC_ARENA_MAX=str(most)) == most


_KEPT_FREE = """
import sys
import pyarrow as pa
from logferry.fetching import memory_pool

kept = []
pa.jemalloc_set_decay_ms = kept.append
for how in sys.argv[1:]:
    getattr(memory_pool, how)()
print(pa.default_memory_pool().backend_name, *kept)
"""


def kept_free(*how: str, **environment: str) -> list[str]:
    """Arrow's pool after these settings, and the milliseconds for which it was told to keep what is free."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("ARROW_")}
    run = subprocess.run(
        [sys.executable, "-c", _KEPT_FREE, *how],
        env=kept | environment,
        capture_output=True,
        text=True,
        check=True,
    )
    return run.stdout.split()


@pytest.mark.skipif(
    "jemalloc" not in pa.supported_memory_backends(), reason="pyarrow was built without jemalloc"
)
def test_free_memory_is_kept_shortly() -> None:
    assert kept_free("use_thrifty_pool") == ["jemalloc", "50"]


@pytest.mark.skipif(
    not {"jemalloc", "mimalloc"} <= set(pa.supported_memory_backends()), reason="pyarrow was built with one"
)
def test_blocks_of_large_answers_are_kept_for_the_next() -> None:
    # How large answers will be is known before the lanes begin.
    assert kept_free("keep_blocks", "use_thrifty_pool") == ["mimalloc", "50"]


@pytest.mark.parametrize("chosen", sorted(pa.supported_memory_backends()))
def test_a_pool_that_somebody_chose_keeps_what_it_likes(chosen: str) -> None:
    environment = {"ARROW_DEFAULT_MEMORY_POOL": chosen}
    assert kept_free("use_thrifty_pool", "keep_blocks", **environment) == [chosen]


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc is told")
def test_large_answers_change_nothing_where_the_system_gives_the_memory() -> None:
    assert kept_free("give_back_large_pieces", "keep_blocks") == ["system"]


_FAULTS = """
import resource, sys
from logferry.fetching.memory_pool import keep_freed_pieces

if sys.argv[1] == "kept":
    keep_freed_pieces()

def answer():
    body = b"x" * 12_000_000
    parts = [body[at : at + 3_000_000] for at in range(0, 12_000_000, 3_000_000)]

answer()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(10):
    answer()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def faults(how: str, **environment: str) -> int:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("GLIBC_", "MALLOC_"))}
    run = subprocess.run(
        [sys.executable, "-c", _FAULTS, how],
        env=kept | environment,
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    return int(run.stdout)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc has such thresholds")
def test_a_reader_takes_the_room_of_one_answer_for_the_next() -> None:
    pages_of_an_answer = 24_000_000 // 65_536  # of the largest pages that Linux commonly has
    assert faults("kept") < pages_of_an_answer
    chosen = faults("kept", MALLOC_MMAP_THRESHOLD_="131072")
    assert chosen > 10 * pages_of_an_answer, "somebody's own choice is kept"
