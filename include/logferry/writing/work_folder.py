"""The folder for unfinished files."""

from __future__ import annotations

import contextlib
import logging
import tempfile
from collections.abc import Iterator
from pathlib import Path

from logferry.errors import StoreError

log = logging.getLogger(__name__)


@contextlib.contextmanager
def work_folder(parent: Path | None) -> Iterator[Path]:
    """A new folder in ``parent`` (default: the system's), gone afterwards. Raises StoreError without room for one.

    One that cannot be removed is told of only: the work is done, or failed for a reason of its own.
    """
    try:
        folder = tempfile.TemporaryDirectory(prefix="logferry-", dir=parent)
    except OSError as error:
        raise StoreError(
            f"cannot make a folder for unfinished files in {parent or tempfile.gettempdir()}: "
            f"{error.strerror or error}; free space there or set TMPDIR"
        ) from error
    try:
        yield Path(folder.name)
    finally:
        try:
            folder.cleanup()
        except OSError as error:
            log.warning("cannot remove %s: %s; remove it by hand", folder.name, error.strerror or error)
