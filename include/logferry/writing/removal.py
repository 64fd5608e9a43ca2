"""Removing unfinished files that are not needed any more."""

from __future__ import annotations

from pathlib import Path

from logferry.errors import StoreError


def remove_file(path: Path) -> None:
    """Remove the file, if it is there. Raises StoreError when the disk refuses."""
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        raise StoreError(
            f"cannot remove {path}: {error.strerror or error}; check the disk it lies on or set TMPDIR, and run again"
        ) from error
