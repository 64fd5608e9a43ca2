"""A store in memory for each test."""

from __future__ import annotations

import pytest
from tests.logferry.memory_store import MemoryStore


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore()
