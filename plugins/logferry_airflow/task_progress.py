"""What a chunk has finished, kept by Airflow for the next try of the same task.

https://airflow.apache.org/docs/apache-airflow/stable/core-concepts/task-state-store.html
"""

from __future__ import annotations

import json
import logging
import threading
import time
import zlib
from base64 import b64decode, b64encode
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Any, Protocol

log = logging.getLogger(__name__)

KEY = "logferry_progress"
SAVE_EVERY_S = 5.0
PACKED_FROM = 60_000
"""Characters of JSON; Airflow warns about a value of more than 65,536 (``[state_store] max_value_storage_bytes``)."""


class StateStore(Protocol):
    """The part of Airflow's ``task_state_store`` that is used here; one per task, run and map index."""

    def get(self, key: str) -> Any: ...

    def set(self, key: str, value: Any) -> None: ...

    def delete(self, key: str) -> None: ...


class Timer(Protocol):
    """The part of ``threading.Timer`` that is used here."""

    daemon: bool

    def start(self) -> None: ...

    def cancel(self) -> None: ...


class TaskProgress:
    """The engine's ``ProgressStore`` in Airflow's task state store. A context manager around the work.

    It survives retries, and a Clear as well: so the engine clears it as the last step of a success, and a cleared
    task starts over. Without it nothing is lost but time: a store that fails is logged and goes unused.

    Each access is a request to Airflow's API server, so what is saved reaches it at most every SAVE_EVERY_S seconds (a
    timer sees to the last), and when the work ends in any exception; a worker that is killed outright loses the seconds
    since. But at once where a part is named no more: its object is removed next, and a next try would look for it.

    ``rows_loaded``: rows of the parts that ``load`` gave; ``has_saved``: something was finished since; ``is_kept``:
    the last write to Airflow succeeded.
    """

    def __init__(
        self,
        store: StateStore,
        key: str = KEY,
        *,
        monotonic: Callable[[], float] = time.monotonic,
        timer: Callable[[float, Callable[[], None]], Timer] = threading.Timer,
    ) -> None:
        self._store = store
        self._key = key
        self._monotonic = monotonic
        self._written_at = monotonic()
        self._make_timer = timer
        self._timer: Timer | None = None
        self._lock = threading.Lock()
        self._unwritten: dict[str, Any] | None = None
        self._named: set[str] = set()
        """Objects of the parts that Airflow's store may name."""
        self._may_hold = False
        self.rows_loaded = 0
        self.has_saved = False
        self.is_kept = True

    def __enter__(self) -> TaskProgress:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.flush()

    def load(self) -> dict[str, Any] | None:
        """What an earlier try saved; None when there is nothing, or nothing readable."""
        try:
            found = self._store.get(self._key)
        except Exception as error:
            log.warning("the progress of an earlier try cannot be read, so all is fetched: %s", error)
            self._may_hold = True
            return None
        self._may_hold = found is not None
        try:
            progress = unpacked(found)
        except ValueError as error:
            log.warning("the progress of an earlier try is not readable, so all is fetched: %s", error)
            return None
        self._named = _objects(progress or {})
        self.rows_loaded = sum(part.get("rows", 0) for part in progress.get("parts", [])) if progress else 0
        return progress

    def save(self, progress: dict[str, Any]) -> None:
        """Replace what is saved (JSON values), SAVE_EVERY_S seconds later at most."""
        with self._lock:
            self._unwritten = progress
            self.has_saved = True
            due_s = self._written_at + SAVE_EVERY_S - self._monotonic()
            if due_s <= 0 or not self._named <= _objects(progress):
                self._write()
            elif self._timer is None:
                self._timer = self._make_timer(due_s, self.flush)
                self._timer.daemon = True
                self._timer.start()

    def flush(self) -> None:
        """Write what was saved last, if it is not written yet; ``is_kept`` says whether that succeeded."""
        with self._lock:
            self._write()

    def clear(self) -> None:
        """Forget it."""
        with self._lock:
            self._unwritten = None
            self._stop_timer()
            if not self._may_hold:
                return
            try:
                self._store.delete(self._key)
            except Exception as error:
                log.warning(
                    "progress cannot be cleared; if this task is cleared it checks what it finds: %s", error
                )

    def _write(self) -> None:
        self._stop_timer()
        if self._unwritten is None:
            return
        self._may_hold = True
        objects = _objects(self._unwritten)
        try:
            self._store.set(self._key, packed(self._unwritten))
        except Exception as error:
            self.is_kept = False
            # Whether it arrived is not known.
            self._named |= objects
            log.warning("progress cannot be saved, so a next try would fetch this again: %s", error)
        else:
            self.is_kept = True
            self._unwritten = None
            self._named = objects
        self._written_at = self._monotonic()

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


def _objects(progress: Mapping[str, Any]) -> set[str]:
    return {part["key"] for part in progress.get("parts", ()) if "key" in part}


def chunk_key(label: str) -> str:
    """Where the progress of one of several chunks is kept, by its range of slices."""
    return f"{KEY}__{label.replace('/', '__').replace(':', '')}"


class WindowProgress:
    """The progress of a task that carries several chunks: each has its own, and all is cleared with the window.

    A chunk that is done is not cleared before: a try that dies in a later one would have to fetch it again.
    """

    def __init__(self, store: StateStore) -> None:
        self._store = store
        self._chunks: list[_ChunkProgress] = []

    def of(self, label: str) -> TaskProgress:
        """``label``: the chunk's range of slices."""
        progress = _ChunkProgress(self._store, chunk_key(label))
        self._chunks.append(progress)
        return progress

    def clear(self) -> None:
        """Forget all chunks: the last step of the window's success."""
        for progress in self._chunks:
            progress.forget()


class _ChunkProgress(TaskProgress):
    """A chunk's progress that outlives the chunk."""

    def clear(self) -> None:
        """Left to ``WindowProgress``: until then it is what a later chunk's failure falls back on."""
        self.flush()

    def forget(self) -> None:
        super().clear()


def packed(progress: dict[str, Any]) -> dict[str, Any]:
    """A value for a StateStore, readable in the UI while it is short.

    Airflow takes JSON values alone, so a tuple becomes a list.
    """
    text = json.dumps(progress, separators=(",", ":"))
    if len(text) >= PACKED_FROM:
        return {"zlib": b64encode(zlib.compress(text.encode())).decode()}
    values: dict[str, Any] = json.loads(text)
    return values


def unpacked(found: Any) -> dict[str, Any] | None:
    """What was packed; raises ValueError for what ``packed`` does not make."""
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
