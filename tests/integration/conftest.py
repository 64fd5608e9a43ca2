"""Servers of their own process, one for all tests that need it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from tests.integration.s3_server import S3Server, running_s3_server


@pytest.fixture(scope="session")
def s3_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    with running_s3_server(tmp_path_factory.mktemp("ministack") / "log") as server:
        yield server
