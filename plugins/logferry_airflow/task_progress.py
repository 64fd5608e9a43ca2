"""What a chunk has finished, kept by Airflow for the next try of the same task.

https://airflow.apache.org/docs/apache-airflow/stable/core-concepts/task-state-store.html
"""

from __future__ import annotations

import json
import logging
import zlib
from base64 import b64decode, b64encode
from collections.abc import Mapping
from typing import Any, Protocol

log = logging.getLogger(__name__)

KEY = "logferry_progress"
PACKED_FROM = 60_000
"""Characters of JSON; Airflow warns about a value of more than 65,536 (``[state_store] max_value_storage_bytes``)."""


class StateStore(Protocol):
    """The part of Airflow's ``task_state_store`` that is used here; one per task, run and map index."""

    def get(self, key: str) -> Any: ...

    def set(self, key: str, value: Any) -> None: ...

    def delete(self, key: str) -> None: ...


class TaskProgress:
    """The engine's ``ProgressStore`` in Airflow's task state store.

    It survives retries, and a Clear as well: so the engine clears it as the last step of a success, and a cleared
    task starts over. Without it nothing is lost but time: a store that fails is logged and goes unused.
    """

    def __init__(self, store: StateStore, key: str = KEY) -> None:
        self._store = store
        self._key = key

    def load(self) -> dict[str, Any] | None:
        """What an earlier try saved; None when there is nothing, or nothing readable."""
        try:
            found = self._store.get(self._key)
        except Exception as error:
            log.warning("the progress of an earlier try cannot be read, so all is fetched: %s", error)
            return None
        try:
            return _unpacked(found)
        except ValueError as error:
            log.warning("the progress of an earlier try is not readable, so all is fetched: %s", error)
            return None

    def save(self, progress: dict[str, Any]) -> None:
        """Replace what is saved (JSON values)."""
        try:
            self._store.set(self._key, _packed(progress))
        except Exception as error:
            log.warning("progress cannot be saved, so a next try would fetch this again: %s", error)

    def clear(self) -> None:
        """Forget it."""
        try:
            self._store.delete(self._key)
        except Exception as error:
            log.warning(
                "progress cannot be cleared; if this task is cleared it checks what it finds: %s", error
            )


class WindowProgress:
    """The progress of a task that carries several chunks: each has its own, and all is cleared with the window.

    A chunk that is done is not cleared before: a try that dies in a later one would have to fetch it again.
    """

    def __init__(self, store: StateStore) -> None:
        self._store = store
        self._chunks: list[TaskProgress] = []

    def of(self, label: str) -> ChunkProgress:
        """``label``: the chunk's range of slices."""
        progress = TaskProgress(self._store, f"{KEY}__{label.replace('/', '__').replace(':', '')}")
        self._chunks.append(progress)
        return ChunkProgress(progress)

    def clear(self) -> None:
        """Forget all chunks: the last step of the window's success."""
        for progress in self._chunks:
            progress.clear()


class ChunkProgress:
    """A chunk's ``ProgressStore`` that outlives the chunk."""

    def __init__(self, inner: TaskProgress) -> None:
        self.load = inner.load
        self.save = inner.save

    def clear(self) -> None:
        """Left to ``WindowProgress``."""


def _packed(progress: dict[str, Any]) -> dict[str, Any]:
    """Readable in the UI while it is short. Airflow takes JSON values alone, so a tuple becomes a list."""
    text = json.dumps(progress, separators=(",", ":"))
    if len(text) >= PACKED_FROM:
        return {"zlib": b64encode(zlib.compress(text.encode())).decode()}
    values: dict[str, Any] = json.loads(text)
    return values


def _unpacked(found: Any) -> dict[str, Any] | None:
    """Raises ValueError for what ``_packed`` does not make."""
    if isinstance(found, dict) and set(found) == {"zlib"}:
        try:
            found = json.loads(zlib.decompress(b64decode(found["zlib"])))
        except (zlib.error, TypeError) as error:
            raise ValueError(str(error)) from error
    if found is not None and not isinstance(found, dict):
        raise ValueError(f"it is a {type(found).__name__}")
    return found


def state_store(context: Mapping[str, Any]) -> StateStore | None:
    """The state store of this task; None where Airflow gives none."""
    store: StateStore | None = context.get("task_state_store")
    return store
