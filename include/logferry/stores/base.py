"""What the engine needs of an object store, and nothing more."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Protocol

from logferry.errors import StoreError


class NotFound(StoreError):
    """There is no object under this key."""


class AlreadyExists(StoreError):
    """An object is already there, and the caller asked to create, not to replace."""


@dataclass(frozen=True, slots=True)
class ObjectInfo:
    """One object: size in bytes, ``etag`` (opaque, changes with the content), own metadata if any."""

    key: str
    size: int
    etag: str
    metadata: Mapping[str, str] = field(default_factory=dict)


class Store(Protocol):
    """Whole objects under keys. Every failure is a StoreError or a CredentialsError of one sentence.

    A key is a relative POSIX path: no leading or double slash, no ``.`` or ``..`` (``check_key``). A reader
    sees an object whole, in its old or its new state, or not at all. Metadata names are lower case
    (``check_metadata``); a store without metadata (a local folder) checks it and leaves it empty.
    """

    url: str

    def put_file(self, key: str, path: Path, *, metadata: Mapping[str, str] | None = None) -> None:
        """Stores a copy of the file under ``key``, replacing what is there; a failure leaves the old."""
        ...

    def put_bytes(self, key: str, data: bytes, *, if_absent: bool = False) -> None:
        """Stores ``data`` under ``key``. With ``if_absent`` raises AlreadyExists when an object is there.

        Of several writers with ``if_absent`` one wins, provided the store enforces conditions: some
        look-alikes of S3 accept ``If-None-Match`` and ignore it.
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

    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        """Every object whose key begins with the text ``prefix``, in key order; metadata is left empty."""
        ...

    def move(self, source_key: str, target_key: str, *, metadata: Mapping[str, str] | None = None) -> None:
        """Puts the object under its new key, replacing what is there, then drops the old key. Raises
        NotFound.

        Metadata is kept unless new metadata is given. A crash between the two steps leaves both.
        """
        ...

    def delete(self, keys: Iterable[str]) -> None:
        """Deletes the objects; a key without an object is fine."""
        ...


def check_key(key: str) -> str:
    """The key itself. Raises StoreError when it could leave the store's folder or name no object."""
    if not key or "\\" in key or "\0" in key or str(PurePosixPath(key)) != key or key.startswith("/"):
        raise StoreError(
            f"The key {key!r} is not a plain relative path: leave out //, ./ and a leading slash."
        )
    if key == "." or ".." in key.split("/"):
        raise StoreError(f"The key {key!r} leaves the store: leave out '..'.")
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
