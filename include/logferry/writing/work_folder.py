"""The folder for unfinished files."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator
from pathlib import Path

from logferry.errors import StoreError


@contextlib.contextmanager
def work_folder(parent: Path | None) -> Iterator[Path]:
    """A new folder in ``parent`` (default: the system's), gone afterwards. Raises StoreError without room for one."""
    try:
        folder = tempfile.TemporaryDirectory(prefix="logferry-", dir=parent)
    except OSError as error:
        raise StoreError(
            f"cannot make a folder for unfinished files in {parent or tempfile.gettempdir()}: "
            f"{error.strerror or error}; free space there or set TMPDIR"
        ) from error
    with folder as name:
        yield Path(name)
