"""The row hash of a published object."""

from __future__ import annotations

import pytest
from tests.logferry.harbour import Harbour

from logferry.publishing.published_object import published_row_hash


@pytest.mark.parametrize("content", [b"", b"PAR1", b"x" * 100, b"PAR1" + b"\0" * 100 + b"\x60\0\0\0PAR1"])
def test_the_row_hash_of_something_else_is_none(harbour: Harbour, content: bytes) -> None:
    harbour.store.put_bytes("web/x.parquet", content)
    assert published_row_hash(harbour.store, "web/x.parquet") is None
    assert published_row_hash(harbour.store, "web/absent.parquet") is None
