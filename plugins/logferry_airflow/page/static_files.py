"""The page's files, read once and kept compressed. Only what lies in ``static/`` when it is asked for can be named."""

from __future__ import annotations

import gzip
import hashlib
import threading
from dataclasses import dataclass
from pathlib import Path

FOLDER = Path(__file__).resolve().parent / "static"

TYPES = {
    ".css": "text/css; charset=utf-8",
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".json": "application/json",
    ".map": "application/json",
    ".png": "image/png",
    ".svg": "image/svg+xml",
    ".txt": "text/plain; charset=utf-8",
    ".woff2": "font/woff2",
}
"""What is served; a file of another kind is not there. Named here, because Python's table depends on the machine's."""
_PACKED = {".png", ".woff2"}


@dataclass(frozen=True, slots=True)
class StaticFile:
    """``zipped`` None: it would not become smaller."""

    content: bytes
    zipped: bytes | None
    media_type: str
    tag: str


class StaticFiles:
    """The files of a folder by their path in it. Thread-safe; a changed file is read again."""

    def __init__(self, folder: Path = FOLDER) -> None:
        self._folder = folder.resolve()
        self._lock = threading.Lock()
        self._kept: dict[Path, tuple[tuple[int, int], StaticFile]] = {}

    def get(self, name: str) -> StaticFile | None:
        """None for what is no file of the folder, whatever the name looks like."""
        if "\0" in name or len(name) > 500:
            return None
        try:
            return self._get(name)
        except (OSError, RuntimeError, UnicodeEncodeError):
            # A part longer than the disk allows, links in a circle, half a surrogate; or it was removed just now.
            return None

    def _get(self, name: str) -> StaticFile | None:
        # Resolved first: neither "..", nor an absolute path, nor a link leads out.
        path = (self._folder / name).resolve()
        media_type = TYPES.get(path.suffix)
        if media_type is None or not path.is_relative_to(self._folder) or not path.is_file():
            return None
        stat = path.stat()
        mark = (stat.st_mtime_ns, stat.st_size)
        with self._lock:
            kept = self._kept.get(path)
            if kept is None or kept[0] != mark:
                kept = self._kept[path] = (mark, _read(path, media_type))
            return kept[1]


def _read(path: Path, media_type: str) -> StaticFile:
    content = path.read_bytes()
    zipped = None if path.suffix in _PACKED else gzip.compress(content, 9, mtime=0)
    if zipped is not None and len(zipped) >= len(content):
        zipped = None
    return StaticFile(content, zipped, media_type, hashlib.sha256(content).hexdigest()[:32])
