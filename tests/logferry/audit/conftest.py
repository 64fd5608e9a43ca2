"""An archive made by hand."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.logferry.made_archive import MadeArchive


@pytest.fixture
def archive(tmp_path: Path) -> MadeArchive:
    return MadeArchive(tmp_path / "lake")
