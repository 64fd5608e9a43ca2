"""Folders that a server of another user can lie in."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def open_folder() -> Iterator[Path]:
    """A new folder that is none of pytest's own; gone afterwards, but for one in which something failed to start.

    The embedded PostgreSQL that root starts is another user's, who must be let into the folders above it. Whoever
    starts pytest meanwhile takes that right from all folders of all runs of the same user
    (``TempPathFactory.getbasetemp``).
    """
    folder = Path(tempfile.mkdtemp(prefix="logferry-"))
    yield folder
    shutil.rmtree(folder, ignore_errors=True)
