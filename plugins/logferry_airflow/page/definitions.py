"""The export definitions as the page reads them: parsed again only when a file of their folder changed."""

from __future__ import annotations

import threading
from pathlib import Path

from logferry.errors import DefinitionError
from logferry.project import exports_folder
from logferry.spec import LoadedExports, is_definition, load_exports

_Mark = tuple[tuple[str, int, int], ...]


class Definitions:
    """``load_exports()``, remembered while name, time and size of each definition's file stay the same. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._last: tuple[Path, _Mark, LoadedExports] | None = None

    def current(self) -> LoadedExports:
        """DefinitionError when there is no folder of definitions."""
        folder = exports_folder()
        with self._lock:
            mark = _mark(folder)
            if self._last is None or self._last[:2] != (folder, mark):
                self._last = (folder, mark, load_exports(folder))
            return self._last[2]


def _mark(folder: Path) -> _Mark:
    try:
        paths = sorted(folder.iterdir())
    except OSError as error:
        raise DefinitionError(
            f"the exports folder {folder} cannot be read ({error.strerror}); create it or point LOGFERRY_EXPORTS_DIR "
            "at the right one"
        ) from None
    return tuple(_mark_of(path) for path in paths if is_definition(path))


def _mark_of(path: Path) -> tuple[str, int, int]:
    """One that is going away, or a link that leads nowhere, is broken for itself alone: ``load_exports`` says so."""
    try:
        stat = path.stat()
    except OSError:
        return (path.name, 0, 0)
    return (path.name, stat.st_mtime_ns, stat.st_size)
