"""The objects of an archive against the journal: every one present, byte for byte the one that was published.

The source is not asked. An object costs one read of its bytes: size, SHA-256, and the rows and time bounds that its
footer tells; with ``deep`` its rows are decoded too.
"""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from logferry.audit.findings import Finding
from logferry.audit.verify_rows import FooterFacts, Unreadable, described, outside, read_footer, read_rows
from logferry.records.ledger import Published
from logferry.records.manifest import FileEntry, Span
from logferry.stores.base import NotFound, Store
from logferry.window import Window, instant_or_none

_WHOLE_BYTES = 32 << 20
"""A larger object is read in pieces to a temporary file."""
_PIECE_BYTES = 8 << 20
_READERS = 8
_BATCH = 32


@dataclass(frozen=True, slots=True)
class Expected:
    """What may lie under one key. ``published``: None where only a run that did not end may have put something.

    ``explained``: row hashes that such runs may have left there, None for no object at all.
    """

    key: str
    window: Window
    published: Published | None
    explained: frozenset[str | None] = frozenset()


class ObjectCheck:
    """Checks objects of one export. ``by_sha256``: which published slice has which content."""

    def __init__(self, store: Store, export: str, *, by_sha256: Mapping[str, Window], deep: bool) -> None:
        self._store = store
        self._export = export
        self._by_sha256 = by_sha256
        self._deep = deep

    def run(self, expected: list[Expected], sizes: Mapping[str, int]) -> Iterator[list[Finding]]:
        """The findings of each object, in order. ``sizes``: of the objects that a listing found.

        Raises StoreError where the store fails otherwise than by having no such object.
        """

        def check(batch: list[Expected]) -> list[list[Finding]]:
            return [self._check(one, sizes.get(one.key)) for one in batch]

        if self._store.url.startswith("file:"):
            # Footers are decoded under the interpreter's lock: threads pay only where reading is waiting.
            for one in expected:
                yield self._check(one, sizes.get(one.key))
            return
        batches = [expected[at : at + _BATCH] for at in range(0, len(expected), _BATCH)]
        pool = ThreadPoolExecutor(_READERS)
        try:
            for found in pool.map(check, batches):
                yield from found
        finally:
            pool.shutdown(cancel_futures=True)

    def _check(self, one: Expected, size: int | None) -> list[Finding]:
        if size is None:
            # Not in the listing: it may have come since.
            info = self._store.head(one.key)
            if info is None:
                return self._missing(one)
            size = info.size
        try:
            with _content(self._store, one.key, size) as (content, sha256, length):
                return self._compare(one, content, sha256, length)
        except NotFound:
            return self._missing(one)

    def _missing(self, one: Expected) -> list[Finding]:
        if one.published is None or None in one.explained:
            return []
        return [self._finding("object_missing", one, "there is no object")]

    def _compare(self, one: Expected, content: bytes | Path, sha256: str, length: int) -> list[Finding]:
        try:
            footer = read_footer(content)
        except Unreadable as error:
            return [self._finding("object_unreadable", one, f"it cannot be read as Parquet ({error})")]
        if one.published is None or sha256 != one.published.entry.file.sha256:
            if footer.row_hash is None or footer.row_hash not in one.explained:
                return [self._other_content(one, sha256, length)]
            # No record vouches for these bytes, and a footer stays as it was when a byte of the rows flips.
            return self._decoded(one, content, footer.row_hash)
        found = self._by_footer(one, one.published.entry.file, footer)
        if self._deep:
            found += self._decoded(one, content, one.published.entry.file.row_hash)
        return found

    def _other_content(self, one: Expected, sha256: str, length: int) -> Finding:
        owner = self._by_sha256.get(sha256)
        if owner is not None and owner != one.window:
            return self._finding("object_swapped", one, f"it holds the file of {owner}")
        if one.published is None:
            return self._finding(
                "object_stray", one, "no publication names it, nor what a run that did not end began to write"
            )
        file = one.published.entry.file
        if length != file.bytes:
            return self._finding(
                "object_size", one, f"it has {length:,} bytes, {file.bytes:,} were published"
            )
        how = f"its bytes changed (SHA-256 {_brief(sha256)}, published {_brief(file.sha256)})"
        return self._finding("object_sha256", one, how)

    def _by_footer(self, one: Expected, file: FileEntry, footer: FooterFacts) -> list[Finding]:
        if footer.rows != file.rows:
            how = f"its footer tells {footer.rows:,} rows, the journal {file.rows:,}"
            return [self._finding("footer_rows", one, how)]
        written = (instant_or_none(file.min_time), instant_or_none(file.max_time))
        if footer.rows and footer.first is not None and (footer.first, footer.last) != written:
            how = f"its footer tells times from {described(footer.first, footer.last)}, the journal "
            return [self._finding("footer_times", one, how + described(*written))]
        if outside(footer.first, footer.last, one.window):
            how = f"its rows lie from {described(footer.first, footer.last)}, outside {one.window}"
            return [self._finding("footer_times", one, how)]
        return []

    def _decoded(self, one: Expected, content: bytes | Path, row_hash: str) -> list[Finding]:
        try:
            rows = read_rows(content)
        except Unreadable as error:
            return [self._finding("row_unreadable", one, f"its rows cannot be decoded ({error})")]
        found = []
        if rows.row_hash != row_hash:
            how = f"its rows are others (hash {_brief(rows.row_hash)}, published {_brief(row_hash)})"
            found.append(self._finding("row_hash", one, how))
        if not rows.in_order:
            found.append(self._finding("row_order", one, "its rows are not sorted by time"))
        if outside(rows.first, rows.last, one.window):
            how = f"its rows lie from {described(rows.first, rows.last)}, outside {one.window}"
            found.append(self._finding("row_outside", one, how))
        if rows.repeated is not None:
            how = f"the id {rows.repeated[:100]!r} occurs twice"
            found.append(self._finding("row_ids", one, how))
        return found

    def _finding(self, kind: str, one: Expected, detail: str) -> Finding:
        span = Span.of(one.window)
        again = f"logferry export {self._export} --from {span.start} --to {span.end}"
        if one.published is None:
            remedy = f"export the slice ({again}), or delete the object"
        else:
            remedy = f"export the slice again ({again})"
        return Finding(kind=kind, window=span, key=one.key, detail=detail, remedy=remedy)


@contextmanager
def _content(store: Store, key: str, size: int) -> Iterator[tuple[bytes | Path, str, int]]:
    """The object, in memory or as a temporary file, its SHA-256 and its size. Raises NotFound."""
    if size <= _WHOLE_BYTES:
        data = store.read(key)
        yield data, f"sha256:{hashlib.sha256(data).hexdigest()}", len(data)
        return
    digest = hashlib.sha256()
    length = 0
    with tempfile.NamedTemporaryFile(prefix="logferry-verify-") as file:
        while piece := store.read_range(key, length, _PIECE_BYTES):
            digest.update(piece)
            file.write(piece)
            length += len(piece)
        file.flush()
        yield Path(file.name), f"sha256:{digest.hexdigest()}", length


def _brief(digest: str) -> str:
    """Enough of a hash to tell two apart."""
    return f"{digest.removeprefix('sha256:')[:12]}"
