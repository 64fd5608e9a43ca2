"""What the engine needs of an object store, and nothing more."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from logferry.errors import StoreError


class NotFound(StoreError):
    """There is no object under this key."""


class AlreadyExists(StoreError):
    """An object is already there, and the caller asked to create, not to replace."""


class Changed(StoreError):
    """The object is not the one that the caller saw: another writer replaced, created or removed it."""


@dataclass(frozen=True, slots=True)
class ObjectInfo:
    """One object: size in bytes, ``etag`` (opaque, changes with the content), ``modified_at`` (tick), metadata.

    In S3 the ETag is a hash of the bytes: content that comes back brings its ETag back. On a local disk none
    ever comes back.
    """

    key: str
    size: int
    etag: str
    modified_at: int
    metadata: Mapping[str, str] = field(default_factory=dict)


class Store(Protocol):
    """Whole objects under keys. Every failure is a StoreError or a CredentialsError of one sentence.

    A key is a relative POSIX path: no leading or double slash, no ``.`` or ``..`` (``check_key``). A reader
    sees an object whole, in its old or its new state, or not at all. Metadata names are lower case
    (``check_metadata``); a store without metadata (a local folder) checks it and leaves it empty.
    """

    url: str

    def put_file(self, key: str, path: Path, *, metadata: Mapping[str, str] | None = None) -> None:
        """Stores the file's content under ``key``, replacing what is there; a failure leaves the old.

        The file must not be written to any more: a store on the same disk may keep the file itself.
        """
        ...

    def enforces_conditions(self) -> bool:
        """Whether of several writers with one condition exactly one wins.

        Some look-alikes of S3 accept ``If-None-Match`` and ``If-Match`` and ignore them; so a bucket is probed once
        and the answer is kept in the lake. Where it is False, the conditions below are checked first and acted on
        afterwards: right for a single writer only (``lease``).
        """
        ...

    def put_bytes(
        self, key: str, data: bytes, *, if_absent: bool = False, if_match: str | None = None
    ) -> None:
        """Stores ``data`` under ``key``.

        ``if_absent``: raises AlreadyExists when an object is there. ``if_match``: raises Changed unless the object
        there has this ETag.
        """
        ...

    def read(self, key: str) -> bytes:
        """The whole object. Raises NotFound."""
        ...

    def read_range(self, key: str, start: int, length: int) -> bytes:
        """Up to ``length`` bytes from ``start``; a negative ``start`` counts from the end. Raises NotFound.

        Fewer bytes come back where the object ends earlier, none when it ends before ``start``.
        """
        ...

    def head(self, key: str) -> ObjectInfo | None:
        """The object's description, None when there is none."""
        ...

    def list(self, prefix: str, *, after: str | None = None) -> Iterator[ObjectInfo]:
        """Every object whose key begins with the text ``prefix``, in key order; metadata is left empty.

        ``after``: only those whose key is greater; what lies before costs nothing.
        """
        ...

    def place(
        self,
        source_key: str,
        target_key: str,
        *,
        expected: str | None,
        metadata: Mapping[str, str] | None = None,
    ) -> str:
        """Puts a copy of the object under another key, in one step, and returns its new ETag; the source stays.

        ``expected``: the ETag that the target must still have, None when there must be no object; raises Changed
        otherwise, and NotFound without a source. In S3 bytes that are there already keep their ETag, and objects
        over 5 GiB are a StoreError. After a power failure the target may be as it was before, until ``settle``.
        """
        ...

    def settle(self, keys: Iterable[str]) -> None:
        """No power failure undoes any more what these keys were placed with, whoever placed it."""
        ...

    def renew(self, key: str, *, expected: str) -> str:
        """Gives the object a new ETag and leaves its bytes and metadata; returns the ETag.

        So a writer that still holds the old one can replace it no more; in S3 the second renewal brings the first
        ETag back. Raises Changed like ``place``, also where there is no object.
        """
        ...

    def remove(self, key: str, *, expected: str) -> None:
        """Deletes the object while it still has this ETag; raises Changed like ``place``, also when it is gone."""
        ...

    def sweep(self, prefix: str, *, older_than_s: float) -> int:
        """Removes objects and unfinished uploads whose keys begin with the text ``prefix`` and that were last
        written longer than ``older_than_s`` seconds ago, by this machine's clock; returns how many.
        """
        ...

    def abort_uploads(self, prefix: str, *, older_than_s: float) -> int:
        """As ``sweep``, but of unfinished uploads only: no object is removed."""
        ...

    def delete(self, keys: Iterable[str]) -> None:
        """Deletes the objects; a key without an object is fine."""
        ...


def changed(url: str, expected: str | None, found: str | None) -> Changed:
    """The error for the object at ``url`` whose ETag is not the expected one; None stands for no object."""
    if found is None:
        what = "removed it"
    elif expected is None:
        what = "created it"
    else:
        what = "replaced it"
    return Changed(f"{url} is not the object that was seen: another writer {what} meanwhile; run again.")


def check_key(key: str) -> str:
    """The key itself. Raises StoreError when it could leave the store's folder or name no object."""
    parts = key.split("/")
    if ".." in parts:
        raise StoreError(f"The key {key!r} leaves the store: leave out '..'.")
    if "\\" in key or "\0" in key or "" in parts or "." in parts:
        raise StoreError(
            f"The key {key!r} is not a plain relative path: leave out //, ./ and a leading slash."
        )
    return key


_METADATA_NAME = re.compile(r"[a-z0-9][a-z0-9_-]*")


def check_metadata(metadata: Mapping[str, str] | None) -> dict[str, str]:
    """The metadata as every store keeps it: lower-case names, printable ASCII values (S3: headers).

    Raises ValueError otherwise: names and values are the program's own, never a user's.
    """
    checked = dict(metadata or {})
    for name, value in checked.items():
        if not _METADATA_NAME.fullmatch(name) or not value.isascii() or not value.isprintable():
            raise ValueError(f"metadata {name!r} must have a lower-case name and a printable ASCII value")
    return checked
